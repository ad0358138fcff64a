//go:build unix

package harden

import "golang.org/x/sys/unix"

// forbidCores sets both limits, so that nothing raises them again.
func forbidCores() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

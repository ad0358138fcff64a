//go:build !linux

package main

import (
	"os"
	"syscall"
)

// childAttributes are none: if dbvalet is killed, the child's connections end.
func childAttributes() *syscall.SysProcAttr { return nil }

// jobSignals are left to the kernel: Ctrl-Z stops dbvalet and the child, each by itself.
var jobSignals []os.Signal

func (*terminal) followStops(_ int, done chan<- struct{}) { close(done) }

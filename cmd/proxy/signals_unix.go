//go:build unix

package main

import (
	"os"
	"syscall"
)

// Signals that don't end the program.
const (
	reloadSignal = syscall.SIGHUP
	reopenSignal = syscall.SIGUSR1
)

var moreSignals = []os.Signal{reloadSignal, reopenSignal}

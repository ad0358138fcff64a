//go:build !unix

package main

import (
	"os"
	"syscall"
)

// passedSignals are those that there are. The console sends Ctrl-C to the command itself.
var passedSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func ignoreAfterStart() {}

type terminal struct{}

func openTerminal() *terminal { return nil }

func (*terminal) close()                          {}
func (*terminal) restore()                        {}
func (*terminal) typed(s os.Signal, pid int) bool { return s == os.Interrupt }

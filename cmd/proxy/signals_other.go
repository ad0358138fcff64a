//go:build !unix

package main

import "os"

// There are no signals here but those that end the program.
var (
	reloadSignal, reopenSignal os.Signal
	moreSignals                []os.Signal
)

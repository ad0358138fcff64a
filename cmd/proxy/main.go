// Command dbvalet is a local sidecar proxy for databases: it takes clients without a password, and
// logs in to the real database over TLS with a freshly minted token or a password from where it is
// kept. See package proxy for what happens to a connection.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"dbvalet/harden"
	"dbvalet/proxy"
)

// Exit statuses. A program that a signal has ended has the one that a shell makes of that: 130 for
// SIGINT, 143 for SIGTERM. "dbvalet exec" ends as its command does.
const (
	exitOK    = 0 // it has ended by itself, or was asked to by the admin endpoint
	exitError = 1 // a listener or something else failed
	exitUsage = 2 // an argument or the configuration is wrong
)

func main() {
	ours := process{confine: true, inherited: proxy.TakeInherited(), undone: harden.Hide()}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, ours))
}

// run is main with its surroundings given.
func run(args []string, stdout, stderr io.Writer, p process) int {
	cmd := newCommand(p)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[ending](err); ok {
		return e.exitStatus()
	}
	fmt.Fprintf(stderr, "dbvalet: %v\n", err)
	status, hint := exitError, proxy.Hint(err)
	if _, ok := errors.AsType[usageError](err); ok {
		status, hint = exitUsage, cmp.Or(hint, `"dbvalet --help" lists flags, options and their values`)
	}
	if e, ok := errors.AsType[*commandError](err); ok {
		status = e.status
	}
	if hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return status
}

// An ending is an error that says its exit status, and nothing that anybody need be told.
type ending interface {
	error
	exitStatus() int
}

// usageError is an error in what the user wrote.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

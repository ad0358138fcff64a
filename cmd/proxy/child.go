package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// A child is the command that "dbvalet exec" runs. It is in dbvalet's own process group, as if a shell had
// started both as one job: so it has the terminal, Ctrl-Z stops both and fg continues both, and it gets
// what is typed to interrupt it. dbvalet gets that too, and leaves it to the child what comes of it.
// All other signals, which come to dbvalet alone, are passed on.
type child struct {
	cmd      *exec.Cmd
	log      *slog.Logger
	terminal *terminal
}

// run starts the child, calls started, and returns how it has ended.
func (c *child) run(signals <-chan os.Signal, started func()) (status int, err error) {
	select {
	case s := <-signals:
		return 0, signalled{s}
	default:
	}
	c.terminal = openTerminal()
	defer c.terminal.close()
	if err := c.cmd.Start(); err != nil {
		return 0, cannotRun(c.cmd.Args[0], err)
	}
	over, passed, followed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go c.pass(signals, over, passed)
	go c.terminal.followStops(c.cmd.Process.Pid, followed)
	started()
	err = c.cmd.Wait()
	close(over)
	<-passed
	<-followed
	if c.cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for %s: %w", c.cmd.Args[0], err)
	}
	return c.status(), nil
}

// pass passes signals on until over is closed.
func (c *child) pass(signals <-chan os.Signal, over <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case s := <-signals:
			if !c.terminal.typed(s, c.cmd.Process.Pid) {
				c.log.Debug("signal passed on", "signal", signalName(s))
				_ = c.cmd.Process.Signal(s) // which may have ended
			}
		case <-over:
			return
		}
	}
}

// status is what a shell makes of the end. A program that was killed has not put the terminal back to
// what it was.
func (c *child) status() int {
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		c.terminal.restore()
		return 128 + int(s.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}

// catchSignals has the signals that are passed on sent to a channel, until release is called. Those that
// whoever has started dbvalet wants ignored, as nohup does, the child is to ignore, too.
func catchSignals() (signals chan os.Signal, release func()) {
	signals = make(chan os.Signal, 16)
	for _, s := range append(jobSignals, passedSignals...) {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals, func() { signal.Stop(signals) }
}

// findProgram returns the path of a command.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &commandError{fmt.Errorf("run %s: it is found in the current directory only", name), "write ./" + name, exitNotFound}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		advice := "check its name, and PATH"
		if strings.ContainsAny(name, " \t") {
			advice = "write the command and each of its arguments by itself, or sh -c and all in quotes"
		}
		return "", &commandError{fmt.Errorf("run %s: there is no such command", name), advice, exitNotFound}
	}
	return "", cannotRun(name, err)
}

// cannotRun says why a command that is there can't be run.
func cannotRun(name string, err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	advice := "check that it is a program, and may be run"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = "its first line, behind #!, names a program that there is not, or its dynamic linker is missing"
	case errors.Is(err, syscall.ENOEXEC):
		advice = "a script begins with a line such as #!/bin/sh"
	}
	return &commandError{fmt.Errorf("run %s: %w", name, err), advice, exitCannotRun}
}

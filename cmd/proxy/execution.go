package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/config"
	"dbvalet/harden"
)

// An execution is a command that is run with routes of its own.
type execution struct {
	process           process
	tcpOnly, unixOnly bool
	// command returns what to run, once it is known where the routes are.
	command func([]*access) []string
}

// strayTime is how long a session of what the command has left behind, or that of a command that was
// killed in the middle of a query, may take to finish an answer.
const strayTime = time.Second

// run serves the routes of c, runs the command, and ends with it:
//
//  1. Signals are caught from now on, so that nothing is left behind.
//  2. The routes get listeners of their own.
//  3. The command is started.
//  4. Only then does the process give up what it does not need: the command would inherit it.
//  5. The routes are served.
//  6. When the command ends, so does everything. What it has left behind in the background is told.
func (e *execution) run(cmd *cobra.Command, c *config.Config) error {
	if e.tcpOnly && e.unixOnly {
		return usageError{errors.New("--tcp and --unix leave nothing to listen on")}
	}
	if err := quiet(cmd, c); err != nil {
		return err
	}
	d, err := newDisplay(cmd.ErrOrStderr(), c.LogLevel, c.LogFormat)
	if err != nil {
		return usageError{err}
	}
	defer d.close()
	d.people = nil // who are busy with the command
	p, err := e.process.withLandlock(c.Landlock)
	if err != nil {
		return usageError{err}
	}
	signals, release := catchSignals()
	defer release()

	l, err := newLodging(e.tcpOnly, e.unixOnly)
	if err != nil {
		return err
	}
	defer l.close()
	all, err := l.take(c)
	if err != nil {
		return err
	}
	v := &valet{display: d} // without the signals: what was typed to end the command may come after its end
	if v.sights, err = openSights(c, d.log); err != nil {
		return err
	}
	defer v.sights.close()
	v.fleet = &fleet{health: &v.health, all: newOverall(c.MaxConnections, c.MaxHandshakes, c.AcceptRate), display: d, sights: v.sights, open: l.listen}
	plan, err := v.fleet.prepare(c, func(*config.Route) bool { return false })
	if err != nil {
		return err
	}
	child, err := newChild(cmd, e.command(all), environ(os.Environ(), all), d.log)
	if err != nil {
		plan.undo()
		return err
	}
	sessions, cut := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer cut()

	// The kernel counts the thread that starts the command as its parent, whose end it is told of.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	launched := false
	status, err := child.run(signals, func() {
		launched = true
		ignoreAfterStart()
		p.needs = harden.Needs{Signals: true, Dirs: l.bases()}
		p.harden(&cobra.Command{})
		v.confined = p.limit(c, plan.services, plan.listeners, d.log)
		v.fleet.all.finder.UnixOnly = v.confined
		v.fleet.launch(sessions, plan) // who has connected already waits in the kernel's queue
	})
	if !launched {
		plan.undo()
		return err
	}
	v.end(reason{what: "the command has ended", now: true, limit: strayTime}, cut)
	if err == nil && status != 0 {
		err = commandEnded(status)
	}
	return err
}

// commandEnded is the exit status of a command, other than 0. It has said itself what there is to say.
type commandEnded int

var _ ending = commandEnded(0)

func (e commandEnded) Error() string   { return fmt.Sprintf("the command ended with status %d", int(e)) }
func (e commandEnded) exitStatus() int { return int(e) }

// What shells say about a command that they can't run.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

// A commandError is why a command could not be run.
type commandError struct {
	err    error
	advice string
	status int
}

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// Hint returns the next step.
func (e *commandError) Hint() string { return e.advice }

// newChild returns the command as it will be run.
func newChild(cmd *cobra.Command, argv, environ []string, log *slog.Logger) (*child, error) {
	path, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	return &child{log: log, cmd: &exec.Cmd{
		Path: path, Args: argv, Env: environ,
		Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
		SysProcAttr: childAttributes(),
	}}, nil
}

//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// passedSignals are those that somebody may send to dbvalet and mean the command. The kernel sends
// SIGWINCH to all that the terminal has in its foreground, and SIGCONT comes to all of a job.
var passedSignals = []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}

// ignoreAfterStart is called when the child, which would ignore them too, is running. It may be a shell
// that takes the terminal for a job of its own, and a warning of dbvalet's must not stop dbvalet then;
// nor may it end if nobody reads its warnings.
func ignoreAfterStart() { signal.Ignore(syscall.SIGTTOU, syscall.SIGPIPE) }

// A terminal is the one that dbvalet was started from. Nil is none.
type terminal struct {
	fd    int
	state *term.State // as it was
}

func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	t := &terminal{fd: fd}
	t.state, _ = term.GetState(fd)
	return t
}

func (t *terminal) close() {
	if t != nil {
		unix.Close(t.fd)
	}
}

// foreground reports whether what is typed goes to dbvalet's process group.
func (t *terminal) foreground() bool {
	if t == nil {
		return false
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// typed reports whether a signal is taken to come from the keyboard, so that the child pid, too, has got
// it. There is no seeing who has sent it: where dbvalet has the terminal, SIGINT, SIGQUIT and SIGTSTP are
// typed.
func (t *terminal) typed(s os.Signal, pid int) bool {
	if s != os.Interrupt && s != syscall.SIGQUIT && s != syscall.SIGTSTP || !t.foreground() {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err != nil || group == unix.Getpgrp()
}

// restore puts the terminal back to what it was.
func (t *terminal) restore() {
	if t.foreground() && t.state != nil {
		_ = term.Restore(t.fd, t.state)
	}
}

package main

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes has the kernel end the child if dbvalet is killed: its connections are gone anyway. A
// program that gains rights, such as sudo, is exempt.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// jobSignals are passed on, too, as dbvalet stops when the child has.
var jobSignals = []os.Signal{syscall.SIGTSTP}

// followStops stops dbvalet whenever the child pid has stopped, until that has ended. The shell waits for
// dbvalet, and must not take the terminal back before the child has put it in order, as Ctrl-Z would have
// it. A child may also have stopped by itself, as a shell with "suspend". When dbvalet is continued, so
// is the child.
func (t *terminal) followStops(pid int, done chan<- struct{}) {
	defer close(done)
	for t.isJob() {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || info.Code != childStopped {
			return // it has ended, and is for Wait
		}
		// The kernel would tell of the same stop again.
		_ = unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOHANG, nil)
		stopHere()
		if stays(pid) {
			_ = unix.Kill(pid, unix.SIGCONT)
		}
	}
}

// stays reports whether nothing has happened to the child pid since its stop was waited for. The shell
// continues both, and by the time dbvalet gets to run, Ctrl-Z may have stopped the child again: that is not
// to be undone.
func stays(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WCONTINUED|unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Code == 0
}

// childStopped is CLD_STOPPED: https://man7.org/linux/man-pages/man2/sigaction.2.html
const childStopped = 5

// stopHere returns when dbvalet is continued. A signal to the whole process could be taken by another
// thread, and this one would go on for a moment.
func stopHere() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
}

// isJob reports whether a shell that knows jobs is likely to have started dbvalet, and would continue it:
// one of the same terminal, in another process group.
func (t *terminal) isJob() bool {
	if t == nil {
		return false
	}
	shell := os.Getppid()
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	shells, err := unix.Getsid(shell)
	if err != nil || shells != session {
		return false
	}
	group, err := unix.Getpgid(shell)
	return err == nil && group != unix.Getpgrp()
}

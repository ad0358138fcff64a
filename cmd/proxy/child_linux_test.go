package main

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// A child that the shell has continued, and that was stopped once more, is not to be continued for the stop
// before.
func TestOnlyAChildThatStaysStoppedIsContinued(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid := cmd.Process.Pid
	send := func(s unix.Signal, what int) {
		t.Helper()
		if err := unix.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
		if err := unix.Waitid(unix.P_PID, pid, nil, what|unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
	}
	send(unix.SIGSTOP, unix.WSTOPPED)
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil); err != nil {
		t.Fatal(err)
	}
	if !stays(pid) {
		t.Error("a child that has stopped does not stay so")
	}
	send(unix.SIGCONT, unix.WCONTINUED)
	if stays(pid) {
		t.Error("a child that goes on stays stopped")
	}
	send(unix.SIGSTOP, unix.WSTOPPED)
	if stays(pid) {
		t.Error("a child that has stopped again stays as it was")
	}
	send(unix.SIGKILL, 0)
	if stays(pid) {
		t.Error("a child that has ended stays stopped")
	}
}

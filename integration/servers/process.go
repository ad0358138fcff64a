package servers

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A process is a running server: its main process, and those that this one has started.
type process struct {
	cmd *exec.Cmd

	// ready is closed when the server has written that it accepts connections.
	ready chan struct{}

	// done is closed when the main process and all others of the server have ended.
	done chan struct{}
}

// startProcess starts a server that writes its log to its standard error. The log is copied to log,
// and the server is ready when it has written a line that contains readyLine. If this process is
// killed, the server gets the signal starterDied.
func startProcess(cmd *exec.Cmd, log io.Writer, readyLine string, starterDied syscall.Signal) (*process, error) {
	p := &process{cmd: cmd, ready: make(chan struct{}), done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr.Pdeathsig = starterDied
	// Ctrl-C in a terminal is for the test, which then stops the server in its own way.
	cmd.SysProcAttr.Setpgid = true

	started := make(chan error)
	go p.own(r, w, log, readyLine, started)
	if err := <-started; err != nil {
		return nil, chrootHint(err)
	}
	return p, nil
}

// own starts the server and stays with it to its end. It does so on one thread of the operating
// system, because a server is signalled when the thread that started it ends, and Go ends threads.
func (p *process) own(r, w *os.File, log io.Writer, readyLine string, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	w.Close()
	started <- err
	if err != nil {
		r.Close()
		return
	}
	copied := make(chan struct{})
	go p.copyLog(r, log, readyLine, copied)
	// How it ended is in the log.
	_ = p.cmd.Wait()
	<-copied
	close(p.done)
}

// copyLog ends when all processes of the server have ended, because all of them hold the pipe's
// other end.
func (p *process) copyLog(r *os.File, log io.Writer, readyLine string, copied chan<- struct{}) {
	defer close(copied)
	defer r.Close()
	lines := bufio.NewReader(r)
	ready := p.ready
	for {
		line, err := lines.ReadString('\n')
		// A log that can't be written must not stop the server, which waits for the pipe.
		_, _ = io.WriteString(log, line)
		if ready != nil && strings.Contains(line, readyLine) {
			close(ready)
			ready = nil
		}
		if err != nil {
			return
		}
	}
}

// stop asks the server to end, and kills it if it does not.
func (p *process) stop(signal os.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return p.kill()
	}
}

// kill ends all processes of the server at once. The main process is stopped first, so that it
// starts no more while the others are looked for: a signal to its group would not reach them, because
// PostgreSQL gives each a group of its own.
func (p *process) kill() error {
	err := p.cmd.Process.Signal(syscall.SIGSTOP)
	if err == nil {
		var pids []int
		pids, err = descendants(p.cmd.Process.Pid)
		for _, pid := range pids {
			kill(pid)
		}
		err = errors.Join(err, p.cmd.Process.Kill())
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A valet is the one dbvalet that is measured.
type valet struct {
	cmd     *exec.Cmd
	secrets string // a folder
}

// startValet starts program with a route to each of the databases, and notes where it serves them.
func startValet(program string, databases []*database) (_ *valet, err error) {
	v := &valet{}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.stop())
		}
	}()
	if v.secrets, err = os.MkdirTemp("", "dbvalet-bench-"); err != nil {
		return nil, err
	}
	args := []string{"--log-format=text", "--log-level=info", "--exit-zero-on-sigterm", "--drain-timeout=0s"}
	for _, d := range databases {
		secret := filepath.Join(v.secrets, d.scheme)
		if err := os.WriteFile(secret, []byte(d.password), 0o600); err != nil {
			return nil, err
		}
		args = append(args, fmt.Sprintf("%s://%s@%s:%d/%s?listen=127.0.0.1:0&dial=%s&ca=%s&auth=file:%s",
			d.scheme, d.user, d.Endpoint, d.Port, d.Database, d.Addr(), d.CAFile, secret))
	}
	v.cmd = exec.Command(program, args...)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stderr)
	for _, d := range databases {
		if d.through, err = nextAddress(lines); err != nil {
			return nil, err
		}
	}
	go discard(stderr) // the log, as somebody would read it
	return v, nil
}

// nextAddress returns the next address at which dbvalet says that it is ready.
func nextAddress(lines *bufio.Scanner) (target, error) {
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 4 && words[0] == "ready:" { // ready: ROUTE on ADDRESS -> ...
			host, port, err := net.SplitHostPort(words[3])
			return target{host: host, port: port}, err
		}
	}
	return target{}, errors.New("dbvalet ended at once")
}

// stop ends dbvalet as an operator does.
func (v *valet) stop() (err error) {
	if v.cmd != nil && v.cmd.Process != nil {
		_ = v.cmd.Process.Signal(syscall.SIGTERM)
		err = v.cmd.Wait()
	}
	if v.secrets != "" {
		err = errors.Join(err, os.RemoveAll(v.secrets))
	}
	return err
}

// resident returns dbvalet's resident set in bytes; 0 where /proc doesn't say it.
func (v *valet) resident() float64 {
	fields := v.proc("statm")
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize())
}

// cpuSeconds returns the CPU time that dbvalet used so far, in user and kernel.
func (v *valet) cpuSeconds() float64 {
	const ticks = 100 // a second, USER_HZ on every Linux that Go runs on
	fields := v.proc("stat")
	if len(fields) < 15 {
		return 0
	}
	u, _ := strconv.ParseFloat(fields[13], 64)
	s, _ := strconv.ParseFloat(fields[14], 64)
	return (u + s) / ticks
}

func (v *valet) proc(file string) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", v.cmd.Process.Pid, file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content))
}

// discard reads the log to its end.
func discard(log io.Reader) { _, _ = io.Copy(io.Discard, log) }

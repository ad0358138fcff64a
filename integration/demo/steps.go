package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"dbvalet/integration/servers"
)

// say prints a paragraph for the one who watches.
func say(format string, args ...any) {
	fmt.Printf("\n"+format+"\n", args...)
}

// A valet is a running dbvalet.
type valet struct {
	cmd      *exec.Cmd
	conninfo string // what a client needs
}

// startValet runs program with a route to db, and waits until it is ready.
func startValet(ctx context.Context, program string, db *servers.Postgres) (*valet, error) {
	route := fmt.Sprintf("postgres://app@%s:%d/%s?listen=127.0.0.1:0&dial=%s&ca=%s",
		db.Endpoint, db.Port, db.Database, db.Addr(), strings.ReplaceAll(url.PathEscape(db.CAFile), "%2F", "/"))
	v := &valet{cmd: exec.Command(program, "--log-format=text", "--log-level=warn", route)}
	// Ctrl-C reaches the whole group of processes, but dbvalet is to end last.
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	v.cmd.Env = append(os.Environ(), db.AWSEnvironment()...)
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	fmt.Printf("\n$ export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=...\n$ dbvalet '%s'\n", db.AccessKeyID, route)
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	ready := make(chan string, 1)
	go showOutput(bufio.NewScanner(stderr), ready)
	select {
	case addr, ok := <-ready:
		if !ok {
			return nil, errors.Join(errors.New("dbvalet ended at once"), v.cmd.Wait())
		}
		host, port, _ := strings.Cut(addr, ":")
		v.conninfo = fmt.Sprintf("host=%s port=%s user=app dbname=%s", host, port, db.Database)
		return v, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), v.stop())
	}
}

// showOutput prints what dbvalet writes, and sends its address when it is ready.
func showOutput(lines *bufio.Scanner, ready chan<- string) {
	announced := false
	for lines.Scan() {
		fmt.Println("  dbvalet: " + lines.Text())
		if !announced && strings.HasPrefix(strings.TrimSpace(lines.Text()), "psql ") {
			announced = true
			words := strings.Fields(lines.Text()) // psql -h HOST -p PORT
			ready <- words[2] + ":" + words[4]
		}
	}
	close(ready)
}

// stop ends dbvalet as an operator does.
func (v *valet) stop() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return v.cmd.Wait()
}

// An outcome is what psql is expected to end with.
type outcome int

const (
	accepted outcome = iota
	refused
)

// psql runs a statement and shows the command and what came of it. It is an error if that is not
// what was expected.
func psql(ctx context.Context, expected outcome, conninfo, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd, err := servers.Client(ctx, "18", "psql", "-X", "-w", "-P", "footer=off", "-c", sql, conninfo)
	if err != nil {
		return err
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	fmt.Printf("\n$ psql %q -c %q\n", conninfo, sql)
	for line := range strings.Lines(output.String()) {
		fmt.Print("  " + line)
	}
	switch {
	case expected == accepted && err != nil:
		return fmt.Errorf("psql was to succeed: %w", err)
	case expected == refused && err == nil:
		return errors.New("psql was to be refused")
	}
	return nil
}

// lastDecision shows what the checker of tokens wrote last.
func lastDecision(db *servers.Postgres) error {
	log, err := os.ReadFile(db.VerifierLog())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	fmt.Printf("  token checker: %s\n", lines[len(lines)-1])
	return nil
}

// commandLine quotes args for a shell.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// say prints a paragraph for the one who watches.
func say(format string, args ...any) {
	fmt.Printf("\n"+format+"\n", args...)
}

// A valet is a running dbvalet.
type valet struct {
	cmd *exec.Cmd
	dir string // with the AWS credentials
}

// startValet runs program with a route to each of the databases, waits until it is ready, and notes
// its addresses.
func startValet(ctx context.Context, program string, databases []*database) (*valet, error) {
	v := &valet{}
	credentials, err := v.writeCredentials(databases)
	if err != nil {
		return nil, errors.Join(err, v.stop())
	}
	args := []string{"--log-format=text", "--log-level=warn", "--exit-zero-on-sigterm", "--drain-timeout=0s"}
	fmt.Printf("\n$ export AWS_SHARED_CREDENTIALS_FILE=%s\n$ dbvalet", credentials)
	for _, d := range databases {
		route := d.route()
		args = append(args, route)
		fmt.Printf(" \\\n    '%s'", route)
	}
	fmt.Println()
	v.cmd = exec.Command(program, args...)
	// Ctrl-C reaches the whole group of processes, but dbvalet is to end last.
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	v.cmd.Env = append(withoutAWS(os.Environ()),
		"AWS_SHARED_CREDENTIALS_FILE="+credentials, "AWS_CONFIG_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true")
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, v.stop())
	}
	if err := v.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), v.stop())
	}
	ready := make(chan string, len(databases))
	go showOutput(bufio.NewScanner(stderr), ready)
	for _, d := range databases {
		select {
		case address, ok := <-ready:
			if !ok {
				return nil, errors.Join(errors.New("dbvalet ended at once"), v.stop())
			}
			d.valet = address
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), v.stop())
		}
	}
	return v, nil
}

// writeCredentials writes a file with a profile for each database, as they are in two accounts.
func (v *valet) writeCredentials(databases []*database) (path string, err error) {
	if v.dir, err = os.MkdirTemp("", "dbvalet-demo-"); err != nil {
		return "", err
	}
	var profiles strings.Builder
	for _, d := range databases {
		fmt.Fprintf(&profiles, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", d.scheme, d.AccessKeyID, d.SecretAccessKey)
	}
	path = filepath.Join(v.dir, "credentials")
	return path, os.WriteFile(path, []byte(profiles.String()), 0o600)
}

// route is the way to d, on a free port.
func (d *database) route() string {
	return fmt.Sprintf("%s://app@%s:%d/%s?listen=127.0.0.1:0&profile=%s&dial=%s&ca=%s", d.scheme,
		d.Endpoint, d.Port, d.Database, d.scheme, d.Addr(), strings.ReplaceAll(url.PathEscape(d.CAFile), "%2F", "/"))
}

// withoutAWS leaves the settings of whoever runs the demonstration out of it.
func withoutAWS(env []string) (rest []string) {
	for _, setting := range env {
		if !strings.HasPrefix(setting, "AWS_") {
			rest = append(rest, setting)
		}
	}
	return rest
}

// showOutput prints what dbvalet writes, and sends its addresses as they are ready.
func showOutput(lines *bufio.Scanner, ready chan<- string) {
	address := "" // of the line before
	for lines.Scan() {
		fmt.Println("  dbvalet: " + lines.Text())
		if address != "" { // this line has the command for a client
			ready <- address
			address = ""
		}
		if words := strings.Fields(lines.Text()); len(words) > 4 && words[0] == "ready:" { // ready: ROUTE on ADDRESS -> ...
			address = words[3]
		}
	}
	close(ready)
}

// stop ends dbvalet as an operator does.
func (v *valet) stop() (err error) {
	if v.cmd != nil && v.cmd.Process != nil {
		err = errors.Join(v.cmd.Process.Signal(syscall.SIGTERM), v.cmd.Wait())
	}
	if v.dir != "" {
		err = errors.Join(err, os.RemoveAll(v.dir))
	}
	return err
}

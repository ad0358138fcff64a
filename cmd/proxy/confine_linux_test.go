package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"dbvalet/harden"
)

// confinedVariable tells the test's binary to be the program, with these arguments between newlines.
const confinedVariable = "DBVALET_TEST_CONFINED"

// TestProgramKeepsToWhatItsRoutesName runs the program in a process of its own, as main does. Its
// password file becomes a link to a file that no route names.
func TestProgramKeepsToWhatItsRoutesName(t *testing.T) {
	if args := os.Getenv(confinedVariable); args != "" {
		ours := process{confine: true, undone: harden.Process()}
		os.Exit(run(strings.Split(args, "\n"), os.Stdout, os.Stderr, ours))
	}
	named, other := t.TempDir(), t.TempDir()
	sockets, err := os.MkdirTemp("", "dbvalet") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	path := write(t, filepath.Join(named, "pw"), "x")
	route := "postgres://app@127.0.0.1:1/o?tls=require&listen=" + sockets + "&auth=file:" + path

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := newScreen()
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$")
	cmd.Env = []string{confinedVariable + "=" + route} // what a variable names may be read
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	log.await(t, `"ready"`)
	line := log.await(t, `"landlock"`)
	if strings.Contains(line, harden.NotSupported) {
		t.Skipf("this kernel has no Landlock: %s", line)
	}
	if !strings.Contains(line, "(ABI ") || !strings.Contains(line, "--landlock=off") {
		t.Errorf("got %swant what is in force, and how to switch it off", line)
	}
	for name, want := range map[string]string{
		"status": "\nNoNewPrivs:\t1\n",
		"limits": fmt.Sprintf("\n%-26s%-21s%-21s", "Max core file size", "0", "0"),
	} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("/proc/PID/%s lacks %q (%v):\n%s", name, want, err, content)
		}
	}

	// Nobody listens on port 1, which is found out with the password in hand.
	socket := filepath.Join(sockets, ".s.PGSQL.1")
	if err := connectBySocket(t, socket); !strings.Contains(fmt.Sprint(err), "connection refused") {
		t.Errorf("with the file: got %v, want the dialled port's refusal", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	link(t, write(t, filepath.Join(other, "pw"), "x"), path)
	if err := connectBySocket(t, socket); !strings.Contains(fmt.Sprint(err), "permission denied") {
		t.Errorf("with a link to elsewhere: got %v, want permission denied", err)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
		t.Errorf("the program's end: %v\n%s", err, log)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
}

// connectBySocket returns the error of a client that connects.
func connectBySocket(t *testing.T, socket string) error {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), "host="+filepath.Dir(socket)+" port=1 user=app database=o")
	if err == nil {
		conn.Close(t.Context())
	}
	return err
}

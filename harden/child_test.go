package harden

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is given up can't be had back, so each test gives it up in a process of its own: the test's
// binary again, which runs the same test and finds that it is the child.
const (
	childVariable = "HARDEN_CHILD"    // the name of the test
	dirVariable   = "HARDEN_DIR"      // a directory for it
	argVariable   = "HARDEN_ARGUMENT" // what else it must know
)

func isChild(t *testing.T) bool { return os.Getenv(childVariable) == t.Name() }

// childCommand is a command that runs the test that calls it, as the child.
func childCommand(t *testing.T, program, argument string) *exec.Cmd {
	t.Helper()
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+part+"$")
	}
	cmd := exec.Command(program, "-test.run="+strings.Join(pattern, "/"), "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"="+t.Name(), dirVariable+"="+t.TempDir(), argVariable+"="+argument)
	return cmd
}

// inChild runs the test that calls it in the child, which must succeed.
func inChild(t *testing.T, argument string) {
	t.Helper()
	out, err := childCommand(t, self(t), argument).CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("the child: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("the child:\n%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the child did not run the test:\n%s", out)
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// begin starts cmd and waits for the line "ready" of it. The process waits for the end of its stdin.
func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process that was looked at: %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == ready {
			return
		}
	}
	t.Fatal("the process ended before it was ready")
}

const ready = "ready"

// waitToEnd is the other half of begin.
func waitToEnd(t *testing.T) {
	t.Helper()
	if _, err := os.Stdout.WriteString(ready + "\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

// copyForAll copies the test's binary to where every user may run it.
func copyForAll(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "harden")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "harden.test")
	content, err := os.ReadFile(self(t))
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(path, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

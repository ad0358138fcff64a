package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dbvalet/integration/servers"
)

// program is dbvalet, built with the race detector; plainProgram is built as it is shipped, for the
// tests that look at memory.
var program, plainProgram string

// pg18 and pg15 are servers that tests share. A test that breaks its server starts one of its own.
var (
	pg18 = shared(servers.Options{Version: "18"})
	pg15 = shared(servers.Options{Version: "15"})
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	hearSignals()
	ignoreLibpq()
	dir, err := os.MkdirTemp("", "dbvalet-test-")
	if err != nil {
		return report(err)
	}
	defer os.RemoveAll(dir)
	defer stopShared()
	program, plainProgram = filepath.Join(dir, "dbvalet-race"), filepath.Join(dir, "dbvalet")
	if err := build(program, "CGO_ENABLED=1", "-race"); err != nil {
		return report(err)
	}
	if err := build(plainProgram, "CGO_ENABLED=0"); err != nil {
		return report(err)
	}
	return m.Run()
}

// hearSignals has dbvalet get the signals that the tests are to ignore, as what a shell runs in the
// background does: it would ignore them too.
func hearSignals() {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// ignoreLibpq keeps away from the drivers that tests are linked with what the user's environment says to
// all programs that use libpq.
func ignoreLibpq() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
}

func build(out, env string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), "dbvalet/cmd/proxy")...)
	cmd.Env = append(os.Environ(), env)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build dbvalet: %w\n%s", err, output)
	}
	return nil
}

// report says err and returns the exit status for it.
func report(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// running are the servers that tests share, and that the end of all tests stops.
var (
	runningMu sync.Mutex
	running   []interface{ Stop() error }
)

// keep notes a server that tests share.
func keep(server interface{ Stop() error }) {
	runningMu.Lock()
	defer runningMu.Unlock()
	running = append(running, server)
}

// shared returns a function that gives the one server of this kind, started when it is first wanted.
func shared(o servers.Options) func(t *testing.T) *servers.Postgres {
	start := sync.OnceValues(func() (*servers.Postgres, error) {
		p, err := servers.StartPostgres(context.Background(), o)
		if err == nil {
			keep(p)
		}
		return p, err
	})
	return func(t *testing.T) *servers.Postgres {
		t.Helper()
		p, err := start()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func stopShared() {
	for _, p := range running {
		if err := p.Stop(); err != nil {
			_ = report(err)
		}
	}
}

// ownServer starts a server for one test.
func ownServer(t *testing.T, o servers.Options) *servers.Postgres {
	t.Helper()
	p, err := servers.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	return p
}

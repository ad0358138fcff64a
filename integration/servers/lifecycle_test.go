package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// victimEnv makes this test program start a server, write its address and its folder to standard
// output, and wait to be killed.
const victimEnv = "DBVALET_TEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		os.Exit(victim())
	}
	os.Exit(m.Run())
}

func victim() int {
	p, err := StartPostgres(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.Addr())
	fmt.Println(p.folder.dir)
	select {}
}

func TestStopLeavesNothing(t *testing.T) {
	p := start(t, Options{})
	pid := p.process.cmd.Process.Pid
	connections := startupConnections(t, p.Addr(), 3)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range connections {
		waitForEnd(t, conn)
	}
	if _, err := os.Stat(procFile(pid, "stat")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("process %d is still there (%v)", pid, err)
	}
	for _, file := range []string{p.folder.dir, pamServiceFile(p.root, p.folder.name)} {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", file, err)
		}
	}
	if err := p.Stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestRestartKeepsPortAndData(t *testing.T) {
	for name, end := range map[string]func(*Postgres) error{
		"running":      func(*Postgres) error { return nil },
		"after a kill": (*Postgres).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{})
			if err := p.Exec(t.Context(), "CREATE TABLE kept AS SELECT 1 AS a"); err != nil {
				t.Fatal(err)
			}
			port := p.Port
			if err := end(p); err != nil {
				t.Fatal(err)
			}
			if err := p.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := p.Exec(t.Context(), "TABLE kept"); err != nil || p.Port != port {
				t.Errorf("port %d, was %d; %v", p.Port, port, err)
			}
		})
	}
}

func TestKillEndsSessionsAtOnce(t *testing.T) {
	p := start(t, Options{})
	conn, err := p.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(600)")
		running <- err
	}()
	waitUntil(t, p, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'SELECT%')")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-running; err == nil {
		t.Error("the session came to a regular end")
	}
	pidFile, err := os.ReadFile(filepath.Join(p.folder.path("data"), "postmaster.pid"))
	if err != nil {
		t.Fatalf("the server had time to tidy up: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	segment := strings.Fields(strings.Split(string(pidFile), "\n")[6])
	segments, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(segments)) {
		if f := strings.Fields(line); f[0] == segment[0] && f[1] == segment[1] {
			t.Errorf("shared memory segment %s is still there", segment[1])
		}
	}
}

func TestServerDiesWithItsStarterAndIsSweptUp(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	addr := lines.Text()
	lines.Scan()
	dir := lines.Text()
	if addr == "" || dir == "" {
		t.Fatalf("the victim has not started: %v", cmd.Wait())
	}

	connections := startupConnections(t, addr, 1)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitForEnd(t, connections[0])

	start(t, Options{})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if cwd, _ := os.Readlink(procFile(pid, "cwd")); strings.HasPrefix(cwd, dir) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestServersRunSideBySide(t *testing.T) {
	const n = 4
	errs := make(chan error, n)
	for range n {
		go func() {
			p, err := StartPostgres(t.Context(), Options{})
			if err == nil {
				err = errors.Join(p.Exec(t.Context(), "SELECT 1"), p.Stop())
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// startupConnections makes connections on which nothing is sent, so that the server waits.
func startupConnections(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// waitForEnd returns when the server has closed the connection.
func waitForEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server has not closed the connection")
	}
}

// waitUntil lets the server wait until an SQL condition is true.
func waitUntil(t *testing.T, p *Postgres, condition string) {
	t.Helper()
	err := p.Exec(t.Context(), "SET statement_timeout = '20s'; DO $$ BEGIN WHILE NOT ("+condition+
		") LOOP PERFORM pg_sleep(0.01), pg_stat_clear_snapshot(); END LOOP; END $$")
	if err != nil {
		t.Fatalf("wait until %s: %v", condition, err)
	}
}

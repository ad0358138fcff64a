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
	"slices"
	"strings"
	"testing"
	"time"
)

// victimEnv makes this test program start a server, of PostgreSQL or of a version of MySQLOptions,
// write its address and its folder to standard output, and wait to be killed.
const victimEnv = "DBVALET_TEST_VICTIM"

func TestMain(m *testing.M) {
	if kind := os.Getenv(victimEnv); kind != "" {
		os.Exit(victim(kind))
	}
	code := m.Run()
	for _, m := range sharedMySQL {
		if err := m.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func victim(kind string) int {
	s, err := startAny(context.Background(), kind)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(s.Addr())
	fmt.Println(s.folder.dir)
	select {}
}

// kinds are what startAny starts.
var kinds = append([]string{"postgres"}, mysqlVersions...)

func startAny(ctx context.Context, kind string) (*Server, error) {
	if kind == "postgres" {
		p, err := StartPostgres(ctx, Options{})
		if err != nil {
			return nil, err
		}
		return &p.Server, nil
	}
	m, err := StartMySQL(ctx, MySQLOptions{Version: kind})
	if err != nil {
		return nil, err
	}
	return &m.Server, nil
}

func TestStopLeavesNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s, err := startAny(t.Context(), kind)
			if err != nil {
				t.Fatal(err)
			}
			pid := s.process.cmd.Process.Pid
			connections := startupConnections(t, s.Addr(), 3)
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, conn := range connections {
				waitForEnd(t, conn)
			}
			if _, err := os.Stat(procFile(pid, "stat")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("process %d is still there (%v)", pid, err)
			}
			for _, file := range []string{s.folder.dir, pamServiceFile(s.root, s.folder.name)} {
				if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there (%v)", file, err)
				}
			}
			if err := s.Stop(); err != nil {
				t.Errorf("second stop: %v", err)
			}
		})
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

func TestRestartWaitsForItsPort(t *testing.T) {
	p := start(t, Options{})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	restarted := make(chan error, 1)
	go func() { restarted <- p.Restart(t.Context()) }()
	for limit := time.Now().Add(20 * time.Second); ; {
		log, err := os.ReadFile(p.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), p.engine.portTaken) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("the port is not found to be taken:\n%s", log)
		}
	}
	other.Close()
	if err := <-restarted; err != nil {
		t.Error(err)
	}
}

func TestMySQLRestartKeepsPortDataAndPasswords(t *testing.T) {
	for _, version := range mysqlVersions {
		for name, end := range map[string]func(*MySQL) error{
			"running":      func(*MySQL) error { return nil },
			"after a kill": (*MySQL).Kill,
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				m := startMySQL(t, MySQLOptions{Version: version})
				for _, statement := range []string{"CREATE TABLE kept AS SELECT 1 AS a", "DROP USER clear"} {
					if err := m.Exec(t.Context(), statement); err != nil {
						t.Fatal(err)
					}
				}
				port := m.Port
				if err := end(m); err != nil {
					t.Fatal(err)
				}
				if err := m.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := m.Exec(t.Context(), "INSERT INTO kept VALUES (2)"); err != nil || m.Port != port {
					t.Errorf("port %d, was %d; %v", m.Port, port, err)
				}
				if got := queryMySQL(t, m, "SELECT COUNT(*) FROM mysql.user WHERE user = 'clear'"); got != "0" {
					t.Error("a user who was dropped is there again")
				}
				if err := loginMySQL(t, m, "app", tokenRequest{}.token(t, &m.Server)); err != nil {
					t.Error(err)
				}
			})
		}
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
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), victimEnv+"="+kind)
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

			next, err := startAny(t.Context(), kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := next.Stop(); err != nil {
				t.Error(err)
			}
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
		})
	}
}

func TestServersRunSideBySide(t *testing.T) {
	servers := slices.Repeat(kinds, 2)
	errs := make(chan error, len(servers))
	for _, kind := range servers {
		go func() {
			s, err := startAny(t.Context(), kind)
			if err == nil {
				err = s.Stop()
			}
			errs <- err
		}()
	}
	for range servers {
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

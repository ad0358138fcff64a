package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/servers"
)

func TestPSQLWithoutPasswordLogsInWithToken(t *testing.T) {
	for _, version := range []struct {
		name   string
		server func(*testing.T) *servers.Postgres
	}{{"PostgreSQL 18", pg18}, {"PostgreSQL 15", pg15}} {
		t.Run(version.name, func(t *testing.T) {
			p := version.server(t)
			v := start(t, p.AWSEnvironment(), iamRoute(p))
			got := mustPSQL(t, v, "SELECT current_user, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
			if want := "app|orders|t"; got != want {
				t.Errorf("psql printed %q, want %q", got, want)
			}
		})
	}
}

func TestTokenOfTemporaryCredentialsPassesWhole(t *testing.T) {
	p := ownServer(t, servers.Options{SessionToken: strings.Repeat("abcdefgh/+==", 100)})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	if got := mustPSQL(t, v, "SELECT current_user"); got != "app" {
		t.Errorf("psql printed %q, want app", got)
	}
}

func TestPasswordFromAnySourceAndByAnyMethod(t *testing.T) {
	p := pg18(t)
	rows := []struct{ name, user, auth, method string }{
		{"SCRAM with channel binding, from a file", "scram", secretFile(t, p.SCRAMPassword), "scram-sha-256"},
		{"md5, from the environment", "md5", "auth=env:SECRET", "md5"},
		{"cleartext, from a command", "clear", "auth=exec:/bin/echo%20" + p.ClearPassword, "password"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			v := start(t, []string{"SECRET=" + p.MD5Password}, route(row.user, p, row.auth, "require_auth="+row.method))
			if got := mustPSQL(t, v, "SELECT current_user"); got != row.user {
				t.Errorf("psql printed %q, want %q", got, row.user)
			}
		})
	}
}

func TestRouteWithoutUserTakesTheClients(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), strings.Replace(iamRoute(p), "app@", "", 1))
	stdout, stderr, err := client(t, "18", "psql", "-X", "-w", "-A", "-t", "-c", "SELECT current_user", v.conninfo()+" user=app")
	if err != nil || strings.TrimSpace(stdout) != "app" {
		t.Errorf("psql: %v, printed %q and %q", err, stdout, stderr)
	}
}

func TestUnixSocketAndLocalhostServe(t *testing.T) {
	p := pg18(t)
	dir := filepath.Join(shortDir(t), "run")
	v := start(t, p.AWSEnvironment(), iamRoute(p, "name=socket", "listen="+dir), strings.Replace(iamRoute(p, "name=both"), "127.0.0.1:0", "localhost:0", 1))
	both := v.next("ready", 2).str("listener")
	six := v.next("ready", 3).str("listener")
	_, port, _ := strings.Cut(p.Addr(), ":")
	_, sixPort, _ := strings.Cut(six, "]:")
	for _, conninfo := range []string{
		"host=" + dir + " port=" + port,
		"host=127.0.0.1 port=" + strings.TrimPrefix(both, "127.0.0.1:"),
		"host=::1 port=" + sixPort,
	} {
		stdout, stderr, err := client(t, "18", "psql", "-X", "-w", "-A", "-t", "-c", "SELECT current_user", conninfo+" user=x dbname=orders")
		if err != nil || strings.TrimSpace(stdout) != "app" {
			t.Errorf("%s: psql: %v, printed %q and %q", conninfo, err, stdout, stderr)
		}
	}
	info, err := os.Stat(filepath.Join(dir, ".s.PGSQL."+port))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v; want mode 0600", info, err)
	}
}

func TestCopyInAndOut(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	var rows strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&rows, "%d\tthis is row %d\n", i, i)
	}
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(in, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := client(t, "18", "psql", "-X", "-w", "-v", "ON_ERROR_STOP=1",
		"-c", "CREATE TEMP TABLE copied (id int, what text)",
		"-c", `\copy copied FROM '`+in+`'`,
		"-c", `\copy copied TO '`+out+`'`, v.conninfo())
	if err != nil {
		t.Fatalf("psql: %v\n%s%s", err, stdout, stderr)
	}
	got, err := os.ReadFile(out)
	if err != nil || string(got) != rows.String() {
		t.Errorf("what came back differs from what went in: %d bytes, want %d; %v", len(got), rows.Len(), err)
	}
}

// TestControlCCancelsTheQuery covers the short keys of protocol 3.0 and the long ones of 3.2.
func TestControlCCancelsTheQuery(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	for _, protocol := range []string{"3.0", "3.2"} {
		t.Run(protocol, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd, err := servers.Client(ctx, "18", "psql", "-X", "-w", "-c", "SELECT 'about to sleep'", "-c", "SELECT pg_sleep(600)",
				v.conninfo()+" min_protocol_version="+protocol+" max_protocol_version="+protocol)
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the query sleeps", func() bool {
				return superuser(t, p, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND wait_event = 'PgSleep'") == "1"
			})
			cmd.Process.Signal(syscall.SIGINT)
			if err := cmd.Wait(); err == nil {
				t.Error("psql ended with success")
			}
			if want := "canceling statement due to user request"; !strings.Contains(stderr.String(), want) {
				t.Errorf("psql said %q, want %q in it", stderr.String(), want)
			}
		})
	}
}

func TestNotificationsArrive(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	listener := connect(t, v)
	if _, err := listener.Exec(t.Context(), "LISTEN parcels"); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, v).Exec(t.Context(), "NOTIFY parcels, 'number 7'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := listener.WaitForNotification(ctx)
	if err != nil || got.Payload != "number 7" {
		t.Errorf("got notification %v, %v", got, err)
	}
}

func TestReplicationConnectionStreams(t *testing.T) {
	t.Parallel()
	p := ownServer(t, servers.Options{})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Without a database, as replication goes.
	cmd, err := servers.Client(ctx, "18", "pg_receivewal", "-w", "-D", dir, "-d", strings.Replace(v.conninfo(), "dbname=orders", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "a finished segment of the log arrives", func() bool {
		if err := p.Exec(ctx, "SELECT pg_switch_wal()"); err != nil {
			t.Fatal(err)
		}
		segments, err := filepath.Glob(filepath.Join(dir, "????????????????????????"))
		return err == nil && len(segments) > 0
	})
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("pg_receivewal: %v\n%s", err, stderr.String())
	}
}

// TestBigResultWithFlatMemory takes a gigabyte through and looks at the largest resident set.
func TestBigResultWithFlatMemory(t *testing.T) {
	p := pg18(t)
	v := startProgram(t, plainProgram, p.AWSEnvironment(), iamRoute(p))
	mustPSQL(t, v, "SELECT 1")
	before := peakMemory(t, v)
	conn := connect(t, v)
	counted := &counter{}
	if _, err := conn.PgConn().CopyTo(t.Context(), counted,
		"COPY (SELECT repeat('0123456789abcdef', 1024) FROM generate_series(1, 65536)) TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	if want := int64(65536 * (16384 + 1)); counted.bytes != want {
		t.Errorf("%d bytes arrived, want %d", counted.bytes, want)
	}
	if grown := peakMemory(t, v) - before; grown > 8<<20 {
		t.Errorf("the result made the resident set grow by %d KiB, want at most 8 MiB", grown>>10)
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: map[string]string{"max_connections": "250"}})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	const sessions = 200
	var all sync.WaitGroup
	ready, release := make(chan struct{}, sessions), make(chan struct{})
	for i := range sessions {
		all.Go(func() {
			conn, err := pgx.Connect(t.Context(), v.conninfo()+" sslmode=disable")
			ready <- struct{}{}
			if err != nil {
				t.Errorf("session %d: %v", i, err)
				return
			}
			<-release
			var got int
			if err := conn.QueryRow(t.Context(), "SELECT $1::int * 2", i).Scan(&got); err != nil || got != 2*i {
				t.Errorf("session %d got %d, %v", i, got, err)
			}
			conn.Close(t.Context())
		})
	}
	for range sessions {
		<-ready
	}
	if got := superuser(t, p, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"); got != "200" {
		t.Errorf("the server has %s sessions, want 200 at the same time", got)
	}
	close(release)
	all.Wait()
}

func TestTerminationEndsSessionsAndTheProgram(t *testing.T) {
	p := ownServer(t, servers.Options{})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	var busy sync.WaitGroup
	for range 8 {
		conn := connect(t, v)
		busy.Go(func() {
			for {
				if _, err := conn.Exec(context.Background(), "SELECT 1"); err != nil {
					return
				}
			}
		})
	}
	v.stop()
	busy.Wait()
	waitUntil(t, "the server has no session left", func() bool {
		return superuser(t, p, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == "0"
	})
}

// TestQueryEndsWithItsClient kills a client in the middle of a query. The server looks after its
// client if it was told to, and must see the end of dbvalet's connection then.
func TestQueryEndsWithItsClient(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: map[string]string{"client_connection_check_interval": "50ms"}})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd, err := servers.Client(ctx, "18", "psql", "-X", "-w", "-c", "SELECT pg_sleep(600)", v.conninfo())
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
	waitUntil(t, "the query sleeps", func() bool { return superuser(t, p, sleeping) == "1" })
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Error("psql ended with success")
	}
	waitUntil(t, "the query has ended", func() bool { return superuser(t, p, sleeping) == "0" })
}

// counter counts what is written to it.
type counter struct{ bytes int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += int64(len(b))
	return len(b), nil
}

var _ io.Writer = (*counter)(nil)

// connect opens a session through v with pgx, which ends with the test.
func connect(t *testing.T, v *valet) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), v.conninfo()+" sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// superuser runs a query on the server itself and returns its one value as text.
func superuser(t *testing.T, p *servers.Postgres, sql string) string {
	t.Helper()
	conn, err := p.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var value string
	if err := conn.QueryRow(t.Context(), "SELECT ("+sql+")::text").Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// waitUntil asks again until done is true.
func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(patience)
	for again := time.NewTicker(20 * time.Millisecond); !done(); {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// peakMemory returns the largest resident set that v ever had, in bytes.
func peakMemory(t *testing.T, v *valet) int64 {
	t.Helper()
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM in the process's status")
	return 0
}

package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dbvalet/integration/servers"
)

// A fileOf is a configuration file that changes.
type fileOf struct {
	t    *testing.T
	path string
}

func newFile(t *testing.T, content string) fileOf {
	f := fileOf{t, filepath.Join(t.TempDir(), "dbvalet.yaml")}
	f.write(content)
	return f
}

// write replaces the file at once, as editors do.
func (f fileOf) write(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// yamlRoute is a route of a file: a URL whose options are all in it, and where it listens.
func yamlRoute(name, url, listen string, more ...string) string {
	url = strings.Replace(url, "listen=127.0.0.1:0&", "", 1)
	return fmt.Sprintf("  - name: %s\n    upstream: '%s'\n    listen: '%s'\n", name, url, listen) + strings.Join(more, "")
}

// Ports from firstPort on are below those of which the kernel gives one to whoever asks for any.
const (
	firstPort = 20_000
	portRange = 10_000
)

// ports counts those that tests were given, from anywhere in the range on.
var ports = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(portRange))
	return &n
}()

// freeAddr is an address that nobody listens on, and that nobody else gets meanwhile.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range portRange {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+int(ports.Add(1)%portRange)))
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// startFile runs dbvalet with a file of so many routes.
func startFile(t *testing.T, env []string, f fileOf, routes int, flags ...string) *valet {
	t.Helper()
	return startCommand(t, command(t, program, env, append(flags, "--config", f.path)...), routes)
}

func (v *valet) signal(s os.Signal) {
	v.t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		v.t.Fatal(err)
	}
}

// status waits for the end and returns the exit status.
func (v *valet) status() int {
	v.t.Helper()
	select {
	case err := <-v.done:
		v.done <- nil // what is wanted here is not what stop wants
		var e *exec.ExitError
		if errors.As(err, &e) {
			return e.ExitCode()
		}
		if err != nil {
			v.t.Fatal(err)
		}
		return 0
	case <-time.After(patience):
		v.t.Fatalf("dbvalet does not end; it said:\n%s", v.output())
		return -1
	}
}

// postgresAt is a visit to a route at addr.
func postgresAt(addr, more string) visit {
	host, port, _ := net.SplitHostPort(addr)
	return func(ctx context.Context) (user string, err error) {
		conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%s user=whoever sslmode=disable %s", host, port, more))
		if err != nil {
			return "", err
		}
		defer conn.Close(ctx)
		return user, conn.QueryRow(ctx, "SELECT current_user").Scan(&user)
	}
}

func openAt(t *testing.T, addr string) *pgx.Conn {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%s user=whoever sslmode=disable", host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func works(t *testing.T, conn *pgx.Conn, what string) {
	t.Helper()
	var one int
	if err := conn.QueryRow(t.Context(), "SELECT 1").Scan(&one); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// routeState is what the status says of a route, and how many sessions it shows.
func routeState(t *testing.T, admin, name string) (state string, sessions int) {
	t.Helper()
	var status struct {
		Routes []struct {
			Name, State string
			Clients     []struct{ Session string }
		}
	}
	if err := json.Unmarshal([]byte(get(t, admin, "/status", http.StatusOK)), &status); err != nil {
		t.Fatal(err)
	}
	for _, r := range status.Routes {
		if r.Name == name {
			return r.State, len(r.Clients)
		}
	}
	return "", 0
}

func TestReloadTouchesNothingThatIsUnchanged(t *testing.T) {
	p := pgSecrets(t)
	storedRole(t, p, "reload_a", "first")
	storedRole(t, p, "reload_b", "second")
	auth := secretFile(t, "first")
	other := filepath.Join(filepath.Dir(strings.TrimPrefix(auth, "auth=file:")), "second")
	if err := os.WriteFile(other, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other = "auth=file:" + other
	steadyAt, changingAt, newAt := freeAddr(t), freeAddr(t), freeAddr(t)
	steady := yamlRoute("steady", route("reload_a", p, auth), steadyAt)
	changing := yamlRoute("changing", route("reload_a", p, auth), changingAt)
	changed := yamlRoute("changing", route("reload_b", p, other), changingAt)
	added := yamlRoute("added", route("reload_b", p, other), newAt)

	f := newFile(t, "routes:\n"+steady+changing)
	admin := freeAddr(t)
	v := startFile(t, nil, f, 2, "--admin", admin, "--drain-timeout=1m")
	crowd := gather(t, 20, postgresAt(steadyAt, ""))
	long, old := openAt(t, steadyAt), openAt(t, changingAt)

	reloads := 0
	reload := func(content, result string, how func()) {
		t.Helper()
		f.write(content)
		how()
		if r := v.next("configuration reloaded", reloads); r.str("result") != result {
			t.Errorf("got %v, want %s", r, result)
		}
		reloads++
	}
	hangup := func() { v.signal(syscall.SIGHUP) }

	reload("routes:\n"+steady+changed+added, "changed: changing, new: added", hangup)
	works(t, long, "a session of an unchanged route")
	works(t, old, "a session of a changed route")
	for _, row := range []struct{ addr, user string }{{changingAt, "reload_b"}, {newAt, "reload_b"}} {
		if user, err := postgresAt(row.addr, "")(t.Context()); err != nil || user != row.user {
			t.Errorf("%s: got %q, %v, want %s", row.addr, user, err, row.user)
		}
	}

	// A route that is gone takes nobody any more, and its sessions live on.
	onNew := openAt(t, newAt)
	reload("routes:\n"+steady+changed, "gone: added", func() { post(t, admin, "/reload", http.StatusOK) })
	if _, err := net.Dial("tcp", newAt); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to a route that is gone: %v, want it refused", err)
	}
	works(t, onNew, "a session of a route that is gone")
	for name, want := range map[string]string{"added": "leaving", "changing": "served"} {
		// Those of the visits above may be about to end.
		waitUntil(t, name+" is "+want+" in the status, with the one session that lives on", func() bool {
			state, sessions := routeState(t, admin, name)
			return state == want && sessions == 1
		})
	}

	// A file that is wrong changes nothing, and says where.
	for i, bad := range []string{
		"routes:\n" + steady + strings.Replace(changing, "listen", "lisen", 1),
		"routes:\n" + steady + yamlRoute("broken", route("reload_a", p, auth), newAt, "    ca: /does/not/exist\n"),
		"routes:\n" + steady + yamlRoute("elsewhere", route("reload_a", p, secretFile(t, "first")), newAt),
		"routes: []\n",
	} {
		f.write(bad)
		hangup()
		r := v.next("configuration not reloaded, the one before stays in force", i)
		if r.str("err") == "" || r.str("hint") == "" {
			t.Errorf("got %v, want an error and a hint", r)
		}
		if user, err := postgresAt(changingAt, "")(t.Context()); err != nil || user != "reload_b" {
			t.Errorf("after a bad file: got %q, %v, want reload_b", user, err)
		}
	}

	// Many times under load, without a signal: the change of the file is noticed.
	for i := range 3 {
		content := "routes:\n" + steady + []string{changing, changed}[i%2]
		reload(content, "changed: changing", func() {})
	}
	works(t, long, "a session of an unchanged route")
	works(t, old, "a session of a changed route")
	if visits := crowd.dismiss(); visits["reload_a"] == 0 {
		t.Error("nobody visited")
	}
	if body := get(t, admin, "/status", http.StatusOK); !strings.Contains(body, `"upstream": "`+p.Addr()+`",`) || !strings.Contains(body, `"user": "reload_a"`) {
		t.Errorf("the status does not show the long session:\n%s", body)
	}
	if body := get(t, admin, "/status", http.StatusOK); !strings.Contains(body, `"why": "a file has changed"`) {
		t.Errorf("the status says nothing of the reload:\n%s", body)
	}
	// The end is told to all of them, also where the route has changed since.
	v.signal(os.Interrupt)
	v.next("stopping", 0)
	for what, conn := range map[string]*pgx.Conn{"an unchanged route": long, "a changed route": old} {
		var e *pgconn.PgError
		waitUntil(t, "a session of "+what+" is told", func() bool {
			err := conn.Ping(t.Context())
			return errors.As(err, &e) || conn.IsClosed()
		})
		if e == nil || e.Code != "57P01" {
			t.Errorf("a session of %s ended with %v, want 57P01", what, e)
		}
	}
}

// Kubernetes puts files under symbolic links and exchanges one of the links.
func TestConfigMapIsReloadedWhenItIsSwapped(t *testing.T) {
	p := pgSecrets(t)
	storedRole(t, p, "swap_a", "first")
	auth := secretFile(t, "first")
	oneAt, twoAt := freeAddr(t), freeAddr(t)
	dir := t.TempDir()
	swap := func(name, content string) {
		t.Helper()
		if err := errors.Join(
			os.Mkdir(filepath.Join(dir, name), 0o755),
			os.WriteFile(filepath.Join(dir, name, "dbvalet.yaml"), []byte(content), 0o644),
			os.Symlink(name, filepath.Join(dir, "..data_tmp")),
			os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")),
		); err != nil {
			t.Fatal(err)
		}
	}
	one, two := yamlRoute("one", route("swap_a", p, auth), oneAt), yamlRoute("two", route("swap_a", p, auth), twoAt)
	swap("..2026_1", "routes:\n"+one)
	path := filepath.Join(dir, "dbvalet.yaml")
	if err := os.Symlink("..data/dbvalet.yaml", path); err != nil {
		t.Fatal(err)
	}
	v := startFile(t, nil, fileOf{t, path}, 1)
	swap("..2026_2", "routes:\n"+one+two)
	if r := v.next("configuration reloaded", 0); r.str("result") != "new: two" {
		t.Errorf("got %v", r)
	}
	if user, err := postgresAt(twoAt, "")(t.Context()); err != nil || user != "swap_a" {
		t.Errorf("got %q, %v", user, err)
	}
}

// A worker asks one question after the other on one session, until that is ended.
func worker(t *testing.T, conn *pgx.Conn, ended chan<- error) {
	for {
		var rows int
		err := conn.QueryRow(context.WithoutCancel(t.Context()), "SELECT count(*) FROM generate_series(1, 2000), pg_sleep(0.002)").Scan(&rows)
		if err == nil && rows != 2000 {
			err = fmt.Errorf("got %d rows", rows)
		}
		if err != nil {
			ended <- err
			return
		}
	}
}

func TestDrainUnderLoad(t *testing.T) {
	p := pgSecrets(t)
	storedRole(t, p, "drain", "first")
	admin := freeAddr(t)
	v := startCommand(t, command(t, program, nil, "--admin", admin, "--drain-delay=10s", "--drain-timeout=10s", "--exit-zero-on-sigterm=false",
		route("drain", p, secretFile(t, "first"))), 1)
	const workers = 20
	ended := make(chan error, workers)
	for range workers {
		go worker(t, connect(t, v), ended)
	}
	patient, brief := connect(t, v), connect(t, v)
	get(t, admin, "/readyz", http.StatusOK)

	v.signal(syscall.SIGTERM)
	v.next("stopping", 0)
	// Not ready, and still open.
	get(t, admin, "/readyz", http.StatusServiceUnavailable)
	get(t, admin, "/livez", http.StatusOK)
	works(t, connect(t, v), "a client that comes within the drain delay")
	waitUntil(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", v.addrs[0])
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	works(t, brief, "a session within the drain timeout")
	brief.Close(t.Context())

	for range workers {
		if e := asError[*pgconn.PgError](<-ended); e == nil || e.Code != "57P01" || !strings.Contains(e.Message, "dbvalet") {
			t.Errorf("a session ended with %v, want 57P01 of dbvalet", e)
		}
	}
	if e := asError[*pgconn.PgError](patient.Ping(t.Context())); e == nil || e.Code != "57P01" || e.Hint == "" {
		t.Errorf("an idle session ended with %v, want 57P01 with a hint", e)
	}
	if status := v.status(); status != 143 {
		t.Errorf("got status %d, want 143", status)
	}
}

// asError returns err as an E, zero if it is none.
func asError[E error](err error) (e E) {
	errors.As(err, &e)
	return e
}

func TestDrainUnderLoadOnMySQL(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, version string, m *servers.MySQL) {
		v, user := appValet(t, m)
		const workers = 10
		ended := make(chan error, workers)
		var ready sync.WaitGroup
		for range workers {
			db := mysqlDB(t, v.addrs[0], user, "", func(c *mysql.Config) { c.Logger = &mysql.NopLogger{} })
			conn := mysqlConn(t, db)
			ready.Add(1)
			go mysqlWorker(t, conn, &ready, ended)
		}
		ready.Wait()
		v.signal(os.Interrupt)
		for range workers {
			err := <-ended
			e := asError[*mysql.MySQLError](err)
			if e == nil || e.Number != 1053 || !strings.Contains(e.Message, "dbvalet") {
				t.Errorf("a session ended with %v, want 1053 of dbvalet", err)
			}
		}
		if status := v.status(); status != 0 && status != 130 {
			t.Errorf("got status %d", status)
		}
	})
}

func mysqlWorker(t *testing.T, conn *sql.Conn, ready *sync.WaitGroup, ended chan<- error) {
	for first := true; ; first = false {
		var text string
		err := conn.QueryRowContext(context.WithoutCancel(t.Context()), "SELECT REPEAT('x', 5000)").Scan(&text)
		if first {
			ready.Done()
		}
		if err == nil && len(text) != 5000 {
			err = fmt.Errorf("got %d characters", len(text))
		}
		if err != nil {
			ended <- err
			return
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := pgSecrets(t)
	storedRole(t, p, "second", "first")
	v := startCommand(t, command(t, program, nil, "--drain-timeout=1h", "--exit-zero-on-sigterm=false", route("second", p, secretFile(t, "first"))), 1)
	conn := connect(t, v)
	v.signal(syscall.SIGTERM)
	v.next("stopping", 0)
	works(t, conn, "a session that is waited for")
	v.signal(syscall.SIGTERM)
	if status := v.status(); status != 143 {
		t.Errorf("got status %d, want 143", status)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session goes on")
	}
}

func TestEndsWhenTheJobHasEnded(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "job", "first")
	v := startCommand(t, command(t, program, nil, "--exit-when-idle=1s", route("job", p, secretFile(t, "first"))), 1)
	conn := connect(t, v)
	works(t, conn, "the job")
	conn.Close(t.Context())
	if status := v.status(); status != 0 {
		t.Errorf("got status %d, want 0", status)
	}

	admin := freeAddr(t)
	v = startCommand(t, command(t, program, nil, "--admin", admin, route("job", p, secretFile(t, "first"))), 1)
	post(t, admin, "/quitquitquit", http.StatusOK)
	if status := v.status(); status != 0 {
		t.Errorf("got status %d, want 0", status)
	}
}

func TestOneBadRouteLeavesTheOthers(t *testing.T) {
	p := pgSecrets(t)
	storedRole(t, p, "bad_route", "first")
	taken, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := route("bad_route", p, secretFile(t, "first"))
	bad := strings.Replace(good, "127.0.0.1:0", taken.Addr().String(), 1) + "&name=bad"
	admin := freeAddr(t)
	v := startCommand(t, command(t, program, nil, "--admin", admin, bad, good), 1)
	works(t, connect(t, v), "the good route")
	if r := v.next("route is not served", 0); r.str("route") != "bad" || r.str("hint") == "" {
		t.Errorf("got %v", r)
	}
	get(t, admin, "/readyz", http.StatusServiceUnavailable)

	_, stderr, code := runToEnd(t, nil, "--strict", bad, good)
	if code != 1 || !strings.Contains(stderr, taken.Addr().String()) {
		t.Errorf("with --strict: got status %d and\n%s", code, stderr)
	}

	// It comes by itself when what was in the way has gone.
	taken.Close()
	waitUntil(t, "the bad route is served", func() bool {
		_, err := postgresAt(taken.Addr().String(), "dbname="+p.Database)(t.Context())
		return err == nil
	})
}

// get and post ask the admin endpoints.
func get(t *testing.T, addr, path string, status int) string {
	t.Helper()
	return request(t, http.MethodGet, addr, path, status)
}

func post(t *testing.T, addr, path string, status int) string {
	t.Helper()
	return request(t, http.MethodPost, addr, path, status)
}

func request(t *testing.T, method, addr, path string, status int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != status {
		t.Errorf("%s %s: got %d and\n%swant %d", method, path, answer.StatusCode, body, status)
	}
	return string(body)
}

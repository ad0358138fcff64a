package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// A valet is a running dbvalet.
type valet struct {
	t     *testing.T
	cmd   *exec.Cmd
	addrs []string // where it listens, in the order of the routes
	done  chan error

	mu      sync.Mutex
	records []record
	changed chan struct{} // closed at the next record
	text    bytes.Buffer  // all that it wrote
}

// A record is a line of its log.
type record map[string]any

func (r record) str(key string) string { s, _ := r[key].(string); return s }

// start runs dbvalet with routes until the test ends, and waits until it is ready. It fails the test
// if the race detector has something to say.
func start(t *testing.T, env []string, routes ...string) *valet {
	t.Helper()
	return startProgram(t, program, env, routes...)
}

func startProgram(t *testing.T, program string, env []string, routes ...string) *valet {
	t.Helper()
	return startCommand(t, command(t, program, env, routes...), len(routes))
}

// command is how dbvalet is run.
func command(t *testing.T, program string, env []string, routes ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{
		"--log-format=json", "--log-level=debug", "--exit-zero-on-sigterm", "--drain-timeout=0s",
	}, routes...)...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", // nobody is to be asked
	}, env...)
	return cmd
}

// startCommand runs cmd, which is dbvalet's with so many routes, each with one listener.
func startCommand(t *testing.T, cmd *exec.Cmd, routes int) *valet {
	t.Helper()
	v := &valet{t: t, cmd: cmd, done: make(chan error, 1), changed: make(chan struct{})}
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go v.read(stderr)
	t.Cleanup(v.stop)
	for range routes {
		v.addrs = append(v.addrs, v.next("ready", len(v.addrs)).str("listener"))
	}
	return v
}

// read keeps what dbvalet writes until it ends.
func (v *valet) read(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := record{}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			r = record{"msg": "not json", "text": lines.Text()}
		}
		v.mu.Lock()
		v.text.WriteString(lines.Text() + "\n")
		v.records = append(v.records, r)
		close(v.changed)
		v.changed = make(chan struct{})
		v.mu.Unlock()
	}
	v.done <- v.cmd.Wait()
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// next waits for a record with this message, and returns it; skip leaves out so many before it.
func (v *valet) next(msg string, skip int) record {
	v.t.Helper()
	limit := time.After(patience)
	var ended error
	for over := false; ; {
		v.mu.Lock()
		changed, seen := v.changed, 0
		for _, r := range v.records {
			if r.str("msg") == msg {
				if seen++; seen > skip {
					v.mu.Unlock()
					return r
				}
			}
		}
		v.mu.Unlock()
		if over {
			v.t.Fatalf("dbvalet ended (%v) and never said %q; it said:\n%s", ended, msg, v.output())
		}
		select {
		case <-changed:
		case ended = <-v.done: // maybe right after it has said it
			v.done <- ended
			over = true
		case <-limit:
			v.t.Fatalf("dbvalet never said %q; it said:\n%s", msg, v.output())
		}
	}
}

// count returns how many records have this message.
func (v *valet) count(msg string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.records {
		if r.str("msg") == msg {
			n++
		}
	}
	return n
}

// output returns all that dbvalet wrote so far.
func (v *valet) output() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

// stop ends dbvalet as an operator does, and fails the test if that does not work.
func (v *valet) stop() {
	v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-v.done:
		v.done <- err
		if err != nil {
			v.t.Errorf("dbvalet: %v; it said:\n%s", err, v.output())
		}
	case <-time.After(patience):
		v.cmd.Process.Kill()
		v.t.Errorf("dbvalet did not end after SIGTERM; it said:\n%s", v.output())
	}
	if strings.Contains(v.output(), "DATA RACE") {
		v.t.Errorf("data race in dbvalet:\n%s", v.output())
	}
}

// iamRoute is the route of the role that logs in with a token. more are further options.
func iamRoute(p *servers.Postgres, more ...string) string {
	return route("app", p, more...)
}

// route is a route to p for user, on a free port.
func route(user string, p *servers.Postgres, more ...string) string {
	options := append([]string{"listen=127.0.0.1:0", "dial=" + p.Addr(), "ca=" + url.QueryEscape(p.CAFile)}, more...)
	_, port, _ := strings.Cut(p.Addr(), ":")
	return "postgres://" + user + "@" + p.Endpoint + ":" + port + "/" + p.Database + "?" + strings.Join(options, "&")
}

// secretFile writes a password to a file and returns the option that names it.
func secretFile(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "auth=file:" + path
}

// client runs one of PostgreSQL's programs to its end and returns what it printed.
func client(t *testing.T, version, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd, err := servers.Client(ctx, version, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), err
}

// psql runs a statement through v and returns what psql prints, without its decoration. The client
// gives no password.
func psql(t *testing.T, v *valet, sql string, more ...string) (stdout, stderr string, err error) {
	t.Helper()
	args := append([]string{"-X", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, v.conninfo()}, more...)
	return client(t, "18", "psql", args...)
}

// conninfo is what a client needs to connect to v's first route.
func (v *valet) conninfo() string {
	host, port, _ := strings.Cut(v.addrs[0], ":")
	return "host=" + host + " port=" + port + " user=whoever dbname=orders"
}

// mustPSQL is psql for statements that must work.
func mustPSQL(t *testing.T, v *valet, sql string) string {
	t.Helper()
	stdout, stderr, err := psql(t, v, sql)
	if err != nil {
		t.Fatalf("psql: %v\n%s\ndbvalet said:\n%s", err, stderr, v.output())
	}
	return strings.TrimSpace(stdout)
}

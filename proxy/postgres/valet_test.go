package postgres

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// secret is the password of the tests, which nobody may see but the database.
const secret = "correct horse, battery staple"

// A valet is a proxy.Server with an Engine: what the tests look at from both sides.
type valet struct {
	addr     string
	engine   *Engine
	upstream *proxy.Upstream
	server   *proxy.Server
	source   *source
	log      *journal
}

// newValet returns a valet for the database at addr, which is not serving yet. The route names
// the user "app".
func newValet(t testing.TB, addr string) *valet {
	t.Helper()
	v := &valet{engine: &Engine{User: "app"}, source: &source{passwords: []string{secret}}, log: newJournal()}
	log := slog.New(slog.NewJSONHandler(v.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v.upstream = &proxy.Upstream{
		Endpoint:    proxy.Endpoint{Addr: addr, TLS: trusting(t, testCA(), ed25519CA())},
		Credentials: &tokens.Cache{Source: v.source, Log: log},
		Log:         log,
	}
	v.server = &proxy.Server{Engine: v.engine, Upstream: v.upstream, HandshakeTimeout: patience, Log: log}
	return v
}

// serve serves clients until the test ends, and then sees to it that no secret was logged.
func (v *valet) serve(t testing.TB) *valet {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := v.server.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		if log := v.log.text(); strings.Contains(log, secret) {
			t.Errorf("the log has the password in it:\n%s", log)
		}
	})
	return v
}

// serve is a valet for the database at addr.
func serve(t testing.TB, addr string) *valet {
	t.Helper()
	return newValet(t, addr).serve(t)
}

// A source gives out its credentials one after the other, and then the last one for ever.
type source struct {
	users     []string // empty: none
	passwords []string
	err       error // in the place of the first
	then      error // in the place of all but the first

	mu    sync.Mutex
	calls int
}

var _ tokens.Source = (*source)(nil)

func (s *source) Credential(_ context.Context, _ string) (tokens.Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	switch {
	case s.calls == 1 && s.err != nil:
		return tokens.Credential{}, s.err
	case s.calls > 1 && s.then != nil:
		return tokens.Credential{}, s.then
	}
	cred := tokens.Credential{Password: tokens.NewSecret(s.passwords[min(s.calls, len(s.passwords))-1]), ID: "v1"}
	if len(s.users) > 0 {
		cred.User = s.users[min(s.calls, len(s.users))-1]
	}
	return cred, nil
}

func (s *source) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// A journal is a log that tests can wait for.
type journal struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed by the next line
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(line))
	close(j.changed)
	j.changed = make(chan struct{})
	return len(line), nil
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "")
}

// find returns the records with this message that there are by now, and what the next one closes.
func (j *journal) find(msg string) (found []map[string]any, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err == nil && record["msg"] == msg {
			found = append(found, record)
		}
	}
	return found, j.changed
}

// await returns the first record with this message, when there is one.
func (j *journal) await(t testing.TB, msg string) map[string]any {
	t.Helper()
	limit := time.After(patience)
	for {
		found, changed := j.find(msg)
		if len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("no log record %q; there are:\n%s", msg, j.text())
		}
	}
}

// soon waits until holds does.
func soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no sign of %s", what)
		}
	}
}

// next returns what comes from ch, which must come.
func next[T any](t testing.TB, ch <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return got
}

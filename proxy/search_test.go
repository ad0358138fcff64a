package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"dbvalet/tokens"
)

// A host is what a login finds at an address.
type host map[string]error

// login logs in at once, unless the host has another answer.
func (h host) login(_ context.Context, conn net.Conn, to Endpoint, _ tokens.Credential) (net.Conn, error) {
	if err := h[to.Addr]; err != nil {
		return nil, err
	}
	return conn, nil
}

// severalHosts returns an Upstream of these addresses.
func severalHosts(addrs ...string) *Upstream {
	u := newUpstream(addrs[0], numbered{new(counter)})
	for _, addr := range addrs[1:] {
		u.Others = append(u.Others, Place{Endpoint: Endpoint{Addr: addr}, Credentials: u.Credentials})
	}
	return u
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	ln.Close()
	return ln.Addr().String()
}

// connects connects as a client with so much time, and returns where it came to.
func connects(t *testing.T, u *Upstream, limit time.Duration, login Login) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := u.Connect(ctx, "app", login)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.RemoteAddr().String(), nil
}

func TestNextHostIsTried(t *testing.T) {
	rejected := fmt.Errorf("wrong password: %w", ErrRejected)
	unavailable := fmt.Errorf("starting up: %w", ErrUnavailable)
	for _, row := range []struct {
		name  string
		first error // what the login at the first host comes to
		want  error // nil: the second one was found
	}{
		{"starting up", unavailable, nil},
		{"not what is asked for", ReadWrite.Check(true, true), nil},
		{"hung up", NetworkError(StageAuth, "log in", syscall.ECONNRESET), nil},
		{"its own refusal", &SetupError{Stage: StageAuth, Err: errTest}, errTest},
		{"refused credential", rejected, ErrRejected},
		{"not verified", &SetupError{Stage: StageTLS, Err: errTest, Permanent: true}, errTest},
	} {
		t.Run(row.name, func(t *testing.T) {
			first, second := echo(t).String(), echo(t).String()
			u := severalHosts(first, second)
			u.Credentials.Rotation = -1
			got, err := connects(t, u, patience, host{first: row.first}.login)
			if row.want == nil && (err != nil || got != second) || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("got %q, %v, want %v", got, err, row.want)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		second := echo(t).String()
		if got, err := connects(t, severalHosts(closedPort(t), second), patience, host{}.login); got != second {
			t.Errorf("got %q, %v, want %s", got, err, second)
		}
	})
}

func TestHostThatSaysNothingLeavesTimeForTheOthers(t *testing.T) {
	first, second := echo(t).String(), echo(t).String()
	got, err := connects(t, severalHosts(first, second), 2*time.Second, func(ctx context.Context, conn net.Conn, to Endpoint, _ tokens.Credential) (net.Conn, error) {
		if to.Addr == first {
			<-ctx.Done()
			return nil, NetworkError(StageAuth, "log in", ctx.Err())
		}
		return conn, nil
	})
	if got != second {
		t.Errorf("got %q, %v, want %s", got, err, second)
	}
}

func TestHostThatDidIsTriedFirstForAWhile(t *testing.T) {
	var e experience
	start := time.Now()
	order := func(after time.Duration) string { return fmt.Sprint(e.order(3, start.Add(after))) }
	if got := order(0); got != "[0 1 2]" {
		t.Errorf("at first: got %s", got)
	}
	e.found(2, start)
	if got := order(time.Second); got != "[2 0 1]" {
		t.Errorf("after the third did: got %s", got)
	}
	if first, next := order(favourTime+time.Second), order(favourTime+time.Second); first != "[0 1 2]" || next != "[2 0 1]" {
		t.Errorf("after its time: got %s and %s, want one connection to ask the first host", first, next)
	}
}

func TestCredentialsAreThoseOfTheHost(t *testing.T) {
	first, second := echo(t).String(), echo(t).String()
	u := severalHosts(first, second)
	u.Others[0].Credentials = &tokens.Cache{Source: only("other"), Log: slog.New(slog.DiscardHandler)}
	used := map[string]string{}
	_, err := connects(t, u, patience, func(_ context.Context, conn net.Conn, to Endpoint, cred tokens.Credential) (net.Conn, error) {
		used[to.Addr] = cred.Password.Reveal()
		if to.Addr == first {
			return nil, ErrUnavailable
		}
		return conn, nil
	})
	if err != nil || used[first] != "x" || used[second] != "other" {
		t.Errorf("got %v, %v", used, err)
	}
}

// only is a source of one password.
type only string

func (o only) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(string(o))}, nil
}

func TestStandbyIsPreferred(t *testing.T) {
	for _, row := range []struct {
		name    string
		standby string // which of the two is one
		want    string
	}{{"there is one", "second", "second"}, {"there is none", "", "first"}} {
		t.Run(row.name, func(t *testing.T) {
			names := map[string]string{}
			first, second := echo(t).String(), echo(t).String()
			names[first], names[second] = "first", "second"
			u := severalHosts(first, second)
			u.Target = PreferStandby
			got, err := connects(t, u, patience, func(_ context.Context, conn net.Conn, to Endpoint, _ tokens.Credential) (net.Conn, error) {
				return conn, to.Target.Check(names[to.Addr] == row.standby, false)
			})
			if names[got] != row.want {
				t.Errorf("got %q, %v, want the %s", got, err, row.want)
			}
		})
	}
}

func TestWhatEachHostWasIsSaid(t *testing.T) {
	first, down := echo(t).String(), closedPort(t)
	u := severalHosts(first, down)
	u.Target = ReadWrite
	_, err := connects(t, u, time.Second, host{first: ReadWrite.Check(true, true)}.login)
	if err == nil || !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), first+": the server is a standby") ||
		!strings.Contains(err.Error(), down+": connect: connection refused") || Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, Hint(err))
	}
}

// A server that starts says so, and is waited for.
func TestStartIsWaitedFor(t *testing.T) {
	var tries counter
	got, err := connects(t, newUpstream(echo(t).String(), numbered{new(counter)}), patience,
		func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
			if tries.next() <= 2 {
				return nil, fmt.Errorf("the database system is starting up: %w", ErrUnavailable)
			}
			return conn, nil
		})
	if err != nil || got == "" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestServerThatComesBackAtOnceIsFound(t *testing.T) {
	addr := closedPort(t)
	up := make(chan net.Listener, 1)
	u := newUpstream(addr, numbered{new(counter)})
	u.Log = slog.New(onMessage{"trying again", func() {
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			up <- ln
		}
	}})
	got, err := connects(t, u, patience, host{}.login)
	if got != addr {
		t.Errorf("got %q, %v, want %s", got, err, addr)
	}
	select {
	case ln := <-up:
		ln.Close()
	default:
	}
}

// onMessage is a log that calls a function for one of its messages.
type onMessage struct {
	msg string
	do  func()
}

func (onMessage) Enabled(context.Context, slog.Level) bool { return true }
func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.msg {
		h.do()
	}
	return nil
}
func (h onMessage) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h onMessage) WithGroup(string) slog.Handler      { return h }

// Nobody waits for a server that has been down for longer than a moment.
func TestLastingOutageIsToldAtOnce(t *testing.T) {
	u := newUpstream(closedPort(t), numbered{new(counter)})
	now := time.Now()
	u.experience.began, u.experience.failed = now.Add(-time.Minute), now
	retried := false
	u.Log = slog.New(onMessage{"trying again", func() { retried = true }})
	if _, err := connects(t, u, patience, host{}.login); !errors.Is(err, syscall.ECONNREFUSED) || retried {
		t.Errorf("got %v, retried: %v", err, retried)
	}
}

func TestUnknownNameIsToldAtOnce(t *testing.T) {
	u := newUpstream("nowhere.invalid:5432", numbered{new(counter)})
	s := u.newSearch()
	dns := &net.DNSError{Err: "no such host", IsNotFound: true}
	if window, _ := s.worth(&SetupError{Stage: StageDial, Err: dns}); window != 0 {
		t.Errorf("never seen: it is waited for %v", window)
	}
	u.experience.reach("nowhere.invalid:5432")
	if window, _ := s.worth(&SetupError{Stage: StageDial, Err: dns}); window != downTime {
		t.Errorf("seen before: it is waited for %v", window)
	}
}

func TestDatabasesWordsAreTheLast(t *testing.T) {
	words := fmt.Errorf("the database system is starting up: %w", ErrUnavailable)
	addr := echo(t).String()
	_, err := connects(t, newUpstream(addr, numbered{new(counter)}), time.Second, host{addr: words}.login)
	if !errors.Is(err, words) {
		t.Errorf("got %v, want %v", err, words)
	}
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dbvalet/tokens"
)

// A door counts who comes in, and lets them stay.
type door struct {
	net.Listener
	came counter
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{Listener: listen(t)}
	go func() {
		for {
			conn, err := d.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			d.came.next()
		}
	}()
	return d
}

func newUpstream(addr string, source tokens.Source) *Upstream {
	log := slog.New(slog.DiscardHandler)
	return &Upstream{Endpoint: Endpoint{Addr: addr}, Credentials: &tokens.Cache{Source: source, Log: log}, Conns: []*Limit{{}}, Log: log}
}

func TestConnectTriesOtherCredentials(t *testing.T) {
	rejected := fmt.Errorf("wrong: %w", ErrRejected)
	for _, row := range []struct {
		name    string
		logins  []error // what they come to, one after the other
		same    bool    // the source has but one credential
		want    error
		sources int
		used    []string
	}{
		{"accepted", []error{nil}, false, nil, 1, []string{"x"}},
		{"rejected, then accepted", []error{rejected, nil}, false, nil, 2, []string{"x", "xx"}},
		{"rejected twice, then accepted", []error{rejected, rejected, nil}, false, nil, 3, []string{"x", "xx", "xxx"}},
		{
			"rejected again and again", []error{rejected, rejected, rejected, rejected, rejected, nil}, false, ErrRejected, 5,
			[]string{"x", "xx", "xxx", "xxxx", "xxxxx"},
		},
		{"rejected, then broken", []error{rejected, errTest, nil}, false, errTest, 2, []string{"x", "xx"}},
		{"rejected, and there is no other", []error{rejected, nil}, true, ErrRejected, 2, []string{"x"}},
		{"broken", []error{errTest, nil}, false, errTest, 1, []string{"x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDoor(t)
			var asked counter
			var source tokens.Source = numbered{&asked}
			if row.same {
				source = same{&asked}
			}
			u := newUpstream(d.Addr().String(), source)
			u.Conns = []*Limit{{Max: 1, Name: "max_connections"}}
			var used []string
			var conns []net.Conn
			conn, err := u.Connect(t.Context(), "app", func(_ context.Context, conn net.Conn, _ Endpoint, cred tokens.Credential) (net.Conn, error) {
				used, conns = append(used, cred.Password.Reveal()), append(conns, conn)
				return conn, row.logins[len(used)-1]
			})
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if _, ok := errors.AsType[*SetupError](err); err != nil && (!ok || stageOf(err) != StageAuth) {
				t.Errorf("got %v, want a *SetupError of stage auth", err)
			}
			if !slices.Equal(used, row.used) || asked.count() != row.sources {
				t.Errorf("used %v and asked the source %d times, want %v and %d", used, asked.count(), row.used, row.sources)
			}
			soon(t, "every connection", func() bool { return d.came.count() == len(row.used) })
			for i, c := range conns {
				_, err := c.Write([]byte("x"))
				if last := i == len(conns)-1 && row.want == nil; last != (err == nil) {
					t.Errorf("connection %d of %d: write: %v; only one that is logged in stays open", i+1, len(conns), err)
				}
			}
			if conn != nil {
				if got := conn.Credential; got.ID != "id "+used[len(used)-1] || !got.Password.Empty() {
					t.Errorf("got credential %v, want the one that was accepted, without its password", got)
				}
				if n := u.Conns[0].inUse(); n != 1 {
					t.Errorf("%d places are taken, want 1", n)
				}
				conn.Close()
			}
			if n := u.Conns[0].inUse(); n != 0 {
				t.Errorf("%d places are taken after the end, want none", n)
			}
		})
	}
}

func TestConnectSaysAtWhichStageItFailed(t *testing.T) {
	never := func(context.Context, net.Conn, Endpoint, tokens.Credential) (net.Conn, error) {
		t.Error("login was called")
		return nil, errTest
	}
	d := newDoor(t)
	closed := listen(t)
	closed.Close()
	open, none := d.Addr().String(), closed.Addr().String()
	denied := &tokens.Error{Source: "env:PW", Err: errTest, Advice: "set it", Denied: true}
	for _, row := range []struct {
		name     string
		addr     string
		source   tokens.Source
		maxConns int
		login    Login
		stage    Stage
		final    bool
		hint     string
	}{
		{"source denies", open, fails{denied}, 0, never, StageCredential, true, "set it"},
		{"source fails", open, fails{errTest}, 0, never, StageCredential, false, ""},
		{"nobody listens", none, same{new(counter)}, 0, never, StageDial, false, "database is up"},
		{"no such socket", "/nonexistent/socket", same{new(counter)}, 0, never, StageDial, false, "reached from here"},
		{"login gives a stage", open, same{new(counter)}, 0, func(context.Context, net.Conn, Endpoint, tokens.Credential) (net.Conn, error) {
			return nil, &SetupError{Stage: StageTLS, Err: errTest, Advice: "do that", Permanent: true}
		}, StageTLS, true, "do that"},
		{"login gives none", open, same{new(counter)}, 0, func(context.Context, net.Conn, Endpoint, tokens.Credential) (net.Conn, error) {
			return nil, errTest
		}, StageAuth, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := newUpstream(row.addr, row.source)
			conn, err := u.Connect(t.Context(), "app", row.login)
			if err == nil {
				conn.Close()
				t.Fatal("got a connection")
			}
			if stageOf(err) != row.stage || Final(err) != row.final || !strings.Contains(Hint(err), row.hint) {
				t.Errorf("got stage %s, final %v, hint %q of %v, want %s, %v, %q", stageOf(err), Final(err), Hint(err), err, row.stage, row.final, row.hint)
			}
			if n := u.Conns[0].inUse(); n != 0 {
				t.Errorf("%d places are taken, want none", n)
			}
		})
	}
}

func TestLoginEndsWithItsTime(t *testing.T) {
	for name, login := range map[string]Login{
		"it takes no notice": func(ctx context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
			<-ctx.Done()
			return conn, nil
		},
		"it hangs in a read": func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
			_, err := conn.Read(make([]byte, 1))
			return nil, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUpstream("database", same{new(counter)})
				u.Endpoint.Dialer = func(context.Context, string, string) (net.Conn, error) {
					near, far := net.Pipe()
					t.Cleanup(func() { far.Close() })
					return near, nil
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errHandshakeTimeout)
				defer cancel()
				began := time.Now()
				conn, err := u.Connect(ctx, "app", login)
				if err == nil {
					conn.Close()
					t.Fatal("got a connection")
				}
				if took := time.Since(began); stageOf(err) != StageAuth || Final(err) || !strings.Contains(Hint(err), "connect_timeout=") || took != time.Second {
					t.Errorf("got stage %s, final %v, hint %q of %v after %v, want %s and a hint of connect_timeout= after 1s", stageOf(err), Final(err), Hint(err), err, took, StageAuth)
				}
				if n := u.Conns[0].inUse(); n != 0 {
					t.Errorf("%d places are taken, want none", n)
				}
			})
		})
	}
}

func TestLimitIsCheckedBeforeAnythingElse(t *testing.T) {
	d := newDoor(t)
	var asked counter
	u := newUpstream(d.Addr().String(), numbered{&asked})
	u.Conns = []*Limit{{Max: 2, Name: "max_connections"}}
	login := func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		return conn, nil
	}
	first, err := u.Connect(t.Context(), "app", login)
	if err != nil {
		t.Fatal(err)
	}
	second, err := u.Connect(t.Context(), "app", login)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := u.Connect(t.Context(), "app", login); stageOf(err) != StageLimit || Final(err) || Hint(err) == "" {
		t.Errorf("got %v, want an error of stage limit that is not final", err)
	}
	if asked.count() != 2 {
		t.Errorf("the source was asked %d times, want 2", asked.count())
	}
	first.Close()
	third, err := u.Connect(t.Context(), "app", login)
	if err != nil {
		t.Fatalf("got %v although a place was given back", err)
	}
	third.Close()
}

func TestUpstreamOnUnixSocketIsDialled(t *testing.T) {
	socket := mustListen(t, privateDir(t))[0].Addr().String()
	u := newUpstream(socket, numbered{new(counter)})
	conn, err := u.Connect(t.Context(), "app", func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		return conn, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr().String(); got != socket {
		t.Errorf("got %s, want %s, which a cancel request could be sent to", got, socket)
	}
}

func TestConnectionHasNoDeadlineAfterLogin(t *testing.T) {
	u := newUpstream(echo(t).String(), numbered{new(counter)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	conn, err := u.Connect(ctx, "app", func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		return conn, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	say(t, conn, "hello")
	hear(t, conn, "hello")
}

package dbtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestResumedSessionIsVerifiedAgain(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t, "Test Root")
			config := serverConfig(ca.issue(t, nil))
			config.MaxVersion = version
			db := start(t, config, nil)
			c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)})

			for i, want := range []bool{false, true, true} {
				state, err := db.login(t, c)
				if err != nil {
					t.Fatal(err)
				}
				if state.DidResume != want {
					t.Errorf("connection %d resumed: got %v, want %v", i+1, state.DidResume, want)
				}
			}

			// From here on the client expects another name; the session is the old one.
			var resumed atomic.Bool
			c.name.verify = "other.test"
			c.config.VerifyConnection = func(state tls.ConnectionState) error {
				resumed.Store(state.DidResume)
				return c.verify(state)
			}
			before := db.credentials()
			_, err := db.login(t, c)
			if e := asError(t, err); !strings.Contains(e.Error(), "another name") || !e.Final() {
				t.Errorf("got %v, want a final error about the name", e)
			}
			if !resumed.Load() {
				t.Error("the session was not resumed, so this test shows nothing")
			}
			if got := db.credentials(); got != before {
				t.Errorf("server got %q, want %q and nothing more", got, before)
			}
		})
	}
}

func TestSessionsAreNotSharedBetweenClients(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	db := start(t, serverConfig(ca.issue(t, nil)), nil)
	if _, err := db.login(t, newClient(t, Options{Mode: Require, Host: "db.test"})); err != nil {
		t.Fatal(err)
	}
	state, err := db.login(t, newClient(t, Options{Host: "db.test", CAFile: ca.file(t)}))
	if err != nil {
		t.Fatal(err)
	}
	if state.DidResume {
		t.Error("a verifying client resumed the session of one that does not verify")
	}
}

func TestSecondConnectionNeedsNoHelloRetry(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	config := serverConfig(ca.issue(t, nil))
	config.CurvePreferences = []tls.CurveID{tls.CurveP256}
	config.SessionTicketsDisabled = true // as in PostgreSQL
	db := start(t, config, nil)
	c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)})

	for i, want := range []bool{true, false, false} {
		state, err := db.login(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if state.HelloRetryRequest != want || state.CurveID != tls.CurveP256 {
			t.Errorf("connection %d: got retry %v, curve %v, want %v, %v", i+1, state.HelloRetryRequest, state.CurveID, want, tls.CurveP256)
		}
	}
}

func TestServerThatDropsItsCurveIsReachedAtTheNextAttempt(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	old := serverConfig(ca.issue(t, nil))
	old.CurvePreferences = []tls.CurveID{tls.CurveP256}
	upgraded := old.Clone()
	upgraded.CurvePreferences = []tls.CurveID{tls.X25519}
	var current atomic.Pointer[tls.Config]
	current.Store(old)
	db := start(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return current.Load(), nil
	}}, nil)
	c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)})

	if _, err := db.login(t, c); err != nil {
		t.Fatal(err)
	}
	current.Store(upgraded)
	_, err := db.login(t, c)
	if e := asError(t, err); e.Final() {
		t.Errorf("got a final error, want one that is worth another try: %v", e)
	}
	state, err := db.login(t, c)
	if err != nil {
		t.Fatalf("got %v at the next attempt, want success", err)
	}
	if state.CurveID != tls.X25519 {
		t.Errorf("got curve %v, want X25519", state.CurveID)
	}
}

func TestServerWithModernKeyExchangeKeepsAllOffers(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	for _, curve := range []tls.CurveID{tls.X25519, tls.X25519MLKEM768} {
		config := serverConfig(ca.issue(t, nil))
		config.CurvePreferences = []tls.CurveID{curve}
		db := start(t, config, nil)
		c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)})
		state, err := db.login(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if state.HelloRetryRequest || state.CurveID != curve {
			t.Errorf("got retry %v, curve %v, want none, %v", state.HelloRetryRequest, state.CurveID, curve)
		}
		if got := c.curve.Load(); got != 0 {
			t.Errorf("%v: remembered %v, want nothing", curve, tls.CurveID(got))
		}
	}
}

func TestALPNIsOffered(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t), NextProtos: []string{"postgresql"}})
	for _, row := range []struct {
		server []string
		want   string
	}{{[]string{"postgresql"}, "postgresql"}, {nil, ""}} {
		config := serverConfig(ca.issue(t, nil))
		config.NextProtos = row.server
		state, err := start(t, config, nil).login(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if state.NegotiatedProtocol != row.want {
			t.Errorf("got protocol %q, want %q", state.NegotiatedProtocol, row.want)
		}
	}
	config := serverConfig(ca.issue(t, nil))
	config.NextProtos = []string{"h2"}
	_, err := start(t, config, nil).login(t, c)
	if e := asError(t, err); !e.Final() {
		t.Errorf("a server of another protocol: got an error that is worth another try: %v", e)
	}
}

// TestBytesBeforeTLSEndTheHandshake: nothing that comes before TLS is taken for something from
// inside it (CVE-2021-23222).
func TestBytesBeforeTLSEndTheHandshake(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	rows := map[string]string{
		"AuthenticationOk":         "R\x00\x00\x00\x08\x00\x00\x00\x00",
		"OK packet":                "\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00",
		"one byte":                 "S",
		"error message":            "E\x00\x00\x00\x10too many clients",
		"application data record":  "\x17\x03\x03\x00\x05hello",
		"record of another length": "\x16\x03\x03\xff\xff",
	}
	for name, stuffed := range rows {
		t.Run(name, func(t *testing.T) {
			db := start(t, serverConfig(ca.issue(t, nil)), func(conn net.Conn) { _, _ = io.WriteString(conn, stuffed) })
			_, err := db.login(t, newClient(t, Options{Host: "db.test", CAFile: ca.file(t)}))
			e := asError(t, err)
			if !e.Final() || e.Hint() == "" {
				t.Errorf("got %v, final %v, hint %q, want a final error with a hint", e, e.Final(), e.Hint())
			}
			if got := db.credentials(); got != "" {
				t.Errorf("server got %q, want nothing", got)
			}
		})
	}
}

func TestServerThatHangsUpIsWorthAnotherTry(t *testing.T) {
	for name, hangUp := range map[string]func(net.Conn){
		"closed": func(conn net.Conn) { _, _ = conn.Read(make([]byte, 16<<10)); conn.Close() },
		"reset":  func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); conn.Close() }, // bytes are left over
	} {
		t.Run(name, func(t *testing.T) {
			db := start(t, &tls.Config{}, hangUp)
			_, err := db.login(t, newClient(t, Options{Host: "db.test"}))
			if e := asError(t, err); e.Final() || !strings.Contains(e.Hint(), "hung up") {
				t.Errorf("got %v, final %v, hint %q", e, e.Final(), e.Hint())
			}
		})
	}
}

func TestServerWithoutCommonTLSIsFinal(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	for name, edit := range map[string]func(*tls.Config){
		"TLS 1.1":         func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"no certificate":  func(c *tls.Config) { c.Certificates = nil },
		"no common curve": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{0x1234} },
	} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(ca.issue(t, nil))
			edit(config)
			_, err := start(t, config, nil).login(t, newClient(t, Options{Host: "db.test", CAFile: ca.file(t)}))
			if e := asError(t, err); !e.Final() || !strings.Contains(e.Hint(), "TLS 1.2 or newer") {
				t.Errorf("got %v, final %v, hint %q", e, e.Final(), e.Hint())
			}
		})
	}
}

// A countedConn counts how often it is closed.
type countedConn struct {
	net.Conn
	closed atomic.Int32
}

func (c *countedConn) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}

func TestEndOfContextEndsHandshake(t *testing.T) {
	sick := errors.New("shutting down")
	rows := []struct {
		name string
		end  func(parent context.Context) (ctx context.Context, helloSeen func())
		want error
	}{
		{"canceled", func(parent context.Context) (context.Context, func()) {
			return context.WithCancel(parent)
		}, context.Canceled},
		{"canceled with cause", func(parent context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(parent)
			return ctx, func() { cancel(sick) }
		}, sick},
		{"timeout", func(parent context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(parent, 20*time.Millisecond)
			t.Cleanup(cancel)
			return ctx, func() {}
		}, context.DeadlineExceeded},
		{"ended before", func(parent context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(parent)
			cancel()
			return ctx, func() {}
		}, context.Canceled},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ctx, helloSeen := row.end(t.Context())
			finished := make(chan struct{})
			db := start(t, &tls.Config{}, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1)) // the client is in the middle of its handshake
				helloSeen()
				<-finished
			})
			defer close(finished)
			bare, err := net.Dial("tcp", db.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			conn := &countedConn{Conn: bare}

			_, err = newClient(t, Options{Host: "db.test"}).Handshake(ctx, conn)
			e := asError(t, err)
			if !errors.Is(e, row.want) || e.Final() || e.Hint() == "" {
				t.Errorf("got %v, final %v, hint %q, want %v in the chain, not final, a hint", e, e.Final(), e.Hint(), row.want)
			}
			if n := conn.closed.Load(); n != 0 {
				t.Errorf("the connection was closed %d times, want it left to the caller", n)
			}
		})
	}
}

func TestDeadlineOfConnectionIsKept(t *testing.T) {
	finished := make(chan struct{})
	db := start(t, &tls.Config{}, func(net.Conn) { <-finished })
	defer close(finished)
	conn, err := net.Dial("tcp", db.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Millisecond))

	_, err = newClient(t, Options{Host: "db.test"}).Handshake(t.Context(), conn)
	if e := asError(t, err); !errors.Is(e, os.ErrDeadlineExceeded) || e.Final() {
		t.Errorf("got %v, final %v, want os.ErrDeadlineExceeded, not final", e, e.Final())
	}
}

func TestConnectionOutlivesContextOfHandshake(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	db := start(t, serverConfig(ca.issue(t, nil)), nil)
	bare, err := net.Dial("tcp", db.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)}).Handshake(ctx, bare)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.WriteString(conn, credential); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("ok"))); err != nil {
		t.Errorf("got %v after the handshake's context ended, want the connection to go on", err)
	}
}

func TestConcurrentHandshakes(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	config := serverConfig(ca.issue(t, nil))
	config.CurvePreferences = []tls.CurveID{tls.CurveP256}
	db := start(t, config, nil)
	c := newClient(t, Options{Host: "db.test", CAFile: ca.file(t)})
	var logins sync.WaitGroup
	for range 16 {
		logins.Go(func() {
			conn, err := net.Dial("tcp", db.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := c.Handshake(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	logins.Wait()
}

package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"dbvalet/peer"
)

func TestDoorNamesWhatItServes(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want string // "": it may
	}{
		{"any user", (&Door{}).CheckUser("x"), ""},
		{"any database", (&Door{}).CheckDatabase(""), ""},
		{"a user of the list", (&Door{Users: []string{"a", "b"}}).CheckUser("b"), ""},
		{"another user", (&Door{Users: []string{"a", "b"}}).CheckUser("B"), `the route serves the users a, b, and not "B"`},
		{"no user", (&Door{Users: []string{"a"}}).CheckUser(""), `not ""`},
		{"a database of the list", (&Door{Databases: []string{"a"}}).CheckDatabase("a"), ""},
		{"another database", (&Door{Databases: []string{"a"}}).CheckDatabase("x\ny"), `the route serves the databases a, and not "x y"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.want == "" {
				if row.err != nil {
					t.Errorf("got %v, want none", row.err)
				}
				return
			}
			if row.err == nil || !strings.Contains(row.err.Error(), row.want) || stageOf(row.err) != StagePeer || !Final(row.err) || Hint(row.err) == "" {
				t.Errorf("got %v of stage %s with hint %q, want %q", row.err, stageOf(row.err), Hint(row.err), row.want)
			}
		})
	}
}

// selfSigned is a certificate, and what a client needs to trust it.
func selfSigned(t *testing.T) (tls.Certificate, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// encrypts is an Engine whose clients begin with one byte and then TLS, or with TLS where began.
type encrypts struct {
	joins
	began bool
	err   chan error
}

func (e encrypts) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		return nil, err
	}
	if !e.began {
		first = nil
	}
	if client.TLS() != nil || !client.MustEncrypt() {
		return nil, errors.New("it is encrypted before it is")
	}
	err := client.StartTLS(first)
	e.err <- err
	if err != nil {
		return nil, err
	}
	if client.TLS() == nil || client.MustEncrypt() {
		return nil, errors.New("it is not encrypted")
	}
	return e.joins.Handshake(ctx, client, up)
}

// An encrypted client is relayed like any other, its half-close included.
func TestEncryptedClientIsRelayed(t *testing.T) {
	for name, began := range map[string]bool{"after a request": false, "from the first byte": true} {
		t.Run(name, func(t *testing.T) {
			cert, trusting := selfSigned(t)
			s := newServer(echo(t))
			engine := encrypts{began: began, err: make(chan error, 1)}
			s.Engine, s.Door = engine, Door{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, TLSRequired: true}
			addr, _ := s.serve(t)
			bare := dial(t, addr)
			if !began {
				say(t, bare, "?")
			}
			c := tls.Client(bare, trusting)
			say(t, c, "hello")
			if err := <-engine.err; err != nil {
				t.Fatal(err)
			}
			hear(t, c, "hello")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
				t.Errorf("got %q, %v, want the end", rest, err)
			}
		})
	}
}

// Bytes in clear behind the request for TLS are not taken for anything.
func TestBytesBeforeTLSBreakIt(t *testing.T) {
	cert, _ := selfSigned(t)
	s := newServer(echo(t))
	engine := encrypts{err: make(chan error, 1)}
	s.Engine, s.Door = engine, Door{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, TLSRequired: true}
	addr, _ := s.serve(t)
	say(t, dial(t, addr), "?SELECT 1")
	if err := <-engine.err; err == nil || stageOf(err) != StageClient {
		t.Errorf("got %v, want an error of the client", err)
	}
}

func TestAcceptRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Rates: []*rate.Limiter{rate.NewLimiter(2, 2)}, QueueTimeout: time.Second}
		began := time.Now()
		var waits []time.Duration
		for range 4 {
			if err := s.pace(t.Context()); err != nil {
				t.Fatal(err)
			}
			waits = append(waits, time.Since(began))
		}
		if waits[1] != 0 || waits[3] != time.Second {
			t.Errorf("got %v, want two at once and two in a second", waits)
		}
		limiter := s.Rates[0]
		limiter.ReserveN(time.Now(), 2)
		limiter.ReserveN(time.Now(), 2)
		if err := s.pace(t.Context()); stageOf(err) != StageLimit || Final(err) || !strings.Contains(Hint(err), "accept_rate") {
			t.Errorf("got %v, want a refusal of who would wait longer than queue_timeout", err)
		}
	})
}

// greets is an Engine that tells what it hears of its client.
type greets struct{ seen chan error }

func (e greets) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	e.seen <- client.Refusal()
	if _, err := up.Begin(ctx); err != nil {
		e.seen <- err
	}
	err := up.Errand(ctx, Endpoint{}, func(net.Conn) error { return nil })
	e.seen <- err
	return nil, err
}

// Whatever an engine does with a client that may not come in, it reaches no database.
func TestRefusedClientReachesNothing(t *testing.T) {
	d := newDoor(t)
	s := newServer(d.Addr())
	engine := greets{make(chan error, 3)}
	s.Engine, s.Rates = engine, []*rate.Limiter{rate.NewLimiter(0, 0)}
	addr, stop := s.serve(t)
	hearEnd(t, dial(t, addr))
	for range 3 {
		if err := <-engine.seen; stageOf(err) != StageLimit {
			t.Errorf("got %v, want the refusal", err)
		}
	}
	stop()
	if d.came.count() != 0 || s.Counts.Limited.Load() != 1 {
		t.Errorf("%d connections reached the database and %d refusals are counted, want none and 1", d.came.count(), s.Counts.Limited.Load())
	}
}

// A flood of failures does not become a flood of lines.
func TestFailuresAreLoggedUpToARate(t *testing.T) {
	var out syncBuffer
	s := newServer(echo(t))
	s.Rates, s.Engine = []*rate.Limiter{rate.NewLimiter(0, 0)}, joins{}
	s.Log = newTextLog(&out)
	addr, stop := s.serve(t)
	const clients = 3 * failureBurst
	for range clients {
		hearEnd(t, dial(t, addr))
	}
	stop()
	if lines := strings.Count(out.String(), "set-up failed"); lines < failureBurst || lines >= clients || s.Counts.Limited.Load() != clients {
		t.Errorf("%d lines about %d of %d clients", lines, s.Counts.Limited.Load(), clients)
	}
}

// runs is an Engine whose clients want no session.
type runs struct{ to Endpoint }

func (e runs) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	if _, err := up.Begin(ctx); client.Refusal() == nil || err != client.Refusal() {
		return nil, fmt.Errorf("got %w and refusal %w", err, client.Refusal())
	}
	return nil, up.Errand(ctx, e.to, func(conn net.Conn) error {
		_, err := conn.Write([]byte("errand"))
		return err
	})
}

// Some clients ask to cancel a query and leave at once. By then nobody knows who they were.
func TestErrandOfClientThatHasLeftIsDone(t *testing.T) {
	d := newDoor(t)
	s := newServer(d.Addr())
	s.Engine = runs{Endpoint{Addr: d.Addr().String()}}
	ln := listen(t)
	c := dial(t, ln.Addr())
	say(t, c, "cancel")
	c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	soon(t, "the errand", func() bool { return d.came.count() == 1 && s.Counts.Served.Load() == 1 })
	cancel()
	if err := <-served; err != nil || s.Counts.Failed.Load()+s.Counts.RefusedPeers.Load() != 0 {
		t.Errorf("got %v, with %d failures and %d refusals", err, s.Counts.Failed.Load(), s.Counts.RefusedPeers.Load())
	}
}

// Who is not on the route's list reaches nothing, and is counted.
func TestClientThatIsNotListedIsRefused(t *testing.T) {
	d := newDoor(t)
	s := newServer(d.Addr())
	engine := greets{make(chan error, 3)}
	s.Engine = engine
	var err error
	if s.Door.Allow, err = peer.ParsePolicy("4294967000"); err != nil { // not this test's user
		t.Fatal(err)
	}
	addr, stop := s.serve(t)
	hearEnd(t, dial(t, addr))
	for range 3 {
		if err := <-engine.seen; stageOf(err) != StagePeer || !Final(err) || !strings.Contains(Hint(err), "allow=") {
			t.Errorf("got %v with hint %q, want a refusal that says what to set", err, Hint(err))
		}
	}
	stop()
	if d.came.count() != 0 || s.Counts.RefusedPeers.Load() != 1 {
		t.Errorf("%d connections reached the database and %d refusals are counted, want none and 1", d.came.count(), s.Counts.RefusedPeers.Load())
	}
}

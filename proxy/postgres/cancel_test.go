package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// issues is a database that logs clients in with this process id and key, and keeps what it gets on
// its other connections, by way of TLS.
func issues(key []byte, requests chan<- []byte) []script {
	return []script{
		func(c *dbConn) {
			c.open()
			c.password()
			c.send(authOk, &pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: key}, ready)
			c.wait()
		},
		func(c *dbConn) {
			c.open() // a cancel request is read as a startup packet
			requests <- c.start
		},
	}
}

// cancelPacket is a CancelRequest.
func cancelPacket(pid uint32, key []byte) []byte {
	return packet(version(1234, 5678), []byte{byte(pid >> 24), byte(pid >> 16), byte(pid >> 8), byte(pid)}, key)
}

// cancel sends a CancelRequest on a connection of its own, and waits for its end.
func (v *valet) cancel(t *testing.T, request []byte) {
	t.Helper()
	c := v.dial(t)
	c.write(request)
	if got := c.rest(); len(got) != 0 {
		t.Errorf("the cancel request was answered with %q, want nothing", got)
	}
}

func TestCancelRequestReachesDatabase(t *testing.T) {
	for _, size := range []int{4, 5, 32, 256} {
		t.Run(fmt.Sprintf("key of %d bytes", size), func(t *testing.T) {
			key := bytes.Repeat([]byte{0xab}, size)
			requests := make(chan []byte, 1)
			db := startDatabase(t, issues(key, requests)...)
			v := serve(t, db.addr)
			c := v.dial(t)
			c.startup()
			c.untilReady()
			want := cancelPacket(4711, key)
			v.cancel(t, want)
			if got := next(t, requests); !bytes.Equal(got, want) {
				t.Errorf("the database got %q, want %q", got, want)
			}
			if calls := v.source.called(); calls != 1 {
				t.Errorf("got %d requests for a credential, want 1", calls)
			}
		})
	}
	t.Run("behind an SSLRequest", func(t *testing.T) {
		requests := make(chan []byte, 1)
		v := serve(t, startDatabase(t, issues([]byte("key!"), requests)...).addr)
		v.dial(t).login()
		c := v.dial(t)
		c.write(sslRequest)
		c.read(1)
		c.write(cancelPacket(4711, []byte("key!")))
		c.rest()
		next(t, requests)
	})
}

// A client takes the end of its connection for the word that the server has seen to the request.
func TestCancelRequestEndsWhenDatabaseEndsIt(t *testing.T) {
	seen, done := make(chan struct{}), make(chan struct{})
	db := startDatabase(t, issues([]byte("key!"), nil)[0], func(c *dbConn) {
		c.open()
		close(seen)
		<-done
	})
	v := serve(t, db.addr)
	v.dial(t).login()
	c := v.dial(t)
	c.write(cancelPacket(4711, []byte("key!")))
	next(t, seen)
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("before the server is done, got %v, want to wait", err)
	}
	close(done)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	c.rest()
}

func TestCancelRequestGoesWhereTheKeyIsFrom(t *testing.T) {
	requests := make(chan []byte, 1)
	issuer := startDatabase(t, issues([]byte("key!"), requests)...)
	other := startDatabase(t, takes(secret))
	v := serve(t, issuer.addr)
	v.dial(t).login()

	// By now the route's name stands for another server.
	moved := newValet(t, other.addr)
	moved.server.Engine = v.engine
	moved.serve(t).cancel(t, cancelPacket(4711, []byte("key!")))
	next(t, requests)
	if n := len(other.all()); n != 0 {
		t.Errorf("got %d connections to the other server, want none", n)
	}
}

func TestUnknownCancelKeyIsIgnored(t *testing.T) {
	requests := make(chan []byte, 1)
	db := startDatabase(t, issues([]byte("key!"), requests)...)
	v := serve(t, db.addr)
	v.dial(t).login()
	for name, request := range map[string][]byte{
		"other key":        cancelPacket(4711, []byte("kex!")),
		"other process":    cancelPacket(4712, []byte("key!")),
		"longer key":       cancelPacket(4711, []byte("key!!")),
		"process 0, key 0": cancelPacket(0, make([]byte, 4)),
	} {
		t.Run(name, func(t *testing.T) { v.cancel(t, request) })
	}
	if n := len(db.all()); n != 1 {
		t.Errorf("got %d connections to the database, want that of the session", n)
	}
	if failed, _ := v.log.find("set-up failed"); len(failed) != 0 {
		t.Errorf("got log %v, want no failure", failed)
	}
}

func TestCancelKeyIsForgottenWithItsSession(t *testing.T) {
	for name, keys := range map[string][][]byte{
		"one key":                          {[]byte("key1")},
		"a second key in place of a first": {[]byte("key1"), []byte("key2")},
	} {
		t.Run(name, func(t *testing.T) {
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				c.password()
				c.send(authOk)
				for _, key := range keys {
					c.send(&pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: key})
				}
				c.send(ready)
				c.wait()
			})
			v := serve(t, db.addr)
			c := v.dial(t)
			c.login()
			if got := v.engine.keys(); got != 1 {
				t.Errorf("%d keys are known during the session, want 1", got)
			}
			c.Close()
			soon(t, "the session's end", func() bool { return v.engine.keys() == 0 })
			for _, key := range keys {
				v.cancel(t, cancelPacket(4711, key))
			}
			if n := len(db.all()); n != 1 {
				t.Errorf("got %d connections to the database, want that of the session", n)
			}
		})
	}
}

func (e *Engine) keys() int {
	e.cancelKeys.mu.Lock()
	defer e.cancelKeys.mu.Unlock()
	return len(e.cancelKeys.servers)
}

func TestLaterSessionKeepsKeyThatEarlierOneHadToo(t *testing.T) {
	var keys cancelKeys
	forgetFirst := keys.add("key", proxy.Endpoint{Addr: "192.0.2.1:5432"})
	forgetSecond := keys.add("key", proxy.Endpoint{Addr: "192.0.2.2:5432"})
	forgetFirst()
	if to, ok := keys.find("key"); !ok || to.Addr != "192.0.2.2:5432" {
		t.Errorf("got %q, %v, want the later session's address", to.Addr, ok)
	}
	forgetSecond()
	if to, ok := keys.find("key"); ok {
		t.Errorf("got %q, want nothing", to.Addr)
	}
}

// A server that can't be verified is told no key: with it, others could cancel.
func TestCancelRequestIsNotSentToFalseServer(t *testing.T) {
	var once sync.Once
	requests := make(chan []byte, 1)
	session := issues([]byte("key!"), requests)[0]
	db := startDatabase(t, session, func(c *dbConn) {
		c.sslRequest()
		c.write('S')
		once.Do(func() { c.startTLS(serverTLS(otherCA().issue(nil))) })
		c.startup()
	})
	v := serve(t, db.addr)
	v.dial(t).login()
	v.cancel(t, cancelPacket(4711, []byte("key!")))
	v.log.await(t, "set-up failed")
	if db.saw("key!") {
		t.Error("the server got the key")
	}
}

func TestCancelRequestEndsAtTimeLimit(t *testing.T) {
	for name, play := range map[string]script{
		"silent before TLS":       func(c *dbConn) { c.wait() },
		"never closes after it":   func(c *dbConn) { c.open(); c.wait() },
		"sends, but never closes": func(c *dbConn) { c.open(); c.write('x'); c.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := startDatabase(t, issues([]byte("key!"), nil)[0], play)
			v := newValet(t, db.addr)
			v.server.HandshakeTimeout = 500 * time.Millisecond
			v.serve(t).dial(t).login()
			v.cancel(t, cancelPacket(4711, []byte("key!")))
		})
	}
}

func TestCancelRequestToClosedServerIsLogged(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	v := newValet(t, ln.Addr().String())
	v.engine.cancelKeys.add("\x00\x00\x00\x01key!", v.upstream.Endpoint)
	v.serve(t).cancel(t, cancelPacket(1, []byte("key!")))
	record := v.log.await(t, "set-up failed")
	if record["stage"] != "dial" || record["hint"] == nil {
		t.Errorf("got log record %v, want stage dial and a hint", record)
	}
}

package postgres

import (
	"bytes"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dbvalet/peer"
	"dbvalet/proxy"
)

// A badStart is what a client may begin with that is not served.
type badStart struct {
	name string
	// before is what the client is told before the end, as far as play has not read it.
	before string
	// code is the SQLSTATE of the error that is the end, and message a part of it; or closed, or gone.
	code, message string
	play          func(c *client)
}

const (
	closed = "closed" // the client is told nothing, or a TLS alert
	gone   = "gone"   // it has ended the connection itself
	maybe  = "any"    // it may be told why, if it has not made that impossible
)

// A badRoute is a route with its bad starts, and good is how its clients are served.
type badRoute struct {
	name   string
	set    func(t *testing.T, v *valet)
	good   func(c *client)
	starts []badStart
}

// handshakeLimit is the time limit of the routes on which clients hang.
const handshakeLimit = 2 * time.Second

var badRoutes = []badRoute{
	{"in clear", func(*testing.T, *valet) {}, (*client).login, slices.Concat(
		foreignProtocols, badLengths, badVersions, encryptionRequests, badLayouts, badCancels, earlyLeaves)},
	{"some users and databases", func(_ *testing.T, v *valet) {
		v.server.Door = proxy.Door{Users: []string{"whoever"}, Databases: []string{"orders"}}
	}, (*client).login, notServed},
	{"TLS", func(_ *testing.T, v *valet) { v.server.Door.TLS = localTLS() },
		func(c *client) { c.requestTLS(); c.login() }, badTLS},
	{"TLS only", func(_ *testing.T, v *valet) {
		v.server.Door = proxy.Door{TLS: localTLS(), TLSRequired: true}
	}, func(c *client) { c.requestTLS(); c.login() }, notEncrypted},
	{"password", func(t *testing.T, v *valet) { v.asks(t, localSecret) },
		func(c *client) { c.startup(); c.prove(localSecret); c.untilReady() }, badPasswords},
	{"password and TLS", func(t *testing.T, v *valet) {
		v.asks(t, localSecret)
		v.server.Door.TLS = localTLS()
	}, (*client).proveInTLS, badBindings},
	{"a time limit", func(_ *testing.T, v *valet) { v.server.HandshakeTimeout = handshakeLimit }, (*client).login, silences},
	{"a time limit, password and TLS", func(t *testing.T, v *valet) {
		v.asks(t, localSecret)
		v.server.Door.TLS = localTLS()
		v.server.HandshakeTimeout = handshakeLimit
	}, (*client).proveInTLS, deepSilences},
}

// TestBadStartEndsWithoutTheDatabase has one route after the other serve its bad starts at once, and
// looks at what is left of them.
func TestBadStartEndsWithoutTheDatabase(t *testing.T) {
	for _, route := range badRoutes {
		t.Run(route.name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := newValet(t, db.addr)
			v.engine.User = ""
			route.set(t, v)
			v.serve(t)
			knowClients(t)
			goroutines, descriptors := runtime.NumGoroutine(), openFiles()

			t.Run("starts", func(t *testing.T) {
				for _, start := range route.starts {
					t.Run(start.name, func(t *testing.T) {
						t.Parallel()
						c := v.dial(t)
						began := time.Now()
						start.play(c)
						start.check(c)
						if took := time.Since(began); took > patience/2 {
							t.Errorf("it took %v", took)
						}
					})
				}
			})
			if n := len(db.all()); n != 0 || v.source.called() != 0 {
				t.Errorf("got %d connections to the database and %d requests for a credential, want none", n, v.source.called())
			}
			soon(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
			soon(t, "the descriptors' end", func() bool { return openFiles() <= descriptors })
			if n := v.server.Counts.Panics.Load(); n != 0 {
				t.Errorf("got %d panics; the log:\n%s", n, v.log.text())
			}
			failed, _ := v.log.find("set-up failed")
			for _, record := range failed {
				if record["stage"] != "client" && record["stage"] != "peer" {
					t.Errorf("got log record %v, want stage client or peer", record)
				}
			}
			route.good(v.dial(t))
		})
	}
}

// check reads how the start ends.
func (b badStart) check(c *client) {
	c.t.Helper()
	if b.code == gone {
		return
	}
	if got := string(c.read(len(b.before))); got != b.before {
		c.t.Fatalf("client got %q first, want %q", got, b.before)
	}
	switch b.code {
	case closed:
		if got := c.rest(); len(got) != 0 && !isAlert(got) {
			c.t.Errorf("client got %q, want nothing", got)
		}
	case maybe:
		c.rest()
	default:
		if response := c.refused(); response.Code != b.code || !strings.Contains(response.Message, b.message) {
			c.t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, b.code, b.message)
		}
	}
}

// isAlert reports whether b is an alert of TLS and nothing else.
func isAlert(b []byte) bool { return len(b) == 7 && b[0] == 0x15 && b[1] == 3 }

// knowClients opens what stays open from the first client of the process on: its line to the kernel, which
// says who clients are.
func knowClients(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := peer.Of(conn); err != nil {
		t.Fatal(err)
	}
}

// openFiles returns how many descriptors are open; 0 where that is not told.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	return len(entries)
}

// sends is a client that sends this and waits.
func sends(b ...[]byte) func(*client) {
	return func(c *client) { c.write(slices.Concat(b...)) }
}

// sendsText is the same for text.
func sendsText(s string) func(*client) { return sends([]byte(s)) }

// ends is a client that sends this and then says that it has nothing more to say.
func ends(b ...[]byte) func(*client) {
	return func(c *client) {
		c.write(slices.Concat(b...))
		c.t.Helper()
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// resets is a client that sends this and then ends the connection with a reset.
func resets(b ...[]byte) func(*client) {
	return func(c *client) {
		c.write(slices.Concat(b...))
		reset(c.Conn)
	}
}

// floods is a client that sends this again and again, as long as somebody reads it, up to 16 MB.
func floods(b []byte) func(*client) {
	return func(c *client) {
		many := bytes.Repeat(b, 1+16<<10/len(b))
		for range 1 << 10 {
			if _, err := c.Write(many); err != nil {
				return
			}
		}
	}
}

// drips is a client that sends a byte of this every so often, until the connection has ended.
func drips(b []byte) func(*client) {
	return func(c *client) {
		tick := time.NewTicker(handshakeLimit / 20)
		defer tick.Stop()
		for i := range b {
			<-tick.C
			if _, err := c.Write(b[i : i+1]); err != nil {
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
		}
		c.t.Errorf("still being read after %d bytes", len(b))
	}
}

// again is another connection to where c is connected to.
func (c *client) again() *client {
	c.t.Helper()
	return (&valet{addr: c.RemoteAddr().String()}).dial(c.t)
}

package postgres

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"dbvalet/proxy"
)

// localTLS is what a route answers with whose clients may encrypt.
var localTLS = sync.OnceValue(func() *tls.Config {
	return serverTLS(testCA().issue(func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }))
})

// encrypt makes TLS, offering the protocols next.
func (c *client) encrypt(next ...string) {
	c.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(testCA().cert)
	encrypted := tls.Client(c.Conn, &tls.Config{ServerName: "localhost", RootCAs: roots, NextProtos: next})
	if err := encrypted.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.Conn = encrypted
}

// requestTLS asks for TLS, which it gets.
func (c *client) requestTLS() {
	c.t.Helper()
	c.write(sslRequest)
	if got := c.read(1); got[0] != 'S' {
		c.t.Fatalf("got %q, want S", got)
	}
	c.encrypt()
}

func TestClientThatAsksForTLSGetsIt(t *testing.T) {
	for name, ask := range map[string]func(c *client){
		"SSLRequest":         func(c *client) { c.requestTLS() },
		"SSLRequest, ALPN":   func(c *client) { c.write(sslRequest); c.read(1); c.encrypt(ALPN()...) },
		"direct":             func(c *client) { c.encrypt(ALPN()...) },
		"direct, and others": func(c *client) { c.encrypt("h2", alpn) },
		"GSSENCRequest":      func(c *client) { c.write(gssRequest); c.read(1); c.requestTLS() },
		"SSL, GSSENCRequest": func(c *client) { c.requestTLS(); c.write(gssRequest); c.read(1) },
		"none":               func(*client) {},
	} {
		t.Run(name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := newValet(t, db.addr)
			v.server.Door.TLS = localTLS()
			c := v.serve(t).dial(t)
			ask(c)
			c.login()
			query := raw('Q', []byte("SELECT 1\x00")...)
			c.write(query)
			soon(t, "the query", func() bool { return bytes.HasSuffix(db.received(0), query) })
			c.Close()
			if record := v.log.await(t, "session ended"); record["err"] != nil || record["from_client"] != float64(len(query)) {
				t.Errorf("got log record %v, want %d bytes from the client and no error", record, len(query))
			}
		})
	}
}

func TestUnencryptedClientIsTurnedAwayWhereTLSIsRequired(t *testing.T) {
	key := []byte("key!")
	requests := make(chan []byte, 1)
	db := startDatabase(t, issues(key, requests)...)
	v := newValet(t, db.addr)
	v.server.Door.TLS, v.server.Door.TLSRequired = localTLS(), true
	v.serve(t)
	t.Run("a session", func(t *testing.T) {
		c := v.dial(t)
		c.startup()
		if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Hint, "sslmode=require") {
			t.Errorf("got %s %q, hint %q, want %s and a hint at sslmode=require", response.Code, response.Message, response.Hint, invalidAuthorization)
		}
		if n := len(db.all()); n != 0 {
			t.Errorf("got %d connections to the database, want none", n)
		}
	})
	t.Run("but no cancel request, which libpq before 17 sends so", func(t *testing.T) {
		c := v.dial(t)
		c.requestTLS()
		c.login()
		v.cancel(t, cancelPacket(4711, key))
		next(t, requests)
	})
}

// A client that insists on TLS would not read in clear why it may not come in.
func TestRefusalIsReadThroughTLS(t *testing.T) {
	v := newValet(t, startDatabase(t, takes(secret)).addr)
	v.server.Door = proxy.Door{TLS: localTLS(), Databases: []string{"shop"}}
	c := v.serve(t).dial(t)
	c.requestTLS()
	c.startup()
	if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Message, "orders") {
		t.Errorf("got %s %q, want %s about the database", response.Code, response.Message, invalidAuthorization)
	}
}

func TestClientWithoutCertificateIsTurnedAway(t *testing.T) {
	db := startDatabase(t, takes(secret))
	v := newValet(t, db.addr)
	config := localTLS().Clone()
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	config.ClientCAs.AddCert(testCA().cert)
	v.server.Door.TLS = config
	v.serve(t)

	c := v.dial(t)
	c.requestTLS() // which a client believes to be done by now
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("got %v, want the alert certificate_required", err)
	}
	if record := v.log.await(t, "set-up failed"); !strings.Contains(fmt.Sprint(record["hint"]), "local_client_ca=") {
		t.Errorf("got log record %v, want a hint at local_client_ca=", record)
	}
	if n := len(db.all()); n != 0 {
		t.Errorf("got %d connections to the database, want none", n)
	}
}

func TestClientThatDislikesTheCertificateIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		leave      func(c *client)
		text, hint string
	}{
		"unknown CA": {func(c *client) {
			c.write(sslRequest)
			c.read(1)
			_ = tls.Client(c.Conn, &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}).Handshake()
		}, "bad certificate", "local_tls="},
		"another name, which libpq looks at when TLS is there": {func(c *client) {
			c.requestTLS()
			c.Close()
		}, "left after the TLS handshake", "sslmode=require"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newValet(t, "127.0.0.1:1")
			v.server.Door.TLS = localTLS()
			row.leave(v.serve(t).dial(t))
			record := v.log.await(t, "set-up failed")
			if !strings.Contains(fmt.Sprint(record["err"]), row.text) || !strings.Contains(fmt.Sprint(record["hint"]), row.hint) {
				t.Errorf("got log record %v, want error %q and hint %q", record, row.text, row.hint)
			}
		})
	}
}

// TestDriversThatInsistOnTLSWork asks drivers that were not written here; lib/pq insists by default.
func TestDriversThatInsistOnTLSWork(t *testing.T) {
	v := newValet(t, startDatabase(t, one).addr)
	v.server.Door.TLS = localTLS()
	host, port, err := net.SplitHostPort(v.serve(t).addr)
	if err != nil {
		t.Fatal(err)
	}
	conninfo := "host=" + host + " port=" + port + " user=whoever dbname=orders"
	t.Run("lib/pq", func(t *testing.T) {
		connector, err := pq.NewConnector(conninfo)
		if err != nil {
			t.Fatal(err)
		}
		pool := sql.OpenDB(connector)
		defer pool.Close()
		var n int
		if err := pool.QueryRowContext(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
			t.Errorf("got %d, %v", n, err)
		}
	})
	for _, options := range []string{" sslmode=require", " sslmode=require sslnegotiation=direct"} {
		t.Run("pgx"+options, func(t *testing.T) {
			conn, err := pgconn.Connect(t.Context(), conninfo+options)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			results, err := conn.Exec(t.Context(), "SELECT 1").ReadAll()
			if err != nil || len(results) != 1 || string(results[0].Rows[0][0]) != "1" {
				t.Errorf("got %v, %v", results, err)
			}
		})
	}
}

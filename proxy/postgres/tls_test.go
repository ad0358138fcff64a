package postgres

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// direct is a database that takes TLS from the first byte.
func direct(config *tls.Config) script {
	return func(c *dbConn) {
		c.startTLS(config)
		c.startup()
		c.password()
		c.send(authOk, ready)
		c.wait()
	}
}

func TestDirectTLS(t *testing.T) {
	db := startDatabase(t, direct(goodTLS()))
	v := newValet(t, db.addr)
	v.engine.Direct = true
	v.serve(t).dial(t).login()
	c := db.all()[0]
	if c.state.NegotiatedProtocol != "postgresql" || c.state.ServerName != serverName {
		t.Errorf("got ALPN %q and SNI %q, want postgresql and %s", c.state.NegotiatedProtocol, c.state.ServerName, serverName)
	}
}

func TestDirectTLSIsForCancelRequestsToo(t *testing.T) {
	requests := make(chan []byte, 1)
	db := startDatabase(t,
		func(c *dbConn) {
			c.startTLS(goodTLS())
			c.startup()
			c.password()
			c.write(bytes.Join([][]byte{request(0), raw('K', []byte("pid.key!")...), raw('Z', 'I')}, nil)...)
			c.wait()
		},
		func(c *dbConn) {
			c.startTLS(goodTLS())
			c.startup()
			requests <- c.start
		})
	v := newValet(t, db.addr)
	v.engine.Direct = true
	v.serve(t).dial(t).login()
	want := packet(version(1234, 5678), []byte("pid.key!"))
	v.cancel(t, want)
	if got := next(t, requests); !bytes.Equal(got, want) {
		t.Errorf("the database got %q, want %q", got, want)
	}
}

func TestTLSAfterSSLRequestWorksWithoutALPN(t *testing.T) {
	mute := goodTLS().Clone()
	mute.NextProtos = nil
	db := startDatabase(t, func(c *dbConn) {
		c.sslRequest()
		c.write('S')
		direct(mute)(c)
	})
	serve(t, db.addr).dial(t).login()
}

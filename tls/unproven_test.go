package dbtls

import (
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"testing"
)

func TestUnprovenHandshakeTellsTheFingerprint(t *testing.T) {
	cert := selfSigned(t)
	db := start(t, serverConfig(cert), nil)
	c := newClient(t, Options{Mode: ZeroConfig, Host: "db.test"})
	for range 3 {
		conn, err := net.Dial("tcp", db.addr)
		if err != nil {
			t.Fatal(err)
		}
		encrypted, got, err := c.HandshakeUnproven(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(cert.Certificate[0]); got != want {
			t.Errorf("got %x, want %x", got, want)
		}
		if encrypted.ConnectionState().DidResume {
			t.Error("the server did not show its certificate again")
		}
		_, _ = encrypted.Write([]byte(credential))
		if _, err := io.ReadFull(encrypted, make([]byte, len("ok"))); err != nil { // and the tickets with it
			t.Fatal(err)
		}
		encrypted.Close()
	}
}

// Neither mode's handshake can be had by asking for the other's.
func TestUnprovenHandshakeIsOfOneModeOnly(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	db := start(t, serverConfig(ca.issue(t, nil)), nil)
	for _, o := range []Options{
		{Host: "db.test", CAFile: ca.file(t)},
		{Mode: VerifyCA, Host: "db.test", CAFile: ca.file(t)},
		{Mode: Require, Host: "db.test"},
	} {
		c := newClient(t, o)
		if c.Unproven() {
			t.Errorf("%s is unproven", o.Mode)
		}
		if conn, _, err := c.HandshakeUnproven(t.Context(), nil); conn != nil || err == nil {
			t.Errorf("%s: got %v, %v", o.Mode, conn, err)
		}
	}
	c := newClient(t, Options{Mode: ZeroConfig, Host: "db.test"})
	if c.Verified() || !c.Unproven() {
		t.Errorf("verified %v, unproven %v", c.Verified(), c.Unproven())
	}
	_, err := db.login(t, c)
	expectRefusal(t, db, err, "of MariaDB's login only")
}

func TestZeroConfigHasNoCA(t *testing.T) {
	for _, row := range []struct {
		options Options
		want    string
	}{
		{Options{Host: "db.test", CAFile: "ca.pem"}, "looks at no CA"},
		{Options{Host: "db.test", CAFile: "system"}, "looks at no CA"},
		{Options{Host: "a.b.us-east-1.rds.amazonaws.com"}, "can be verified"},
	} {
		row.options.Mode = ZeroConfig
		if _, err := New(row.options); err == nil || !strings.Contains(err.Error(), row.want) || !asError(t, err).Final() {
			t.Errorf("%+v: got %v, want %q", row.options, err, row.want)
		}
	}
}

package postgres

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	sslRequest = packet(version(1234, 5679))
	gssRequest = packet(version(1234, 5680))
)

func TestEncryptionRequestsAreDeclined(t *testing.T) {
	v := serve(t, startDatabase(t, takes(secret)).addr)
	for name, requests := range map[string][][]byte{
		"none":        {},
		"SSL":         {sslRequest},
		"GSS":         {gssRequest},
		"SSL and GSS": {sslRequest, gssRequest},
		"GSS and SSL": {gssRequest, sslRequest},
	} {
		t.Run(name, func(t *testing.T) {
			c := v.dial(t)
			for _, request := range requests {
				c.write(request)
				if got := c.read(1); got[0] != 'N' {
					t.Fatalf("got %q, want N", got)
				}
			}
			c.login()
		})
		t.Run(name+", without waiting for the answers", func(t *testing.T) {
			c := v.dial(t)
			c.write(slices.Concat(slices.Concat(requests...), startupPacket(t, map[string]string{"user": "whoever"})))
			if got, want := string(c.read(len(requests))), strings.Repeat("N", len(requests)); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			c.untilReady()
		})
	}
}

func TestStartupMessageReachesDatabaseAsItCame(t *testing.T) {
	const app = "app"
	longest := strings.Repeat("x", 10_004-len(packet(version(3, 0), fields("user", app, "options", ""), []byte{0})))
	v30, end := version(3, 0), []byte{0}
	for _, row := range []struct {
		name           string
		user, database string // of the route
		sent, want     []byte
	}{
		{"user replaced", app, "",
			packet(v30, fields("user", "whoever", "database", "orders"), end),
			packet(v30, fields("user", app, "database", "orders"), end)},
		{"user kept", "", "",
			packet(v30, fields("user", "whoever", "database", "orders"), end),
			packet(v30, fields("user", "whoever", "database", "orders"), end)},
		{"user added", app, "",
			packet(v30, fields("database", "orders"), end),
			packet(v30, fields("database", "orders", "user", app), end)},
		{"no parameters", app, "",
			packet(v30, end),
			packet(v30, fields("user", app), end)},
		{"user in the middle", app, "",
			packet(v30, fields("database", "orders", "user", "", "options", "-c x=1"), end),
			packet(v30, fields("database", "orders", "user", app, "options", "-c x=1"), end)},
		{"user twice", app, "",
			packet(v30, fields("user", "a", "database", "orders", "user", "b"), end),
			packet(v30, fields("user", app, "database", "orders", "user", app), end)},
		{"user twice, the client's", "", "",
			packet(v30, fields("user", "a", "database", "orders", "user", "b"), end),
			packet(v30, fields("user", "b", "database", "orders", "user", "b"), end)},
		{"user as a value and as part of a name", app, "",
			packet(v30, fields("application_name", "user", "user", "x", "session_user", "y"), end),
			packet(v30, fields("application_name", "user", "user", app, "session_user", "y"), end)},
		{"route's database for a client without", app, "shop",
			packet(v30, fields("user", "whoever"), end),
			packet(v30, fields("user", app, "database", "shop"), end)},
		{"route's database for an empty one", app, "shop",
			packet(v30, fields("user", "whoever", "database", ""), end),
			packet(v30, fields("user", app, "database", "shop"), end)},
		{"client's database before the route's", app, "shop",
			packet(v30, fields("user", "whoever", "database", "orders"), end),
			packet(v30, fields("user", app, "database", "orders"), end)},
		{"version 3.2 and protocol options", app, "",
			packet(version(3, 2), fields("user", "whoever", "_pq_.x", "1", "_pq_.y", ""), end),
			packet(version(3, 2), fields("user", app, "_pq_.x", "1", "_pq_.y", ""), end)},
		{"version 3.9999", app, "",
			packet(version(3, 9999), fields("user", "whoever", "_pq_.test_protocol_negotiation", ""), end),
			packet(version(3, 9999), fields("user", app, "_pq_.test_protocol_negotiation", ""), end)},
		{"replication", app, "",
			packet(v30, fields("user", "whoever", "replication", "database", "database", "orders"), end),
			packet(v30, fields("user", app, "replication", "database", "database", "orders"), end)},
		{"duplicates, order and bytes above 127", app, "",
			packet(v30, fields("options", "\xff\xfe", "user", "ä", "options", "b", "options", ""), end),
			packet(v30, fields("options", "\xff\xfe", "user", app, "options", "b", "options", ""), end)},
		{"longest that a server takes", app, "",
			packet(v30, fields("user", app, "options", longest), end),
			packet(v30, fields("user", app, "options", longest), end)},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := newValet(t, db.addr)
			v.engine.User, v.engine.Database = row.user, row.database
			c := v.serve(t).dial(t)
			c.write(row.sent)
			c.untilReady()
			if got := db.all()[0].start; !bytes.Equal(got, row.want) {
				t.Errorf("the database got\n%q, want\n%q", got, row.want)
			}
		})
	}
}

func TestPortProbeIsNoFailure(t *testing.T) {
	for name, leave := range map[string]func(c *client){
		"closes": func(c *client) { c.Close() },
		"resets": func(c *client) { reset(c.Conn) },
	} {
		t.Run(name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := serve(t, db.addr)
			leave(v.dial(t))
			v.log.await(t, "served without a session")
			if failed, _ := v.log.find("set-up failed"); len(failed) != 0 || len(db.all()) != 0 {
				t.Errorf("got log %v and %d connections to the database, want none", failed, len(db.all()))
			}
		})
	}
}

func TestClientThatLeavesEarlyIsLogged(t *testing.T) {
	whole := startupPacket(t, map[string]string{"user": "whoever"})
	for _, row := range []struct {
		name          string
		sent          []byte
		answer        string
		errText, hint string
	}{
		{"after one byte", whole[:1], "", "unexpected EOF", ""},
		{"after the length", whole[:4], "", "unexpected EOF", ""},
		{"after half of the packet", whole[:12], "", "unexpected EOF", ""},
		{"when there is no TLS", sslRequest, "N", "no TLS on this side", "sslmode=disable"},
		{"when there is no GSS", gssRequest, "N", "no GSSAPI", "gssencmode=disable"},
		{"in a packet behind an SSLRequest", slices.Concat(sslRequest, whole[:4]), "N", "unexpected EOF", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := serve(t, db.addr)
			c := v.dial(t)
			c.write(row.sent)
			c.read(len(row.answer))
			c.Close()
			record := v.log.await(t, "set-up failed")
			if !strings.Contains(fmt.Sprint(record["err"]), row.errText) || !strings.Contains(fmt.Sprint(record["hint"]), row.hint) {
				t.Errorf("got log record %v, want error %q and hint %q", record, row.errText, row.hint)
			}
			if n := len(db.all()); n != 0 {
				t.Errorf("got %d connections to the database, want none", n)
			}
		})
	}
}

func TestDirectTLSClientGetsAlert(t *testing.T) {
	db := startDatabase(t, takes(secret))
	v := serve(t, db.addr)
	c := v.dial(t)
	err := tls.Client(c, &tls.Config{ServerName: "localhost", NextProtos: ALPN()}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: handshake failure") {
		t.Errorf("got %v, want the alert handshake_failure", err)
	}
	c.Close()
	if record := v.log.await(t, "set-up failed"); !strings.Contains(fmt.Sprint(record["hint"]), "sslmode=disable") {
		t.Errorf("got log record %v, want a hint at sslmode=disable", record)
	}
	if n := len(db.all()); n != 0 {
		t.Errorf("got %d connections to the database, want none", n)
	}
}

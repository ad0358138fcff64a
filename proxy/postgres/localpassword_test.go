package postgres

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/xdg-go/scram"

	"dbvalet/tokens"
)

// localSecret is what clients have to know, and where it is is no secret.
const (
	localSecret = "open sesame"
	localHint   = "the local password is in /run/dbvalet/orders.password"
)

// asks makes the route ask for password.
func (v *valet) asks(t testing.TB, password string) {
	t.Helper()
	verifier, err := NewVerifier(tokens.NewSecret(password))
	if err != nil {
		t.Fatal(err)
	}
	verifier.Hint = localHint
	v.engine.Password = verifier
}

// conninfo is how drivers are told where v is.
func (v *valet) conninfo(t testing.TB) string {
	t.Helper()
	host, port, err := net.SplitHostPort(v.addr)
	if err != nil {
		t.Fatal(err)
	}
	return "host=" + host + " port=" + port + " user=whoever dbname=orders "
}

// TestDriversProveThatTheyKnowTheLocalPassword asks drivers that were not written here.
func TestDriversProveThatTheyKnowTheLocalPassword(t *testing.T) {
	db := startDatabase(t, one)
	v := newValet(t, db.addr)
	v.asks(t, localSecret)
	v.server.Door.TLS = localTLS()
	v.serve(t)
	const known, unknown = "password='" + localSecret + "' ", "password='" + secret + "' "
	for _, row := range []struct {
		name, settings string
		code           string // empty: it is let in
	}{
		{"in clear", known + "sslmode=disable", ""},
		{"encrypted", known + "sslmode=require", ""},
		{"bound to the certificate", known + "sslmode=require channel_binding=require", ""},
		{"that SCRAM is asked for", known + "sslmode=require require_auth=scram-sha-256", ""},
		{"wrong, in clear", unknown + "sslmode=disable", invalidPassword},
		{"wrong, encrypted", unknown + "sslmode=require", invalidPassword},
		{"wrong, bound", unknown + "sslmode=require channel_binding=require", invalidPassword},
	} {
		t.Run("pgx, "+row.name, func(t *testing.T) {
			before := len(db.all())
			conn, err := pgconn.Connect(t.Context(), v.conninfo(t)+row.settings)
			if row.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				conn.Close(t.Context())
				return
			}
			e, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || e.Code != row.code || e.Message != `password authentication failed for user "whoever"` || !strings.Contains(e.Hint, localHint) {
				t.Errorf("got %+v (%v), want %s, the server's words and where the password is", e, err, row.code)
			}
			if n := len(db.all()); n != before {
				t.Errorf("got %d connections to the database, want none", n-before)
			}
		})
		if strings.Contains(row.settings, "require_auth") || strings.Contains(row.settings, "channel_binding") {
			continue // which lib/pq has not
		}
		t.Run("lib/pq, "+row.name, func(t *testing.T) {
			connector, err := pq.NewConnector(v.conninfo(t) + row.settings)
			if err != nil {
				t.Fatal(err)
			}
			pool := sql.OpenDB(connector)
			defer pool.Close()
			err = pool.PingContext(t.Context())
			e, _ := errors.AsType[*pq.Error](err)
			if row.code == "" && err != nil || row.code != "" && (e == nil || string(e.Code) != row.code) {
				t.Errorf("got %v, want SQLSTATE %q", err, row.code)
			}
		})
	}
	if db.saw(localSecret) {
		t.Error("the database got the local password")
	}
}

// saslRequest reads what the client is asked, which must be SASL by these mechanisms.
func (c *client) saslRequest(mechanisms ...string) {
	c.t.Helper()
	if got, want := c.message(), request(10, fields(append(mechanisms, "")...)...); !bytes.Equal(got, want) {
		c.t.Fatalf("client was asked %q, want %q", got, want)
	}
}

// saslInitial is a client's first answer.
func saslInitial(mechanism, first string) []byte {
	return raw('p', slices.Concat(fields(mechanism), binary.BigEndian.AppendUint32(nil, uint32(len(first))), []byte(first))...)
}

// challenge sends the first message of an exchange and returns what comes back for it.
func (c *client) challenge(mechanism, first string) string {
	c.t.Helper()
	c.write(saslInitial(mechanism, first))
	return c.said(11)
}

// said reads an authentication request of this kind and returns what is in it.
func (c *client) said(kind byte) string {
	c.t.Helper()
	m := c.message()
	if !bytes.HasPrefix(m[messageHeader:], []byte{0, 0, 0, kind}) || m[0] != 'R' {
		c.t.Fatalf("client got %q, want an authentication request of kind %d", m, kind)
	}
	return string(m[messageHeader+4:])
}

// exchange answers with what is known of a password that is prepared, and is not bound, up to the proof,
// which it returns unsent.
func (c *client) exchange(prepared string) (conversation *scram.ClientConversation, proof string) {
	c.t.Helper()
	client, err := scram.SHA256.NewClientUnprepped("", prepared, "")
	if err != nil {
		c.t.Fatal(err)
	}
	conversation = client.NewConversation()
	return conversation, c.challengeOf(conversation, mechanismSCRAM)
}

// challengeOf begins conversation and returns the proof that answers the challenge.
func (c *client) challengeOf(conversation *scram.ClientConversation, mechanism string) (proof string) {
	c.t.Helper()
	first, err := conversation.Step("")
	if err != nil {
		c.t.Fatal(err)
	}
	if proof, err = conversation.Step(c.challenge(mechanism, first)); err != nil {
		c.t.Fatal(err)
	}
	return proof
}

// prove proves that it knows a password that is prepared, and sees to it that the other side does too.
func (c *client) prove(prepared string) {
	c.t.Helper()
	c.saslRequest(mechanismSCRAM)
	c.finish(c.exchange(prepared))
}

func (c *client) finish(conversation *scram.ClientConversation, proof string) {
	c.t.Helper()
	c.write(raw('p', []byte(proof)...))
	if _, err := conversation.Step(c.said(12)); err != nil {
		c.t.Fatal(err)
	}
}

// proveInTLS opens a session within TLS, where a client may as well not know about binding.
func (c *client) proveInTLS() {
	c.t.Helper()
	c.requestTLS()
	c.startup()
	c.saslRequest(mechanismSCRAMPlus, mechanismSCRAM)
	c.finish(c.exchange(localSecret))
	c.untilReady()
}

func TestLocalPasswordIsPreparedAsTheServerDoes(t *testing.T) {
	for name, row := range map[string]struct{ password, prepared string }{
		"ASCII":                     {localSecret, localSecret},
		"soft hyphen is left out":   {"I\u00adX", "IX"},
		"nothing but a soft hyphen": {"\u00ad", "\u00ad"},
		"compatible forms":          {"\u00aa\u2168", "aIX"},
		"emoji, which it can't be":  {"\U0001f511", "\U0001f511"},
		"not UTF-8":                 {"\xff\xfe", "\xff\xfe"},
		"comma and equals sign":     {"a=b,c", "a=b,c"},
		"very long":                 {strings.Repeat("x", 10_000), strings.Repeat("x", 10_000)},
	} {
		t.Run(name, func(t *testing.T) {
			v := newValet(t, startDatabase(t, takes(secret)).addr)
			v.asks(t, row.password)
			c := v.serve(t).dial(t)
			c.startup()
			c.prove(row.prepared)
			c.untilReady()
		})
	}
}

func TestEmptyLocalPasswordIsNone(t *testing.T) {
	if v, err := NewVerifier(tokens.Secret{}); err == nil {
		t.Errorf("got %v, want an error: everybody knows the empty password", v)
	}
}

// As psql does before it asks its user.
func TestClientWithoutLocalPasswordIsLogged(t *testing.T) {
	db := startDatabase(t, takes(secret))
	v := newValet(t, db.addr)
	v.asks(t, localSecret)
	c := v.serve(t).dial(t)
	c.startup()
	c.message()
	c.Close()
	if record := v.log.await(t, "set-up failed"); record["stage"] != "peer" || !strings.Contains(record["hint"].(string), localHint) {
		t.Errorf("got log record %v, want stage peer and where the password is", record)
	}
	if n := len(db.all()); n != 0 {
		t.Errorf("got %d connections to the database, want none", n)
	}
}

func TestClientThatLeavesAfterTheLocalPasswordGetsItsHint(t *testing.T) {
	v := newValet(t, startDatabase(t, one).addr)
	v.asks(t, localSecret)
	c := v.serve(t).dial(t)
	c.startup()
	c.prove(localSecret)
	c.untilReady()
	c.Close()
	hint := fmt.Sprint(v.log.await(t, "client left right after the login")["hint"])
	if !strings.Contains(hint, "sslcertmode") || strings.Contains(hint, "require_auth") {
		t.Errorf("got hint %q, want sslcertmode in it and not what works here", hint)
	}
}

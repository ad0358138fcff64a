package postgres

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// explained is a source that can say why the database refuses.
type explained struct{ *source }

func (explained) Explain(_ context.Context, user string, _ tokens.Credential) string {
	return "signed for " + user + "\x1b[31m; GRANT rds_iam TO " + user
}

var _ tokens.Explainer = explained{}

func TestRefusalComesWithTheSourcesHint(t *testing.T) {
	for _, row := range []struct {
		name string
		hint string // the database's own
		want string
	}{
		{"without a hint of the database", "", "dbvalet: signed for app [31m; GRANT rds_iam TO app"},
		{"with one", "the database's hint", "the database's hint"},
	} {
		t.Run(row.name, func(t *testing.T) {
			words := refusal(invalidPassword, "password authentication failed")
			words.Hint = row.hint
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				c.password()
				c.send(words)
			})
			v := newValet(t, db.addr)
			v.upstream.Credentials.Source = explained{v.source}
			v.serve(t)
			var first []byte
			for range 2 { // the second may be told what the first was, without a login of its own
				c := v.dial(t)
				c.startup()
				got := c.rest()
				var response pgproto3.ErrorResponse
				if got[0] != 'E' || response.Decode(got[messageHeader:]) != nil {
					t.Fatalf("client got %q, want an ErrorResponse", got)
				}
				theirs, err := words.Encode(nil)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(got[messageHeader:], theirs[messageHeader:len(theirs)-1]) {
					t.Errorf("client got %q, want the database's words first", got)
				}
				if response.Hint != row.want {
					t.Errorf("hint is %q, want %q", response.Hint, row.want)
				}
				if first != nil && !bytes.Equal(first, got) {
					t.Errorf("the second client got %q, want what the first got: %q", got, first)
				}
				first = got
			}
		})
	}
}

func TestSecretSaysWhereTheDatabaseIs(t *testing.T) {
	db := startDatabase(t, takes(secret))
	v := newValet(t, "192.0.2.1:1")
	to := v.upstream.Endpoint
	v.upstream.Locate = func(cred tokens.Credential) (proxy.Endpoint, error) {
		if got := cred.Password.Reveal(); got != secret {
			t.Errorf("located with %q, want the credential", got)
		}
		to.Addr, to.Database = db.addr, "orders"
		return to, nil
	}
	v.serve(t).dial(t).login()
	if got := db.all()[0].start; !bytes.Contains(got, fields("database", "orders")) {
		t.Errorf("startup message is %q, want the secret's database", got)
	}
}

func TestSecretWithoutAnAddressIsAClearError(t *testing.T) {
	v := newValet(t, "192.0.2.1:1")
	v.upstream.Locate = func(tokens.Credential) (proxy.Endpoint, error) {
		return proxy.Endpoint{}, &tokens.Error{Source: "secret", Err: net.ErrClosed, Advice: "name the host", Denied: true}
	}
	c := v.serve(t).dial(t)
	c.startup()
	if got := c.refused(); got.Code != invalidAuthorization || got.Hint != "name the host" || !strings.Contains(got.Detail, "credential") {
		t.Errorf("client got %+v, want a final error with the hint", got)
	}
}

// A tunnel's connections are encrypted already.
func TestTunnelIsUsedAsItIs(t *testing.T) {
	key := &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("key!")}
	cancelled := make(chan struct{})
	db := startDatabase(t, func(c *dbConn) {
		c.startup() // no SSLRequest
		c.send(authOk, key, ready)
		c.wait()
	}, func(c *dbConn) {
		c.startup() // which is the CancelRequest here
		close(cancelled)
	})
	v := newValet(t, "192.0.2.1:1")
	v.source.passwords = []string{""}
	v.upstream.Endpoint = proxy.Endpoint{Addr: "project:region:instance", Tunnel: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", db.addr)
	}}
	v.serve(t).dial(t).login()
	v.cancel(t, cancelPacket(1, []byte("key!")))
	<-cancelled
}

func TestTunnelThatFailsSaysSo(t *testing.T) {
	v := newValet(t, "192.0.2.1:1")
	v.upstream.Endpoint.Tunnel = func(context.Context) (net.Conn, error) {
		return nil, &tokens.Error{Source: "gcp-connector", Err: net.ErrClosed, Advice: "enable the API", Denied: true}
	}
	c := v.serve(t).dial(t)
	c.startup()
	if got := c.refused(); got.Code != invalidAuthorization || got.Hint != "enable the API" || !strings.Contains(got.Detail, "dial") {
		t.Errorf("client got %+v, want a final error with the hint", got)
	}
}

package mysql

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// explained is a source that can say why the database refuses.
type explained struct{ hint string }

func (explained) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(secret)}, nil
}

func (e explained) Explain(context.Context, string, tokens.Credential) string { return e.hint }

var _ tokens.Explainer = explained{}

const denied = "\xff\x15\x04#28000Access denied for user 'app'"

func TestRefusalComesWithTheSourcesHint(t *testing.T) {
	for name, hint := range map[string]string{
		"short": "signed for app",
		"long":  strings.Repeat("signed for app, ", 100),
	} {
		for _, user := range []string{"", "app"} { // the route's
			t.Run(name+" "+user, func(t *testing.T) {
				db := newDatabase(t, func(p *peer) {
					if p.open(mysql.AUTH_NATIVE_PASSWORD) != nil {
						p.say(3, denied)
					}
				})
				r := serve(t, &Engine{User: user}, db.addr, explained{hint})
				c, _ := dial(t, r.addr)
				first := c.logIn("app")
				if got := string(first.payload()); !strings.HasPrefix(got, denied+"; dbvalet: signed for app") || len(got) > 9+maxErrorText {
					t.Errorf("client got %q, want the database's words and the hint", got)
				}
			})
		}
	}
}

// In place of a greeting, clients print an SQLSTATE as text.
func TestEarlyRefusalHasNoSQLSTATE(t *testing.T) {
	e := decodeDatabaseError([]byte(denied), true)
	err := &proxy.SetupError{Stage: proxy.StageAuth, Err: e, Advice: "signed for app"}
	if got, want := string(earlyErrorPacket(err).payload()), "\xff\x15\x04Access denied for user 'app'; dbvalet: signed for app"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecretSaysWhereTheDatabaseIs(t *testing.T) {
	for _, user := range []string{"", "app"} {
		names := make(chan string, 1)
		db := newDatabase(t, func(p *peer) {
			if reply := p.open(mysql.AUTH_NATIVE_PASSWORD); reply != nil {
				names <- reply.user + " " + reply.database
				p.say(3, okPacket)
				p.packet()
			}
		})
		r := serve(t, &Engine{User: user}, "192.0.2.1:1", explained{}, func(s *proxy.Server) {
			to := s.Upstream.Endpoint
			s.Upstream.Locate = func(tokens.Credential) (proxy.Endpoint, error) {
				to.Addr, to.Database = db.addr, "orders"
				return to, nil
			}
		})
		c, _ := dial(t, r.addr)
		t.Log(user, r.log)
		if got := c.logIn("app"); got.kind() != okHeader {
			t.Errorf("client got %q, want OK", got)
		}
		if got := <-names; got != "app orders" {
			t.Errorf("logged in as %q, want app to the secret's database", got)
		}
	}
}

// A tunnel's connections are encrypted already.
func TestTunnelIsUsedAsItIs(t *testing.T) {
	db := newDatabase(t, func(p *peer) {
		p.say(0, hello(mysql.AUTH_NATIVE_PASSWORD))
		reply := p.packet()
		if reply == nil {
			return
		}
		r, err := decodeResponse(reply.payload())
		if err != nil || r.has(mysql.CLIENT_SSL) || r.user != "app" || reply[3] != 1 {
			t.Errorf("the server got %q (%v), want a reply without TLS", reply, err)
		}
		p.say(2, okPacket)
		p.packet()
	})
	r := serve(t, &Engine{User: "app"}, "192.0.2.1:1", explained{}, func(s *proxy.Server) {
		s.Upstream.Endpoint = proxy.Endpoint{Addr: "project:region:instance", Tunnel: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", db.addr)
		}}
	})
	c, greeting := dial(t, r.addr)
	if greeting.kind() != protocolVersion {
		t.Fatalf("client got %q, want a greeting", greeting)
	}
	if got := c.logIn("whoever"); got.kind() != okHeader {
		t.Errorf("client got %q, want OK", got)
	}
}

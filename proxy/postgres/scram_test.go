package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"
)

// A verifier is the server's half of SCRAM, with xdg-go/scram to check the proof. The binding is
// computed here.
type verifier struct {
	password   string
	mechanisms []string
	binding    []byte // for tls-server-end-point; nil: PLUS is not offered
	iterations int

	// What the client chose.
	mechanism string
	first     string
}

// conversation returns the server's half of the exchange.
func (v *verifier) conversation() *scram.ServerConversation {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		client, err := scram.SHA256.NewClientUnprepped("", v.password, "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.WithMinIterations(1).GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of the earth", Iters: max(v.iterations, 1)})
	})
	if err != nil {
		panic(err)
	}
	if v.binding == nil {
		return server.NewConversation()
	}
	return server.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: v.binding})
}

// begin asks for SCRAM and returns the client's first message.
func (v *verifier) begin(c *dbConn) string {
	c.send(&pgproto3.AuthenticationSASL{AuthMechanisms: v.mechanisms})
	var initial pgproto3.SASLInitialResponse
	c.must(initial.Decode(c.answer()))
	v.mechanism, v.first = initial.AuthMechanism, string(initial.Data)
	return v.first
}

// challenge sends the server's first message and returns the client's proof.
func (v *verifier) challenge(c *dbConn, first string) string {
	c.send(&pgproto3.AuthenticationSASLContinue{Data: []byte(first)})
	return string(c.answer())
}

// verify takes the client as far as its proof, and returns the server's.
func (v *verifier) verify(c *dbConn) (final string) {
	conversation := v.conversation()
	first, err := conversation.Step(v.begin(c))
	if err == nil {
		final, err = conversation.Step(v.challenge(c, first))
	}
	if err != nil || !conversation.Valid() {
		c.send(refusal(invalidPassword, "password authentication failed"))
		runtime.Goexit()
	}
	return final
}

func TestSCRAMIsAnswered(t *testing.T) {
	plain, plus, both := []string{"SCRAM-SHA-256"}, []string{"SCRAM-SHA-256-PLUS"}, []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sha384CA := newAuthority("Test Root", p384)
	sha256Sum := func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }
	sha384Sum := func(b []byte) []byte { sum := sha512.Sum384(b); return sum[:] }

	for _, row := range []struct {
		name             string
		ca               *authority
		binding          func(cert []byte) []byte // nil: the server offers none
		mechanisms       []string
		mechanism, flags string // what the client must choose
	}{
		{"not bound, and says that it could be", testCA(), nil, plain, plain[0], "y,,"},
		{"not bound among others", testCA(), nil, []string{"SCRAM-SHA-1", "SCRAM-SHA-256", "OAUTHBEARER"}, plain[0], "y,,"},
		{"bound", testCA(), sha256Sum, both, plus[0], "p=tls-server-end-point,,"},
		{"bound, in the other order", testCA(), sha256Sum, []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, plus[0], "p=tls-server-end-point,,"},
		{"bound without a choice", testCA(), sha256Sum, plus, plus[0], "p=tls-server-end-point,,"},
		{"bound to a certificate with SHA-384", sha384CA, sha384Sum, both, plus[0], "p=tls-server-end-point,,"},
		{"not bound to Ed25519, and says that it can't be", ed25519CA(), sha256Sum, both, plain[0], "n,,"},
		{"not bound to Ed25519 and not offered", ed25519CA(), nil, plain, plain[0], "n,,"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cert := row.ca.issue(nil)
			v := &verifier{password: secret, mechanisms: row.mechanisms}
			if row.binding != nil {
				v.binding = row.binding(cert.Leaf.Raw)
			}
			db := startDatabase(t, func(c *dbConn) {
				c.sslRequest()
				c.write('S')
				c.startTLS(serverTLS(cert))
				c.startup()
				c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))}, authOk, ready)
				c.wait()
			})
			valet := newValet(t, db.addr)
			valet.upstream.Endpoint.TLS = trusting(t, testCA(), ed25519CA(), sha384CA)
			valet.serve(t).dial(t).login()
			if v.mechanism != row.mechanism || !strings.HasPrefix(v.first, row.flags) {
				t.Errorf("client chose %s and said %q, want %s and %q", v.mechanism, v.first, row.mechanism, row.flags)
			}
			if db.saw(secret) {
				t.Error("the database got the password")
			}
		})
	}
}

func TestSCRAMPasswordIsPreparedAsTheServerDoes(t *testing.T) {
	for name, row := range map[string]struct{ password, prepared string }{
		"ASCII":                     {secret, secret},
		"soft hyphen is left out":   {"I\u00adX", "IX"},
		"compatible forms":          {"\u00aa\u2168", "aIX"},
		"emoji, which it can't be":  {"\U0001f511", "\U0001f511"},
		"not UTF-8":                 {"\xff\xfe", "\xff\xfe"},
		"a bell, which is not text": {"ring\a", "ring\a"},
		"comma and equals sign":     {"a=b,c", "a=b,c"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verifier{password: row.prepared, mechanisms: []string{"SCRAM-SHA-256"}, iterations: 2}
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))}, authOk, ready)
				c.wait()
			})
			valet := newValet(t, db.addr)
			valet.source.passwords = []string{row.password}
			valet.serve(t).dial(t).login()
		})
	}
}

// TestSCRAMIsAnsweredEachTime has logins one after the other, as keys that were derived before may be
// used again.
func TestSCRAMIsAnsweredEachTime(t *testing.T) {
	v := &verifier{mechanisms: []string{"SCRAM-SHA-256"}}
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))}, authOk, ready)
		c.wait()
	})
	valet := newValet(t, db.addr)
	valet.source.passwords = []string{"one", "one", "one", "two", "two", "one"}
	valet.serve(t)
	for i, login := range []struct {
		password   string
		iterations int
	}{{"one", 4096}, {"one", 4096}, {"one", 2}, {"two", 2}, {"two", 4096}, {"one", 4096}} {
		v.password, v.iterations = login.password, login.iterations
		valet.dial(t).login()
		if calls := valet.source.called(); calls != i+1 {
			t.Errorf("login %d: got %d requests for a credential, want one for each", i+1, calls)
		}
	}
}

func TestOnlyBoundSCRAMWithUnboundableCertificateIsExplained(t *testing.T) {
	db := startDatabase(t, func(c *dbConn) {
		c.sslRequest()
		c.write('S')
		c.startTLS(serverTLS(ed25519CA().issue(nil)))
		c.startup()
		c.write(request(10, fields("SCRAM-SHA-256-PLUS", "")...)...)
		c.answer()
	})
	c := serve(t, db.addr).dial(t)
	c.startup()
	if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Message, "channel binding") {
		t.Errorf("got %s %q, want %s and the reason", response.Code, response.Message, invalidAuthorization)
	}
}

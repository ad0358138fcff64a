package postgres

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"
	"time"

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

func TestFalseSCRAMServerIsRefused(t *testing.T) {
	salted := ",s=" + base64.StdEncoding.EncodeToString([]byte("salt"))
	// first makes a server's first message that continues the client's nonce with more.
	first := func(more string) func(v *verifier, c *dbConn) {
		return func(v *verifier, c *dbConn) {
			_, nonce, _ := strings.Cut(v.begin(c), "r=")
			v.challenge(c, "r="+nonce+more)
		}
	}
	// says has the server say b in place of its first message.
	says := func(b ...byte) func(v *verifier, c *dbConn) {
		return func(v *verifier, c *dbConn) { v.begin(c); c.write(b...); c.answer() }
	}
	// final has the server end an exchange, which the client took its part in, with b.
	final := func(b ...byte) func(v *verifier, c *dbConn) {
		return func(v *verifier, c *dbConn) { v.verify(c); c.write(b...) }
	}
	for _, row := range []struct {
		name, code, message string
		play                func(v *verifier, c *dbConn)
		proof               bool // the client has sent its proof by then
	}{
		{"AuthenticationOk in place of the challenge", invalidAuthorization, "left the exchange", says(request(0)...), false},
		{"cleartext in place of the challenge", invalidAuthorization, "left the exchange", says(request(3)...), false},
		{"SASL again in place of the challenge", invalidAuthorization, "left the exchange", says(request(10, fields("SCRAM-SHA-256", "")...)...), false},
		{"the end in place of the challenge", invalidAuthorization, "left the exchange", says(request(12, []byte("v=YQ==")...)...), false},
		{"a notice in place of the challenge", invalidAuthorization, "left the exchange", says(raw('N', 0)...), false},
		{"a challenge of another kind", invalidAuthorization, "left the exchange", says(raw('S', []byte("\x00\x00\x00\x0br=a,s=YQ==,i=1")...)...), false},
		{"2 bytes in place of the challenge", invalidAuthorization, "left the exchange", says(raw('R', 0, 0)...), false},
		{"hangs up in place of the challenge", connectionFailure, "unexpected EOF", func(v *verifier, c *dbConn) { v.begin(c) }, false},
		{"empty challenge", invalidAuthorization, "SCRAM", says(request(11)...), false},
		{"challenge of 60 kB with control characters", invalidAuthorization, "SCRAM", says(request(11, bytes.Repeat([]byte("\x1b[2J,"), 10_000)...)...), false},
		{"challenge of 100 kB", cannotConnectNow, "announces", says(request(11, make([]byte, 100_000)...)...), false},
		{"extension", invalidAuthorization, "extensions", says(request(11, []byte("m=x,r=a,s=YQ==,i=1")...)...), false},
		{"nonce not extended", invalidAuthorization, "nonce", says(request(11, []byte("r=other,s=YQ==,i=1")...)...), false},
		{"salt not base64", invalidAuthorization, "SCRAM", first("x,s=!!,i=1"), false},
		{"no iterations", invalidAuthorization, "SCRAM", first("x" + salted), false},
		{"iterations 0", invalidAuthorization, "iterations", first("x" + salted + ",i=0"), false},
		{"iterations -1", invalidAuthorization, "iterations", first("x" + salted + ",i=-1"), false},
		{"iterations not a number", invalidAuthorization, "iterations", first("x" + salted + ",i=many"), false},
		{"iterations 1000001", invalidAuthorization, "1000001 iterations", first("x" + salted + ",i=1000001"), false},
		{"iterations 2147483648", invalidAuthorization, "2147483648 iterations", first("x" + salted + ",i=2147483648"), false},
		{"iterations beyond 64 bits", invalidAuthorization, "iterations", first("x" + salted + ",i=" + strings.Repeat("9", 30)), false},
		{"AuthenticationOk in place of the proof", invalidAuthorization, "before its proof", final(request(0)...), true},
		{"ready in place of the proof", invalidAuthorization, "before its proof", final(raw('Z', 'I')...), true},
		{"wrong proof", invalidAuthorization, "could not prove", final(request(12, []byte("v="+base64.StdEncoding.EncodeToString(make([]byte, 32)))...)...), true},
		{"empty proof", invalidAuthorization, "could not prove", final(request(12)...), true},
		{"error in place of the proof", invalidAuthorization, "could not prove", final(request(12, []byte("e=other-error")...)...), true},
		{"hangs up in place of the proof", connectionFailure, "unexpected EOF", final(), true},
		{"asks again after the proof", invalidAuthorization, "twice", func(v *verifier, c *dbConn) {
			c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))})
			c.write(request(3)...)
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := &verifier{password: secret, mechanisms: []string{"SCRAM-SHA-256"}}
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				row.play(v, c)
				if row.code != connectionFailure {
					c.wait()
				}
			})
			valet := serve(t, db.addr)
			c := valet.dial(t)
			c.startup()
			began := time.Now()
			response := c.refused()
			if response.Code != row.code || !strings.Contains(response.Message, row.message) {
				t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, row.code, row.message)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it took %v", took)
			}
			if got := bytes.Contains(db.received(0), []byte(",p=")); got != row.proof {
				t.Errorf("the client sent its proof: %v, want %v", got, row.proof)
			}
			if db.saw(secret) || len(db.all()) != 1 {
				t.Errorf("the database got the password, or more than one connection (%d)", len(db.all()))
			}
			if record := valet.log.await(t, "set-up failed"); len(record["err"].(string)) > 4000 {
				t.Errorf("the log has an error of %d bytes", len(record["err"].(string)))
			}
		})
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

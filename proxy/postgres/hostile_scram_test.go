package postgres

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// beforeProof are servers that leave the ways of SCRAM before they have the client's proof.
var beforeProof = []hostileServer{
	{"AuthenticationOk in place of the challenge", invalidAuthorization, "left the exchange", scramSays(request(0)...)},
	{"cleartext in place of the challenge", invalidAuthorization, "left the exchange", scramSays(request(3)...)},
	{"SASL again in place of the challenge", invalidAuthorization, "left the exchange", scramSays(request(10, fields("SCRAM-SHA-256", "")...)...)},
	{"the end in place of the challenge", invalidAuthorization, "left the exchange", scramSays(request(12, []byte("v=YQ==")...)...)},
	{"a notice in place of the challenge", invalidAuthorization, "left the exchange", scramSays(raw('N', 0)...)},
	{"a challenge of another kind", invalidAuthorization, "left the exchange", scramSays(raw('S', []byte("\x00\x00\x00\x0br=a,s=YQ==,i=1")...)...)},
	{"2 bytes in place of the challenge", invalidAuthorization, "left the exchange", scramSays(raw('R', 0, 0)...)},
	{"hangs up in place of the challenge", connectionFailure, "unexpected EOF", inSCRAM(func(v *verifier, c *dbConn) { v.begin(c) })},
	{"empty challenge", invalidAuthorization, "SCRAM", scramSays(request(11)...)},
	{"challenge of 60 kB with control characters", invalidAuthorization, "SCRAM", scramSays(request(11, bytes.Repeat([]byte("\x1b[2J,"), 10_000)...)...)},
	{"challenge of 100 kB", cannotConnectNow, "announces", scramSays(request(11, make([]byte, 100_000)...)...)},
	{"extension", invalidAuthorization, "extensions", scramSays(request(11, []byte("m=x,r=a,s=YQ==,i=1")...)...)},
	{"nonce not extended", invalidAuthorization, "nonce", scramSays(request(11, []byte("r=other,s=YQ==,i=1")...)...)},
	{"salt not base64", invalidAuthorization, "SCRAM", scramFirst("x,s=!!,i=1")},
	{"no iterations", invalidAuthorization, "SCRAM", scramFirst("x" + scramSalt)},
	{"iterations 0", invalidAuthorization, "iterations", scramFirst("x" + scramSalt + ",i=0")},
	{"iterations -1", invalidAuthorization, "iterations", scramFirst("x" + scramSalt + ",i=-1")},
	{"iterations not a number", invalidAuthorization, "iterations", scramFirst("x" + scramSalt + ",i=many")},
	{"iterations 1000001", invalidAuthorization, "1000001 iterations", scramFirst("x" + scramSalt + ",i=1000001")},
	{"iterations 2147483648", invalidAuthorization, "2147483648 iterations", scramFirst("x" + scramSalt + ",i=2147483648")},
	{"iterations beyond 64 bits", invalidAuthorization, "iterations", scramFirst("x" + scramSalt + ",i=" + strings.Repeat("9", 30))},
	{"a challenge without end", connectionFailure, "unexpected EOF", inSCRAM(func(v *verifier, c *dbConn) { v.begin(c); c.write('R', 0, 0, 0xff, 0) })},
	{"challenges without end", invalidAuthorization, "SCRAM", inSCRAM(func(v *verifier, c *dbConn) {
		v.begin(c)
		c.endless(request(11, []byte("r=a,s=YQ==,i=1")...)...)
	})},
	{"an error in place of the challenge", theirs, "no", scramSays(raw('E', []byte("SFATAL\x00C28P01\x00Mno\x00\x00")...)...)},
}

// afterProof are servers that have the client's proof, and none of their own.
var afterProof = []hostileServer{
	{"AuthenticationOk in place of the proof", invalidAuthorization, "before its proof", scramFinal(request(0)...)},
	{"ready in place of the proof", invalidAuthorization, "before its proof", scramFinal(raw('Z', 'I')...)},
	{"wrong proof", invalidAuthorization, "could not prove", scramFinal(request(12, []byte("v="+base64.StdEncoding.EncodeToString(make([]byte, 32)))...)...)},
	{"empty proof", invalidAuthorization, "could not prove", scramFinal(request(12)...)},
	{"error in place of the proof", invalidAuthorization, "could not prove", scramFinal(request(12, []byte("e=other-error")...)...)},
	{"hangs up in place of the proof", connectionFailure, "unexpected EOF", scramFinal()},
	{"asks again after the proof", invalidAuthorization, "twice", inSCRAM(func(v *verifier, c *dbConn) {
		c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))})
		c.write(request(3)...)
		c.wait()
	})},
	{"the client's own proof", invalidAuthorization, "could not prove", inSCRAM(func(v *verifier, c *dbConn) {
		_, nonce, _ := strings.Cut(v.begin(c), "r=")
		_, proof, _ := strings.Cut(v.challenge(c, "r="+nonce+"x"+scramSalt+",i=1"), ",p=")
		c.write(request(12, []byte("v="+proof)...)...)
		c.wait()
	})},
}

const scramSalt = ",s=c2FsdA=="

// inSCRAM is a server that asks for SCRAM and goes on with play.
func inSCRAM(play func(v *verifier, c *dbConn)) script {
	return func(c *dbConn) {
		c.open()
		play(&verifier{password: secret, mechanisms: []string{mechanismSCRAM}}, c)
	}
}

// scramFirst is a server whose first message continues the client's nonce with more.
func scramFirst(more string) script {
	return inSCRAM(func(v *verifier, c *dbConn) {
		_, nonce, _ := strings.Cut(v.begin(c), "r=")
		v.challenge(c, "r="+nonce+more)
	})
}

// scramSays is a server that says b in place of its first message.
func scramSays(b ...byte) script {
	return inSCRAM(func(v *verifier, c *dbConn) {
		v.begin(c)
		c.write(b...)
		c.wait()
	})
}

// scramFinal is a server that ends an exchange, in which the client took its part, with b.
func scramFinal(b ...byte) script {
	return inSCRAM(func(v *verifier, c *dbConn) {
		v.verify(c)
		c.write(b...)
		if len(b) > 0 {
			c.wait()
		}
	})
}

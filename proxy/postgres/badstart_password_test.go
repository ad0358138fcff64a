package postgres

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/xdg-go/scram"
)

// clientFirst is a client's first message of SCRAM without binding.
const clientFirst = "n,,n=,r=rOprNGfwEbeRWgbNEkqO"

// badPasswords are on a route that asks for a local password, in clear.
var badPasswords = []badStart{
	{"no answer but Terminate", "", protocolViolation, "expected SASL response", asked(raw('X'))},
	{"no answer but a query", "", protocolViolation, "expected SASL response", asked(raw('Q', []byte("SELECT 1\x00")...))},
	{"no answer but a query, sent ahead", "", protocolViolation, "expected SASL response", func(c *client) {
		c.write(slices.Concat(anyStart, raw('Q', []byte("SELECT 1\x00")...)))
		c.saslRequest(mechanismSCRAM)
	}},
	{"the password in clear", "", protocolViolation, "invalid SASL authentication mechanism", asked(raw('p', fields(localSecret)...))},
	{"the password as md5", "", protocolViolation, "invalid SASL authentication mechanism", asked(raw('p', fields("md5"+strings.Repeat("0", 32))...))},
	{"an empty answer", "", protocolViolation, "invalid SASL authentication mechanism", asked(raw('p'))},
	{"a mechanism without end", "", protocolViolation, "invalid SASL authentication mechanism", asked(raw('p', []byte(mechanismSCRAM)...))},
	{"SCRAM-SHA-1", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial("SCRAM-SHA-1", clientFirst))},
	{"PLAIN", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial("PLAIN", "\x00whoever\x00"+localSecret))},
	{"EXTERNAL", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial("EXTERNAL", ""))},
	{"OAUTHBEARER", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial("OAUTHBEARER", "n,,\x01auth=Bearer x\x01\x01"))},
	{"a mechanism that plays tricks", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial("\x1b[2J\r\n", clientFirst))},
	{"SCRAM-SHA-256-PLUS without TLS", "", protocolViolation, "invalid SASL authentication mechanism", asked(saslInitial(mechanismSCRAMPlus, "p=tls-server-end-point,,n=,r=x"))},
	{"no first message", "", protocolViolation, "malformed SASL", asked(raw('p', append(fields(mechanismSCRAM), 0xff, 0xff, 0xff, 0xff)...))},
	{"no length of the first message", "", protocolViolation, "malformed SASL", asked(raw('p', append(fields(mechanismSCRAM), 0, 0)...))},
	{"a first message that is shorter than it says", "", protocolViolation, "malformed SASL", asked(raw('p', append(fields(mechanismSCRAM), 0, 0, 0, 9, 'n')...))},
	{"a first message that is longer than it says", "", protocolViolation, "malformed SASL", asked(raw('p', append(fields(mechanismSCRAM), 0, 0, 0, 1, 'n', ',')...))},
	{"a first message of length 2^31", "", protocolViolation, "malformed SASL", asked(raw('p', append(fields(mechanismSCRAM), 0x80, 0, 0, 0, 'n')...))},
	{"an answer of negative length", "", protocolViolation, "announces", asked([]byte{'p', 0xff, 0xff, 0xff, 0xff})},
	{"an answer of length 0", "", protocolViolation, "announces", asked([]byte{'p', 0, 0, 0, 0})},
	{"an answer of length 3", "", protocolViolation, "announces", asked([]byte{'p', 0, 0, 0, 3})},
	{"an answer of 2 GB", "", protocolViolation, "announces", asked([]byte{'p', 0x7f, 0xff, 0xff, 0xff})},
	{"an answer of 100 kB", "", protocolViolation, "announces", asked(saslInitial(mechanismSCRAM, "n,,n=,r="+strings.Repeat("x", 100_000)))},
	{"an empty first message", "", protocolViolation, "malformed SCRAM", asked(saslInitial(mechanismSCRAM, ""))},
	{"a first message without a nonce", "", protocolViolation, "malformed SCRAM", asked(saslInitial(mechanismSCRAM, "n,,n="))},
	{"a first message of commas", "", protocolViolation, "malformed SCRAM", asked(saslInitial(mechanismSCRAM, strings.Repeat(",", 60_000)))},
	{"a first message with an extension", "", protocolViolation, "malformed SCRAM", asked(saslInitial(mechanismSCRAM, "n,,m=x,n=,r=x"))},
	{"a user that is not encoded", "", protocolViolation, "malformed SCRAM", asked(saslInitial(mechanismSCRAM, "n,,n=a=b,r=x"))},
	{"on behalf of somebody else", "", featureNotSupported, "authorization identity", asked(saslInitial(mechanismSCRAM, "n,a=postgres,n=,r=x"))},
	{"bound where nothing is to bind to", "", invalidAuthorization, "channel binding negotiation", asked(saslInitial(mechanismSCRAM, "p=tls-server-end-point,,n=,r=x"))},
	{"half-close when asked", "", cannotConnectNow, "client left", func(c *client) { asked()(c); ends()(c) }},
	{"resets when asked", "", gone, "", func(c *client) { asked()(c); resets()(c) }},
	{"half-close in its answer", "", cannotConnectNow, "answer to SASL", func(c *client) { asked(saslInitial(mechanismSCRAM, clientFirst)[:20])(c); ends()(c) }},
	{"answers without end", "", maybe, "", func(c *client) { asked()(c); floods([]byte{'p'})(c) }},

	{"another password", "", invalidPassword, `password authentication failed for user "whoever"`, proves(secret, nil)},
	{"the empty password", "", invalidPassword, `password authentication failed for user "whoever"`, proves("", nil)},
	{"the password in capitals", "", invalidPassword, `password authentication failed for user "whoever"`, proves(strings.ToUpper(localSecret), nil)},
	{"a proof of nothing", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(proof string) string { return cutProof(proof) + ",p=" })},
	{"a proof that is too short", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(proof string) string { return cutProof(proof) + ",p=YQ==" })},
	{"a proof of zeros", "", invalidPassword, "password authentication failed", proves(localSecret, func(proof string) string {
		return cutProof(proof) + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
	})},
	{"a proof that is cut short", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(proof string) string { return proof[:len(proof)-2] })},
	{"a proof that is not base64", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(proof string) string { return cutProof(proof) + ",p=!!!!" })},
	{"no proof", "", protocolViolation, "malformed SCRAM", proves(localSecret, cutProof)},
	{"an empty message for a proof", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(string) string { return "" })},
	{"the first message again", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(string) string { return clientFirst })},
	{"another nonce", "", protocolViolation, "malformed SCRAM", proves(localSecret, func(proof string) string { return strings.Replace(proof, ",r=", ",r=x", 1) })},
	{"an extension in the proof", "", invalidPassword, "password authentication failed", proves(localSecret, func(proof string) string { return strings.Replace(proof, ",p=", ",x=y,p=", 1) })},
	{"a proof about another binding", "", invalidAuthorization, "channel binding check", proves(localSecret, func(proof string) string { return strings.Replace(proof, "c=biws", "c=eSws", 1) })},
	{"a proof of 100 kB", "", protocolViolation, "announces", proves(localSecret, func(proof string) string {
		return strings.Replace(proof, ",p=", ",x="+strings.Repeat("y", 100_000)+",p=", 1)
	})},
	{"the proof of another connection", "", protocolViolation, "malformed SCRAM", func(c *client) {
		seen := c.again()
		seen.startup()
		seen.saslRequest(mechanismSCRAM)
		_, proof := seen.exchange(localSecret)
		c.startup()
		c.saslRequest(mechanismSCRAM)
		c.challenge(mechanismSCRAM, clientFirst)
		c.write(raw('p', []byte(proof)...))
	}},
	{"a message of another kind for a proof", "", protocolViolation, "expected SASL response", challenged(raw('Q', []byte("SELECT 1\x00")...))},
	{"a proof of negative length", "", protocolViolation, "announces", challenged([]byte{'p', 0x80, 0, 0, 0})},
	{"half-close in place of a proof", "", cannotConnectNow, "client left", func(c *client) { challenged()(c); ends()(c) }},
	{"resets in place of a proof", "", gone, "", func(c *client) { challenged()(c); resets()(c) }},
}

// badBindings are on a route that offers binding to its certificate.
var badBindings = []badStart{
	{"StartupMessage in clear, and PLUS", "", protocolViolation, "invalid SASL authentication mechanism",
		asked(saslInitial(mechanismSCRAMPlus, "p=tls-server-end-point,,n=,r=x"))},
	{"another password", "", invalidPassword, "password authentication failed", binds(secret, localTLS().Certificates[0].Leaf.Raw)},
	{"another certificate", "", invalidAuthorization, "channel binding check", binds(localSecret, testCA().cert.Raw)},
	{"a binding of another type", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAMPlus, "p=tls-unique,,n=,r=x"))},
	{"a binding of a type to come", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAMPlus, "p=tls-exporter,,n=,r=x"))},
	{"a binding of an unknown type", "", protocolViolation, "malformed SCRAM", offered(saslInitial(mechanismSCRAMPlus, "p=x,,n=,r=x"))},
	{"PLUS, and no binding", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAMPlus, "n,,n=,r=x"))},
	{"PLUS, and none offered", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAMPlus, "y,,n=,r=x"))},
	{"the offer was left out on the way", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAM, "y,,n=,r=x"))},
	{"a binding without PLUS", "", invalidAuthorization, "channel binding negotiation", offered(saslInitial(mechanismSCRAM, "p=tls-server-end-point,,n=,r=x"))},
}

// asked is a client that answers this when it is asked for SASL.
func asked(b ...[]byte) func(*client) {
	return func(c *client) {
		c.startup()
		c.saslRequest(mechanismSCRAM)
		c.write(slices.Concat(b...))
	}
}

// challenged is a client that answers this to the challenge.
func challenged(b ...[]byte) func(*client) {
	return func(c *client) {
		asked()(c)
		c.challenge(mechanismSCRAM, clientFirst)
		c.write(slices.Concat(b...))
	}
}

// offered is a client that answers this when it is asked for SASL within TLS.
func offered(b ...[]byte) func(*client) {
	return func(c *client) {
		c.requestTLS()
		c.startup()
		c.saslRequest(mechanismSCRAMPlus, mechanismSCRAM)
		c.write(slices.Concat(b...))
	}
}

// proves is a client that proves that it knows password, with a proof that is changed by edit.
func proves(password string, edit func(proof string) string) func(*client) {
	return func(c *client) {
		asked()(c)
		_, proof := c.exchange(password)
		if edit != nil {
			proof = edit(proof)
		}
		c.write(raw('p', []byte(proof)...))
	}
}

// cutProof leaves the proof itself out of the last message.
func cutProof(proof string) string { return proof[:strings.LastIndex(proof, ",p=")] }

// binds is a client that proves that it knows password to who shows the certificate cert.
func binds(password string, cert []byte) func(*client) {
	return func(c *client) {
		offered()(c)
		sum := sha256.Sum256(cert)
		client, err := scram.SHA256.NewClientUnprepped("", password, "")
		if err != nil {
			c.t.Fatal(err)
		}
		conversation := client.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: sum[:]})
		c.write(raw('p', []byte(c.challengeOf(conversation, mechanismSCRAMPlus))...))
	}
}

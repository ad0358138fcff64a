package mysql

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A Verifier knows a local password when a client shows it by caching_sha2_password, and can't tell
// it. What it keeps is what a server has in that plugin's cache, so that the client is never asked for
// the password itself, with TLS or without.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
type Verifier struct {
	kept tokens.Secret // SHA256(SHA256(password))
}

// NewVerifier makes the Verifier of password.
func NewVerifier(password tokens.Secret) *Verifier {
	once := sha256.Sum256([]byte(password.Reveal()))
	twice := sha256.Sum256(once[:])
	return &Verifier{kept: tokens.NewSecret(string(twice[:]))}
}

// verify reports whether answer to scramble is by who knows the password:
//
//	32  SHA256(password) XOR SHA256(SHA256(SHA256(password)) scramble)
func (v *Verifier) verify(scramble, answer []byte) bool {
	if len(answer) != sha256.Size {
		return false
	}
	kept := []byte(v.kept.Reveal())
	once := sha256.Sum256(append(kept[:len(kept):len(kept)], scramble...))
	subtle.XORBytes(once[:], once[:], answer)
	twice := sha256.Sum256(once[:])
	return subtle.ConstantTimeCompare(twice[:], kept) == 1
}

// askPassword makes the client show the local password. What it has answered already is good if it is
// by the plugin of the greeting.
func (h *handshake) askPassword(scramble []byte) error {
	const plugin = mysql.AUTH_CACHING_SHA2_PASSWORD
	if !h.reply.has(mysql.CLIENT_PLUGIN_AUTH) {
		return h.denied("the client knows no plugins, and the local password is asked for with " + plugin)
	}
	if h.reply.plugin != plugin || len(h.reply.auth) == 0 {
		scramble = newScramble()
		if err := h.switchTo(plugin, scramble); err != nil {
			return err
		}
	}
	if h.engine.Password.verify(scramble, h.reply.auth) {
		return nil
	}
	using := "YES"
	if emptyAnswer(h.reply.auth) {
		using = "NO"
	}
	return h.denied(fmt.Sprintf("Access denied for user '%s'@'localhost' (using password: %s)", proxy.Printable(h.reply.user), using))
}

// denied is the error for a client that has not shown the local password.
func (h *handshake) denied(text string) error {
	return proxy.Refusal(h.engine.PasswordHint, "%s", text)
}

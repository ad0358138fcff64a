package mysql

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	dbtls "dbvalet/tls"
)

// A proof is what a server owes whose certificate nobody has verified: MariaDB's zero-configuration
// TLS, of 11.4 and later. A server that knows the user's password, or rather what it keeps of it, says
// so in the info of its OK packet, together with the certificate that it thinks the client has seen:
//
//	1   1, for SHA-256
//	64  hexadecimal digits: SHA-256 of what it keeps of the password, scramble of its greeting,
//	    SHA-256 of its certificate
//
// Somebody in between has to show another certificate, and can't make the proof for that. So nothing
// of the client's passes before it. But the server gives the proof after the login, and no plugin's
// answer is bound to the connection: who relays it to the server is logged in there as the user, while
// we hang up. They can also try guesses of a weak password on it. That is why it is a mode to be asked
// for, and not what becomes of a failed verify-full.
//
//   - https://mariadb.com/docs/server/security/encryption/data-in-transit-encryption/zero-configuration-ssl
//   - https://mariadb.org/mission-impossible-zero-configuration-ssl/
type proof struct {
	fingerprint dbtls.Fingerprint
	scramble    []byte
	kept        []byte // what the server keeps of the password; nil: the plugin at work gives no proof
}

// provable are the plugins whose answers don't give the password away and whose servers give proofs.
var provable = []string{mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_MARIADB_ED25519, pluginParsec}

// CanProve reports whether a login by one of m can be one with a proof: in TLS mode zero-config, the
// others are refused.
func CanProve(m proxy.Methods) bool { return slices.ContainsFunc(provable, m.Allow) }

// permit returns an error if plugin's answer would be worth something to a server that isn't the one
// that is meant.
func (p *proof) permit(plugin string) error {
	if p == nil || slices.Contains(provable, plugin) {
		return nil
	}
	return proxy.LoginError("use tls=verify-full, with ca=FILE set to the server's CA; or give the user one of the plugins "+strings.Join(provable, ", "),
		"the database asks for plugin %q, which is refused to a server that is not verified (tls=zero-config)", proxy.Printable(plugin))
}

// keep notes what the server keeps of password, for the plugin that has just answered. An empty password
// is known to everybody.
func (p *proof) keep(kept []byte, password string) {
	switch {
	case p == nil:
	case password == "":
		p.kept = nil
	default:
		p.kept = kept
	}
}

// verify returns an error unless ok, the payload of an OK packet, has the proof.
func (p *proof) verify(ok []byte) error {
	if p == nil {
		return nil
	}
	if p.kept == nil {
		return unproven("the database let in without a password, so that it has proved nothing", "give the user a password")
	}
	given, err := hex.DecodeString(string(findProof(ok)))
	if err != nil || len(given) == 0 {
		return unproven("the server has not proved that its certificate is its own",
			"MariaDB does from 11.4 on, and MySQL doesn't: set ca=FILE to a copy of the server's certificate, or tls=require if you trust the network")
	}
	want := sha256.Sum256(slices.Concat(p.kept, p.scramble, p.fingerprint[:]))
	if subtle.ConstantTimeCompare(given, want[:]) != 1 {
		return unproven("the server's proof is not for the certificate that was shown: somebody is in between, and may be logged in at the server",
			"find out who answers there, and change the password; a proxy that ends TLS on the way gives the same picture")
	}
	return nil
}

// findProof returns what is behind the mark of a proof in an OK packet, nil if there is none.
//
//	1  0
//	n  affected rows
//	n  last insert id
//	2  status
//	2  warnings
//	n  info, after its length
func findProof(ok []byte) []byte {
	f := fields{rest: ok}
	f.uint8()
	f.lenencInt()
	f.lenencInt()
	f.uint16()
	f.uint16()
	const sha256Mark = 1
	if info := f.lenenc(); !f.short && len(info) > 0 && info[0] == sha256Mark {
		return info[1:]
	}
	return nil
}

func unproven(text, advice string) error {
	return &proxy.SetupError{Stage: proxy.StageTLS, Err: errors.New(text), Advice: advice, Permanent: true}
}

// keptNative is what a server keeps of a password for mysql_native_password.
func keptNative(password string) []byte {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return twice[:]
}

// keptEd25519 is what a server keeps of a password for client_ed25519: the public key that signature
// of message verifies with. Its seed has any length, for which there is nothing in crypto/ed25519, so
// it is calculated on the curve's other form, X25519. That leaves two keys, of opposite signs.
//
// https://www.rfc-editor.org/rfc/rfc7748#section-4.1
func keptEd25519(password string, message, signature []byte) []byte {
	seed := sha512.Sum512([]byte(password))
	private, err := ecdh.X25519().NewPrivateKey(seed[:32])
	if err != nil {
		return nil
	}
	little := private.PublicKey().Bytes()
	slices.Reverse(little)
	u, one := new(big.Int).SetBytes(little), big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	y := new(big.Int).ModInverse(new(big.Int).Add(u, one), p)
	if y == nil {
		return nil
	}
	y.Mul(y, u.Sub(u, one)).Mod(y, p)
	key := y.FillBytes(make([]byte, ed25519.PublicKeySize))
	slices.Reverse(key)
	for range 2 {
		if ed25519.Verify(key, message, signature) {
			return key
		}
		key[len(key)-1] ^= 0x80
	}
	return nil
}

// adviseZeroConfig is the advice for a MariaDB whose certificate may be of its own making, as far as it
// differs from that of err.
func (e *Engine) adviseZeroConfig(err error, client *dbtls.Client, g *greeting) string {
	mariaDB := g.capabilities&clientMySQL == 0
	if !mariaDB || !CanProve(e.RequireAuth) || !client.TrustsSystemOnly() || !errors.As(err, new(x509.UnknownAuthorityError)) {
		return ""
	}
	return proxy.Hint(err) + "; or use tls=zero-config, if this is a MariaDB 11.4 or later with a certificate of its own making"
}

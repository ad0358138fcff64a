package mysql

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// Plugins of MariaDB that go-mysql has no names for.
const (
	pluginDialog = "dialog"
	pluginParsec = "parsec"
)

// MethodPassword is the method that sends the credential as it is, which is the only one for a token:
// the plugin mysql_clear_password. It has the same name for PostgreSQL. The other methods have the
// names of their plugins.
const MethodPassword = "password"

var knownMethods = []string{
	MethodPassword, pluginDialog, mysql.AUTH_CACHING_SHA2_PASSWORD, mysql.AUTH_SHA256_PASSWORD,
	mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_MARIADB_ED25519, pluginParsec,
}

// ParseMethods reads require_auth. mysql_clear_password is password.
func ParseMethods(list string) (proxy.Methods, error) {
	return proxy.ParseMethods(strings.ReplaceAll(list, mysql.AUTH_CLEAR_PASSWORD, MethodPassword), knownMethods)
}

// begin makes plugin the one at work and returns its first answer to the server's data; nil if the
// server has to speak again first.
func (l *login) begin(plugin string, data []byte) ([]byte, error) {
	method := plugin
	if plugin == mysql.AUTH_CLEAR_PASSWORD {
		method = MethodPassword
	}
	if err := check(l.methods, method); err != nil {
		return nil, err
	}
	if err := l.proof.permit(plugin); err != nil {
		return nil, err
	}
	l.plugin, l.asked = plugin, false
	password := l.cred.Password.Reveal()
	switch plugin {
	case mysql.AUTH_CLEAR_PASSWORD, mysql.AUTH_SHA256_PASSWORD: // inside TLS both are the password itself
		l.answered = true
		return appendText(nil, password), nil
	case mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_CACHING_SHA2_PASSWORD:
		if len(data) < scrambleLength {
			return nil, shortScramble(plugin, data)
		}
		l.answered = true
		if plugin == mysql.AUTH_NATIVE_PASSWORD {
			l.proof.keep(keptNative(password), password)
			return mysql.CalcNativePassword(data[:scrambleLength], []byte(password)), nil
		}
		return mysql.CalcCachingSha2Password(data[:scrambleLength], []byte(password)), nil
	case mysql.AUTH_MARIADB_ED25519:
		if len(data) < ed25519ScrambleLength {
			return nil, shortScramble(plugin, data)
		}
		l.answered = true
		signature, err := mysql.CalcEd25519Password(data[:ed25519ScrambleLength], password)
		if err == nil && l.proof != nil {
			l.proof.keep(keptEd25519(password, data[:ed25519ScrambleLength], signature), password)
		}
		return signature, err
	case pluginParsec:
		if len(data) < ed25519ScrambleLength {
			return nil, shortScramble(plugin, data)
		}
		l.scramble = data[:ed25519ScrambleLength]
		return []byte{}, nil // which asks for the salt
	case pluginDialog:
		return l.dialog(data)
	}
	return nil, unknownPlugin(plugin)
}

// goOn answers what the plugin at work says after its first words.
func (l *login) goOn(data []byte) error {
	answer, err := l.next(data)
	if err != nil || answer == nil {
		return err
	}
	return l.send(answer)
}

// next returns the answer to data, nil if there is none to give.
func (l *login) next(data []byte) ([]byte, error) {
	switch {
	case l.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD && string(data) == fastAuthOK:
		return nil, nil
	case l.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD && string(data) == fullAuth && !l.asked:
		l.asked = true
		return appendText(nil, l.cred.Password.Reveal()), nil
	case l.plugin == pluginDialog:
		return l.dialog(data)
	case l.plugin == pluginParsec && l.scramble != nil && !l.asked:
		return l.parsec(data)
	}
	return nil, proxy.LoginError("", "plugin %q of the server says something that is not expected", proxy.Printable(l.plugin))
}

// What caching_sha2_password says after the first answer: that the server had the password in its
// cache, or that it wants the password itself, which inside TLS goes as it is.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
const (
	fastAuthOK = "\x03"
	fullAuth   = "\x04"
)

// dialog answers the question of MariaDB's PAM, if it is one for a password and the only one. A server
// that lets the client speak first, without a question, wants the password.
//
//	1  kind of question, 2: ask for a password, 1: ask for something else; and whether it is the last
//	n  the question
//
// https://github.com/MariaDB/mariadb-connector-c/blob/3.4/plugins/auth/dialog.c
func (l *login) dialog(question []byte) ([]byte, error) {
	const password = 2
	if l.asked || len(question) > 0 && question[0]>>1 != password {
		text := proxy.Printable(strings.Trim(string(question), "\x00\x01\x02\x03\x04\x05"))
		return nil, proxy.LoginError("dbvalet has one answer, the credential; leave other questions out of the server's PAM configuration",
			"the database asks a question that dbvalet can't answer: %q", text)
	}
	l.answered, l.asked = true, true
	return appendText(nil, l.cred.Password.Reveal()), nil
}

// Sizes in client_ed25519 and parsec, in bytes.
const (
	ed25519ScrambleLength = 32
	parsecSaltLength      = 18
)

// maxParsecCost is how many times the least number of iterations is doubled at most, as in MariaDB's
// own client.
const maxParsecCost = 3

// parsec signs the server's scramble and one of our own with a key that is made of the password. salt
// is
//
//	1   'P', for PBKDF2 with SHA-512
//	1   how many times 1,024 iterations are doubled
//	18  salt
//
// https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-plugin-parsec
func (l *login) parsec(salt []byte) ([]byte, error) {
	if len(salt) != 2+parsecSaltLength || salt[0] != 'P' || salt[1] > maxParsecCost {
		return nil, proxy.LoginError("", "parsec: the server's salt is malformed, or asks for too many iterations")
	}
	seed, err := pbkdf2.Key(sha512.New, l.cred.Password.Reveal(), salt[2:], 1024<<salt[1], ed25519.SeedSize)
	if err != nil {
		return nil, proxy.LoginError("", "parsec: %w", err)
	}
	own := make([]byte, ed25519ScrambleLength)
	_, _ = rand.Read(own) // it never fails
	key := ed25519.NewKeyFromSeed(seed)
	signature := ed25519.Sign(key, append(append([]byte{}, l.scramble...), own...))
	l.proof.keep(append(slices.Clone(salt), key.Public().(ed25519.PublicKey)...), l.cred.Password.Reveal())
	l.answered, l.asked = true, true
	return append(own, signature...), nil
}

// check returns an error if the database may not ask for method.
func check(m proxy.Methods, method string) error {
	if m.Allow(method) {
		return nil
	}
	return proxy.LoginError(
		fmt.Sprintf("if this is meant to be, allow it with require_auth=%s; an IAM token needs a user that the database knows as one "+
			"(RDS: IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS')", proxy.Printable(method)),
		"%w", &proxy.MethodError{Method: proxy.Printable(method), Allowed: m})
}

func shortScramble(plugin string, data []byte) error {
	return proxy.LoginError("", "the server's scramble for %s has %d bytes only", plugin, len(data))
}

// unknownPlugin is the error for a plugin that the credential is no answer to.
func unknownPlugin(name string) error {
	return proxy.LoginError("give the user a plugin that takes a password, such as caching_sha2_password, client_ed25519 or the one for IAM tokens",
		"the database asks for plugin %q, which dbvalet can't answer", proxy.Printable(name))
}

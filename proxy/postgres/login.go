package postgres

import (
	"crypto/md5" //nolint:gosec // the protocol's AuthenticationMD5Password
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Limits of the login, which a server's certificate may precede and a server's good will need not.
const (
	maxLoginMessage  = 64 << 10 // bytes
	maxLoginMessages = 32
)

// A login is one attempt to log in: its conversation with the database up to AuthenticationOk.
type login struct {
	conn     net.Conn // encrypted
	cred     tokens.Credential
	methods  proxy.Methods
	bind     *tls.ConnectionState // for channel binding; nil where there is nothing to bind to
	answered bool                 // the credential has been sent
	method   string               // how; empty: the database asked for nothing

	// passOn is what the client is to see before the database's other words: a
	// NegotiateProtocolVersion, if there was one, and AuthenticationOk.
	passOn []byte
	// heard is what has been read behind it, if anything.
	heard []byte
}

// logIn sends start to the database on conn and answers its questions with cred.
func (e *Engine) logIn(conn net.Conn, start *startupMessage, cred tokens.Credential) (*login, error) {
	l := &login{conn: conn, cred: cred, methods: e.RequireAuth}
	if c, ok := conn.(*tls.Conn); ok {
		state := c.ConnectionState()
		l.bind = &state
	}
	if _, err := conn.Write(start.packet); err != nil {
		return nil, proxy.NetworkError(proxy.StageAuth, "send the startup message", err)
	}
	for range maxLoginMessages {
		m, err := readMessage(conn, maxLoginMessage)
		if err != nil {
			return nil, lost(err)
		}
		switch m.kind() {
		case 'R':
			ok, err := l.authenticate(m)
			if ok || err != nil {
				return l, err
			}
		case 'E':
			return nil, l.refused(m)
		case 'v':
			l.passOn = append(l.passOn, m...)
		default:
			return nil, proxy.LoginError("", "unexpected message %q during the login", m.kind())
		}
	}
	return nil, proxy.LoginError("", "more than %d messages during the login", maxLoginMessages)
}

// authenticate answers one authentication request; it returns true for AuthenticationOk.
//
//	4  kind of request
//	n  what belongs to it
//
// https://www.postgresql.org/docs/current/protocol-message-formats.html
func (l *login) authenticate(m message) (bool, error) {
	if len(m.body()) < 4 {
		return false, proxy.LoginError("", "authentication request of %d bytes", len(m.body()))
	}
	switch kind := binary.BigEndian.Uint32(m.body()); kind {
	case pgproto3.AuthTypeOk:
		if l.method == "" {
			if err := check(l.methods, methodNone); err != nil {
				return false, err
			}
		}
		l.passOn = append(l.passOn, m...)
		return true, nil
	case pgproto3.AuthTypeCleartextPassword:
		return false, l.answer(MethodPassword, l.cred.Password.Reveal())
	case pgproto3.AuthTypeMD5Password:
		var request pgproto3.AuthenticationMD5Password
		if err := request.Decode(m.body()); err != nil {
			return false, proxy.LoginError("", "md5 request: %w", err)
		}
		return false, l.answer(methodMD5, md5Answer(l.cred, request.Salt))
	case pgproto3.AuthTypeSASL:
		var request pgproto3.AuthenticationSASL
		if err := request.Decode(m.body()); err != nil {
			return false, proxy.LoginError("", "SASL request: %w", err)
		}
		return false, l.scram(request.AuthMechanisms)
	default:
		return false, proxy.LoginError("give the user a password, or IAM authentication, in the server's pg_hba.conf",
			"the database asks for %s, which dbvalet can't answer", requestName(kind))
	}
}

// answer sends the credential, in the form that method has for it.
func (l *login) answer(method, password string) error {
	if err := l.use(method); err != nil {
		return err
	}
	return l.send(&pgproto3.PasswordMessage{Password: password})
}

// use notes that the credential is about to be used by method, if that is allowed and the first time.
func (l *login) use(method string) error {
	if l.answered {
		return proxy.LoginError("", "the database asks for a credential twice, first by %s and then by %s", l.method, method)
	}
	if err := check(l.methods, method); err != nil {
		return err
	}
	l.answered, l.method = true, method
	return nil
}

func (l *login) send(m pgproto3.FrontendMessage) error {
	encoded, err := m.Encode(nil)
	if err != nil {
		return err
	}
	if _, err := l.conn.Write(encoded); err != nil {
		return proxy.NetworkError(proxy.StageAuth, "answer the database during the login", err)
	}
	return nil
}

// refused turns an ErrorResponse into an error.
func (l *login) refused(m message) error {
	e := &databaseError{raw: m, answered: l.answered}
	if err := e.response.Decode(m.body()); err != nil {
		return proxy.LoginError("", "malformed ErrorResponse during the login: %w", err)
	}
	return &proxy.SetupError{Stage: proxy.StageAuth, Err: e}
}

// lost is the error for a connection that ended during the login.
func lost(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return proxy.NetworkError(proxy.StageAuth, "the database's answer during the login", err)
}

// md5Answer is "md5" and md5(md5(password and user), salt), in hexadecimal.
func md5Answer(cred tokens.Credential, salt [4]byte) string {
	sum := func(b ...string) string {
		h := md5.Sum([]byte(strings.Join(b, ""))) //nolint:gosec // as above
		return hex.EncodeToString(h[:])
	}
	return "md5" + sum(sum(cred.Password.Reveal(), cred.User), string(salt[:]))
}

// requestName names the authentication requests that can't be answered.
func requestName(kind uint32) string {
	switch kind {
	case pgproto3.AuthTypeGSS, pgproto3.AuthTypeGSSCont:
		return "GSSAPI"
	case pgproto3.AuthTypeSSPI:
		return "SSPI"
	case 2:
		return "Kerberos V5"
	case pgproto3.AuthTypeSASLContinue, pgproto3.AuthTypeSASLFinal:
		return "the rest of a SASL exchange that it did not begin"
	}
	return fmt.Sprintf("authentication of the unknown kind %d", kind)
}

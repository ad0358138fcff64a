package mysql

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Limits of the login. A server asks a few questions, one for each plugin and factor that the user
// has.
const (
	maxLoginPacket  = 64 << 10 // bytes
	maxLoginPackets = 16
)

// First bytes of the packets during a login; an error begins with errHeader.
const (
	okHeader          = 0x00
	moreDataHeader    = 0x01
	nextFactorHeader  = 0x02
	localInfileHeader = 0xFB
	authSwitchHeader  = 0xFE
)

// A login is one attempt to log in, or to change the user of a session: the conversation with the
// database up to its OK.
type login struct {
	conn     net.Conn // encrypted
	cred     tokens.Credential
	methods  proxy.Methods
	reader   io.Reader // conn, but for what has been read of it already
	seq      byte      // of the next packet, whoever sends it
	plugin   string    // the one that is at work
	scramble []byte    // the server's, for plugins that need it twice
	answered bool      // the credential has been used
	asked    bool      // the plugin's one further question has been answered
	proof    *proof    // that the server owes; nil: it is verified
}

// logIn replies to g on conn, in the client's words r but with cred. It returns the payload of the
// database's OK packet, after the database has proved itself if it owes that.
func (e *Engine) logIn(conn net.Conn, g *greeting, r *response, cred tokens.Credential, owed *proof) ([]byte, error) {
	return e.newLogin(conn, g, cred, owed).run(g, r)
}

func (e *Engine) newLogin(conn net.Conn, g *greeting, cred tokens.Credential, owed *proof) *login {
	return &login{conn: conn, reader: conn, cred: cred, methods: e.RequireAuth, seq: firstReply(g), proof: owed}
}

// run is the conversation as far as it is logIn's.
func (l *login) run(g *greeting, r *response) ([]byte, error) {
	answer, err := l.first(g)
	if err != nil {
		return nil, err
	}
	if err := l.send(r.forServer(g.capabilities, l.cred.User, l.plugin, answer)); err != nil {
		return nil, err
	}
	ok, err := l.converse()
	if err == nil {
		err = l.proof.verify(ok)
	}
	return ok, err
}

// used is the method by which the credential was shown; empty: it was not.
func (l *login) used() string {
	switch {
	case !l.answered:
		return ""
	case l.plugin == mysql.AUTH_CLEAR_PASSWORD:
		return MethodPassword
	}
	return l.plugin
}

// firstReply is the number of the packet that replies to g: there is an SSLRequest before it, but in a
// tunnel.
func firstReply(g *greeting) byte {
	if g.capabilities&mysql.CLIENT_SSL == 0 {
		return 1
	}
	return 2
}

// first chooses the plugin that the reply to g names, and its answer. A server that wants another one
// asks for it, at the price of a round trip. A token is good for one plugin only, and a password is
// not sent in clear before it is asked for.
func (l *login) first(g *greeting) ([]byte, error) {
	fits := g.capabilities&mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA != 0 || len(l.cred.Password.Reveal()) < 0xFF
	switch {
	case l.methods.String() == MethodPassword && fits:
		return l.begin(mysql.AUTH_CLEAR_PASSWORD, nil)
	case (g.plugin == mysql.AUTH_NATIVE_PASSWORD || g.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD) &&
		l.methods.Allow(g.plugin) && l.proof.permit(g.plugin) == nil:
		return l.begin(g.plugin, g.scramble)
	}
	l.plugin = turnedDown
	return nil, nil
}

// turnedDown is the plugin to name where there is no answer yet. MySQL does not have it, and MariaDB's
// users with it have to be sent the server's scramble first, so that every server asks.
const turnedDown = mysql.AUTH_MARIADB_ED25519

// converse answers the database's questions until it has decided.
func (l *login) converse() ([]byte, error) {
	for range maxLoginPackets {
		p, err := l.receive()
		if err != nil {
			return nil, err
		}
		switch kind := p.kind(); {
		case kind == okHeader:
			if !l.answered && !l.methods.Any() {
				return nil, proxy.LoginError("", "the database asks for no credential, and the route demands one by %s", l.methods)
			}
			return p.payload(), nil
		case kind == errHeader:
			return nil, &proxy.SetupError{Stage: proxy.StageAuth, Err: decodeDatabaseError(p.payload(), l.answered)}
		case kind == authSwitchHeader && len(p.payload()) == 1:
			err = unknownPlugin("mysql_old_password")
		case kind == authSwitchHeader, kind == nextFactorHeader && l.plugin != pluginDialog:
			err = l.switchTo(p.payload()[1:])
		case kind == moreDataHeader:
			err = l.goOn(p.payload()[1:])
		case l.plugin == pluginDialog && kind > moreDataHeader && kind < 0x20, l.plugin == pluginParsec && kind == 'P':
			err = l.goOn(p.payload())
		case kind == localInfileHeader:
			err = proxy.LoginError("the server may not be who it says it is; check host, port and ca= of the route",
				"the server asks for a file during the login")
		default:
			err = proxy.LoginError("", "unexpected packet %#x during the login", kind)
		}
		if err != nil {
			l.decline()
			return nil, err
		}
	}
	return nil, proxy.LoginError("", "more than %d packets during the login", maxLoginPackets)
}

// declineTime is how long a server may take to accept that there is no answer.
const declineTime = time.Second

// decline gives the server empty answers until it refuses the login. To hang up instead would count
// toward max_connect_errors.
func (l *login) decline() {
	_ = l.conn.SetDeadline(time.Now().Add(declineTime))
	for range maxLoginPackets {
		if err := l.send(nil); err != nil {
			return
		}
		if p, err := l.receive(); err != nil || p.kind() == errHeader || p.kind() == okHeader {
			return
		}
	}
}

// switchTo answers AuthSwitchRequest or, where the user has several factors, AuthNextFactor. A
// further factor is answered with the same credential, if it is one of the plugins that take one.
//
//		1  254, or 2
//		n  name of the plugin, zero
//		n  its data
//
//	  - https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html
//	  - https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_next_factor_request.html
func (l *login) switchTo(request []byte) error {
	f := fields{rest: request}
	plugin := f.text()
	if f.short {
		return proxy.LoginError("", "the server's request for another plugin ends within its name")
	}
	answer, err := l.begin(plugin, f.rest)
	if err != nil || answer == nil {
		return err
	}
	return l.send(answer)
}

func (l *login) send(payload []byte) error {
	_, err := l.conn.Write(newPacket(l.seq, payload))
	l.seq++
	if err != nil {
		return proxy.NetworkError(proxy.StageAuth, "answer the database during the login", err)
	}
	return nil
}

func (l *login) receive() (packet, error) {
	p, err := readPacket(l.reader, l.seq, maxLoginPacket)
	if errors.Is(err, errMalformed) {
		return nil, proxy.LoginError("", "the database's answer during the login: %w", err)
	}
	if err != nil {
		return nil, lost("the database's answer during the login", err)
	}
	l.seq++
	return p, nil
}

// lost is the error for a connection that ended during the login.
func lost(doing string, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return proxy.NetworkError(proxy.StageAuth, doing, err)
}

package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// replyTime is how long a client may take to reply to the greeting. A server waits for ten seconds by
// default (connect_timeout), and counts who takes longer among those who broke off.
const replyTime = 8 * time.Second

// A handshake is one client's way to a session.
type handshake struct {
	engine  *Engine
	client  *proxy.Client
	up      *proxy.Upstream
	opening *proxy.Opening

	cred    *tokens.Credential // known ahead, where the route knows the user
	bare    net.Conn           // the first connection to the database
	greeted *greeting          // what the database opened it with
	reply   *response          // the client's
	seq     byte               // of the next packet to the client; 0: it has not been greeted
	replied bool               // the database's greeting has been replied to
	ok      []byte             // payload of the database's OK
}

// run is the course of a handshake. It returns neither a session nor an error for a client that left
// without a word.
func (h *handshake) run(ctx context.Context) (*proxy.Session, error) {
	if user := h.engine.User; user != "" {
		cred, err := h.opening.Credential(ctx, user)
		if err != nil {
			return nil, err
		}
		h.cred = &cred
	}
	if err := h.dial(ctx); err != nil {
		return nil, err
	}
	if stays, err := h.greet(ctx); err != nil || !stays {
		return nil, err
	}
	user := h.engine.User
	if user == "" {
		user = h.reply.user
	}
	if user == "" {
		return nil, clientError("name a user on the client, or in the route: mysql://USER@…", "the client names no user")
	}
	conn, err := h.opening.Login(ctx, user, func(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential) (net.Conn, error) {
		if cred.User == "" {
			cred.User = user
		}
		return h.logIn(ctx, bare, to, cred)
	})
	if err != nil {
		return nil, err
	}
	session, err := h.welcome(ctx, conn, user)
	if err != nil {
		conn.Close()
	}
	return session, err
}

// dial opens the connection and reads the database's greeting.
func (h *handshake) dial(ctx context.Context) error {
	var err error
	if h.bare, err = h.opening.Dial(ctx); err != nil {
		return err
	}
	disarm := context.AfterFunc(ctx, func() { _ = h.bare.SetDeadline(time.Unix(1, 0)) })
	h.greeted, err = h.readGreeting(h.bare)
	if !disarm() && err != nil {
		return &proxy.SetupError{Stage: proxy.StageAuth, Err: fmt.Errorf("read the server's greeting: %w", context.Cause(ctx))}
	}
	return err
}

// readGreeting reads the greeting of a server. In a tunnel there is no TLS to ask it for.
func (h *handshake) readGreeting(bare net.Conn) (*greeting, error) {
	g, err := readGreeting(bare)
	if err == nil && h.opening.Endpoint().Tunnel != nil {
		g.capabilities &^= mysql.CLIENT_SSL
	}
	return g, err
}

// greet passes the greeting on and reads the client's reply. It returns false for a client that left.
func (h *handshake) greet(ctx context.Context) (stays bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, replyTime, errNoReply)
	defer cancel()
	disarm := context.AfterFunc(ctx, func() { _ = h.client.SetReadDeadline(time.Unix(1, 0)) })
	err = h.hear()
	if !disarm() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return h.left(ctx, err)
	}
	return true, nil
}

// hear says the greeting and takes the reply.
func (h *handshake) hear() error {
	if _, err := h.client.Write(h.greeted.forClient()); err != nil {
		return err
	}
	h.seq = 1
	p, err := h.receive()
	if err != nil {
		return err
	}
	if h.reply, err = decodeResponse(p.payload()); err != nil {
		return err
	}
	h.reply = h.reply.withDatabase(h.database())
	return h.persuade()
}

// database is for a client that names none.
func (h *handshake) database() string {
	return cmp.Or(h.engine.Database, h.opening.Endpoint().Database)
}

var errNoReply = errors.New("the client did not reply to the greeting in time")

// left is what becomes of a client that could not be heard. One that is gone is no error: health
// checks do that, and clients that insist on TLS.
func (h *handshake) left(ctx context.Context, err error) (bool, error) {
	switch {
	case isTimeout(err) && ctx.Err() != nil:
		return false, clientError(checkClient, "%w", context.Cause(ctx))
	case err == io.EOF, errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		h.up.Log.Info("client left after the greeting", "hint", "nothing is wrong if it was a health check; if it says that TLS is required: "+noTLSHere)
		return false, nil
	}
	if _, ok := errors.AsType[*proxy.SetupError](err); ok {
		return false, err
	}
	return false, clientError(checkClient, "read the client's reply: %w", err)
}

// receive reads one packet of the client's login.
func (h *handshake) receive() (packet, error) {
	p, err := readPacket(h.client, h.seq, maxResponse)
	if err != nil {
		return nil, err
	}
	h.seq++
	return p, nil
}

// persuade talks a client out of a plugin that would not be content with an OK. What it answers
// doesn't matter.
func (h *handshake) persuade() error {
	plugin, auth := mysql.AUTH_NATIVE_PASSWORD, h.reply.auth
	switch h.reply.plugin {
	case "", mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_CLEAR_PASSWORD:
		return nil
	case mysql.AUTH_CACHING_SHA2_PASSWORD, mysql.AUTH_SHA256_PASSWORD:
		// With nothing at all, MariaDB's client waits for a scramble of the plugin's own, and with
		// something, sha256_password waits for a public key. Who knows this plugin knows
		// caching_sha2_password too, and clients of MySQL 9 no longer know mysql_native_password.
		if len(auth) > 0 && (emptyAnswer(auth) || h.reply.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD) {
			return nil
		}
		plugin = mysql.AUTH_CACHING_SHA2_PASSWORD
	}
	request := appendText([]byte{authSwitchHeader}, plugin)
	request = append(append(request, newScramble()...), 0)
	if err := h.send(request); err != nil {
		return err
	}
	p, err := h.receive()
	if err != nil {
		return err
	}
	h.reply.plugin, h.reply.auth = plugin, p.payload()
	return nil
}

// emptyAnswer reports whether a plugin's answer is that of a client without a password.
func emptyAnswer(auth []byte) bool { return len(auth) == 0 || len(auth) == 1 && auth[0] == 0 }

func (h *handshake) send(payload []byte) error {
	_, err := h.client.Write(newPacket(h.seq, payload))
	h.seq++
	return err
}

// logIn logs in on bare with cred: on the first connection, whose greeting the client has seen, or on
// another after cred's predecessor was rejected.
func (h *handshake) logIn(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential) (net.Conn, error) {
	g := h.greeted
	if h.replied {
		var err error
		if g, err = h.greetedAgain(bare); err != nil {
			return nil, err
		}
	}
	h.replied = true
	encrypted, owed, err := h.engine.startTLS(ctx, bare, to, g, h.reply)
	if err != nil {
		return nil, err
	}
	h.ok, err = h.engine.logIn(encrypted, g, h.reply, cred, owed)
	return encrypted, err
}

// greetedAgain reads the greeting of another connection. The client has seen the first one's, and
// there is no second greeting in the protocol: so its capabilities have to be there again, and the
// thread id that it knows is the one of the connection that was turned down. KILL with that id
// reaches nobody, for it is not given again; CONNECTION_ID() tells the right one. This befalls only
// those who log in while a credential is being replaced. To log in for the client before it has
// spoken would take options that it alone knows, and to replace ids in its SQL would take a parser.
func (h *handshake) greetedAgain(bare net.Conn) (*greeting, error) {
	g, err := h.readGreeting(bare)
	if err != nil {
		return nil, err
	}
	if lost := h.reply.capabilities & offer(h.greeted.capabilities) &^ offer(g.capabilities); lost != 0 {
		return nil, &proxy.SetupError{
			Stage:  proxy.StageAuth,
			Err:    fmt.Errorf("the database answers the second login with fewer capabilities than the first: %#x are missing", lost),
			Advice: "try again; behind this name there are servers of different versions",
		}
	}
	h.up.Log.Info("KILL does not reach this session by the id that the client was told", "told", h.greeted.threadID, "real", g.threadID)
	return g, nil
}

// welcome tells the client the database's own OK. A client that named caching_sha2_password and has a
// password waits for that plugin's word first.
func (h *handshake) welcome(ctx context.Context, conn *proxy.UpstreamConn, user string) (*proxy.Session, error) {
	var first packet
	if h.reply.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD && !emptyAnswer(h.reply.auth) {
		first = newPacket(h.seq, append([]byte{moreDataHeader}, fastAuthOK...))
		h.seq++
	}
	if _, err := h.client.Write(append(first, newPacket(h.seq, h.ok)...)); err != nil {
		return nil, &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf("tell the client that it is logged in: %w", err)}
	}
	loggedIn := conn.Credential.User
	if loggedIn == "" {
		loggedIn = user
	}
	watched := watch(ctx, conn.Conn, h)
	conn.Conn = watched
	return &proxy.Session{
		Upstream:    conn,
		Ended:       watched.ended,
		User:        loggedIn,
		Database:    h.reply.database,
		Application: h.reply.application(),
	}, nil
}

// errorPacket is err in the form that the client takes where it is.
func (h *handshake) errorPacket(err error) packet {
	if h.seq == 0 {
		return earlyErrorPacket(err)
	}
	return errorPacket(h.seq, err)
}

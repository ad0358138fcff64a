package mysql

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A handshake is one client's way to a session.
type handshake struct {
	engine  *Engine
	client  *proxy.Client
	up      *proxy.Upstream
	opening *proxy.Opening // nil: not begun

	bare    net.Conn      // the first connection to the database
	greeted *greeting     // what the database opened it with
	ahead   *acquaintance // whose greeting the client was given ahead; nil: the database's own
	reply   *response     // the client's
	seq     byte          // of the next packet to the client; 0: it has not been greeted
	deaf    bool          // the client can't be told anything: TLS with it has failed
	began   atomic.Bool   // the client has begun to reply
	replied bool          // the database's greeting has been replied to
	ok      []byte        // payload of the database's OK
	ended   bool          // the engine's silence guards it
}

// run is the course of a handshake. It returns neither a session nor an error for a client that left
// without a word.
func (h *handshake) run(ctx context.Context) (*proxy.Session, error) {
	if stays, err := h.begin(ctx); err != nil || !stays {
		return nil, err
	}
	if h.reply == nil {
		if stays, err := h.introduce(ctx); err != nil || !stays {
			return nil, err
		}
	}
	return h.join(ctx)
}

// close ends what is left of a handshake. A login that the database was not told the end of is told it.
func (h *handshake) close(ctx context.Context) {
	defer h.engine.silent.forget(h)
	if h.opening == nil {
		return
	}
	defer h.opening.Close()
	if h.bare != nil && h.greeted != nil && !h.replied {
		h.finish(ctx)
	}
}

// introduce has the database greet the client, and hears what that replies.
func (h *handshake) introduce(ctx context.Context) (stays bool, err error) {
	if user := h.engine.User; user != "" {
		if _, err := h.opening.Credential(ctx, user); err != nil {
			return false, err
		}
	}
	if err := h.dial(ctx); err != nil {
		return false, err
	}
	h.engine.silent.remember(h.greeted, h.database())
	return h.greet(ctx, h.opening.Yield)
}

// join logs in with what the client has replied, and tells it.
func (h *handshake) join(ctx context.Context) (*proxy.Session, error) {
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
func (h *handshake) dial(ctx context.Context) (err error) {
	h.bare, err = h.opening.Dial(ctx, func(ctx context.Context, bare net.Conn) (err error) {
		disarm := context.AfterFunc(ctx, func() { _ = bare.SetDeadline(time.Unix(1, 0)) })
		h.greeted, err = h.readGreeting(bare)
		if !disarm() && err != nil {
			return &proxy.SetupError{Stage: proxy.StageAuth, Err: fmt.Errorf("read the server's greeting: %w", context.Cause(ctx))}
		}
		return err
	})
	return err
}

// database is for a client that names none.
func (h *handshake) database() string {
	if h.opening == nil {
		return h.ahead.database
	}
	return cmp.Or(h.engine.Database, h.opening.Endpoint().Database)
}

// readGreeting reads the greeting of a server. In a tunnel there is no TLS to ask it for.
func (h *handshake) readGreeting(bare net.Conn) (*greeting, error) {
	g, err := readGreeting(bare)
	if err == nil && h.opening.Endpoint().Tunnel != nil {
		g.capabilities &^= mysql.CLIENT_SSL
	}
	return g, err
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
	if h.ok, err = h.engine.logIn(encrypted, g, h.reply, cred, owed); err != nil {
		return nil, err
	}
	return encrypted, checkTarget(encrypted, to.Target, h.reply.capabilities&g.capabilities)
}

// greetedAgain reads the greeting of another connection. The client has seen the first one's, and
// there is no second greeting in the protocol: so its capabilities have to be there again, and the
// thread id that it knows is the one of the connection that was turned down. KILL with that id
// reaches nobody, for it is not given again; CONNECTION_ID() tells the right one. This befalls only
// those who log in while a credential is being replaced, or who were greeted ahead. To log in for the client before it has
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
	h.reply.auth = nil // the session lasts, and has no use for it
	loggedIn := conn.Credential.User
	if loggedIn == "" {
		loggedIn = user
	}
	watched := watch(ctx, conn.Conn, h)
	conn.Conn = watched
	session := &proxy.Session{
		Upstream:    conn,
		Ended:       watched.ended,
		User:        loggedIn,
		Database:    h.reply.database,
		Application: h.reply.application(),
		Reply:       watched.replyOf,
		Unanswered:  watched.unanswered.Load,
		Farewell:    watched.farewell,
		Quit:        newPacket(0, []byte{mysql.COM_QUIT}),
	}
	if h.client.TLS() != nil {
		session.SilentHint = distrust // MariaDB's client decides only after the OK
	}
	return session, nil
}

// errorPacket is err in the form that the client takes where it is.
func (h *handshake) errorPacket(err error) packet {
	if h.seq == 0 {
		return earlyErrorPacket(err)
	}
	return errorPacket(h.seq, err)
}

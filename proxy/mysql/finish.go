package mysql

import (
	"context"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// finishTime is how long the end of a login may take that nobody waits for.
const finishTime = 5 * time.Second

// nobody is who logs in where it isn't known who would have. It is a user that no database has, and
// so one that is refused, which doesn't count toward max_connect_errors.
const nobody = "dbvalet"

// finish brings a login to its end whose client is gone, or was no client. Breaking it off would
// count toward the database's max_connect_errors; a login that succeeds sets the count back to zero.
func (h *handshake) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	h.replied = true
	_ = h.bare.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { _ = h.bare.SetDeadline(time.Unix(1, 0)) })()

	r := &response{capabilities: needed, maxPacket: maxLoginPacket, charset: h.greeted.charset}
	conn, owed, err := h.engine.startTLS(ctx, h.bare, h.opening.Endpoint(), h.greeted, r)
	if err != nil {
		h.up.Log.Debug("login not finished", "err", err)
		return
	}
	known := h.opening.Known()
	if known == nil {
		logInAsNobody(conn, h.greeted, r)
		return
	}
	cred := *known
	if cred.User == "" {
		cred.User = h.engine.User
	}
	if _, err = h.engine.logIn(conn, h.greeted, r, cred, owed); err != nil {
		h.up.Log.Debug("login not finished", "err", err)
		return
	}
	_ = (&login{conn: conn}).send([]byte{mysql.COM_QUIT})
}

// logInAsNobody makes the server refuse a login. It asks even somebody whom it doesn't know for a
// password.
func logInAsNobody(conn net.Conn, g *greeting, r *response) {
	l := &login{conn: conn, reader: conn, seq: firstReply(g)}
	if err := l.send(r.forServer(g.capabilities, nobody, turnedDown, nil)); err != nil {
		return
	}
	if p, err := l.receive(); err == nil && p.kind() == authSwitchHeader {
		l.decline()
	}
}

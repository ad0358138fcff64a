package mysql

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Ping logs in to the database as a client's session does, and leaves. The engine has to have a User. A
// login that was begun is brought to its end, as one for a client is.
func (e *Engine) Ping(ctx context.Context, up *proxy.Upstream) (err error) {
	if e.User == "" {
		return errors.New("the route has no user to log in as")
	}
	h := &handshake{engine: e, up: up}
	defer func() { h.close(ctx) }()
	if h.opening, err = up.Begin(ctx); err != nil {
		return err
	}
	if _, err := h.opening.Credential(ctx, e.User); err != nil {
		return err
	}
	if err := h.dial(ctx); err != nil {
		return err
	}
	conn, err := h.opening.Login(ctx, e.User, h.ping)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = (&login{conn: conn}).send([]byte{mysql.COM_QUIT}) // it is a courtesy: the login has succeeded
	return nil
}

// ping is one attempt to log in, on the connection whose greeting was read or on another.
func (h *handshake) ping(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential) (net.Conn, error) {
	g := h.greeted
	if h.replied {
		var err error
		if g, err = h.readGreeting(bare); err != nil {
			return nil, err
		}
	}
	h.replied = true
	cred.User = cmp.Or(cred.User, h.engine.User)
	r := &response{capabilities: needed, maxPacket: maxLoginPacket, charset: g.charset}
	encrypted, owed, err := h.engine.startTLS(ctx, bare, to, g, r)
	if err != nil {
		return nil, err
	}
	if _, err = h.engine.logIn(encrypted, g, r, cred, owed); err != nil {
		return nil, err
	}
	return encrypted, checkTarget(encrypted, to.Target, r.capabilities&g.capabilities)
}

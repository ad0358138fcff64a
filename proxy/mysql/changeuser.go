package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// maxChangeUser is the longest COM_CHANGE_USER, in bytes; it has the same parts as a reply to a
// greeting.
const maxChangeUser = maxResponse

// A changeUser is a client's wish to log in again on the same connection, COM_CHANGE_USER:
//
//	1  17
//	n  user, zero
//	n  the plugin's answer: after its length of one byte or, without SECURE_CONNECTION, before a zero
//	n  database, zero
//	2  character set
//	n  name of the plugin, zero; with PLUGIN_AUTH
//	n  attributes, after the length of all; with CONNECT_ATTRS
//
// Clients leave out what they don't know from the character set on.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html
type changeUser struct {
	user       string
	auth       []byte
	database   string
	charset    uint16
	plugin     string
	attributes []byte
}

// decodeChangeUser decodes the payload of a COM_CHANGE_USER from a client that logged in with r.
func decodeChangeUser(payload []byte, r *response) (*changeUser, error) {
	f := fields{rest: payload}
	f.uint8()
	c := &changeUser{user: f.text(), charset: uint16(r.charset)}
	if r.has(mysql.CLIENT_SECURE_CONNECTION) {
		c.auth = f.bytes(int(f.uint8()))
	} else {
		c.auth = []byte(f.text())
	}
	if !f.short {
		c.database = f.lastText()
	}
	if len(f.rest) >= 2 {
		c.charset = f.uint16()
	}
	if r.has(mysql.CLIENT_PLUGIN_AUTH) {
		c.plugin = f.lastText()
	}
	if r.has(mysql.CLIENT_CONNECT_ATTRS) && len(f.rest) > 0 {
		c.attributes = f.lenenc()
	}
	if f.short {
		return nil, clientError(checkClient, "COM_CHANGE_USER ends within its fields")
	}
	return c, nil
}

// forServer is the payload with which user logs in again. It has no answer yet, for a token would not
// fit, and names a plugin that the server turns down, so that it asks.
func (c *changeUser) forServer(user string, r *response) []byte {
	b := appendText([]byte{mysql.COM_CHANGE_USER}, user)
	b = append(b, 0)
	b = appendText(b, c.database)
	b = binary.LittleEndian.AppendUint16(b, c.charset)
	b = appendText(b, turnedDown)
	if r.has(mysql.CLIENT_CONNECT_ATTRS) {
		b = appendLenenc(b, c.attributes)
	}
	return b
}

// changeUser conducts a COM_CHANGE_USER with a credential of ours, for the client has none: it asks
// the database, and waits until Read has concluded it. The error is one of the connection.
func (s *session) changeUser(p packet) error {
	request, err := decodeChangeUser(p.payload(), s.reply)
	if err != nil {
		return s.refuse(err)
	}
	user, err := s.engine.changeTo(request.user, s.reply.user)
	if err != nil {
		return s.refuse(err)
	}
	if request.database == "" {
		request.database = s.database
	}
	if err := s.engine.checkNames(s.door, user, request.database); err != nil {
		return s.refuse(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, proxy.DefaultHandshakeTimeout)
	defer cancel()
	logins := s.credentials.Begin(user)
	cred, err := logins.Credential(ctx)
	if err != nil {
		logins.Close()
		return s.refuse(&proxy.SetupError{Stage: proxy.StageCredential, Err: err})
	}
	if s.logins != nil {
		s.logins.Close()
	}
	s.logins = logins
	if cred.User == "" {
		cred.User = user
	}
	c := &change{cred: cred, logins: logins, user: cred.User, done: make(chan struct{})}
	if request.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD && !emptyAnswer(request.auth) {
		c.answer = newPacket(1, append([]byte{moreDataHeader}, fastAuthOK...))
	}
	return s.ask(c, request.forServer(cred.User, s.reply))
}

// changeTo returns the user to change to for a client that logged in as login and now says name. At
// the login any name will do for a route's user. Here the client means to become somebody else, and
// is not to be left as who it was.
func (e *Engine) changeTo(name, login string) (string, error) {
	switch {
	case e.User == "" && name == "":
		return "", clientError("name a user on the client, or in the route: mysql://USER@…", "the client names no user to change to")
	case e.User == "":
		return name, nil
	case name == "" || name == e.User || name == login:
		return e.User, nil
	}
	return "", proxy.LoginError("let the client open a connection to a route for that user", "the route is for user %q, and the client wants to change to %q", e.User, proxy.Printable(name))
}

// refuse tells the client that its user is not changed, and ends the session, as MySQL does when it
// refuses. The reader tells it, when the database has closed the connection.
func (s *session) refuse(err error) error {
	s.refused = true
	s.up.Log.Warn("COM_CHANGE_USER refused", "err", err, "hint", proxy.Hint(err))
	return s.ask(&change{refusal: errorPacket(1, err), done: make(chan struct{})}, []byte{mysql.COM_QUIT})
}

// ask sends the database a command for c and waits until the reader has concluded it.
func (s *session) ask(c *change, command []byte) error {
	s.change.Store(c)
	if _, err := s.Conn.Write(newPacket(0, command)); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("change the user: %w", context.Cause(s.ctx))
	}
}

// conclude answers what the database asks and returns what the client is told, and whether that is
// the end. begun has been read of the database's first answer.
func (s *session) conclude(c *change, begun []byte) (tell []byte, over bool) {
	if c.refusal != nil {
		return c.refusal, true
	}
	ahead := bytes.NewReader(begun)
	l := &login{
		conn: s.Conn, reader: io.MultiReader(ahead, s.Conn), cred: c.cred, methods: s.engine.RequireAuth,
		seq: 1, plugin: turnedDown,
	}
	if s.to.TLS != nil && s.to.TLS.Unproven() {
		// It has proved itself at the login, and is given no more than then.
		l.proof = &proof{}
	}
	ok, err := l.converse()
	if err != nil {
		s.up.Log.Warn("COM_CHANGE_USER failed", "user", c.user, "err", err, "hint", proxy.Hint(err))
		_, theirs := errors.AsType[*databaseError](err)
		return errorPacket(1, err), !theirs // after its own error, MySQL closes the connection, and MariaDB doesn't
	}
	c.logins.Accepted()
	s.up.Log.Info("user changed", "user", c.user, "credential", c.cred)
	tell = append(tell, c.answer...)
	seq := byte(1)
	if c.answer != nil {
		seq++
	}
	tell = append(tell, newPacket(seq, ok)...)
	rest := make([]byte, ahead.Len())
	_, _ = ahead.Read(rest)
	return append(tell, rest...), false
}

package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// A Client is a client's connection while it is being set up.
type Client struct {
	// Conn is encrypted once StartTLS has returned.
	net.Conn
	// Door is the route's.
	Door *Door

	refusal  error
	seat     *seat // nil: nobody counts it
	evict    context.CancelCauseFunc
	identity <-chan identity // once it has been found
}

// Refusal is why the client may not come in; nil: it may. An engine hears the client as far as it must
// to be understood, and tells it, before it asks it for anything.
func (c *Client) Refusal() error { return c.refusal }

// Turn notes that it is the client's turn to say who it is. From now on it is among those that make room
// for others when there are too many.
func (c *Client) Turn() {
	if c.seat != nil {
		c.seat.turn(c.evict)
	}
}

// Spoke notes that the client has said who it is, or need not any more.
func (c *Client) Spoke() {
	if c.seat != nil {
		c.seat.leave()
	}
}

// StartTLS makes the handshake of a client that asked for TLS, where the Door has it. began is what has
// been read of it already. What the client sent in clear before is not to be believed, and nothing
// behind it has been read: it would break the handshake.
func (c *Client) StartTLS(began []byte) error {
	bare := c.Conn
	if len(began) > 0 {
		bare = &begunConn{Conn: bare, began: began}
	}
	encrypted := tls.Server(bare, c.Door.TLS)
	if err := encrypted.Handshake(); err != nil {
		return &SetupError{
			Stage: StageClient, Err: fmt.Errorf("TLS with the client: %w", err),
			Advice: "the client may not trust the certificate of local_tls=, or have none of its own where local_client_ca= asks for one",
		}
	}
	c.Conn = encrypted
	return nil
}

// TLS returns the state of the client's encryption, nil where there is none.
func (c *Client) TLS() *tls.ConnectionState {
	if encrypted, ok := c.Conn.(*tls.Conn); ok {
		state := encrypted.ConnectionState()
		return &state
	}
	return nil
}

// MustEncrypt reports whether the client has to ask for TLS, and has not.
func (c *Client) MustEncrypt() bool { return c.Door.TLSRequired && c.TLS() == nil }

// A begunConn is a connection of which the first bytes have been read already.
type begunConn struct {
	net.Conn
	began []byte
}

func (c *begunConn) Read(b []byte) (int, error) {
	if len(c.began) > 0 {
		n := copy(b, c.began)
		c.began = c.began[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn returns the connection below.
func (c *begunConn) NetConn() net.Conn { return c.Conn }

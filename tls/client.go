package dbtls

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// Options say whom a Client expects on the other end.
type Options struct {
	Mode Mode
	// Host is the database's own name or address, also where another address is dialled: the name
	// to verify and to send as SNI unless ServerName is set.
	Host string
	// ServerName replaces Host in both. Of the form project:instance it is the name in an older
	// certificate of Google Cloud SQL. Empty is Host.
	ServerName string
	// CAFile is a file with trusted certificates in PEM. Empty means the system's roots, and for an
	// Amazon RDS endpoint the embedded ones too; "system" means the system's roots alone.
	CAFile string
	// NextProtos are the ALPN protocols to offer, such as "postgresql". A server that knows nothing
	// of ALPN is accepted; who needs an answer looks at the connection's NegotiatedProtocol.
	NextProtos []string
}

// A Client makes TLS handshakes toward one upstream. It is safe for concurrent use. It resumes
// sessions where the server allows it, and verifies the server then too.
type Client struct {
	mode   Mode
	host   string // as in Options
	name   serverName
	trust  trust
	config *tls.Config

	// curve is the key exchange that the server asked for with a HelloRetryRequest, as a
	// tls.CurveID; 0 if it never had to.
	curve atomic.Uint32
}

// New returns a Client, with the CA file read and all settings checked against each other. The
// error is an *Error.
func New(o Options) (*Client, error) {
	if !o.Mode.valid() {
		return nil, newError("unknown TLS mode %d", int(o.Mode))
	}
	name, err := parseServerName(o)
	if err != nil {
		return nil, err
	}
	trust, err := newTrust(o, name)
	if err != nil {
		return nil, err
	}
	c := &Client{mode: o.Mode, host: o.Host, name: name, trust: trust}
	c.config = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         name.sni,
		NextProtos:         o.NextProtos,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
		// crypto/tls can verify neither a chain without a name nor a common name, and it does not
		// look at a resumed session again. So its own check is off in every mode, and
		// VerifyConnection, which runs in every handshake, does all of it. It is missing in two cases
		// only: mode require without a CA file, and mode zero-config, which Handshake refuses.
		InsecureSkipVerify: true,
		// Small records at the start of a stream help browsers; here they only cost system calls.
		DynamicRecordSizingDisabled: true,
	}
	switch {
	case c.Verified():
		c.config.VerifyConnection = c.verify
	case c.mode == ZeroConfig:
		// Every connection shows the certificate that its proof is about.
		c.config.ClientSessionCache = nil
	}
	return c, nil
}

// Handshake makes TLS on conn, on which no byte of TLS has been exchanged yet, and from which none
// has been read ahead. The end of ctx sets conn's deadline into the past; the deadline is not
// touched otherwise. After an error, which is an *Error, conn is of no use any more, but it is still
// the caller's to close; after success, closing the result closes it.
//
// In mode ZeroConfig, where the connection would be one to anybody, it is an error: see unproven.go.
func (c *Client) Handshake(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	if c.mode == ZeroConfig {
		return nil, newError("TLS mode %s is of MariaDB's login only", c.mode).withHint("use tls=verify-full")
	}
	return c.handshake(ctx, conn)
}

func (c *Client) handshake(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	config, curve := c.config, tls.CurveID(c.curve.Load())
	if curve != 0 {
		config = config.Clone()
		config.CurvePreferences = []tls.CurveID{curve}
	}
	tlsConn := tls.Client(conn, config)
	// HandshakeContext is not used because it closes conn when ctx ends.
	disarm := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := tlsConn.Handshake()
	if !disarm() { // ctx has ended, and conn's deadline is in the past or about to be
		err = c.explainEnd(context.Cause(ctx))
	}
	if err != nil {
		c.curve.Store(0) // the server may have changed its mind, so the next handshake offers all again
		return nil, c.explainHandshake(err, curve != 0)
	}
	c.rememberCurve(tlsConn.ConnectionState())
	return tlsConn, nil
}

// Verified reports whether the server's identity is checked against trusted certificates: in modes
// VerifyFull and VerifyCA, and in Require with a CA file.
func (c *Client) Verified() bool {
	return c.mode != ZeroConfig && (c.mode != Require || c.trust.roots != nil)
}

// TrustsSystemOnly reports whether it is the system's roots alone that vouch for the server.
func (c *Client) TrustsSystemOnly() bool { return c.trust.name == systemRootsName }

// Describe says in a few words how the server is verified, for the line that announces a route.
func (c *Client) Describe() string {
	switch {
	case c.mode == ZeroConfig:
		return "TLS zero-config, server proves itself after the login"
	case !c.Verified():
		return "TLS require, server not verified"
	case c.mode == Require:
		return "TLS require, CA verified"
	case c.mode == VerifyFull && c.name.verify != canonicalHost(c.host):
		return "TLS verify-full as " + printable(c.name.verify)
	}
	return "TLS " + c.mode.String()
}

// rememberCurve saves a round trip on the connections to come. Go sends key shares for
// X25519MLKEM768 and X25519; a server that takes only P-256, which was PostgreSQL's default up to
// version 17 (ssl_ecdh_curve), asks for another hello each time. From the second connection on, its
// choice is the only one offered. The choice comes from a completed handshake, so nobody on the way
// can push a verified one; that the server has learned more is noticed after a failed handshake or a
// restart of this program.
//
// https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/libpq/be-secure-openssl.c
func (c *Client) rememberCurve(state tls.ConnectionState) {
	if state.HelloRetryRequest {
		c.curve.Store(uint32(state.CurveID))
	}
}

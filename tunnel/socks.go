package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/net/proxy"
)

// socksPort is the port of SOCKS proxies.
const socksPort = "1080"

// A socks is a SOCKS5 hop.
type socks struct {
	hop   Hop
	addr  string
	under dialFunc
}

// dial has the proxy connect. It also looks up the name.
func (s *socks) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, noSockets(s.hop, address)
	}
	ctx, cancel := context.WithTimeout(ctx, usualTiming.open)
	defer cancel()
	var auth *proxy.Auth
	if s.hop.User != "" {
		auth = &proxy.Auth{User: s.hop.User}
	}
	through := &capture{under: s.under}
	dialer, err := proxy.SOCKS5("tcp", s.addr, auth, through)
	if err != nil {
		return nil, &Error{Hop: s.hop.String(), Err: err}
	}
	_, err = dialer.(proxy.ContextDialer).DialContext(ctx, network, address)
	switch {
	case err == nil:
		return through.conn, nil
	case through.conn == nil:
		return nil, unreached(s.hop, through.err)
	}
	through.conn.Close()
	return nil, s.explain(ctx, address, err)
}

// A capture dials to the proxy and keeps the connection: what package proxy returns in its place hides
// that it can be half-closed, and what else TCP can.
type capture struct {
	under dialFunc
	conn  net.Conn
	err   error
}

var _ proxy.ContextDialer = (*capture)(nil)

// DialContext is called once.
func (c *capture) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c.conn, c.err = c.under(ctx, network, address)
	return c.conn, c.err
}

// Dial is what package proxy asks of a Dialer, and does not call where there is DialContext.
func (c *capture) Dial(network, address string) (net.Conn, error) {
	return c.DialContext(context.Background(), network, address)
}

// explain says why the proxy did not connect. Package proxy has the reply in words only.
func (s *socks) explain(ctx context.Context, address string, err error) error {
	cause := dialCause(err)
	text, isReply := strings.CutPrefix(cause.Error(), "unknown error ")
	switch {
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return beyond(s.hop, address, &reason{"no answer in time", os.ErrDeadlineExceeded})
	case text == "connection not allowed by ruleset":
		return &Error{Hop: s.hop.String(), Err: fmt.Errorf("its rules do not allow a connection to %s", address), Advice: "ask whoever runs the proxy to allow it", Permanent: true}
	case isReply:
		return beyond(s.hop, address, reasonOf(text, address))
	case strings.Contains(text, "authentication"):
		return &Error{Hop: s.hop.String(), Err: errors.New("it asks for a password"), Advice: "use a proxy that asks for none: passwords for proxies are not supported", Permanent: true}
	}
	return &Error{Hop: s.hop.String(), Err: fmt.Errorf("ask for %s: %w", address, cause), Advice: "check that it is a SOCKS5 proxy"}
}

// noSockets is the error for a unix socket by way of what knows hosts only.
func noSockets(h Hop, path string) error {
	return &Error{Hop: h.String(), Err: fmt.Errorf("it can't connect to the unix socket %s", path), Advice: "only ssh:// can; or name host and port in dial=", Permanent: true}
}

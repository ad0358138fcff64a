package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// A connect is a hop by way of an HTTP proxy: https://www.rfc-editor.org/rfc/rfc9110#name-connect
type connect struct {
	hop   Hop
	addr  string
	under dialFunc
}

// dial has the proxy connect. It also looks up the name.
func (c *connect) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, noSockets(c.hop, address)
	}
	ctx, cancel := context.WithTimeout(ctx, usualTiming.open)
	defer cancel()
	conn, err := c.under(ctx, "tcp", c.addr)
	if err != nil {
		return nil, unreached(c.hop, err)
	}
	if conn, err = c.encrypt(ctx, conn); err != nil {
		return nil, err
	}
	status, err := ask(ctx, conn, address)
	if err == nil && status/100 == 2 {
		return conn, nil
	}
	conn.Close()
	return nil, c.explain(ctx, address, status, err)
}

// encrypt makes the way to an https:// proxy one that nobody listens in on.
func (c *connect) encrypt(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if c.hop.Kind != HTTPS {
		return conn, nil
	}
	encrypted := tls.Client(conn, &tls.Config{ServerName: c.hop.Host, NextProtos: []string{"http/1.1"}})
	if err := encrypted.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &Error{Hop: c.hop.String(), Err: fmt.Errorf("encrypt the way to it: %w", err), Advice: "check that it is an https:// proxy, with a certificate that this machine trusts"}
	}
	return encrypted, nil
}

// ask asks for address on conn, and returns the status of the answer. The end of ctx ends it.
func ask(ctx context.Context, conn net.Conn, address string) (status int, err error) {
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return 0, errors.New("a space or a control character in the address") // it would be more than an address
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address)
	if err == nil {
		status, err = readAnswer(conn)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return status, err
}

// maxHead is how long an answer's head may be, in bytes.
const maxHead = 16 << 10

// readAnswer reads the head of the answer, and nothing behind it: a database may already be speaking.
func readAnswer(r io.Reader) (status int, err error) {
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")); {
		if _, err := io.ReadFull(r, one); err != nil {
			return 0, fmt.Errorf("read its answer: %w", err)
		}
		if head = append(head, one[0]); len(head) > maxHead {
			return 0, errors.New("its answer has no end")
		}
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, errors.New("its answer is not HTTP")
	}
	answer.Body.Close()
	return answer.StatusCode, nil
}

// explain says why the proxy did not connect. What is passing for a direct connection is passing here.
func (c *connect) explain(ctx context.Context, address string, status int, err error) error {
	said := fmt.Sprintf("it answers %d %s", status, http.StatusText(status))
	fail := func(permanent bool, advice, format string, args ...any) error {
		return &Error{Hop: c.hop.String(), Err: fmt.Errorf(format, args...), Advice: advice, Permanent: permanent}
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return beyond(c.hop, address, &reason{"no answer in time", os.ErrDeadlineExceeded})
	case err != nil:
		return fail(false, "check that it is an HTTP proxy that knows CONNECT", "ask for %s: %w", address, err)
	case status == http.StatusProxyAuthRequired:
		return fail(true, "use a proxy that asks for none: passwords for proxies are not supported", "it asks for a password (407)")
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable:
		return beyond(c.hop, address, &reason{said, syscall.ECONNREFUSED})
	case status == http.StatusGatewayTimeout:
		return beyond(c.hop, address, &reason{said, os.ErrDeadlineExceeded})
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests: // it may later
	case status/100 == 4:
		return fail(true, "ask whoever runs the proxy to allow CONNECT to it; many allow port 443 only", "it does not connect to %s: %s", address, said)
	}
	return fail(false, "see the proxy's log for the reason", "it does not connect to %s: %s", address, said)
}

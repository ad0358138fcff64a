package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// startTLS encrypts conn, a bare connection to the database, in the protocol's way: SSLRequest and
// one byte of answer, or straight away. In a tunnel there is nothing left to do.
func (e *Engine) startTLS(ctx context.Context, conn net.Conn, to proxy.Endpoint) (net.Conn, error) {
	if to.Tunnel != nil {
		return conn, nil
	}
	defer proxy.Measure(ctx, proxy.StageTLS)()
	if !e.Direct {
		if err := requestTLS(conn); err != nil {
			return nil, err
		}
	}
	encrypted, err := to.TLS.Handshake(ctx, conn)
	if err != nil {
		return nil, &proxy.SetupError{Stage: proxy.StageTLS, Err: err}
	}
	if e.Direct && encrypted.ConnectionState().NegotiatedProtocol != alpn {
		return nil, &proxy.SetupError{
			Stage:  proxy.StageTLS,
			Err:    errors.New("the server did not agree to ALPN protocol postgresql, as direct TLS demands"),
			Advice: "leave sslnegotiation=direct out of the route: servers before PostgreSQL 17 don't have it", Permanent: true,
		}
	}
	return encrypted, nil
}

// alpn is the application protocol that direct TLS demands and that does no harm elsewhere.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
const alpn = "postgresql"

// ALPN is what a dbtls.Client for this protocol offers.
func ALPN() []string { return []string{alpn} }

// requestTLS asks for TLS and reads exactly one byte, so that a byte that someone put behind it ends
// in the TLS handshake and breaks it.
func requestTLS(conn net.Conn) error {
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return proxy.NetworkError(proxy.StageTLS, "ask for TLS", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return proxy.NetworkError(proxy.StageTLS, "ask for TLS", err)
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		return &proxy.SetupError{
			Stage:     proxy.StageTLS,
			Err:       errors.New("the server has no TLS, and a credential is never sent in clear"),
			Advice:    "set ssl=on in the server's configuration, or dial another address",
			Permanent: true,
		}
	case 'E':
		// The text behind it is not authenticated and may come from anyone (CVE-2024-10977).
		return &proxy.SetupError{
			Stage:  proxy.StageTLS,
			Err:    errors.New("the server answered the request for TLS with an error"),
			Advice: proxy.SeeLog,
		}
	}
	return &proxy.SetupError{
		Stage:     proxy.StageTLS,
		Err:       fmt.Errorf("the server answered the request for TLS with %q: this is no PostgreSQL", answer[0]),
		Advice:    "check host and port of the route",
		Permanent: true,
	}
}

package postgres

import (
	"errors"
	"io"
	"net"

	"dbvalet/proxy"
)

// tlsHandshakeRecord is the first byte of a TLS connection; as the first of a length it would mean
// 350 MiB.
const tlsHandshakeRecord = 0x16

// answerSSLRequest answers a client that asked for TLS. What it said in clear before is forgotten, and
// what it sent behind its request is in the way of the handshake, which it breaks (CVE-2021-23214).
func answerSSLRequest(client *proxy.Client) error {
	if client.Door.TLS == nil {
		_, err := client.Write([]byte{'N'})
		return err
	}
	if _, err := client.Write([]byte{'S'}); err != nil {
		return err
	}
	return startLocalTLS(client, nil)
}

// beginTLS goes on with a client that did not ask for TLS but began with it (sslnegotiation=direct,
// PostgreSQL 17), and has said that it means this protocol: a browser can't.
func beginTLS(client *proxy.Client, began [4]byte) error {
	if client.Door.TLS == nil {
		return refuseDirectTLS(client)
	}
	if err := startLocalTLS(client, began[:]); err != nil {
		return err
	}
	if client.TLS().NegotiatedProtocol != alpn {
		return clientError(protocolViolation, "ask for TLS first: leave sslnegotiation=direct out of the client's settings",
			"TLS without being asked for, and without ALPN protocol %s", alpn)
	}
	return nil
}

func startLocalTLS(client *proxy.Client, began []byte) error {
	if err := client.StartTLS(began); err != nil {
		return brokenTLS{err}
	}
	return nil
}

// brokenTLS is the error of a client with which there is no TLS, and nothing in clear any more either.
type brokenTLS struct{ error }

func (e brokenTLS) Unwrap() error { return e.error }

// refuseDirectTLS answers a client that began with TLS in the only words that it understands, an
// alert: handshake_failure, fatal (RFC 8446, section 6).
func refuseDirectTLS(client net.Conn) error {
	_, err := client.Write([]byte{0x15, 3, 1, 0, 2, 2, 40})
	return &proxy.SetupError{
		Stage:  proxy.StageClient,
		Err:    errors.Join(errors.New("client began with a TLS handshake, and there is no TLS on this side"), err),
		Advice: "set sslmode=disable on the client, and not sslnegotiation=direct; or add local_tls=auto to the route",
	}
}

// leftEarly is the error for a client whose next packet did not come, or not whole.
func leftEarly(client *proxy.Client, err error, askedSSL, refusedGSS bool) error {
	switch {
	case err != io.EOF:
		return err
	case client.TLS() != nil:
		return errLeftAfterTLS
	case askedSSL:
		return errLeftAfterNoTLS
	case refusedGSS:
		return errLeftAfterNoGSS
	}
	return err
}

// errLeftAfterTLS is a client that went away when there was TLS. What it thinks of the certificate, it
// says by leaving.
var errLeftAfterTLS = &proxy.SetupError{
	Stage:  proxy.StageClient,
	Err:    errors.New("client left after the TLS handshake"),
	Advice: "it may not accept the name in the certificate: set sslmode=require on the client, or name a certificate in local_tls=",
}

// errLeftAfterNoTLS is a client that went away when it was told that there is no TLS here.
var errLeftAfterNoTLS = &proxy.SetupError{
	Stage: proxy.StageClient,
	Err:   errors.New("client left when it was told that there is no TLS on this side"),
	Advice: "set sslmode=disable on the client: its connection stays on this machine, and the one to the database is encrypted by dbvalet; " +
		"or add local_tls=auto to the route",
}

// errLeftAfterNoGSS is the same for GSSAPI.
var errLeftAfterNoGSS = &proxy.SetupError{
	Stage:  proxy.StageClient,
	Err:    errors.New("client left when it was told that there is no GSSAPI encryption on this side"),
	Advice: "set gssencmode=disable on the client: its connection stays on this machine, and the one to the database is encrypted by dbvalet",
}

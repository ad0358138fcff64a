package mysql

import (
	"context"
	"errors"
	"net"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// startTLS encrypts conn, a bare connection to the database whose greeting has been read and nothing
// else, in the protocol's way: the first 32 bytes of the reply, and then TLS. The server is verified if
// there is no proof that it has to give. In a tunnel there is nothing left to do.
func (e *Engine) startTLS(ctx context.Context, conn net.Conn, to proxy.Endpoint, g *greeting, r *response) (net.Conn, *proof, error) {
	if to.Tunnel != nil {
		return conn, nil, nil
	}
	defer proxy.Measure(ctx, proxy.StageTLS)()
	client := to.TLS
	if g.capabilities&mysql.CLIENT_SSL == 0 {
		return nil, nil, &proxy.SetupError{
			Stage:     proxy.StageTLS,
			Err:       errors.New("the server has no TLS, and a credential is never sent in clear"),
			Advice:    "give the server a certificate (ssl_cert and ssl_key in its configuration), or dial another address",
			Permanent: true,
		}
	}
	if _, err := conn.Write(newPacket(1, r.fixed(g.capabilities))); err != nil {
		return nil, nil, proxy.NetworkError(proxy.StageTLS, "ask for TLS", err)
	}
	if client.Unproven() {
		encrypted, fingerprint, err := client.HandshakeUnproven(ctx, conn)
		if err != nil {
			return nil, nil, &proxy.SetupError{Stage: proxy.StageTLS, Err: err}
		}
		return encrypted, &proof{fingerprint: fingerprint, scramble: g.scramble}, nil
	}
	encrypted, err := client.Handshake(ctx, conn)
	if err != nil {
		return nil, nil, &proxy.SetupError{Stage: proxy.StageTLS, Err: err, Advice: e.adviseZeroConfig(err, client, g)}
	}
	return encrypted, nil, nil
}

package dbtls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
)

// A Fingerprint is the SHA-256 of a server's certificate.
type Fingerprint [sha256.Size]byte

// Unproven reports whether handshakes are HandshakeUnproven's to make: in mode ZeroConfig.
func (c *Client) Unproven() bool { return c.mode == ZeroConfig }

// HandshakeUnproven is Handshake for mode ZeroConfig, and an error in every other one. What it returns
// may be a connection to anybody: the caller sends nothing on it that is worth something to somebody
// else, and closes it unless the server proves that it knows both a secret that they share and the
// certificate of this fingerprint.
func (c *Client) HandshakeUnproven(ctx context.Context, conn net.Conn) (*tls.Conn, Fingerprint, error) {
	if c.mode != ZeroConfig {
		return nil, Fingerprint{}, newError("TLS mode %s has no unproven handshakes", c.mode)
	}
	encrypted, err := c.handshake(ctx, conn)
	if err != nil {
		return nil, Fingerprint{}, err
	}
	chain := encrypted.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return nil, Fingerprint{}, c.failure(errors.New("no certificate"), "the server sent no certificate")
	}
	return encrypted, sha256.Sum256(chain[0].Raw), nil
}

package dbtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// verify decides whether state is a connection to the expected server. crypto/tls calls it in every
// handshake, a resumed one included, before anything of ours is sent. It keeps the dates, the chain
// and the key usage apart from the name, so that the error can say which one it was.
func (c *Client) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return c.failure(errors.New("no certificate"), "the server sent no certificate")
	}
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         c.trust.roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return c.explainChain(leaf, err)
	}
	// Only the two modes that are known not to look at the name leave it out.
	if c.mode == VerifyCA || c.mode == Require {
		return nil
	}
	if c.name.cloudSQL {
		return c.verifyCommonName(leaf)
	}
	if err := leaf.VerifyHostname(c.name.verify); err != nil {
		return c.explainName(leaf, err)
	}
	return nil
}

// verifyCommonName accepts the older certificates of Cloud SQL, whose only name is the common name.
// A certificate with DNS names is not one of them: whoever signed that has looked at those, and
// perhaps not at the common name, so it must be verified by one of them.
func (c *Client) verifyCommonName(leaf *x509.Certificate) error {
	if len(leaf.DNSNames) > 0 || leaf.Subject.CommonName != c.name.verify {
		return c.explainName(leaf, errors.New("common name does not match"))
	}
	return nil
}

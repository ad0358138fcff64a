package dbtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// LocalOptions say how clients on this side are answered that ask for TLS.
type LocalOptions struct {
	// CertFile has the certificate, and those that lead to its root, in PEM. Empty is one that is made
	// for the life of this process and signed by itself: what is encrypted with it does not leave this
	// machine, and who insists on TLS is content; who verifies it isn't.
	CertFile string
	// KeyFile has the certificate's key; empty is CertFile.
	KeyFile string
	// ClientCAFile has the certificates that vouch for clients, who must have one then; empty asks for
	// none.
	ClientCAFile string
	// NextProtos are the ALPN protocols to agree to.
	NextProtos []string
}

// NewLocal returns how clients are answered. The error is an *Error.
func NewLocal(o LocalOptions) (*tls.Config, error) {
	cert, err := localCertificate(o)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		Certificates:                []tls.Certificate{cert},
		NextProtos:                  o.NextProtos,
		DynamicRecordSizingDisabled: true,
	}
	if o.ClientCAFile != "" {
		if config.ClientCAs, err = readCAFile(o.ClientCAFile); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// localCertificate reads the certificate, or makes one.
func localCertificate(o LocalOptions) (tls.Certificate, error) {
	if o.CertFile == "" {
		cert, err := ownCertificate()
		if err != nil {
			return cert, newError("make a certificate: %w", err)
		}
		return cert, nil
	}
	key := o.KeyFile
	if key == "" {
		key = o.CertFile
	}
	cert, err := tls.LoadX509KeyPair(o.CertFile, key)
	if err != nil {
		return cert, newError("read the certificate %s with key %s: %w", o.CertFile, key, err).
			withHint("both are PEM files; name the key in local_tls_key= if it is not in the same file")
	}
	return cert, nil
}

// selfSignedLife is longer than the process that keeps the certificate.
const selfSignedLife = 20 * 365 * 24 * time.Hour

// ownCertificate makes a certificate for this machine, as seen from itself.
func ownCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("dbvalet on %s", names[len(names)-1])},
		DNSNames:              names,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             time.Now().Add(-time.Hour), // clocks differ
		NotAfter:              time.Now().Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

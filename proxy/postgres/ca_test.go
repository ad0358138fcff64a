package postgres

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	dbtls "dbvalet/tls"
)

// An authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// testCA is the one that the route under test trusts; otherCA is somebody else's; ed25519CA is
// trusted too, and its signatures name no hash.
var (
	testCA    = sync.OnceValue(func() *authority { return newAuthority("Test Root", newECDSAKey()) })
	otherCA   = sync.OnceValue(func() *authority { return newAuthority("Other Root", newECDSAKey()) })
	ed25519CA = sync.OnceValue(func() *authority { return newAuthority("Ed25519 Root", newEd25519Key()) })
)

func newECDSAKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newEd25519Key() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newAuthority(name string, key crypto.Signer) *authority {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	a := &authority{template, key}
	a.cert = a.sign(template, key).Leaf
	return a
}

// sign makes the certificate of template for key.
func (a *authority) sign(template *x509.Certificate, key crypto.Signer) tls.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serverName is what the certificates of the tests' databases are made out to.
const serverName = "db.test"

// issue makes a server's certificate, which edit changes before it is signed.
func (a *authority) issue(edit func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "leaf"},
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	return a.sign(template, newECDSAKey())
}

// trusting is what verifies a database whose certificate is from one of cas.
func trusting(t testing.TB, cas ...*authority) *dbtls.Client {
	t.Helper()
	var data []byte
	for _, a := range cas {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := dbtls.New(dbtls.Options{Host: serverName, CAFile: file, NextProtos: ALPN()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// serverTLS is the configuration of a database with cert, as PostgreSQL has it since version 17.
func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"postgresql"}}
}

// goodTLS is what a database shows that is the right one.
var goodTLS = sync.OnceValue(func() *tls.Config { return serverTLS(testCA().issue(nil)) })

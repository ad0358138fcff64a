//go:debug x509usefallbackroots=1

package dbtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// publicCA is the only root of the "system" that the tests run on.
var publicCA = func() *authority {
	ca, err := makeAuthority("Public Root")
	if err != nil {
		panic(err)
	}
	return ca
}()

// TestMain makes publicCA the system's only root, with the help of the directive at the top.
func TestMain(m *testing.M) {
	system := x509.NewCertPool()
	system.AddCert(publicCA.cert)
	x509.SetFallbackRoots(system)
	os.Exit(m.Run())
}

// An authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	ca, err := makeAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func makeAuthority(name string) (*authority, error) {
	template := caTemplate(name)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// file writes the authority's certificate where CAFile can point to.
func (a *authority) file(t testing.TB) string {
	t.Helper()
	return writeFile(t, "ca.pem", a.pem())
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// issue signs a server certificate for db.test, which edit changes before.
func (a *authority) issue(t testing.TB, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "leaf"},
		DNSNames:     []string{"db.test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	return a.sign(t, template)
}

// intermediate signs the certificate of a CA below a, which edit changes before.
func (a *authority) intermediate(t testing.TB, edit func(*x509.Certificate)) *authority {
	t.Helper()
	template := caTemplate("Intermediate")
	if edit != nil {
		edit(template)
	}
	signed := a.sign(t, template)
	return &authority{signed.Leaf, signed.PrivateKey.(crypto.Signer)}
}

func (a *authority) sign(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// withChain adds the certificates of cas to what the server sends.
func withChain(cert tls.Certificate, cas ...*authority) tls.Certificate {
	for _, ca := range cas {
		cert.Certificate = append(cert.Certificate, ca.cert.Raw)
	}
	return cert
}

// selfSigned returns a certificate for db.test that vouches for itself.
func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	ca := newAuthority(t, "self")
	template := caTemplate("self")
	template.IsCA = false
	template.DNSNames = []string{"db.test"}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.key, Leaf: leaf}
}

// Edits for issue.

func names(dns ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = dns }
}

func commonName(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = name, nil }
}

func address(ip string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = []net.IP{net.ParseIP(ip)}, nil }
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func notYetValid(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }

func forClients(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

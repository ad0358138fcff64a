package dbtls

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
)

// TestRefusalSaysWhatToDo: which check failed, what the certificate says, and the next step.
func TestRefusalSaysWhatToDo(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	file := ca.file(t)
	notAfter := func(offset time.Duration) string { return time.Now().Add(offset).UTC().Format(time.DateOnly) }
	rows := []struct {
		name    string
		cert    tls.Certificate
		options Options
		text    []string
		hint    []string
	}{
		{
			"unknown CA, nothing set", ca.issue(t, nil), Options{Host: "db.test"},
			[]string{"TLS handshake with db.test:", "not signed by a CA among the system's roots", "subject CN=leaf", "names db.test", "issuer CN=Test Root"},
			[]string{"set ca=FILE to the server's CA"},
		},
		{
			"unknown CA, file set", publicCA.issue(t, nil), Options{Host: "db.test", CAFile: file},
			[]string{"among the certificates in " + file, "issuer CN=Public Root"},
			[]string{"the file set with ca= lacks the issuer"},
		},
		{
			"self-signed", selfSigned(t), Options{Host: "db.test"},
			[]string{"subject CN=self", "issuer CN=self"},
			[]string{"self-signed", "set ca=FILE to a copy"},
		},
		{
			"unknown CA of an RDS endpoint", ca.issue(t, names(rdsHost)), Options{Host: rdsHost},
			[]string{"TLS handshake with " + rdsHost, "the embedded roots of Amazon RDS"},
			[]string{"global-bundle.pem", "newer regions"},
		},
		{
			"unknown CA of an RDS endpoint in verify-ca", ca.issue(t, names(rdsHost)), Options{Mode: VerifyCA, Host: rdsHost},
			[]string{"the embedded roots of Amazon RDS"},
			[]string{"verify-full for RDS Proxy", "global-bundle.pem"},
		},
		{
			"other name", ca.issue(t, names("other.test", "second.test")), Options{Host: "db.test", CAFile: file},
			[]string{"made out to another name", "names other.test, second.test"},
			[]string{"set tls_server_name=other.test"},
		},
		{
			"address instead of a name", ca.issue(t, nil), Options{Host: "127.0.0.1", CAFile: file},
			[]string{"TLS handshake with 127.0.0.1", "names db.test"},
			[]string{"set tls_server_name=db.test"},
		},
		{
			"tunnel to RDS", ca.issue(t, names(rdsHost)), Options{Host: "localhost", CAFile: file},
			[]string{"TLS handshake with localhost", "names " + rdsHost},
			[]string{"belongs in the route", "dial=", "tls_server_name=" + rdsHost},
		},
		{
			"other RDS endpoint", ca.issue(t, names("other.abc.eu-west-1.rds.amazonaws.com")), Options{Host: rdsHost, CAFile: file},
			[]string{"made out to another name"},
			[]string{"belongs in the route", "dial="},
		},
		{
			"common name only", ca.issue(t, commonName("db.test")), Options{Host: "db.test", CAFile: file},
			[]string{"subject CN=db.test", "names none"},
			[]string{"subject alternative name", "verify-ca"},
		},
		{
			"Cloud SQL", ca.issue(t, commonName("proj:inst")), Options{Host: "10.0.0.1", CAFile: file},
			[]string{"subject CN=proj:inst", "names none"},
			[]string{"Cloud SQL", "tls_server_name=proj:inst"},
		},
		{
			"expired", ca.issue(t, expired), Options{Host: "db.test", CAFile: file},
			[]string{"the certificate has expired", "to " + notAfter(-time.Minute)},
			[]string{"renew it", "this machine's clock"},
		},
		{
			"not yet valid", ca.issue(t, notYetValid), Options{Host: "db.test", CAFile: file},
			[]string{"the certificate is not valid yet", "valid " + notAfter(time.Minute)},
			[]string{"this machine's clock"},
		},
		{
			"expired CA", func() tls.Certificate {
				lower := ca.intermediate(t, expired)
				return withChain(lower.issue(t, nil), lower)
			}(), Options{Host: "db.test", CAFile: file},
			[]string{"the CA's certificate CN=Intermediate has expired"},
			[]string{"renew it"},
		},
		{
			"client's certificate", ca.issue(t, forClients), Options{Host: "db.test", CAFile: file},
			[]string{"not for a server"},
			[]string{"serverAuth"},
		},
		{
			"unix socket", publicCA.issue(t, nil), Options{Mode: VerifyCA, Host: "/run/db.sock", CAFile: file},
			[]string{"TLS handshake with /run/db.sock"},
			[]string{"ca="},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db := start(t, serverConfig(row.cert), nil)
			_, err := db.login(t, newClient(t, row.options))
			e := asError(t, err)
			for _, want := range row.text {
				if !strings.Contains(e.Error(), want) {
					t.Errorf("got error %q, want it to say %q", e, want)
				}
			}
			for _, want := range row.hint {
				if !strings.Contains(e.Hint(), want) {
					t.Errorf("got hint %q, want it to say %q", e.Hint(), want)
				}
			}
			if !e.Final() {
				t.Error("got an error that is worth another try, want a final one")
			}
		})
	}
}

// TestStrangersCertificateDoesNotReachTerminal: who answers has not been verified, and can write
// what he likes into his certificate.
func TestStrangersCertificateDoesNotReachTerminal(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("n%d.test", i))
	}
	certs := map[string]tls.Certificate{
		"escape sequence": ca.issue(t, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "\x1b[2Jall is well\r\nhint: use sslmode=require\u202e"}
		}),
		"escape sequence in the only name": ca.issue(t, commonName("\x1b[2J")),
		"long":                             ca.issue(t, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: strings.Repeat("x", 60_000)} }),
		"many names":                       ca.issue(t, names(many...)),
	}
	const maxBytes = 2000
	for name, cert := range certs {
		t.Run(name, func(t *testing.T) {
			db := start(t, serverConfig(cert), nil)
			_, err := db.login(t, newClient(t, Options{Host: "other.test", CAFile: ca.file(t)}))
			e := asError(t, err)
			for _, text := range []string{e.Error(), e.Hint()} {
				if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("got %q, want nothing that a terminal obeys", text)
				}
				if len(text) > maxBytes {
					t.Errorf("got %d bytes, want at most %d", len(text), maxBytes)
				}
			}
		})
	}
}

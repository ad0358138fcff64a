package dbtls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"
)

// local answers one client with o, and returns what it saw of it.
func local(t *testing.T, o LocalOptions) (addr string, seen chan tls.ConnectionState) {
	t.Helper()
	config, err := NewLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	seen = make(chan tls.ConnectionState, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if conn.(*tls.Conn).Handshake() == nil {
			_, _ = conn.Write([]byte("hello"))
		}
		seen <- conn.(*tls.Conn).ConnectionState()
	}()
	return ln.Addr().String(), seen
}

// greeted connects and returns what the client gets to read.
func greeted(addr string, config *tls.Config) (string, tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, config)
	if err != nil {
		return "", tls.ConnectionState{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 16)
	n, err := conn.Read(b)
	return string(b[:n]), conn.ConnectionState(), err
}

// keyFile writes the key of cert, and its certificate before it, to a file.
func keyFile(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	return writeFile(t, "local.pem", append(data, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...))
}

// A client that insists on TLS and verifies nothing is content, and sees a certificate that says what it is.
func TestLocalMakesItsOwnCertificate(t *testing.T) {
	addr, _ := local(t, LocalOptions{NextProtos: []string{"postgresql"}})
	got, state, err := greeted(addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
	if err != nil || got != "hello" || state.NegotiatedProtocol != "postgresql" {
		t.Fatalf("got %q, %q, %v", got, state.NegotiatedProtocol, err)
	}
	cert := state.PeerCertificates[0]
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if cert.IsCA || time.Until(cert.NotAfter) < selfSignedLife-24*time.Hour {
		t.Errorf("got a certificate with CA %v until %v, want one of a server, for long", cert.IsCA, cert.NotAfter)
	}
	other, err := ownCertificate()
	if err != nil || string(other.Certificate[0]) == string(cert.Raw) {
		t.Errorf("got the same certificate twice, %v", err)
	}
}

func TestLocalHasItsCertificateFromAFile(t *testing.T) {
	ca := newAuthority(t, "local")
	addr, _ := local(t, LocalOptions{CertFile: keyFile(t, ca.issue(t, names("db.local")))})
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	if got, _, err := greeted(addr, &tls.Config{RootCAs: roots, ServerName: "db.local"}); got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLocalWantsCertificatesOfItsCA(t *testing.T) {
	ca, stranger := newAuthority(t, "clients"), newAuthority(t, "strangers")
	for _, row := range []struct {
		name  string
		certs []tls.Certificate
		want  string
	}{
		{"none", nil, ""},
		{"of another CA", []tls.Certificate{stranger.issue(t, forClients)}, ""},
		{"of a server", []tls.Certificate{ca.issue(t, nil)}, ""},
		{"expired", []tls.Certificate{ca.issue(t, func(c *x509.Certificate) { forClients(c); expired(c) })}, ""},
		{"of the CA", []tls.Certificate{ca.issue(t, forClients)}, "hello"},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr, seen := local(t, LocalOptions{ClientCAFile: ca.file(t)})
			got, _, err := greeted(addr, &tls.Config{InsecureSkipVerify: true, Certificates: row.certs})
			if got != row.want || (err == nil) != (row.want != "") {
				t.Errorf("the client got %q, %v, want %q", got, err, row.want)
			}
			if state := <-seen; (len(state.VerifiedChains) > 0) != (row.want != "") {
				t.Errorf("%d chains are verified", len(state.VerifiedChains))
			}
		})
	}
}

func TestLocalSaysWhatIsWrongWithItsFiles(t *testing.T) {
	ca := newAuthority(t, "local")
	cert := keyFile(t, ca.issue(t, nil))
	for _, o := range []LocalOptions{
		{CertFile: "/nowhere.pem"},
		{CertFile: ca.file(t)},                                  // without a key
		{CertFile: cert, KeyFile: keyFile(t, ca.issue(t, nil))}, // of another certificate
		{CertFile: cert, ClientCAFile: "/nowhere.pem"},
		{ClientCAFile: cert}, // with a key in it
	} {
		_, err := NewLocal(o)
		if e := asError(t, err); e.Hint() == "" || !e.Final() {
			t.Errorf("%+v: got %v with hint %q", o, e, e.Hint())
		}
	}
}

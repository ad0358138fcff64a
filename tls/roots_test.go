package dbtls

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

const rdsHost = "orders.abc123.eu-west-1.rds.amazonaws.com"

func TestEmbeddedRDSRootsAreSound(t *testing.T) {
	certs, err := parseCA("rds-roots.pem", rdsRoots)
	if err != nil {
		t.Fatal(err)
	}
	const want = 81 // three for each of 27 regions
	if len(certs) != want {
		t.Errorf("got %d certificates, want %d", len(certs), want)
	}
	subject := regexp.MustCompile(`^Amazon RDS ([a-z]+-[a-z]+-[0-9]) Root CA (ECC384|RSA2048|RSA4096) G1$`)
	soon := time.Now().AddDate(0, 0, 180)
	seen, regions := map[string]bool{}, map[string]int{}
	for _, cert := range certs {
		name := cert.Subject.CommonName
		parts := subject.FindStringSubmatch(name)
		if parts == nil {
			t.Errorf("%s: not the root of a region", name)
			continue
		}
		regions[parts[1]]++
		if lower := strings.ToLower(cert.Subject.String()); strings.Contains(lower, "beta") || strings.Contains(lower, "preview") || strings.Contains(lower, "test") {
			t.Errorf("%s: not a production root", name)
		}
		if cert.NotAfter.Before(soon) || cert.NotBefore.After(time.Now()) {
			t.Errorf("%s: valid %v to %v, want it valid for 180 more days", name, cert.NotBefore, cert.NotAfter)
		}
		if !cert.IsCA || cert.CheckSignatureFrom(cert) != nil {
			t.Errorf("%s: not a self-signed CA", name)
		}
		if seen[string(cert.Raw)] || seen[name] {
			t.Errorf("%s: there twice", name)
		}
		seen[string(cert.Raw)], seen[name] = true, true
		comment := "# CN=" + name + "; region " + parts[1] + "; not after " + cert.NotAfter.Format(time.DateOnly) + "\n"
		if !bytes.Contains(rdsRoots, []byte(comment)) {
			t.Errorf("%s: want the comment %q", name, comment)
		}
	}
	for region, n := range regions {
		if n != 3 {
			t.Errorf("%s: got %d roots, want 3", region, n)
		}
	}
}

// TestRootsByHostAndFile shows who is trusted in which case.
func TestRootsByHostAndFile(t *testing.T) {
	own := newAuthority(t, "Test Root")
	file := own.file(t)
	rds, err := parseCA("rds-roots.pem", rdsRoots)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name                string
		options             Options
		own, public, amazon bool
	}{
		{name: "nothing set", options: Options{Host: "db.test"}, public: true},
		{name: "RDS", options: Options{Host: rdsHost}, public: true, amazon: true},
		{name: "RDS by server name", options: Options{Host: "localhost", ServerName: rdsHost}, public: true, amazon: true},
		{name: "RDS with system", options: Options{Host: rdsHost, CAFile: "system"}, public: true},
		{name: "RDS with file", options: Options{Host: rdsHost, CAFile: file}, own: true},
		{name: "RDS in verify-ca", options: Options{Mode: VerifyCA, Host: rdsHost}, amazon: true},
		{name: "RDS in verify-ca with file", options: Options{Mode: VerifyCA, Host: rdsHost, CAFile: file}, own: true},
		{name: "system", options: Options{Host: "db.test", CAFile: "system"}, public: true},
		{name: "file", options: Options{Host: "db.test", CAFile: file}, own: true},
		{name: "file in verify-ca", options: Options{Mode: VerifyCA, Host: "db.test", CAFile: file}, own: true},
		{name: "file in require", options: Options{Mode: Require, Host: "db.test", CAFile: file}, own: true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			roots := newClient(t, row.options).trust.roots
			trusts := func(cert *x509.Certificate) bool {
				_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
				return err == nil
			}
			if got := trusts(own.cert); got != row.own {
				t.Errorf("the file's CA is trusted: got %v, want %v", got, row.own)
			}
			if got := trusts(publicCA.cert); got != row.public {
				t.Errorf("the system's root is trusted: got %v, want %v", got, row.public)
			}
			for _, cert := range rds {
				if got := trusts(cert); got != row.amazon {
					t.Errorf("%s is trusted: got %v, want %v", cert.Subject.CommonName, got, row.amazon)
				}
			}
		})
	}
	if roots := newClient(t, Options{Mode: Require, Host: rdsHost}).trust.roots; roots != nil {
		t.Error("require without a CA file has roots, but verifies nothing")
	}
}

func TestEmbeddedRootsDoNotLeakIntoOtherClients(t *testing.T) {
	newClient(t, Options{Host: rdsHost})
	rds, err := parseCA("rds-roots.pem", rdsRoots)
	if err != nil {
		t.Fatal(err)
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rds[0].Verify(x509.VerifyOptions{Roots: system, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("the roots of Amazon RDS are among the system's")
	}
}

func TestMissingSystemRootsAreNoticedAtOnce(t *testing.T) {
	unreadable := errors.New("unreadable")
	for name, read := range map[string]func() (*x509.CertPool, error){
		"none":       func() (*x509.CertPool, error) { return x509.NewCertPool(), nil },
		"unreadable": func() (*x509.CertPool, error) { return nil, unreadable },
	} {
		pool, readErr := read()
		_, err := systemTrust(pool, readErr, false)
		if e := asError(t, err); !strings.Contains(e.Hint(), "ca-certificates") {
			t.Errorf("%s: got %q, hint %q, want a hint at ca-certificates", name, e, e.Hint())
		}
		pool, readErr = read()
		if got, err := systemTrust(pool, readErr, true); err != nil || got.roots.Equal(x509.NewCertPool()) {
			t.Errorf("%s: got %v for an RDS endpoint, want the embedded roots", name, err)
		}
	}
}

func TestSystemRootsVerifyPublicServer(t *testing.T) {
	good := start(t, serverConfig(publicCA.issue(t, nil)), nil)
	own := start(t, serverConfig(newAuthority(t, "Test Root").issue(t, nil)), nil)
	for _, file := range []string{"", "system"} {
		_, err := good.login(t, newClient(t, Options{Host: "db.test", CAFile: file}))
		expectRefusal(t, good, err, "")
		good.received = nil
		_, err = own.login(t, newClient(t, Options{Host: "db.test", CAFile: file}))
		expectRefusal(t, own, err, "is not signed by a CA among the system's roots")
	}
}

func TestCAFileIsTakenWholeOrNotAtAll(t *testing.T) {
	a, b := newAuthority(t, "A"), newAuthority(t, "B")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, []byte("\n")) }
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1}}) }
	cut := a.pem()[:len(a.pem())/2]
	rows := []struct {
		name string
		data []byte
		want int
		text string
		hint string
	}{
		{name: "one", data: a.pem(), want: 1},
		{name: "two with text around", data: join([]byte("# A\n"), a.pem(), []byte("subject=B"), b.pem(), []byte("end")), want: 2},
		{name: "line ends of Windows", data: bytes.ReplaceAll(a.pem(), []byte("\n"), []byte("\r\n")), want: 1},
		{name: "empty", data: nil, text: "no certificate in it", hint: "BEGIN CERTIFICATE"},
		{name: "text", data: []byte("hello"), text: "no certificate in it", hint: "BEGIN CERTIFICATE"},
		{name: "DER", data: a.cert.Raw, text: "is in DER", hint: "openssl x509 -inform der"},
		{name: "private key", data: join(a.pem(), block("PRIVATE KEY")), text: "private key in it", hint: "belongs nowhere near"},
		{name: "EC private key", data: join(block("EC PRIVATE KEY"), a.pem()), text: "private key in it", hint: "belongs nowhere near"},
		{name: "request", data: block("CERTIFICATE REQUEST"), text: `PEM block "CERTIFICATE REQUEST"`, hint: "BEGIN CERTIFICATE"},
		{name: "trusted certificate", data: block("TRUSTED CERTIFICATE"), text: `PEM block "TRUSTED CERTIFICATE"`, hint: "BEGIN CERTIFICATE"},
		{name: "no certificate inside", data: join(a.pem(), block("CERTIFICATE")), text: "certificate 2: x509:", hint: "BEGIN CERTIFICATE"},
		{name: "cut off", data: join(b.pem(), cut), text: "1 of 2 certificates are damaged", hint: "copy the file again"},
		{name: "cut in the middle", data: join(cut, b.pem()), text: "1 of 2 certificates are damaged", hint: "copy the file again"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			file := writeFile(t, "ca.pem", row.data)
			if row.text == "" {
				certs, err := parseCA(file, row.data)
				if err != nil || len(certs) != row.want {
					t.Errorf("got %d certificates, %v, want %d", len(certs), err, row.want)
				}
				newClient(t, Options{Host: "db.test", CAFile: file})
				return
			}
			_, err := New(Options{Host: "db.test", CAFile: file})
			e := asError(t, err)
			if !strings.Contains(e.Error(), row.text) || !strings.Contains(e.Error(), file) {
				t.Errorf("got error %q, want it to say %q and the file", e, row.text)
			}
			if !strings.Contains(e.Hint(), row.hint) {
				t.Errorf("got hint %q, want it to say %q", e.Hint(), row.hint)
			}
		})
	}
}

// FuzzParseCA: whatever is in the file, it is certificates or an error with a hint.
func FuzzParseCA(f *testing.F) {
	ca := newAuthority(f, "A")
	f.Add(ca.pem())
	f.Add(ca.cert.Raw)
	f.Add(append(ca.pem(), ca.pem()[:100]...))
	f.Add(rdsRoots[:len(rdsRoots)/20])
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseCA("ca.pem", data)
		if err != nil {
			if e := asError(t, err); e.Hint() == "" || len(certs) > 0 {
				t.Errorf("got %d certificates, %q, hint %q", len(certs), e, e.Hint())
			}
			return
		}
		if len(certs) == 0 {
			t.Error("got neither certificates nor an error")
		}
	})
}

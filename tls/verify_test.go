package dbtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// TestCredentialGoesOnlyToExpectedServer crosses every kind of certificate with every mode.
func TestCredentialGoesOnlyToExpectedServer(t *testing.T) {
	ca, otherCA := newAuthority(t, "Test Root"), newAuthority(t, "Test Root")
	lower := ca.intermediate(t, nil)
	expiredLower := ca.intermediate(t, expired)
	noCA := ca.intermediate(t, func(c *x509.Certificate) { c.IsCA = false })
	confined := ca.intermediate(t, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.test"}, true
	})

	const (
		accepted = ""
		name     = "is made out to another name"
		notOurs  = "is not signed by a CA among the certificates in"
		date     = "has expired"
		early    = "is not valid yet"
		usage    = "is not for a server"
		invalid  = "is not valid"
	)
	rows := []struct {
		name string
		cert tls.Certificate
		host string // empty: db.test
		full string // what verify-full says
		ca   string // what verify-ca says, and require with a CA file
	}{
		{name: "good", cert: ca.issue(t, nil)},
		{name: "wildcard", cert: ca.issue(t, names("*.test"))},
		{name: "second name", cert: ca.issue(t, names("a.test", "db.test"))},
		{name: "upper case and dot in host", cert: ca.issue(t, nil), host: "DB.Test."},
		{name: "no extended usage", cert: ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = nil })},
		{name: "wrong name", cert: ca.issue(t, names("other.test")), full: name},
		{name: "wildcard too deep", cert: ca.issue(t, names("*.test")), host: "a.db.test", full: name},
		{name: "right common name beside wrong name", full: name, cert: ca.issue(t, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames = "db.test", []string{"other.test"}
		})},
		{name: "common name only", cert: ca.issue(t, commonName("db.test")), full: name},
		{name: "other CA of the same name", cert: otherCA.issue(t, nil), full: notOurs, ca: notOurs},
		{name: "public CA", cert: publicCA.issue(t, nil), full: notOurs, ca: notOurs},
		{name: "other CA in the chain", cert: withChain(otherCA.issue(t, nil), otherCA), full: notOurs, ca: notOurs},
		{name: "self-signed", cert: selfSigned(t), full: notOurs, ca: notOurs},
		{name: "expired", cert: ca.issue(t, expired), full: date, ca: date},
		{name: "not yet valid", cert: ca.issue(t, notYetValid), full: early, ca: early},
		{name: "client's certificate", cert: ca.issue(t, forClients), full: usage, ca: usage},
		{name: "address", cert: ca.issue(t, address("127.0.0.1")), host: "127.0.0.1"},
		{name: "IPv6 address with zone", cert: ca.issue(t, address("fe80::1")), host: "[fe80::1%eth0]"},
		{name: "wrong address", cert: ca.issue(t, address("127.0.0.2")), host: "127.0.0.1", full: name},
		{name: "address as DNS name", cert: ca.issue(t, names("127.0.0.1")), host: "127.0.0.1", full: name},
		{name: "address as common name", cert: ca.issue(t, commonName("127.0.0.1")), host: "127.0.0.1", full: name},
		{name: "name for an address", cert: ca.issue(t, nil), host: "127.0.0.1", full: name},
		{name: "intermediate", cert: withChain(lower.issue(t, nil), lower)},
		{name: "intermediate not sent", cert: lower.issue(t, nil), full: notOurs, ca: notOurs},
		{name: "intermediate expired", cert: withChain(expiredLower.issue(t, nil), expiredLower), full: date, ca: date},
		{name: "intermediate is no CA", cert: withChain(noCA.issue(t, nil), noCA), full: notOurs, ca: notOurs},
		{name: "intermediate is for another domain", cert: withChain(confined.issue(t, nil), confined), full: invalid, ca: invalid},
	}
	modes := []struct {
		name string
		mode Mode
		file string
	}{
		{"verify-full", VerifyFull, ca.file(t)},
		{"verify-ca", VerifyCA, ca.file(t)},
		{"require with CA", Require, ca.file(t)},
		{"require", Require, ""},
	}
	for _, row := range rows {
		for _, mode := range modes {
			t.Run(row.name+"/"+mode.name, func(t *testing.T) {
				t.Parallel()
				want := row.ca
				if mode.mode == VerifyFull {
					want = row.full
				} else if mode.file == "" {
					want = accepted
				}
				host := row.host
				if host == "" {
					host = "db.test"
				}
				db := start(t, serverConfig(row.cert), nil)
				_, err := db.login(t, newClient(t, Options{Mode: mode.mode, Host: host, CAFile: mode.file}))
				expectRefusal(t, db, err, want)
			})
		}
	}
}

// expectRefusal checks that err says want and that no credential was sent, or the opposite of both
// if want is empty.
func expectRefusal(t *testing.T, db *database, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		if got := db.credentials(); got != credential {
			t.Errorf("server got %q, want %q", got, credential)
		}
		return
	}
	if got := db.credentials(); got != "" {
		t.Errorf("server got %q, want nothing", got)
	}
	e := asError(t, err)
	if !strings.Contains(e.Error(), want) {
		t.Errorf("got error %q, want it to say %q", e, want)
	}
	if !e.Final() {
		t.Errorf("got an error that is worth another try, want a final one: %v", e)
	}
}

func TestServerNameReplacesHost(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	db := start(t, serverConfig(ca.issue(t, names("real.test"))), nil)
	file := ca.file(t)

	_, err := db.login(t, newClient(t, Options{Host: "localhost", ServerName: "real.test", CAFile: file}))
	expectRefusal(t, db, err, "")
	if got := db.lastSNI(); got != "real.test" {
		t.Errorf("got SNI %q, want real.test", got)
	}
	if _, err = db.login(t, newClient(t, Options{Host: "real.test", ServerName: "other.test", CAFile: file})); err == nil {
		t.Error("a server name that the certificate does not have was accepted because of the host")
	}
}

func TestNameSentToServer(t *testing.T) {
	cert := newAuthority(t, "Test Root").issue(t, nil)
	rows := []struct{ host, serverName, want string }{
		{"db.test", "", "db.test"},
		{"DB.test.", "", "db.test"},
		{"db.test", "other.test.", "other.test"},
		{"127.0.0.1", "", ""},
		{"::1", "", ""},
		{"[::1]", "", ""},
		{"/var/run/postgresql", "", ""},
		{"/var/run/postgresql", "db.test", "db.test"},
		{"10.0.0.1", "project:instance", ""},
	}
	for _, row := range rows {
		t.Run(row.host+" "+row.serverName, func(t *testing.T) {
			db := start(t, serverConfig(cert), nil)
			c := newClient(t, Options{Mode: Require, Host: row.host, ServerName: row.serverName})
			if _, err := db.login(t, c); err != nil {
				t.Fatal(err)
			}
			if got := db.lastSNI(); got != row.want {
				t.Errorf("got SNI %q, want %q", got, row.want)
			}
		})
	}
}

func TestOldCloudSQLCertificateIsVerifiedByCommonName(t *testing.T) {
	ca, otherCA := newAuthority(t, "Google Cloud SQL Server CA"), newAuthority(t, "Google Cloud SQL Server CA")
	const another = "is made out to another name"
	rows := []struct {
		name       string
		cert       tls.Certificate
		serverName string
		want       string
	}{
		{"same", ca.issue(t, commonName("proj:inst")), "proj:inst", ""},
		{"same with domain", ca.issue(t, commonName("example.com:proj:inst")), "example.com:proj:inst", ""},
		{"other instance", ca.issue(t, commonName("proj:other")), "proj:inst", another},
		{"other case", ca.issue(t, commonName("proj:INST")), "proj:inst", another},
		{"other domain", ca.issue(t, commonName("proj:inst")), "example.com:proj:inst", another},
		{"longer", ca.issue(t, commonName("proj:inst2")), "proj:inst", another},
		{"none", ca.issue(t, commonName("")), "proj:inst", another},
		{"with DNS name as well", ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "proj:inst" }), "proj:inst", another},
		{"DNS name is verified as usual", ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "proj:inst" }), "db.test", ""},
		{"common name is no host name", ca.issue(t, commonName("proj:inst")), "db.test", another},
		{"other CA", otherCA.issue(t, commonName("proj:inst")), "proj:inst", "is not signed by a CA"},
		{"expired", ca.issue(t, func(c *x509.Certificate) { commonName("proj:inst")(c); expired(c) }), "proj:inst", "has expired"},
	}
	file := ca.file(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db := start(t, serverConfig(row.cert), nil)
			_, err := db.login(t, newClient(t, Options{Host: "10.0.0.1", ServerName: row.serverName, CAFile: file}))
			expectRefusal(t, db, err, row.want)
		})
	}
}

func TestCauseCanBeUnwrapped(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	db := start(t, serverConfig(ca.issue(t, names("other.test"))), nil)

	_, err := db.login(t, newClient(t, Options{Host: "db.test", CAFile: ca.file(t)}))
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("got %v, want an x509.HostnameError in the chain", err)
	}
	_, err = db.login(t, newClient(t, Options{Host: "db.test"}))
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("got %v, want an x509.UnknownAuthorityError in the chain", err)
	}
}

func TestServerWithoutCertificateIsRefused(t *testing.T) {
	e := asError(t, newClient(t, Options{Host: "db.test"}).verify(tls.ConnectionState{}))
	if !e.Final() || !strings.Contains(e.Error(), "no certificate") {
		t.Errorf("got %v, final %v", e, e.Final())
	}
}

func TestPinnedSelfSignedCertificate(t *testing.T) {
	cert := selfSigned(t)
	pinned := &authority{cert: cert.Leaf}
	db := start(t, serverConfig(cert), nil)
	_, err := db.login(t, newClient(t, Options{Host: "db.test", CAFile: pinned.file(t)}))
	expectRefusal(t, db, err, "")

	impostor := start(t, serverConfig(selfSigned(t)), nil)
	_, err = impostor.login(t, newClient(t, Options{Host: "db.test", CAFile: pinned.file(t)}))
	expectRefusal(t, impostor, err, "is not signed by a CA")
}

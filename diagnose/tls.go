package diagnose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"dbvalet/proxy"
	dbtls "dbvalet/tls"
)

// TLSFacts are those of the step tls. Where the certificate was not accepted, nobody vouches for what it says.
type TLSFacts struct {
	Version  string     `json:"version,omitempty"`
	Cipher   string     `json:"cipher,omitempty"`
	Verified string     `json:"verified"` // how the server was, or would have been
	Subject  string     `json:"subject,omitempty"`
	Names    []string   `json:"names,omitempty"`
	Issuers  []string   `json:"issuers,omitempty"` // of the certificates that the server sent, its own first
	Expires  *time.Time `json:"expires,omitempty"`
}

// expiresSoon is when an expiry is worth a word. Certificates that live for less than three times as long are
// replaced by a program.
const expiresSoon = 30 * 24 * time.Hour

// tls says how the encryption went. A database that refuses everybody before it is no failure of it.
func (v *visit) tls(ctx context.Context, err error) Step {
	switch {
	case v.to.Tunnel != nil:
		return Step{Status: Skipped, Text: "the connector's own"}
	case v.probe.TLS != nil:
		return v.encrypted(v.probe.TLS)
	case code(err) != "":
		return Step{Status: Skipped}
	}
	step := v.failure(err)
	step.Took = v.probe.TLSTook
	facts := TLSFacts{Verified: v.to.TLS.Describe()}
	if e, ok := errors.AsType[*dbtls.Error](err); ok && e.Certificate() != nil {
		facts.describe(e.Certificate())
		step.Advice = append(v.aboutCertificate(err, e.Certificate()), step.Advice...)
	} else if what := v.sniff(ctx); what != "" && what != ownServer[v.Scheme] {
		step.Text += ": " + what + " answers there"
		step.Advice = v.anotherService(what)
	}
	step.Facts = facts
	return step
}

// encrypted is a step that went well, but for a certificate that is about to expire.
func (v *visit) encrypted(state *tls.ConnectionState) Step {
	facts := TLSFacts{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite), Verified: v.to.TLS.Describe()}
	step := Step{Status: OK, Took: v.probe.TLSTook, Text: facts.Version + ", " + strings.TrimPrefix(facts.Verified, "TLS ")}
	if len(state.PeerCertificates) > 0 {
		leaf := state.PeerCertificates[0]
		facts.describe(leaf)
		for _, cert := range state.PeerCertificates[1:] {
			facts.Issuers = append(facts.Issuers, printable(cert.Issuer.String()))
		}
		step.Text += fmt.Sprintf(", certificate of %s until %s", printable(leaf.Issuer.String()), leaf.NotAfter.UTC().Format(time.DateOnly))
		left := time.Until(leaf.NotAfter)
		if left < expiresSoon && left < leaf.NotAfter.Sub(leaf.NotBefore)/3 {
			step.Status = Warning
			step.Text += fmt.Sprintf(", which is in %d days", int(left.Hours()/24))
			step.Advice = []Advice{{Text: "the server's certificate expires soon, and then nobody gets in: have it renewed"}}
		}
	}
	step.Facts = facts
	return step
}

func (f *TLSFacts) describe(cert *x509.Certificate) {
	f.Subject, f.Issuers = printable(cert.Subject.String()), []string{printable(cert.Issuer.String())}
	for _, name := range cert.DNSNames {
		f.Names = append(f.Names, printable(name))
	}
	for _, ip := range cert.IPAddresses {
		f.Names = append(f.Names, ip.String())
	}
	expires := cert.NotAfter.UTC()
	f.Expires = &expires
}

// maxPrintable is how much of a name in a certificate is shown, in bytes.
const maxPrintable = 300

func printable(s string) string {
	if len(s) > maxPrintable {
		s = strings.ToValidUTF8(s[:maxPrintable], "") + "…"
	}
	return proxy.Printable(s)
}

// aboutCertificate is what to copy where the certificate is not accepted; the error's own hint comes after it.
func (v *visit) aboutCertificate(err error, cert *x509.Certificate) []Advice {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		for _, name := range append([]string{v.alias}, cert.DNSNames...) {
			if dbtls.IsRDS(name) && !strings.Contains(name, "*") && !dbtls.IsRDS(v.Host) {
				v.alias = printable(name)
				return []Advice{v.realName()}
			}
		}
		if len(cert.DNSNames) > 0 && !strings.Contains(cert.DNSNames[0], "*") {
			return []Advice{{Text: "names in the certificate: " + printable(strings.Join(cert.DNSNames, ", ")) +
				". If that is the right server, this option makes it known by that name", Copy: "tls_server_name=" + printable(cert.DNSNames[0])}}
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		return nil
	}
	if dbtls.IsRDS(v.Host) {
		return []Advice{{
			Text: "the roots of Amazon RDS are built in, and ca= replaces them. All of them, of all regions",
			Copy: "curl -o rds.pem https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
		}}
	}
	return []Advice{{
		Text: "this shows what the server sends; compare it with what its administrator gives you before you trust it",
		Copy: "openssl s_client -starttls " + v.Scheme + " -showcerts -connect " + v.to.Addr + " </dev/null",
	}}
}

// anotherService is the advice where something else listens.
func (v *visit) anotherService(what string) []Advice {
	_, port, _ := net.SplitHostPort(v.to.Addr)
	for scheme, server := range ownServer {
		if what == server {
			return []Advice{{Text: "write " + scheme + ":// in the route"}}
		}
	}
	return []Advice{{Text: "port " + port + " is another service's: check host and port of the route, and dial="}}
}

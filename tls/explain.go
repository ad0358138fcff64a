package dbtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// explainHandshake turns what ended a handshake into an *Error. narrowed says that the handshake
// offered a single key exchange; the next one offers all, so it may succeed.
func (c *Client) explainHandshake(err error, narrowed bool) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e // from verify, or the end of the context
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		// The header error itself holds on to the connection.
		return c.failure(errors.New(header.Msg), "the answer is not TLS").
			withHint("the port may be another service's, or something on the way put bytes in front of TLS; no credential was sent")
	}
	e := c.failure(err, printable(err.Error()))
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case isOp && (op.Op == "remote error" || op.Op == "local error"): // how crypto/tls reports an alert
		e.again = narrowed
		return e.withHint("the server and dbvalet have no TLS in common: the server must know TLS 1.2 or newer; one with RSA key exchange only, like MySQL 5.7 by default, needs GODEBUG=tlsrsakex=1 in dbvalet's environment")
	case isOp || ended(err):
		return c.explainEnd(err)
	}
	return e
}

// explainEnd is for a handshake that was not refused by either side, but came to no end of its own.
func (c *Client) explainEnd(err error) error {
	e := c.failure(err, printable(err.Error()))
	e.again = true
	return e.withHint("the server, or something on the way, went silent or hung up; direct TLS needs PostgreSQL 17 or newer; for a firewall that stumbles over large hellos set GODEBUG=tlsmlkem=0 in dbvalet's environment")
}

// ended reports whether err is the end of the connection, or of the time for it.
func ended(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded)
}

// explainChain says why no trusted certificate vouches for leaf.
func (c *Client) explainChain(leaf *x509.Certificate, err error) error {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case ok && invalid.Reason == x509.Expired:
		return c.explainDate(leaf, invalid)
	case ok && invalid.Reason == x509.IncompatibleUsage:
		return c.certFailure(err, leaf, "the certificate is not for a server").
			withHint("the server needs a certificate with the extended key usage serverAuth; this one may be a client's")
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return c.certFailure(err, leaf, "the certificate is not signed by a CA among "+c.trust.name).
			withHint("%s", c.caHint(leaf))
	}
	return c.certFailure(err, leaf, "the certificate is not valid: "+printable(err.Error()))
}

// explainDate says which certificate of the chain is out of its time.
func (c *Client) explainDate(leaf *x509.Certificate, invalid x509.CertificateInvalidError) error {
	which := "the certificate"
	if invalid.Cert != nil && !invalid.Cert.Equal(leaf) {
		which = "the CA's certificate " + printable(invalid.Cert.Subject.String())
	}
	now := time.Now().UTC().Format(minute)
	hint := "renew it on the server; if this machine's clock is wrong, set that: it says " + now + " UTC"
	if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
		return c.certFailure(invalid, leaf, which+" is not valid yet").withHint("%s", hint)
	}
	return c.certFailure(invalid, leaf, which+" has expired").withHint("%s", hint)
}

// caHint says where the CA of leaf can be had.
func (c *Client) caHint(leaf *x509.Certificate) string {
	const rdsBundle = "AWS's global-bundle.pem, which has the roots of all regions (the embedded ones lack newer regions, GovCloud and China)"
	switch rds := IsRDS(c.host) || IsRDS(c.name.verify); {
	case rds && c.mode == VerifyCA && c.trust.file == "":
		return "use tls=verify-full for RDS Proxy, whose certificates are from a public CA; otherwise set ca=FILE to " + rdsBundle
	case rds:
		return "set ca=FILE to " + rdsBundle
	case c.trust.file != "":
		return "the file set with ca= lacks the issuer named above; set ca=FILE to the server's current CA"
	case leaf.Subject.String() == leaf.Issuer.String():
		return "the certificate is self-signed; if you know it to be the server's, set ca=FILE to a copy of it"
	}
	return "set ca=FILE to the server's CA"
}

// explainName says whose certificate leaf is instead.
func (c *Client) explainName(leaf *x509.Certificate, err error) error {
	e := c.certFailure(err, leaf, "the certificate is made out to another name")
	names, commonName := namesOf(leaf), leaf.Subject.CommonName
	switch {
	case len(names) == 0 && cloudSQLName.MatchString(commonName):
		return e.withHint("this looks like Cloud SQL: set tls_server_name=%s, with ca=FILE set to the instance's server CA", commonName)
	case len(names) == 0:
		return e.withHint("the certificate has a common name only, which is no proof of a host name: have it reissued with a subject alternative name, or use tls=verify-ca with ca=FILE")
	case IsRDS(c.host), IsRDS(names[0]):
		return e.withHint("the endpoint's own name (NAME.ID.REGION.rds.amazonaws.com) belongs in the route, and the address of a tunnel or an alias in dial=; or, if this is the right server, set tls_server_name=%s", printable(names[0]))
	}
	return e.withHint("if this is the right server, set tls_server_name=%s", printable(names[0]))
}

// failure says with whom a handshake failed.
func (c *Client) failure(err error, text string) *Error {
	name := c.name.verify
	if name == "" {
		name = c.host
	}
	return &Error{text: "TLS handshake with " + printable(name) + ": " + text, err: err}
}

// certFailure is failure with what cert says about itself.
func (c *Client) certFailure(err error, cert *x509.Certificate, text string) *Error {
	e := c.failure(err, text+" ("+describe(cert)+")")
	e.cert = cert
	return e
}

const (
	maxNames = 5                  // of a certificate's names are worth reading in an error
	minute   = "2006-01-02 15:04" // a certificate's dates, in UTC
)

// describe says what is in cert. The server has not been verified, so whoever answers can write what
// they like in there; it ends up in terminals and logs.
func describe(cert *x509.Certificate) string {
	names := namesOf(cert)
	shown := "none"
	if len(names) > 0 {
		shown = printable(strings.Join(names[:min(len(names), maxNames)], ", "))
	}
	if more := len(names) - maxNames; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("subject %s; names %s; valid %s to %s; issuer %s",
		printable(cert.Subject.String()), shown,
		cert.NotBefore.UTC().Format(minute), cert.NotAfter.UTC().Format(minute),
		printable(cert.Issuer.String()))
}

// namesOf returns the names that count: the subject alternative ones that can be a server's.
func namesOf(cert *x509.Certificate) []string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// printable returns s without anything that a terminal would obey, and of readable length.
func printable(s string) string {
	const maxBytes = 300
	if len(s) > maxBytes {
		s = s[:maxBytes] + "…"
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

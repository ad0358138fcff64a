package dbtls

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// rdsRoots are the root certificates of Amazon RDS; its first lines say where they come from.
//
//go:embed rds-roots.pem
var rdsRoots []byte

// systemCA is the value of CAFile that stands for the system's roots, as in libpq's sslrootcert.
const systemCA = "system"

// systemRootsName is what the system's roots are called in messages.
const systemRootsName = "the system's roots"

// trust is what vouches for a server.
type trust struct {
	roots *x509.CertPool // nil if nothing is verified
	name  string         // for messages: `the system's roots`
	file  string         // the CA file, if there is one
}

// newTrust chooses the roots for o; doc.go has the table.
func newTrust(o Options, name serverName) (trust, error) {
	rds := IsRDS(o.Host) || IsRDS(o.ServerName)
	switch {
	case o.Mode == ZeroConfig && o.CAFile != "":
		return trust{}, newError("TLS mode zero-config looks at no CA").
			withHint("use tls=verify-full with ca=, or leave ca= out")
	case o.Mode == ZeroConfig && rds:
		return trust{}, newError("TLS mode zero-config is not for Amazon RDS, whose certificates can be verified").
			withHint("use tls=verify-full")
	case o.Mode == ZeroConfig:
		return trust{}, nil
	case o.CAFile == systemCA && o.Mode != VerifyFull:
		// Anybody can have a certificate from a public CA. libpq refuses this for the same reason.
		return trust{}, newError("TLS mode %s with ca=system would accept any server that has a public certificate", o.Mode).
			withHint("use tls=verify-full, or set ca=FILE to the server's CA")
	case name.cloudSQL && o.Mode == VerifyFull && (o.CAFile == "" || o.CAFile == systemCA):
		return trust{}, newError("server name %q can't be verified without the instance's own CA: a public CA says nothing about a common name", name.verify).
			withHint(`save the CA with "gcloud sql instances describe %s --project %s --format 'value(serverCaCert.cert)'" and set ca=FILE to it`, cloudSQLInstance(name.verify), cloudSQLProject(name.verify))
	case o.CAFile != "" && o.CAFile != systemCA:
		roots, err := readCAFile(o.CAFile)
		return trust{roots: roots, name: "the certificates in " + printable(o.CAFile), file: o.CAFile}, err
	case o.Mode == Require:
		return trust{}, nil
	case o.Mode == VerifyCA && rds:
		return trust{roots: withRDSRoots(x509.NewCertPool()), name: "the embedded roots of Amazon RDS"}, nil
	case o.Mode == VerifyCA:
		return trust{}, newError("TLS mode verify-ca without a CA file would accept any server that has a public certificate").
			withHint("use tls=verify-full, or set ca=FILE to the server's CA")
	}
	roots, err := x509.SystemCertPool()
	return systemTrust(roots, err, rds && o.CAFile == "")
}

// systemTrust trusts roots, which are the system's, and those of Amazon RDS if they are asked for.
// With the latter it does without the former, which containers often lack.
func systemTrust(roots *x509.CertPool, err error, rds bool) (trust, error) {
	if rds {
		if err != nil {
			roots = x509.NewCertPool()
		}
		return trust{roots: withRDSRoots(roots), name: "the system's roots and the embedded roots of Amazon RDS"}, nil
	}
	if err == nil && roots.Equal(x509.NewCertPool()) {
		err = errors.New("there are none")
	}
	if err != nil {
		return trust{}, newError("read the system's root certificates: %w", err).
			withHint("install the package ca-certificates, or set ca=FILE to the server's CA")
	}
	return trust{roots: roots, name: systemRootsName}, nil
}

func withRDSRoots(pool *x509.CertPool) *x509.CertPool {
	pool.AppendCertsFromPEM(rdsRoots)
	return pool
}

// readCAFile returns the certificates in a PEM file.
func readCAFile(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		hint := "set ca=FILE to a file in PEM that this user may read"
		if errors.Is(err, fs.ErrNotExist) {
			hint = "ca=FILE is looked up from the working directory; write the whole path"
		}
		return nil, newError("read CA file: %w", err).withHint("%s", hint)
	}
	certs, err := parseCA(file, data)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// parseCA returns the certificates in data, the content of file: PEM with any text around it, as AWS
// and others hand out. What is in there and can't be used is an error and not passed over, so that
// nobody trusts less, or something else, than they think.
func parseCA(file string, data []byte) ([]*x509.Certificate, error) {
	const wanted = "the file must hold the certificates of the CA in PEM, each beginning with -----BEGIN CERTIFICATE-----"
	if _, err := x509.ParseCertificate(data); err == nil {
		return nil, newError("CA file %s is in DER, not in PEM", file).
			withHint("convert it: openssl x509 -inform der -in FILE -out FILE.pem")
	}
	begun := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----"))
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, newError("CA file %s: certificate %d: %w", file, len(certs)+1, err).withHint(wanted)
			}
			certs = append(certs, cert)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, newError("CA file %s: there is a private key in it", file).
				withHint("%s; a CA's key belongs nowhere near its clients", wanted)
		default:
			return nil, newError("CA file %s: there is a PEM block %q in it", file, block.Type).withHint(wanted)
		}
	}
	if len(certs) < begun { // package pem passes over what it can't read
		return nil, newError("CA file %s: %d of %d certificates are damaged", file, begun-len(certs), begun).
			withHint("copy the file again, whole and as it is")
	}
	if len(certs) == 0 {
		return nil, newError("CA file %s: there is no certificate in it", file).withHint(wanted)
	}
	return certs, nil
}

// cloudSQLInstance and cloudSQLProject take a name that matches cloudSQLName apart.
func cloudSQLInstance(name string) string { return name[strings.LastIndexByte(name, ':')+1:] }
func cloudSQLProject(name string) string  { return name[:strings.LastIndexByte(name, ':')] }

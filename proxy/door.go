package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dbvalet/peer"
)

// A Door is what a route asks of its clients. The zero value lets in the own user, and root.
type Door struct {
	// Allow says which processes of this machine may come in.
	Allow peer.Policy
	// Remote are the networks of other machines that may connect; nil: none. Who comes from there has
	// to show a password or a certificate, which is the caller's to see to.
	Remote []netip.Prefix
	// TLS is how clients that ask for it are answered; nil: there is none on this side.
	TLS *tls.Config
	// TLSRequired turns away clients that don't ask.
	TLSRequired bool
	// Users are the database users that clients may name; nil: any. A route that has a user of its
	// own ignores what clients name.
	Users []string
	// Databases are those that clients may open; nil: any.
	Databases []string
}

// CheckUser returns an error unless clients may name the database user name.
func (d *Door) CheckUser(name string) error {
	if d.Users == nil || slices.Contains(d.Users, name) {
		return nil
	}
	return Refusal("connect as one of them, or add the user to users= on the route",
		"the route serves the users %s, and not %q", listed(d.Users), Printable(name))
}

// CheckDatabase returns an error unless clients may open the database name.
func (d *Door) CheckDatabase(name string) error {
	if d.Databases == nil || slices.Contains(d.Databases, name) {
		return nil
	}
	return Refusal("name one of them, or add the database to databases= on the route",
		"the route serves the databases %s, and not %q", listed(d.Databases), Printable(name))
}

// listed shows names in an error.
func listed(names []string) string { return Printable(strings.Join(names, ", ")) }

// Refusal is the error for a client that may not come in, or not to what it asks for.
func Refusal(advice, format string, args ...any) error {
	return &SetupError{Stage: StagePeer, Err: fmt.Errorf(format, args...), Advice: advice, Permanent: true}
}

// ErrTLSRequired is the error for a client that does not ask for TLS where it has to.
var ErrTLSRequired = &SetupError{
	Stage:     StagePeer,
	Err:       errors.New("this side takes encrypted connections only"),
	Advice:    "turn TLS on at the client: sslmode=require, or for MySQL ssl-mode=REQUIRED",
	Permanent: true,
}

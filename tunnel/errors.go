package tunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode"
)

// An Error says which hop did not do, and why. It matches what a direct dial would have failed with,
// as far as that is known: syscall.ECONNREFUSED where a bastion's own connection was refused.
type Error struct {
	Hop    string // as one writes it
	Err    error
	Advice string // the next step
	// Permanent says that trying again is useless until somebody changes something.
	Permanent bool

	beyond bool // it is about what the hop was to connect to
}

func (e *Error) Error() string { return fmt.Sprintf("via %s: %v", e.Hop, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next step.
func (e *Error) Hint() string { return e.Advice }

// Final reports whether trying again is useless.
func (e *Error) Final() bool { return e.Permanent }

// A reason is a text that a peer sent, with the error that it would be if the peer's connection were
// ours.
type reason struct {
	text string
	as   error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.as }

// reasonOf makes a reason of what a peer says about a connection that it could not open to addr. The
// texts are those of strerror and gai_strerror, as OpenSSH sends them, and of Go's servers.
func reasonOf(text, addr string) *reason {
	host, _, _ := net.SplitHostPort(addr)
	r := &reason{text: printable(text)}
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(strings.ToLower(text), part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("connection refused"):
		r.as = syscall.ECONNREFUSED
	case has("timed out", "timeout"):
		r.as = os.ErrDeadlineExceeded
	case has("no route to host", "host is unreachable", "host unreachable"):
		r.as = syscall.EHOSTUNREACH
	case has("network is unreachable", "network unreachable"):
		r.as = syscall.ENETUNREACH
	case has("reset by peer"):
		r.as = syscall.ECONNRESET
	case has("temporary failure in name resolution", "try again"):
		r.as = &net.DNSError{Err: r.text, Name: host, IsTemporary: true}
	case has("name or service not known", "nodename nor servname", "no such host", "unknown host", "not known", "no address associated", "does not resolve"):
		r.as = &net.DNSError{Err: r.text, Name: host, IsNotFound: true}
	case has("no such file"):
		r.as = syscall.ENOENT
	}
	return r
}

// beyond is the error for an address that h could not connect to, and why says the reason.
func beyond(h Hop, addr string, why *reason) *Error {
	e := &Error{Hop: h.String(), Err: fmt.Errorf("connect from there to %s: %w", addr, why), beyond: true}
	dns, isDNS := errors.AsType[*net.DNSError](why)
	switch {
	case isDNS && dns.IsNotFound:
		e.Advice = "check the host name: it is looked up there, not here; another address goes into dial="
	case errors.Is(why, syscall.ECONNREFUSED):
		e.Advice = "check that the database is up, and that host and port, or dial=, are what it has over there"
	case errors.Is(why, os.ErrDeadlineExceeded), errors.Is(why, syscall.EHOSTUNREACH), errors.Is(why, syscall.ENETUNREACH):
		e.Advice = "check the way from there to the database: security group, firewall, routing"
	default:
		e.Advice = "check that the database can be reached from there"
	}
	return e
}

// unreached is the error for a hop that could not be connected to.
func unreached(h Hop, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok { // of the hop before it
		if e.beyond && !e.Permanent {
			e = &Error{Hop: e.Hop, Err: e.Err, Advice: fmt.Sprintf("check that %s is up, and that host and port are what it has over there", h)}
		}
		return e
	}
	e := &Error{Hop: h.String(), Err: fmt.Errorf("connect to it: %w", dialCause(err))}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && dns.IsNotFound:
		e.Advice = "check the host name in via=, and whether this machine's DNS, or ~/.ssh/config, knows it"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Advice = "check that it is up, and the port in via="
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Advice = "check the way there: VPN, security group, firewall"
	default:
		e.Advice = "check that it can be reached from here"
	}
	return e
}

// dialCause leaves out what is said anyway: operation and address.
func dialCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// maxText is how much is repeated of what a peer says, in bytes.
const maxText = 500

// printable replaces what could play tricks on a terminal, and cuts what is too long.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

package dbtls

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// Error says what is wrong with a TLS setting, or why a handshake came to nothing.
type Error struct {
	text  string
	hint  string
	again bool
	err   error
	cert  *x509.Certificate
}

// Error returns the text without the hint.
func (e *Error) Error() string { return e.text }

// Unwrap returns the cause, such as an x509.HostnameError or context.DeadlineExceeded.
func (e *Error) Unwrap() error { return e.err }

// Hint returns the next step for whoever reads the error, or "".
func (e *Error) Hint() string { return e.hint }

// Final reports whether trying again is useless until somebody changes something: the server could
// not be verified, it has no TLS in common with this program, or a setting is wrong. Trouble on the
// network is not final.
func (e *Error) Final() bool { return !e.again }

// Certificate returns the one that the server showed and that was not accepted; nil: it was not about that.
// Nobody vouches for what it says.
func (e *Error) Certificate() *x509.Certificate { return e.cert }

// newError returns an error that is final.
func newError(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{text: err.Error(), err: errors.Unwrap(err)}
}

// withHint sets the hint of e.
func (e *Error) withHint(format string, args ...any) *Error {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

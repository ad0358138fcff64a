package peer

import (
	"errors"
	"fmt"
)

// ErrGone is matched by the error about a client that has left before it was looked at. Port probes
// do that all day, so it is nothing to raise an alarm about.
var ErrGone = errors.New("the client has left")

// Error says why a client is not known or not let in, or what is wrong with a policy.
type Error struct {
	text    string
	hint    string
	err     error
	passing bool // another try may go better
}

// Error returns the text without the hint.
func (e *Error) Error() string { return e.text }

// Unwrap returns the cause, such as ErrGone or a syscall.Errno.
func (e *Error) Unwrap() error { return e.err }

// Hint returns the next step for whoever reads the error, or "".
func (e *Error) Hint() string { return e.hint }

// Final reports whether trying again is useless until somebody changes something.
func (e *Error) Final() bool { return !e.passing }

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

// unknown returns an error about a client whose user can't be found out.
func unknown(format string, args ...any) *Error {
	return newError(format, args...).withHint("%s", letAllIn)
}

// letAllIn is the hint where nothing else would help.
const letAllIn = "write allow=any on the route to let in clients whoever they are"

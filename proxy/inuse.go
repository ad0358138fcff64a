package proxy

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"dbvalet/peer"
)

// program is what another dbvalet is called.
const program = "dbvalet"

// inUse is the error for a TCP address on which somebody listens already, with who that is as far as it
// can be found out. cause is the kernel's.
func inUse(addr string, cause error) *ListenError {
	advice := "choose another port in listen="
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return &ListenError{addr, cause, advice}
	}
	h, ok := peer.HolderOf(tcp)
	if !ok {
		return &ListenError{addr, cause, "something has the port already, perhaps a database; " + advice}
	}
	return &ListenError{addr, &heldError{cause, h}, whoseAdvice(h) + advice}
}

// heldError is cause, and by whom.
type heldError struct {
	cause  error
	holder peer.Holder
}

func (e *heldError) Error() string { return fmt.Sprintf("%v by %v", e.cause, e.holder) }
func (e *heldError) Unwrap() error { return e.cause }

// IsInUse reports whether err says that somebody else has a TCP port.
func IsInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// whoseAdvice is the first half of what to do about h.
func whoseAdvice(h peer.Holder) string {
	switch {
	case h.IsSelf():
		return "another route has it, or --admin= or --metrics=; "
	case h.IsLike(program):
		return `"dbvalet status" shows what that one serves; stop it, or `
	}
	return ""
}

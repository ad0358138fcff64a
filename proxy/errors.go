package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Stage names a step in the life of a connection. It is the same word in an error that a client
// sees, in the log, and wherever else a step is named.
type Stage string

// The stages, in the order in which a connection passes them.
const (
	StageClient     Stage = "client"     // the client's half of the handshake
	StageLimit      Stage = "limit"      // a place among the route's connections
	StageCredential Stage = "credential" // a token or a password from its source
	StageDial       Stage = "dial"       // DNS and TCP
	StageTLS        Stage = "tls"        // the encryption of the upstream connection
	StageAuth       Stage = "auth"       // the login
	StageRelay      Stage = "relay"      // bytes both ways
)

// ErrRejected is what a Login's error matches when the database refused the credential itself, so
// that another credential might be accepted.
var ErrRejected = errors.New("credential rejected")

// SetupError says at which stage the set-up of a connection ended and why.
type SetupError struct {
	Stage Stage
	Err   error
	// Advice is the next step for whoever reads the error; empty means that Err may have one.
	Advice string
	// Permanent says that trying again is useless until somebody changes something; false means
	// that Err decides.
	Permanent bool
}

func (e *SetupError) Error() string { return e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// Hint returns the next step for whoever reads err, or "" if nothing in its chain has one.
func Hint(err error) string {
	if e, ok := errors.AsType[*SetupError](err); ok && e.Advice != "" {
		return e.Advice
	}
	if e, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && e.Hint() != "" {
		return e.Hint()
	}
	if timedOut(err) && stageOf(err) != StageClient {
		return "find out what holds up this stage, or give it more time with connect_timeout= on the route"
	}
	return ""
}

// Final reports whether trying again is useless until somebody changes something.
func Final(err error) bool {
	if e, ok := errors.AsType[*SetupError](err); ok && e.Permanent {
		return true
	}
	e, ok := errors.AsType[interface {
		error
		Final() bool
	}](err)
	return ok && e.Final()
}

// errAttrs are the attributes of the log for err and its hint, as far as there are any.
func errAttrs(err error) (attrs []any) {
	if err != nil {
		attrs = append(attrs, "err", err)
	}
	if hint := Hint(err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	return attrs
}

// stageOf returns the stage at which err ended a connection.
func stageOf(err error) Stage {
	if e, ok := errors.AsType[*SetupError](err); ok {
		return e.Stage
	}
	return StageClient
}

// atStage gives err a stage, unless it has one already.
func atStage(stage Stage, err error) error {
	if _, ok := errors.AsType[*SetupError](err); ok {
		return err
	}
	return &SetupError{Stage: stage, Err: err}
}

// normalEnd reports whether err is one of the ways in which connections end every day.
func normalEnd(err error) bool {
	return err == nil ||
		errors.Is(err, io.EOF) ||
		errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

// timedOut reports whether err came from a time limit.
func timedOut(err error) bool {
	return errors.Is(err, errHandshakeTimeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

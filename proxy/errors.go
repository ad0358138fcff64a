package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode"
)

// Stage names a step in the life of a connection. It is the same word in an error that a client
// sees, in the log, and wherever else a step is named.
type Stage string

// The stages, in the order in which a connection passes them.
const (
	StagePeer       Stage = "peer"       // who the client is, and what it may come in to
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

// Advice returns the next step that whoever made err had for this case, or "": not the general one
// that Hint falls back to.
func Advice(err error) string {
	if e, ok := errors.AsType[*SetupError](err); ok {
		return e.Advice
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

// Advice for when there is nothing better to say.
const (
	CheckServer = "check that host and port of the route are those of the database"
	SeeLog      = "see the database's log for the reason; if it has none, something on the way ended the connection"
)

// LoginError is an error in how the database conducts the login, which trying again won't change.
func LoginError(advice, format string, args ...any) error {
	return &SetupError{Stage: StageAuth, Err: fmt.Errorf(format, args...), Advice: cmp.Or(advice, CheckServer), Permanent: true}
}

// NetworkError is an error of the connection to the database, at one of an engine's stages.
func NetworkError(stage Stage, doing string, err error) error {
	e := &SetupError{Stage: stage, Err: fmt.Errorf("%s: %w", doing, err)}
	switch {
	case HungUp(err):
		e.Advice = SeeLog
	case !errors.Is(err, os.ErrDeadlineExceeded): // which Hint has advice for
		e.Advice = CheckServer
	}
	return e
}

// HungUp reports whether err is the end of a connection that should have gone on.
func HungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// maxText is how much of a text is worth reading, in bytes. libpq takes no ErrorResponse of more than
// 30,000.
const maxText = 2000

// Printable replaces what could play tricks on a terminal or a log, and cuts what is too long: some of
// the text comes from the other side of the network.
func Printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
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
	return errors.Is(err, errHandshakeTimeout) || errors.Is(err, errSilent) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

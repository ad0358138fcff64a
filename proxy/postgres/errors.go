package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// SQLSTATEs of the errors that are ours.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	protocolViolation    = "08P01"
	connectionFailure    = "08006"
	featureNotSupported  = "0A000"
	invalidAuthorization = "28000" // clients take it as final
	invalidPassword      = "28P01"
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03" // pg_isready says "rejecting", libpq goes on to its next host, pools try again
)

// coded is an error with an SQLSTATE of its own.
type coded struct {
	error
	sqlstate string
	asServer bool // the client gets a server's words, as they are
}

// checkClient is advice for when there is nothing better to say.
const checkClient = "check the client: what it sent is not PostgreSQL's protocol, version 3"

// clientError is an error in what the client sent.
func clientError(sqlstate, advice, format string, args ...any) error {
	return &proxy.SetupError{Stage: proxy.StageClient, Err: coded{error: fmt.Errorf(format, args...), sqlstate: sqlstate}, Advice: advice}
}

// databaseError is the database's refusal of a session, an ErrorResponse.
type databaseError struct {
	raw message // what the client gets, verbatim
	// response is raw, decoded.
	response pgproto3.ErrorResponse
	// answered says that the database had the credential when it refused.
	answered bool
}

func (e *databaseError) Error() string {
	return proxy.Printable(fmt.Sprintf("the database says: %s: %s (SQLSTATE %s)", e.response.Severity, e.response.Message, e.response.Code))
}

// Code is the SQLSTATE.
func (e *databaseError) Code() string { return e.response.Code }

// Hint is for the log, where nobody knows more.
func (e *databaseError) Hint() string {
	if !e.Is(proxy.ErrRejected) {
		return ""
	}
	return "check the user, and that its password is the one that auth= leads to; for an RDS token, the database needs " +
		"GRANT rds_iam TO the user, and the AWS identity a policy that allows rds-db:connect for it"
}

// Is makes a refused credential match proxy.ErrRejected. A refusal before the credential was sent
// (pg_hba.conf has no line for the user, say) is about something else, with the same SQLSTATE.
//
// A server that is starting or stopping matches proxy.ErrUnavailable.
func (e *databaseError) Is(target error) bool {
	if target == proxy.ErrUnavailable {
		return e.response.Code == cannotConnectNow || e.response.Code == adminShutdown || e.response.Code == crashShutdown
	}
	return target == proxy.ErrRejected && e.answered &&
		(e.response.Code == invalidPassword || e.response.Code == invalidAuthorization)
}

// withHint is what the client gets: the database's words, verbatim, and after them a HINT of ours where
// there is advice and the database has no HINT. The client can't know which credential was refused.
//
//	1  'E'
//	4  length
//	n  fields: kind, text, zero
//	1  zero
//
// https://www.postgresql.org/docs/current/protocol-error-fields.html
func (e *databaseError) withHint(advice string) message {
	if advice == "" || e.response.Hint != "" || len(e.raw) < messageHeader+1 {
		return e.raw
	}
	b := append(message{}, e.raw[:len(e.raw)-1]...)
	b = append(b, "Hdbvalet: "+proxy.Printable(advice)+"\x00\x00"...)
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1))
	return b
}

// errorTime is how long a client may take to accept an error, which fits into an empty buffer.
const errorTime = time.Second

// tell says err to client: the database's own words as they are, and ours as a FATAL error with an
// SQLSTATE that makes clients do the right thing.
func tell(client net.Conn, err error) {
	_ = client.SetWriteDeadline(time.Now().Add(errorTime))
	// A client that is gone by now needs no answer, and err is logged by the caller.
	_, _ = client.Write(errorResponse(err))
}

// errorResponse encodes err.
func errorResponse(err error) []byte {
	if e, ok := errors.AsType[*databaseError](err); ok {
		return e.withHint(proxy.Advice(err))
	}
	response := pgproto3.ErrorResponse{
		Severity:            "FATAL",
		SeverityUnlocalized: "FATAL",
		Code:                sqlstate(err),
		Message:             "dbvalet: " + proxy.Printable(err.Error()),
		Hint:                proxy.Printable(proxy.Hint(err)),
	}
	if e, ok := errors.AsType[coded](err); ok && e.asServer {
		response.Message = proxy.Printable(err.Error())
	}
	if e, ok := errors.AsType[*proxy.SetupError](err); ok {
		response.Detail = fmt.Sprintf("The connection was not set up; it got as far as stage %q.", e.Stage)
	}
	encoded, err := response.Encode(nil)
	if err != nil { // only for more than a gigabyte
		return nil
	}
	return encoded
}

// sqlstate chooses the code for an error that is ours.
func sqlstate(err error) string {
	if e, ok := errors.AsType[coded](err); ok {
		return e.sqlstate
	}
	if proxy.Final(err) {
		return invalidAuthorization
	}
	if e, ok := errors.AsType[*proxy.SetupError](err); ok {
		switch {
		case e.Stage == proxy.StageLimit:
			return tooManyConnections
		case e.Stage == proxy.StageAuth && proxy.HungUp(err):
			return connectionFailure
		}
	}
	return cannotConnectNow
}

package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dbvalet/proxy"
)

// A code is an error's number with the SQLSTATE that belongs to it.
// https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html
type code struct {
	number   uint16
	sqlstate string
}

// The codes of the errors that are ours.
var (
	tooManyConnections = code{1040, "08004"}
	badHandshake       = code{1043, "08S01"}
	databaseDenied     = code{1044, "42000"}
	accessDenied       = code{1045, "28000"} // clients take it as final
	unknownError       = code{1105, "HY000"}
	networkRead        = code{1158, "08S01"}
	networkTimeout     = code{1159, "08S01"}
	insecureTransport  = code{3159, "HY000"}
)

// The numbers with which a database refuses a credential.
const (
	errAccessDenied           = 1045
	errAccessDeniedNoPassword = 1698
)

// Advice for clients.
const (
	checkClient = "check the client: what it sent is not MySQL's protocol, version 10"
	noTLSHere   = "set ssl-mode=DISABLED on the client (MariaDB: --skip-ssl; URLs: tls=false, useSSL=false): " +
		"its connection stays on this machine, and dbvalet encrypts the one to the database"
	distrust = "the client may not trust the certificate of local_tls=: give it that as its CA, or set ssl-mode=REQUIRED " +
		"(MariaDB: --disable-ssl-verify-server-cert)"
)

// clientError is an error in what the client sent.
func clientError(advice, format string, args ...any) error {
	return &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf(format, args...), Advice: advice}
}

// databaseError is the database's refusal of a session, an ERR packet.
type databaseError struct {
	payload  []byte // what the client gets, verbatim
	number   uint16
	sqlstate string // empty where the packet has none
	message  string
	// answered says that the database had the credential when it refused.
	answered bool
}

const errHeader = 0xFF

// decodeDatabaseError decodes an ERR packet. One that is cut short is an error all the same.
//
//	1  255
//	2  number
//	1  '#'; not before the greeting
//	5  SQLSTATE; with the '#'
//	n  message
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html
func decodeDatabaseError(payload []byte, answered bool) *databaseError {
	e := &databaseError{payload: payload, answered: answered}
	f := fields{rest: payload}
	f.uint8()
	e.number = f.uint16()
	if len(f.rest) >= 6 && f.rest[0] == '#' {
		e.sqlstate = string(f.bytes(6)[1:])
	}
	e.message = string(f.rest)
	return e
}

func (e *databaseError) Error() string {
	return proxy.Printable(fmt.Sprintf("the database says: ERROR %d (%s): %s", e.number, e.sqlstate, e.message))
}

// Code is the number.
func (e *databaseError) Code() string { return strconv.Itoa(int(e.number)) }

// Hint is for the log, where nobody knows more.
func (e *databaseError) Hint() string {
	switch {
	case e.Is(proxy.ErrRejected):
		return "check the user, and that its password is the one that auth= leads to; for an RDS token, the user needs " +
			"IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS', and the AWS identity a policy that allows rds-db:connect for it"
	case e.number == errHostBlocked:
		return "somebody on this machine broke off too many connections to the database; let an administrator run " +
			"FLUSH HOSTS, or TRUNCATE performance_schema.host_cache, and raise max_connect_errors"
	}
	return ""
}

// withHint is what the client gets: the database's words, verbatim, and advice behind them. The client
// can't know which credential was refused.
func (e *databaseError) withHint(advice string) []byte {
	if advice == "" {
		return e.payload
	}
	hint := "; dbvalet: " + proxy.Printable(advice)
	return append(slices.Clone(e.payload), cut(hint, maxErrorText-len(e.message))...)
}

// early is withHint for a client that has not been greeted. A refusal of somebody else's login has an
// SQLSTATE, and servers send none this early.
func (e *databaseError) early(advice string) []byte {
	if e.sqlstate == "" {
		return e.withHint(advice)
	}
	without := *e
	without.payload = slices.Concat(e.payload[:3], []byte(e.message))
	return without.withHint(advice)
}

// errServerShutdown is the number for a login while the server shuts down.
const errServerShutdown = 1053

// absent is the error for a connection that was ended before the server's greeting, which costs nothing
// to try again.
type absent struct{ error }

func (e absent) Unwrap() error        { return e.error }
func (e absent) Is(target error) bool { return target == proxy.ErrAbsent }

// errHostBlocked is the number for a host from which max_connect_errors connections were broken off.
const errHostBlocked = 1129

// Is makes a refused credential match proxy.ErrRejected, and a server that is shutting down
// proxy.ErrUnavailable.
func (e *databaseError) Is(target error) bool {
	if target == proxy.ErrUnavailable {
		return e.number == errServerShutdown
	}
	return target == proxy.ErrRejected && e.answered &&
		(e.number == errAccessDenied || e.number == errAccessDeniedNoPassword)
}

// errorTime is how long a client may take to accept an error, which fits into an empty buffer.
const errorTime = time.Second

// tell writes client what it is to know of err.
func tell(client net.Conn, p packet) {
	_ = client.SetWriteDeadline(time.Now().Add(errorTime))
	// A client that is gone by now needs no answer, and the error is logged by the caller.
	_, _ = client.Write(p)
}

// errorPacket is err for a client that has been greeted: the database's own words as they are, and
// ours with the code that makes clients do the right thing.
func errorPacket(seq byte, err error) packet {
	if e, ok := errors.AsType[*databaseError](err); ok {
		return newPacket(seq, e.withHint(proxy.Advice(err)))
	}
	c := codeOf(err)
	b := binary.LittleEndian.AppendUint16([]byte{errHeader}, c.number)
	b = append(append(b, '#'), c.sqlstate...)
	return newPacket(seq, append(b, errorText(err)...))
}

// earlyErrorPacket is err in place of a greeting. Servers send no SQLSTATE then, and clients would
// print it as text; MariaDB's takes a code of 2000 to 2999 for a malformed packet. Of ours, only those
// for which there is no place, and those who may not come in, have codes of their own.
func earlyErrorPacket(err error) packet {
	if e, ok := errors.AsType[*databaseError](err); ok {
		return newPacket(0, e.early(proxy.Advice(err)))
	}
	c := unknownError
	if e, ok := errors.AsType[*proxy.SetupError](err); ok && (e.Stage == proxy.StageLimit || e.Stage == proxy.StagePeer) {
		c = codeOf(err)
	}
	b := binary.LittleEndian.AppendUint16([]byte{errHeader}, c.number)
	return newPacket(0, append(b, errorText(err)...))
}

// codeOf chooses the code for an error that is ours.
func codeOf(err error) code {
	e, ok := errors.AsType[*proxy.SetupError](err)
	_, ofDatabase := errors.AsType[*databaseRefusal](err)
	switch {
	case !ok:
		return unknownError
	case ofDatabase:
		return databaseDenied
	case err == proxy.ErrTLSRequired:
		return insecureTransport
	case e.Stage == proxy.StagePeer:
		return accessDenied
	case e.Stage == proxy.StageClient:
		return badHandshake
	case e.Stage == proxy.StageLimit:
		return tooManyConnections
	case e.Stage == proxy.StageTLS && proxy.Final(err):
		return insecureTransport
	case proxy.Final(err):
		return accessDenied
	case errors.Is(err, os.ErrDeadlineExceeded):
		return networkTimeout
	case (e.Stage == proxy.StageTLS || e.Stage == proxy.StageAuth) && proxy.HungUp(err):
		return networkRead
	}
	return unknownError
}

// maxErrorText is how much text old clients read of an error, in bytes: 512 with a final zero.
const maxErrorText = 511

// errorText is err with its hint in one line, for the protocol has no field for it. Of a long one the
// error itself is cut, as the hint is what helps.
func errorText(err error) string {
	text, hint := "dbvalet: "+proxy.Printable(err.Error()), ""
	if h := proxy.Printable(proxy.Hint(err)); h != "" {
		hint = "; hint: " + h
	}
	hint = cut(hint, maxErrorText*3/4)
	return cut(text, maxErrorText-len(hint)) + hint
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	n = max(n-len(mark), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ") + mark
}

package postgres

import (
	"bytes"
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// idleSessionTimeout is the SQLSTATE with which a server ends a session for its silence.
const idleSessionTimeout = "57P05"

// terminate is a Terminate message, with which a client takes leave.
var terminate = []byte{'X', 0, 0, 0, 4}

// readyForQuery is what a ReadyForQuery begins with; its last byte is the state of the transaction:
//
//	1  'Z'
//	4  5
//	1  'I' outside a transaction, 'T' within one, 'E' within a failed one
var readyForQuery = []byte{'Z', 0, 0, 0, 5}

// replyOf says whether the database is ready for the next query, by the last six bytes that it sent. To
// follow where messages begin and end would cost something with each of them, all the time. These bytes
// may as well be the end of a piece of data that was cut just there; but a piece of data has to be cut
// between two reads in the middle of an answer, behind just these bytes, in the moment in which somebody
// wants the session to end, to be ended too early by that. Streams without end, copy-both, have no
// ReadyForQuery in them.
//
// A client that sends queries ahead, each with a Sync of its own, is taken for idle between the answers;
// usually such queries have one Sync together.
func replyOf(before, chunk []byte) proxy.Reply {
	last := chunk
	if len(last) < len(readyForQuery)+1 {
		last = append(bytes.Clone(before), chunk...)
	}
	if n := len(last) - len(readyForQuery) - 1; n >= 0 && bytes.Equal(last[n:n+len(readyForQuery)], readyForQuery) {
		switch last[len(last)-1] {
		case 'I':
			return proxy.ReplyComplete
		case 'T', 'E':
			return proxy.ReplyInTransaction
		}
	}
	if notifications(chunk) {
		return proxy.NoReply
	}
	return proxy.ReplyUnfinished
}

// notifications reports whether chunk is NotificationResponses and nothing else. A server sends them
// between queries only.
func notifications(chunk []byte) bool {
	for len(chunk) > 0 {
		if len(chunk) < messageHeader || chunk[0] != 'A' {
			return false
		}
		length := uint64(binary.BigEndian.Uint32(chunk[1:])) + 1
		if length < messageHeader || length > uint64(len(chunk)) {
			return false
		}
		chunk = chunk[length:]
	}
	return true
}

// farewell is what a client is told whose session is ended, as a server does that shuts down.
func farewell(why *proxy.Farewell) []byte {
	code := adminShutdown
	if why.Silence {
		code = idleSessionTimeout
	}
	response := pgproto3.ErrorResponse{
		Severity:            "FATAL",
		SeverityUnlocalized: "FATAL",
		Code:                code,
		Message:             "dbvalet: " + proxy.Printable(why.Text),
		Hint:                proxy.Printable(why.Advice),
	}
	encoded, err := response.Encode(nil)
	if err != nil { // only for more than a gigabyte
		return nil
	}
	return encoded
}

package mysql

import (
	"bytes"
	"errors"

	"dbvalet/proxy"
)

// errAsksForFile is what a client is told whose database asks for one of its files, which the client did
// not offer with CLIENT_LOCAL_FILES.
var errAsksForFile = &proxy.SetupError{
	Stage:  proxy.StageRelay,
	Err:    errors.New("the server asks for a file of the client's, which did not offer any"),
	Advice: "the server may not be who it says it is; where LOAD DATA LOCAL is meant, turn it on at the client (local_infile)",
}

// fileRequests finds, in what a database sends, a request for a file of the client's, LOCAL INFILE:
//
//	1  251
//	n  name of the file
//
// It is the first packet of an answer, with number 1. Any other packet with that number has number 0
// before it, the numbers having come round, and its first byte may well be 251: a row that begins with
// NULL, or the middle of anything long. So it is not found behind a number 0, and not behind another
// result of the same answer, whose end only who decodes results can tell. Whether a client reads its
// files out to a server remains the client's to decide; this is for those that don't ask themselves,
// before the first servers that try it.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_local_infile_request.html
type fileRequests struct {
	left int  // bytes of a packet's payload that are still to come
	seq  byte // of the packet before
}

// scan returns how many bytes of b are to be passed on. What is left of b then is a request for a file,
// or the beginning of a packet of which so little is there that it may become one.
func (r *fileRequests) scan(b []byte) (pass int, found bool) {
	for {
		n := min(r.left, len(b)-pass)
		r.left -= n
		pass += n
		rest := b[pass:]
		if len(rest) < packetHeader {
			return pass, false
		}
		length := payloadLength(rest)
		if rest[3] == 1 && r.seq != 0 && length > 0 {
			if len(rest) == packetHeader {
				return pass, false
			}
			if rest[packetHeader] == localInfileHeader {
				return pass, true
			}
		}
		r.left, r.seq = length, rest[3]
		pass += packetHeader
	}
}

// admit returns how much of b, which the database sent, is for the client as it is. A request for a
// file ends the session: the database hears nothing any more.
func (s *session) admit(b []byte) int {
	if !s.guarded {
		return len(b)
	}
	pass, found := s.files.scan(b)
	if !found {
		s.unsure = bytes.Clone(b[pass:])
		return pass
	}
	s.up.Log.Warn("the database asks for a file that the client did not offer", "hint", proxy.Hint(errAsksForFile))
	s.pending, s.over = errorPacket(1, errAsksForFile), true
	s.Conn.Close()
	return pass
}

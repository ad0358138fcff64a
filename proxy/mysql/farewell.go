package mysql

import (
	"encoding/binary"
	"slices"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// The codes with which a server ends a session that could go on. Clients older than MySQL 8.0.24 don't
// know the second.
var (
	serverShutdown           = code{1053, "08S01"}
	clientInteractionTimeout = code{4031, "HY000"}
)

// farewell is what a client is told whose session is ended: the answer to its next command, and so
// number 1.
func (s *session) farewell(why *proxy.Farewell) []byte {
	c := serverShutdown
	if why.Silence && s.reply.has(mysql.CLIENT_QUERY_ATTRIBUTES) { // it is of 8.0.23 at least
		c = clientInteractionTimeout
	}
	b := binary.LittleEndian.AppendUint16([]byte{errHeader}, c.number)
	b = append(append(b, '#'), c.sqlstate...)
	return newPacket(1, append(b, errorText(why)...))
}

// replyOf says whether the database's answer is complete, by the last bytes that it sent. To decode all
// answers would cost something with each row, all the time. So it is known of answers that were read in
// one piece, as most are, and of longer ones that end with an EOF or an ERR, which no row can be taken
// for; a stray piece of data could be, if it were cut behind the right bytes. What is not recognized, such
// as the list of a prepared statement's columns that is longer than a piece, or COM_STATISTICS, counts as
// unfinished.
//
// A stream of the binary log is never complete.
func (s *session) replyOf(before, chunk []byte) proxy.Reply {
	if s.streams.Load() {
		return proxy.ReplyUnfinished
	}
	if whole, ok := split(chunk); ok {
		return replyOfWhole(whole, s.reply.has(mysql.CLIENT_DEPRECATE_EOF))
	}
	return replyOfEnd(slices.Concat(before, chunk))
}

// split cuts chunk into its packets. It is not ok if chunk is not one packet or several in order.
func split(chunk []byte) (packets []packet, ok bool) {
	for len(chunk) > 0 {
		if len(chunk) < packetHeader {
			return nil, false
		}
		end := packetHeader + payloadLength(chunk)
		if end > len(chunk) || end == packetHeader {
			return nil, false
		}
		p := packet(chunk[:end])
		if len(packets) > 0 && p.seq() != packets[len(packets)-1].seq()+1 {
			return nil, false
		}
		packets, chunk = append(packets, p), chunk[end:]
	}
	return packets, len(packets) > 0
}

// replyOfWhole is of packets that begin and end with the chunk.
func replyOfWhole(packets []packet, noEOF bool) proxy.Reply {
	first, last := packets[0], packets[len(packets)-1]
	if prepared(packets, noEOF) {
		return proxy.ReplyComplete // and a transaction that may be open goes unseen
	}
	if last.kind() != okHeader {
		return replyOfLast(last)
	}
	// A row of a prepared statement begins with a zero too: an OK is alone, or follows another result.
	if len(packets) == 1 && first.seq() >= 1 || len(packets) > 1 && followed(packets[len(packets)-2]) {
		return replyOfLast(last)
	}
	return proxy.ReplyUnfinished
}

// prepared reports whether packets are the whole answer to COM_STMT_PREPARE:
//
//	1  0
//	4  statement
//	2  columns
//	2  parameters
//	1  0
//	2  warnings
//	1  whether the metadata follow; left out by most
//
// Parameters and columns follow, each list with an EOF where there are EOFs.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html
func prepared(packets []packet, noEOF bool) bool {
	p := packets[0].payload()
	if packets[0].seq() != 1 || p[0] != okHeader || len(p) < 12 || len(p) > 13 || p[9] != 0 {
		return false
	}
	want := 1
	for _, n := range []uint16{binary.LittleEndian.Uint16(p[5:]), binary.LittleEndian.Uint16(p[7:])} {
		want += int(n)
		if n > 0 && !noEOF {
			want++
		}
	}
	return len(packets) == want
}

// followed reports whether another result follows p, or the end of a COM_CHANGE_USER.
func followed(p packet) bool {
	if p.kind() == moreDataHeader {
		return true
	}
	status, ok := statusOf(p.payload())
	return ok && status&mysql.SERVER_MORE_RESULTS_EXISTS != 0
}

// maxEnd is the longest EOF or ERR that is looked for at the end of a piece, in bytes of payload.
const maxEnd = 600

// replyOfEnd is of bytes that begin somewhere: it looks for an EOF or an ERR whose length leads to their
// end.
func replyOfEnd(b []byte) proxy.Reply {
	for n := 5; n <= maxEnd && n+packetHeader <= len(b); n++ {
		p := packet(b[len(b)-n-packetHeader:])
		if payloadLength(p) == n && (p.kind() == eofHeader || p.kind() == errHeader && n >= 9 && p[7] == '#') {
			if reply := replyOfLast(p); reply != proxy.ReplyUnfinished {
				return reply
			}
		}
	}
	return proxy.ReplyUnfinished
}

// eofHeader begins an EOF, and the OK that ends rows where there are no EOFs.
const eofHeader = 0xFE

// progressReport is the number of what MariaDB sends in the form of an error while something takes long.
const progressReport = 0xFFFF

// replyOfLast is of the last packet.
func replyOfLast(p packet) proxy.Reply {
	switch p.kind() {
	case errHeader:
		if len(p.payload()) >= 3 && binary.LittleEndian.Uint16(p.payload()[1:]) != progressReport {
			return proxy.ReplyComplete // and a transaction that may be open goes unseen
		}
	case okHeader, eofHeader:
		status, ok := statusOf(p.payload())
		switch {
		case !ok || status&mysql.SERVER_MORE_RESULTS_EXISTS != 0:
		case status&(mysql.SERVER_STATUS_IN_TRANS|mysql.SERVER_STATUS_IN_TRANS_READONLY) != 0:
			return proxy.ReplyInTransaction
		default:
			return proxy.ReplyComplete
		}
	}
	return proxy.ReplyUnfinished
}

// statusOf returns the status flags of an OK or an EOF:
//
//	1  0, or 254            1  254
//	n  affected rows        2  warnings
//	n  last insert id       2  status
//	2  status
//	2  warnings
func statusOf(payload []byte) (status uint16, ok bool) {
	f := fields{rest: payload}
	switch header := f.uint8(); {
	case header == eofHeader && len(payload) == 5:
		f.uint16()
	case header == eofHeader, header == okHeader:
		f.lenencInt()
		f.lenencInt()
		status = f.uint16()
		f.uint16()
		return status, !f.short
	default:
		return 0, false
	}
	status = f.uint16()
	return status, !f.short
}

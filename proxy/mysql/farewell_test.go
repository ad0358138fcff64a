package mysql

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

func TestReplyIsCompleteByItsLastPacket(t *testing.T) {
	packets := func(seq byte, payloads ...string) (b []byte) {
		for i, p := range payloads {
			b = append(b, newPacket(seq+byte(i), []byte(p))...)
		}
		return b
	}
	const (
		okInside = "\x00\x00\x00\x03\x00\x00\x00"
		okMore   = "\x00\x00\x00\x0a\x00\x00\x00"
		okInfo   = "\x00\x02\x00\x02\x00\x00\x00Rows matched: 2"
		eof      = "\xfe\x00\x00\x02\x00"
		eofMore  = "\xfe\x00\x00\x0a\x00"
		okOfRows = "\xfe\x00\x00\x02\x00\x00\x00"
		failure  = "\xff\x48\x04#HY000no"
		progress = "\xff\xff\xff\x01\x01\x01\x00\x00\x00\x05Query"
		column   = "\x03def\x00\x00\x00\x01a\x00\x0c\x3f\x00\x15\x00\x00\x00\x08\x81\x00\x00\x00\x00"
		binary1  = "\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"
		stmt     = "\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"
		bareStmt = "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	)
	long := strings.Repeat("x", 3000)
	for _, r := range []struct {
		name          string
		before, chunk []byte
		noEOF         bool
		want          proxy.Reply
	}{
		{"OK", nil, packets(1, okPacket), true, proxy.ReplyComplete},
		{"OK with info", nil, packets(1, okInfo), true, proxy.ReplyComplete},
		{"OK in a transaction", nil, packets(1, okInside), true, proxy.ReplyInTransaction},
		{"OK and another result to come", nil, packets(1, okMore), true, proxy.ReplyUnfinished},
		{"OK and OK", nil, packets(1, okMore, okPacket), true, proxy.ReplyComplete},
		{"OK of LOAD DATA", nil, packets(77, okPacket), true, proxy.ReplyComplete},
		{"ERR", nil, packets(1, failure), true, proxy.ReplyComplete},
		{"progress", nil, packets(1, progress), true, proxy.ReplyUnfinished},
		{"rows and EOF", nil, packets(1, "\x01", column, eof, "\x011", eof), false, proxy.ReplyComplete},
		{"rows and OK", nil, packets(1, "\x01", column, "\x011", okOfRows), true, proxy.ReplyComplete},
		{"rows and another result to come", nil, packets(1, "\x01", column, eof, "\x011", eofMore), false, proxy.ReplyUnfinished},
		{"rows and no end", nil, packets(1, "\x01", column, "\x011"), true, proxy.ReplyUnfinished},
		{"rows of a statement and no end", nil, packets(1, "\x01", column, binary1, binary1), true, proxy.ReplyUnfinished},
		{"part of a long row", nil, packets(4, long)[:2000], true, proxy.ReplyUnfinished},
		{"end of a long row and EOF", nil, packets(4, long, eof)[2000:], false, proxy.ReplyComplete},
		{"end of a long row and OK", nil, packets(4, long, okOfRows)[2000:], true, proxy.ReplyComplete},
		{"end of a long row and ERR", nil, packets(4, long, failure)[2000:], true, proxy.ReplyComplete},
		{"EOF in two pieces", packets(4, "x", eof)[:9], packets(4, "x", eof)[9:], false, proxy.ReplyComplete},
		{"a prepared statement", nil, packets(1, stmt, column, column), true, proxy.ReplyComplete},
		{"a prepared statement with EOFs", nil, packets(1, stmt, column, eof, column, eof), false, proxy.ReplyComplete},
		{"a part of a prepared statement", nil, packets(1, stmt, column), true, proxy.ReplyUnfinished},
		{"a prepared statement of nothing", nil, packets(1, bareStmt), true, proxy.ReplyComplete},
		{"an empty packet", nil, packets(1, ""), true, proxy.ReplyUnfinished},
	} {
		s := &session{reply: &response{}}
		if r.noEOF {
			s.reply.capabilities = mysql.CLIENT_DEPRECATE_EOF
		}
		if got := s.replyOf(r.before, r.chunk); got != r.want {
			t.Errorf("%s: got %d, want %d", r.name, got, r.want)
		}
		s.streams.Store(true)
		if got := s.replyOf(r.before, r.chunk); got != proxy.ReplyUnfinished {
			t.Errorf("%s, in the binary log: got %d", r.name, got)
		}
	}
}

func FuzzReplyOf(f *testing.F) {
	f.Add([]byte{}, []byte(newPacket(1, []byte(okPacket))), true)
	f.Add([]byte{5}, []byte("\x00\x00\x05\xfe\x00\x00\x02\x00"), false)
	f.Add([]byte{}, []byte("\x00\x00\x00\x01"), false)
	f.Add([]byte("0000"), []byte{}, false)
	f.Fuzz(func(_ *testing.T, before, chunk []byte, noEOF bool) {
		s := &session{reply: &response{}}
		if noEOF {
			s.reply.capabilities = mysql.CLIENT_DEPRECATE_EOF
		}
		s.replyOf(before, chunk)
	})
}

func TestCommandsThatGetNoAnswerAreCounted(t *testing.T) {
	closes := newPacket(0, []byte("\x19\x01\x00\x00\x00"))
	stream := slices.Concat(newPacket(0, []byte("\x03SELECT 1")), closes, newPacket(0, []byte("\x0e")), closes)
	for size := 1; size <= len(stream); size++ {
		var c commands
		var held []byte
		for piece := range slices.Chunk(stream, size) {
			b := append(held, piece...)
			pass, _ := c.scan(b)
			held = bytes.Clone(b[pass:])
		}
		if want := int64(2 * len(closes)); c.unanswered != want || c.streams {
			t.Errorf("in pieces of %d: got %d bytes, want %d", size, c.unanswered, want)
		}
	}
	var c commands
	c.scan(newPacket(0, []byte("\x12\x04\x00\x00\x00")))
	if !c.streams {
		t.Error("the binary log is not noticed")
	}
}

func TestDismissedClientIsToldAsTheAnswerToItsNextCommand(t *testing.T) {
	closed, left := make(chan packet, 1), make(chan packet, 1)
	db := newDatabase(t, func(p *peer) {
		if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
			return
		}
		p.say(3, okPacket)
		p.packet() // COM_PING
		p.say(1, okPacket)
		closed <- p.packet() // COM_STMT_CLOSE
		left <- p.packet()
	})
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
	client, _ := dial(t, r.addr)
	if got := client.logIn("app"); got.kind() != okHeader {
		t.Fatalf("got %q", got)
	}
	client.say(0, "\x0e")
	client.packet()
	client.say(0, "\x19\x01\x00\x00\x00")
	<-closed
	done := make(chan error, 1)
	go func() {
		done <- r.server.Dismiss(t.Context(), nil, &proxy.Farewell{Text: "shutting down", Advice: "try again"}, time.Hour)
	}()
	got := client.packet()
	if got == nil || got.seq() != 1 || got.kind() != errHeader || binary.LittleEndian.Uint16(got[5:]) != 1053 ||
		string(got[7:]) != "#08S01dbvalet: shutting down; hint: try again" {
		t.Errorf("client got %q", got)
	}
	if !client.isClosed() {
		t.Error("the connection goes on")
	}
	client.Close()
	if got := <-left; got == nil || got.kind() != int(mysql.COM_QUIT) {
		t.Errorf("the database got %q, want COM_QUIT", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOnlyNewClientsAreToldThatTheyWereSilent(t *testing.T) {
	for capabilities, want := range map[uint32]uint16{0: 1053, mysql.CLIENT_QUERY_ATTRIBUTES: 4031} {
		s := &session{reply: &response{capabilities: capabilities}}
		if got := binary.LittleEndian.Uint16(s.farewell(&proxy.Farewell{Silence: true})[5:]); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

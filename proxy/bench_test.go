package proxy

import (
	"io"
	"net"
	"testing"
	"time"
)

// BenchmarkSession is what a connection costs from accept to close, with nothing but the relay in between.
func BenchmarkSession(b *testing.B) {
	s := newServer(echo(b))
	addr, _ := s.serve(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkRoundTrip is a short question and its answer in a session.
func BenchmarkRoundTrip(b *testing.B) {
	s := newServer(echo(b))
	addr, _ := s.serve(b)
	c := dial(b, addr)
	_ = c.SetDeadline(time.Time{})
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPump is the copying itself, in pieces that fill the small buffer.
func BenchmarkPump(b *testing.B) {
	piece := make([]byte, smallBuffer-1)
	b.SetBytes(int64(64 * len(piece)))
	b.ReportAllocs()
	src := &repeats{piece: piece}
	t := newTalk(nil, &Session{})
	for b.Loop() {
		src.left = 64
		if err := pump(io.Discard, src, fromUpstreamSide{t}); err != io.EOF {
			b.Fatal(err)
		}
	}
}

// repeats says the same a number of times.
type repeats struct {
	piece []byte
	left  int
}

func (e *repeats) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	e.left--
	return copy(b, e.piece), nil
}

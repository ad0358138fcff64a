package tunnel

import (
	"io"
	"net"
	"testing"
)

// direct and by way of SSH, to a database that says what it hears.
func eachWay(b *testing.B, run func(b *testing.B, dial func() net.Conn)) {
	h := newHome(b)
	s, db := h.server(), echo(b)
	d := h.dialer(usualTiming, "ssh://u@"+s.addr)
	for _, way := range []struct {
		name string
		dial dialFunc
	}{{"direct", (&net.Dialer{}).DialContext}, {"ssh", d.DialContext}} {
		b.Run(way.name, func(b *testing.B) {
			run(b, func() net.Conn {
				conn, err := way.dial(b.Context(), "tcp", db)
				if err != nil {
					b.Fatal(err)
				}
				return conn
			})
		})
	}
}

// A query and its answer, of 100 bytes each.
func BenchmarkRoundTrip(b *testing.B) {
	eachWay(b, func(b *testing.B, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		message := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Write(message); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, message); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// 1 MB there and back.
func BenchmarkBulk(b *testing.B) {
	eachWay(b, func(b *testing.B, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		sent, got := make([]byte, 1<<20), make([]byte, 1<<20)
		b.SetBytes(int64(len(sent)))
		b.ReportAllocs()
		for b.Loop() {
			go func() { _, _ = conn.Write(sent) }()
			if _, err := io.ReadFull(conn, got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A connection, on an SSH connection that there is.
func BenchmarkConnect(b *testing.B) {
	eachWay(b, func(b *testing.B, dial func() net.Conn) {
		dial().Close()
		b.ReportAllocs()
		for b.Loop() {
			dial().Close()
		}
	})
}

package mysql

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// echo is a database that keeps a sum of what it is sent after the login, and says it at the end.
func echo(t *testing.T) (*database, chan [32]byte) {
	t.Helper()
	sums := make(chan [32]byte, 1)
	db := newDatabase(t, func(p *peer) {
		if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
			return
		}
		p.say(3, okPacket)
		hash := sha256.New()
		_, _ = io.Copy(hash, p.Conn)
		sums <- [32]byte(hash.Sum(nil))
	})
	return db, sums
}

// Data that looks like COM_CHANGE_USER passes: what LOAD DATA LOCAL sends, whose numbers come round to
// 0, and what comes in the middle of long packets.
func TestWhatOnlyLooksLikeACommandPasses(t *testing.T) {
	rows := []struct {
		name string
		sent func(w io.Writer)
	}{
		{"LOAD DATA LOCAL", func(w io.Writer) {
			_, _ = w.Write(newPacket(0, []byte("\x03LOAD DATA LOCAL")))
			for i := range 600 { // the numbers come round twice
				_, _ = w.Write(newPacket(byte(2+i), bytes.Repeat([]byte{0x11}, 1+i)))
			}
			_, _ = w.Write(newPacket((2+600)%256, nil))
			_, _ = w.Write(newPacket(0, []byte("\x0e")))
		}},
		{"LOAD DATA LOCAL whose end is number 255", func(w io.Writer) {
			_, _ = w.Write(newPacket(0, []byte("\x03LOAD DATA LOCAL")))
			for i := range 253 {
				_, _ = w.Write(newPacket(byte(2+i), []byte{0x11}))
			}
			_, _ = w.Write(newPacket(255, nil))
			_, _ = w.Write(newPacket(0, []byte("\x0e")))
		}},
		{"a command of 40 MB", func(w io.Writer) {
			payload := append([]byte{0x03}, bytes.Repeat([]byte{0x11, 0, 0, 0}, 10_000_000)...)
			for seq := byte(0); ; seq++ {
				n := min(len(payload), 1<<24-1)
				_, _ = w.Write(newPacket(seq, payload[:n]))
				if payload = payload[n:]; n < 1<<24-1 {
					break
				}
			}
			_, _ = w.Write(newPacket(0, []byte("\x0e")))
		}},
		{"empty commands", func(w io.Writer) {
			_, _ = w.Write(append(newPacket(0, nil), newPacket(0, nil)...))
		}},
		{"an end within a header", func(w io.Writer) { _, _ = w.Write([]byte{1, 0, 0, 0}) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db, sums := echo(t)
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			if got := client.logIn("app"); got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			hash := sha256.New()
			row.sent(io.MultiWriter(hash, client))
			if err := client.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := <-sums; got != [32]byte(hash.Sum(nil)) {
				t.Error("the database did not get what the client sent")
			}
		})
	}
}

// However a stream is cut into pieces, the same commands are found.
func TestCommandsAreFoundHoweverTheyArrive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		want := 0
		seq, carried := byte(0), false
		for range 40 {
			payload := bytes.Repeat([]byte{0x11}, random.IntN(9))
			if random.IntN(3) > 0 {
				seq = 0
			} else {
				seq = byte(254 + random.IntN(3))
			}
			continues := seq == 0 && len(stream) > 0 && carried
			if seq == 0 && len(payload) > 0 && !continues {
				want++
			}
			carried = seq == 255 && len(payload) > 0
			stream = append(stream, newPacket(seq, payload)...)
		}
		var c commands
		var held []byte
		got := 0
		for rest := stream; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			b := append(held, rest[:n]...)
			rest, held = rest[n:], nil
			for len(b) > 0 {
				pass, found := c.scan(b)
				if b = b[pass:]; !found {
					held = bytes.Clone(b)
					break
				}
				got++
				c.pass(b)
				b = b[packetHeader:]
			}
		}
		if got != want {
			t.Fatalf("found %d commands, want %d", got, want)
		}
	}
}

package mysql

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

const fileRequest = "\xfb/etc/passwd"

// asking is a database that answers every query in the same way, and keeps what it hears after that.
func asking(t *testing.T, answer string) (db *database, heard chan string) {
	t.Helper()
	heard = make(chan string, 1)
	db = newDatabase(t, func(p *peer) {
		if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
			return
		}
		p.say(3, okPacket)
		if p.packet() == nil {
			return
		}
		p.raw(answer)
		rest, _ := io.ReadAll(p.Conn)
		heard <- string(rest)
	})
	return db, heard
}

func TestFileIsNotAskedOfAClientThatOfferedNone(t *testing.T) {
	request := string(newPacket(1, []byte(fileRequest)))
	column := string(newPacket(1, []byte("\x01"))) + string(newPacket(2, []byte("column"))) + string(newPacket(3, []byte("\xfe")))
	rows := []struct {
		name    string
		offered bool
		answer  string
		before  string // what the client gets before the error
	}{
		{"offered", true, request, request},
		{"not offered", false, request, ""},
		{"behind another answer", false, column + request, column},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db, heard := asking(t, row.answer)
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			caps := uint32(clientCapabilities)
			if row.offered {
				caps |= mysql.CLIENT_LOCAL_FILES
			}
			client.say(1, asClient(caps, "me", "", mysql.AUTH_NATIVE_PASSWORD))
			if got := client.packet(); got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			client.say(0, "\x03SELECT 1")
			before := make([]byte, len(row.before))
			if _, err := io.ReadFull(client, before); err != nil || string(before) != row.before {
				t.Fatalf("got %q, %v, want %q", before, err, row.before)
			}
			if row.offered {
				client.say(2, "root:x:0:0")
				client.Close()
				if got := <-heard; !strings.Contains(got, "root:x:0:0") {
					t.Errorf("the database heard %q", got)
				}
				return
			}
			got := client.packet()
			if got == nil || got.kind() != errHeader || got.seq() != 1 || !strings.Contains(string(got), "asks for a file") {
				t.Fatalf("got %q", got)
			}
			client.say(2, "root:x:0:0")
			if !client.isClosed() {
				t.Error("the session goes on")
			}
			if got := <-heard; got != "" {
				t.Errorf("the database heard %q", got)
			}
		})
	}
}

// innocent are streams of a database that ask for nothing, though there is much in them that begins with
// the same byte.
func innocent() map[string][]byte {
	packets := func(seq int, payloads ...string) (b []byte) {
		for i, p := range payloads {
			b = append(b, newPacket(byte(seq+i), []byte(p))...)
		}
		return b
	}
	null := strings.Split(strings.Repeat("\xfb\x01x|", 1000), "|")
	long := strings.Repeat("\xfb\x01\x00\x00\x01", (1<<24-1)/5)
	return map[string][]byte{
		"rows that begin with NULL, and numbers that come round": packets(1, append([]string{"\x02", "c", "d", "\xfe"}, null[:1000]...)...),
		"an answer without columns that is empty":                packets(1, ""),
		"a row of 40 MB that goes on as number 1":                packets(255, "\xfbx", long, long, "\xfb\xfb"),
		"a binary log":        packets(1, append([]string{"\x00\xfb"}, null[:1000]...)...),
		"several answers":     bytes.Repeat(packets(1, "\x00\x00\x00\x02\x00\x00\x00"), 300),
		"an end within":       append(packets(1, "\x00"), "\x05\x00\x00\x01"...),
		"an end in a header":  append(packets(1, "\x00"), "\x05\x00"...),
		"251 columns":         packets(1, "\xfc\xfb\x00", "c"),
		"numbers from before": packets(250, null[:10]...),
	}
}

func TestWhatOnlyLooksLikeARequestForAFilePasses(t *testing.T) {
	for name, stream := range innocent() {
		t.Run(name, func(t *testing.T) {
			db := newDatabase(t, func(p *peer) {
				if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
					return
				}
				p.say(3, okPacket)
				p.packet()
				for rest := stream; len(rest) > 0; { // cut within headers too
					n := min(len(rest), 1+len(rest)%16411)
					p.raw(string(rest[:n]))
					rest = rest[n:]
				}
			})
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			if got := client.logIn("me"); got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			client.say(0, "\x03SELECT 1")
			hash := sha256.New()
			if _, err := io.Copy(hash, client.Conn); err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256(stream) != [32]byte(hash.Sum(nil)) {
				t.Error("the client did not get what the database sent")
			}
			if strings.Contains(r.log.String(), "asks for a file") {
				t.Error("the log has an alarm")
			}
		})
	}
}

// FuzzFileRequests looks for a stream of which the relay loses or adds a byte, however it is cut.
func FuzzFileRequests(f *testing.F) {
	f.Add([]byte(newPacket(1, []byte(fileRequest))), 3)
	f.Add([]byte(newPacket(0, []byte(fileRequest))), 1)
	f.Add([]byte(append(newPacket(0, []byte("x")), newPacket(1, []byte("\xfb"))...)), 2)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		whole := fileRequests{seq: 2}
		want, found := whole.scan(stream)
		if !found {
			want = len(stream)
		}
		s := &session{
			Conn: &recorder{script: &pieces{stream, max(1, min(size, 1<<16))}}, guarded: true, files: fileRequests{seq: 2},
			up: quiet,
		}
		var got []byte
		b := make([]byte, packetHeader+1+max(0, min(size, 100)))
		for {
			n, err := s.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				break
			}
		}
		if found {
			if got = bytes.TrimSuffix(got, errorPacket(1, errAsksForFile)); !s.over {
				t.Error("the session goes on")
			}
		}
		if !bytes.Equal(got, stream[:want]) {
			t.Errorf("%q is passed on as %q, want %q", stream, got, stream[:want])
		}
	})
}

// quiet is an upstream that says nothing to a log.
var quiet = &proxy.Upstream{Log: slog.New(slog.DiscardHandler)}

// pieces is read a few bytes at a time.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

// BenchmarkSmallRows reads 100,000 small rows through a session, guarded and not.
func BenchmarkSmallRows(b *testing.B) {
	var stream []byte
	for i := range 100_000 {
		stream = append(stream, newPacket(byte(4+i), fmt.Appendf(nil, "\x06%06d\x05small", i))...)
	}
	for _, guarded := range []bool{false, true} {
		b.Run(fmt.Sprint("guarded=", guarded), func(b *testing.B) {
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				s := &session{Conn: &recorder{script: bytes.NewReader(stream)}, guarded: guarded, files: fileRequests{seq: 3}, up: quiet}
				for {
					if _, err := s.Read(buf); err != nil {
						break
					}
				}
			}
		})
	}
}

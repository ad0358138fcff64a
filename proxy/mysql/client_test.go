package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// A goodDatabase takes every login by mysql_native_password, and counts how connections ended.
type goodDatabase struct {
	*database
	logins, broken atomic.Int64
	replies        chan *response // of the logins
	quits          chan struct{}
}

func newGoodDatabase(t testing.TB) *goodDatabase {
	t.Helper()
	d := &goodDatabase{replies: make(chan *response, 1000), quits: make(chan struct{}, 1000)}
	d.database = newDatabase(t, func(p *peer) {
		r := p.open(mysql.AUTH_NATIVE_PASSWORD)
		if r == nil {
			d.broken.Add(1)
			return
		}
		if r.user == nobody {
			p.say(3, "\xfecaching_sha2_password\x00"+serverScramble+"\x00")
			p.packet()
			p.say(5, "\xff\x15\x04#28000Access denied")
			return
		}
		d.logins.Add(1)
		d.replies <- r
		p.say(3, okPacket)
		for {
			q := p.packet()
			if q == nil {
				return
			}
			if q.kind() == int(mysql.COM_QUIT) {
				d.quits <- struct{}{}
				return
			}
			p.say(q.seq()+1, okPacket)
		}
	})
	return d
}

func TestClientThatDoesNotStayIsNotDialledFor(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
	for range 50 {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	r.log.wait(t, 50, "served without a session")
	if n := db.count(); n > 5 { // a slow machine may take longer than the grace now and then
		t.Errorf("%d connections to the database for 50 probes", n)
	}
	if strings.Contains(r.log.String(), "level=WARN") {
		t.Errorf("probes make error lines:\n%s", r.log)
	}
}

// lateReader is the connection of a probe, of which the server gets to read only when time is up.
type lateReader struct {
	net.Conn
	late  time.Duration
	reads int
}

func (r *lateReader) SetReadDeadline(time.Time) error { return nil }

func (r *lateReader) Read([]byte) (int, error) {
	if r.reads++; r.reads == 1 {
		<-time.After(r.late)
		return 0, os.ErrDeadlineExceeded
	}
	return 0, io.EOF
}

func TestGraceThatWasMissedBeginsAgain(t *testing.T) {
	for late, want := range map[time.Duration]bool{grace: true, 5 * grace: false} {
		synctest.Test(t, func(t *testing.T) {
			if stays, err := awaitSilence(t.Context(), &lateReader{late: late}); stays != want || err != nil {
				t.Errorf("after %v: got %v, %v, want %v", late, stays, err, want)
			}
		})
	}
}

// afterWords has the server's engine come to a client when that has spoken, however late it gets to.
func afterWords(s *proxy.Server) { s.Engine = late{s.Engine} }

type late struct{ proxy.Engine }

func (e late) Handshake(ctx context.Context, client *proxy.Client, up *proxy.Upstream) (*proxy.Session, error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		return nil, err
	}
	client.Conn = &unread{client.Conn, first}
	return e.Engine.Handshake(ctx, client, up)
}

// unread is a connection of which some bytes were read that are to be read again.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(b []byte) (int, error) {
	if len(u.first) == 0 {
		return u.Conn.Read(b)
	}
	n := copy(b, u.first)
	u.first = u.first[n:]
	return n, nil
}

func TestClientThatSpeaksFirstIsNotDialledFor(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, afterWords)
	p := connect(t, r.addr)
	p.raw("GET / HTTP/1.1\r\n\r\n")
	if got := p.packet(); got == nil || got.kind() != errHeader || !strings.Contains(string(got), "spoke first") {
		t.Errorf("got %q", got)
	}
	if n := db.count(); n != 0 {
		t.Errorf("%d connections to the database", n)
	}
}

func TestCredentialThatCannotBeHadIsNotDialledFor(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{err: errors.New("the store is down")})
	_, got := dial(t, r.addr)
	if got.kind() != errHeader || !strings.Contains(string(got), "the store is down") || db.count() != 0 {
		t.Errorf("got %q, and %d connections", got, db.count())
	}
	// Where the client names the user, the database is greeted with; it hears of nobody then.
	r = serve(t, &Engine{}, db.addr, &source{err: errors.New("the store is down")})
	client, _ := dial(t, r.addr)
	if got := client.logIn("app"); got.kind() != errHeader || !strings.Contains(string(got), "the store is down") {
		t.Errorf("got %q", got)
	}
	if db.broken.Load() != 0 || db.logins.Load() != 0 {
		t.Errorf("%d broken, %d logins", db.broken.Load(), db.logins.Load())
	}
}

func TestTooManyConnections(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, func(s *proxy.Server) { s.Upstream.Conns = []*proxy.Limit{{Max: 1, Name: "max_connections"}} })
	first, _ := dial(t, r.addr)
	if got := first.logIn("app"); got.kind() != okHeader {
		t.Fatalf("got %q", got)
	}
	_, got := dial(t, r.addr)
	if e := decodeDatabaseError(got.payload(), false); e.number != 1040 || e.sqlstate != "" {
		t.Errorf("got %d %q %q", e.number, e.sqlstate, e.message)
	}
	first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		next, got := dial(t, r.addr)
		if got.kind() == protocolVersion {
			next.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place was never given back")
		}
	}
}

// Any client library gets in, whatever its plugin and password.
func TestAnyPluginAndPasswordIsAccepted(t *testing.T) {
	rows := []struct {
		name, plugin, auth string
		want               []string // what the client is told, in order
	}{
		{"native, none", mysql.AUTH_NATIVE_PASSWORD, "", []string{okPacket}},
		{"native, dummy", mysql.AUTH_NATIVE_PASSWORD, serverScramble, []string{okPacket}},
		{"sha2, zero", mysql.AUTH_CACHING_SHA2_PASSWORD, "\x00", []string{okPacket}},
		{"sha2, dummy", mysql.AUTH_CACHING_SHA2_PASSWORD, serverScramble + "abcdefghijkl", []string{"\x01\x03", okPacket}},
		{"sha2, nothing", mysql.AUTH_CACHING_SHA2_PASSWORD, "", []string{"switch caching_sha2_password", "\x01\x03", okPacket}},
		{"sha256, zero", mysql.AUTH_SHA256_PASSWORD, "\x00", []string{okPacket}},
		{"sha256, asks for the key", mysql.AUTH_SHA256_PASSWORD, "\x01", []string{"switch caching_sha2_password", "\x01\x03", okPacket}},
		{"cleartext", mysql.AUTH_CLEAR_PASSWORD, "dummy\x00", []string{okPacket}},
		{"ed25519", mysql.AUTH_MARIADB_ED25519, "", []string{"switch mysql_native_password", okPacket}},
		{"parsec", pluginParsec, "", []string{"switch mysql_native_password", okPacket}},
		{"dialog", pluginDialog, "dummy\x00", []string{"switch mysql_native_password", okPacket}},
		{"none", "", serverScramble, []string{okPacket}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db := newGoodDatabase(t)
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			client.say(1, string(answerTo(clientCapabilities, "whoever", row.auth, row.plugin)))
			seq := byte(2)
			for _, want := range row.want {
				got := client.packet()
				if got == nil || got.seq() != seq {
					t.Fatalf("got %q, want number %d", got, seq)
				}
				seq++
				if plugin, ok := strings.CutPrefix(want, "switch "); ok {
					if !strings.HasPrefix(string(got.payload()), "\xfe"+plugin+"\x00") || len(got.payload()) != len(plugin)+2+scrambleLength+1 {
						t.Fatalf("got %q, want a switch to %s", got, plugin)
					}
					client.say(seq, serverScramble)
					seq++
				} else if string(got.payload()) != want {
					t.Errorf("got %q, want %q", got.payload(), want)
				}
			}
			// The next one is a command, number 0, and answered by the database.
			client.say(0, "\x0e")
			if got := client.packet(); got == nil || got.seq() != 1 || got.kind() != okHeader {
				t.Errorf("COM_PING: got %q", got)
			}
		})
	}
}

// The database sees the client's own words, but for user, answer and the capabilities of the leg.
func TestRepliesReachTheDatabaseAsTheyCame(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app", Database: "orders"}, db.addr, &source{passwords: []string{secret}})
	rows := []struct {
		name string
		caps uint32
	}{
		{"MariaDB's extended flags", needed &^ clientMySQL},
		{"MySQL 9, with flags that were not offered", 0xFFFFFFFF &^ mysql.CLIENT_SSL},
		{"an old one", mysql.CLIENT_PROTOCOL_41 | mysql.CLIENT_SECURE_CONNECTION},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			sent := &response{capabilities: row.caps, maxPacket: 12345678, charset: 224, user: "me", attributes: []byte("\x0cprogram_name\x05tests")}
			copy(sent.filler[19:], "\x07\x00\x01\x02")
			if sent.has(mysql.CLIENT_CONNECT_WITH_DB) {
				sent.database = "other"
			}
			// As the client itself would write it.
			b := binary.LittleEndian.AppendUint32(nil, row.caps)
			b = append(b, sent.fixed(0)[4:]...)
			b = appendText(b, sent.user)
			b = append(b, 0)
			if sent.has(mysql.CLIENT_CONNECT_WITH_DB) {
				b = appendText(b, sent.database)
			}
			if sent.has(mysql.CLIENT_PLUGIN_AUTH) {
				b = appendText(b, mysql.AUTH_NATIVE_PASSWORD)
			}
			if sent.has(mysql.CLIENT_CONNECT_ATTRS) {
				b = appendLenenc(b, sent.attributes)
			}
			if sent.has(mysql.CLIENT_ZSTD_COMPRESSION_ALGORITHM) {
				b = append(b, 3)
			}
			client, _ := dial(t, r.addr)
			client.say(1, string(b))
			if got := client.packet(); got == nil || got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			got := <-db.replies
			masked := uint32(mysql.CLIENT_COMPRESS | mysql.CLIENT_ZSTD_COMPRESSION_ALGORITHM | 1<<29 | 1<<30 | 1<<31)
			leg := uint32(mysql.CLIENT_SSL | needed | mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA | clientMultiFactor)
			want := row.caps&^masked | leg | mysql.CLIENT_CONNECT_WITH_DB
			if got.capabilities != want {
				t.Errorf("capabilities %#x, want %#x", got.capabilities, want)
			}
			database := sent.database
			if database == "" {
				database = "orders"
			}
			if got.maxPacket != sent.maxPacket || got.charset != sent.charset || got.filler != sent.filler || got.database != database || got.user != "app" {
				t.Errorf("got %+v", got)
			}
			if sent.has(mysql.CLIENT_CONNECT_ATTRS) && (string(got.attributes) != string(sent.attributes) || got.application() != "tests") {
				t.Errorf("attributes %q", got.attributes)
			}
			if want := mysql.CalcNativePassword([]byte(serverScramble), []byte(secret)); string(got.auth) != string(want) {
				t.Errorf("answer %q, want %q", got.auth, want)
			}
		})
	}
}

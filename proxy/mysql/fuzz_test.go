package mysql

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

func FuzzReadPacket(f *testing.F) {
	f.Add([]byte(newPacket(0, []byte(hello("")))))
	f.Add([]byte("\xff\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPacket(bytes.NewReader(b), 0, maxGreeting)
		if err == nil && (!bytes.HasPrefix(b, p) || len(p.payload()) > maxGreeting) {
			t.Errorf("read %q", p)
		}
	})
}

func FuzzDecodeGreeting(f *testing.F) {
	f.Add([]byte(hello(mysql.AUTH_NATIVE_PASSWORD)))
	f.Add([]byte("\x0a\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		g, err := decodeGreeting(payload)
		if err != nil {
			return
		}
		if len(g.scramble) < scrambleLength {
			t.Errorf("scramble of %d bytes", len(g.scramble))
		}
		shown, err := decodeGreeting(g.forClient(g.capabilities, mysql.AUTH_NATIVE_PASSWORD, newScramble()).payload())
		if err != nil || shown.version != g.version || shown.threadID != g.threadID || shown.reserved != g.reserved {
			t.Errorf("%+v is shown as %+v, %v", g, shown, err)
		}
	})
}

func FuzzProof(f *testing.F) {
	f.Add([]byte(okPacket))
	f.Add([]byte(okWith("\x01" + strings.Repeat("00", 32))))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if err := (&proof{kept: []byte("kept")}).verify(payload); err == nil {
			t.Errorf("%q is a proof", payload)
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add(answerTo(clientCapabilities, "app", "dummy", mysql.AUTH_NATIVE_PASSWORD))
	f.Add(answerTo(clientCapabilities|mysql.CLIENT_CONNECT_ATTRS|mysql.CLIENT_CONNECT_WITH_DB, "", "", ""))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := decodeResponse(payload)
		if err != nil {
			return
		}
		_ = r.application()
		again, err := decodeResponse(r.forServer(serverCapabilities, r.user, r.plugin, r.auth))
		if err != nil || again.user != r.user || !bytes.Equal(again.auth, r.auth) || again.database != r.database ||
			!bytes.Equal(again.attributes, r.attributes) || again.filler != r.filler || again.maxPacket != r.maxPacket {
			t.Errorf("%+v goes on as %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeChangeUser(f *testing.F) {
	f.Add([]byte(changeUserPacket("app", "dummy", "orders", mysql.AUTH_NATIVE_PASSWORD)), uint32(clientCapabilities))
	f.Add([]byte("\x11\x00\x00"), uint32(mysql.CLIENT_CONNECT_ATTRS))
	f.Fuzz(func(t *testing.T, payload []byte, caps uint32) {
		r := &response{capabilities: caps}
		c, err := decodeChangeUser(payload, r)
		if err != nil {
			return
		}
		upstream := &response{capabilities: choose(caps, serverCapabilities)}
		again, err := decodeChangeUser(c.forServer(c.user, r), upstream)
		if err != nil || again.user != c.user || again.database != c.database || again.charset != c.charset || !bytes.Equal(again.attributes, c.attributes) {
			t.Errorf("%+v goes on as %+v, %v", c, again, err)
		}
	})
}

func FuzzDecodeDatabaseError(f *testing.F) {
	f.Add([]byte("\xff\x15\x04#28000Access denied"))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := decodeDatabaseError(payload, true)
		_ = e.Error() + e.Hint()
		if p := errorPacket(1, e); !bytes.Equal(p.payload(), payload) {
			t.Errorf("%q goes on as %q", payload, p.payload())
		}
	})
}

func FuzzErrorText(f *testing.F) {
	f.Add("dial db.example.com: connection refused", "check the host")
	f.Fuzz(func(t *testing.T, text, hint string) {
		p := errorPacket(1, &proxy.SetupError{Stage: proxy.StageDial, Err: errors.New(text), Advice: hint})
		if e := decodeDatabaseError(p.payload(), false); len(e.message) > maxErrorText || e.sqlstate != "HY000" {
			t.Errorf("%d bytes: %q", len(e.message), e.message)
		}
	})
}

// FuzzCommands looks for a stream of which the relay loses or adds a byte.
func FuzzCommands(f *testing.F) {
	f.Add([]byte(newPacket(0, []byte("\x03SELECT 1"))), 3)
	f.Add([]byte(newPacket(255, []byte("\x11"))), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = max(1, min(size, len(stream)))
		s := &session{Conn: &recorder{}}
		var c commands
		if pass, found := c.scan(stream); found {
			stream = stream[:pass]
		}
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			if written, err := s.Write(rest[:n]); written != n || err != nil {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := s.Conn.(*recorder).written.Bytes(); !bytes.Equal(got, stream) {
			t.Errorf("%q is passed on as %q", stream, got)
		}
	})
}

// FuzzLogin lets a server say anything at all.
func FuzzLogin(f *testing.F) {
	for _, script := range []string{
		"\x07\x00\x00\x03" + okPacket,
		string(newPacket(3, []byte("\xfecaching_sha2_password\x00"+serverScramble+"\x00"))) + "\x02\x00\x00\x05\x01\x04",
		string(newPacket(3, []byte("\xfeparsec\x00"+serverScramble+serverScramble))) + string(newPacket(5, []byte("P\x00"+serverScramble[:18]))),
		string(newPacket(3, []byte("\xfedialog\x00\x04Password:"))),
	} {
		f.Add([]byte(script))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		conn := &recorder{script: bytes.NewReader(script)}
		l := &login{conn: conn, reader: conn, seq: 3, cred: tokens.Credential{Password: tokens.NewSecret(secret)}}
		l.methods, _ = ParseMethods("!password,!dialog,!caching_sha2_password,!sha256_password")
		_, err := l.converse()
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(secret)) {
			t.Errorf("the secret is in %v", err)
		}
		if bytes.Contains(conn.written.Bytes(), []byte(secret)) {
			t.Error("the password was sent by a method that isn't allowed")
		}
	})
}

// FuzzClient lets a client say anything at all, to a route that wants a password and to one that doesn't.
func FuzzClient(f *testing.F) {
	for _, script := range []string{
		framed(1, asClient(clientCapabilities, "app", "", mysql.AUTH_NATIVE_PASSWORD)) + framed(3, strings.Repeat("x", 32)),
		framed(1, asClient(clientCapabilities, "app", strings.Repeat("x", 32), mysql.AUTH_CACHING_SHA2_PASSWORD)),
		framed(1, sslRequest(clientCapabilities)) + "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
	} {
		f.Add([]byte(script), true)
		f.Add([]byte(script), false)
	}
	greeted, err := decodeGreeting([]byte(hello(mysql.AUTH_NATIVE_PASSWORD)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, script []byte, shut bool) {
		e := &Engine{}
		if shut {
			e.Password = localVerifier
		}
		conn := &recorder{script: bytes.NewReader(script)}
		h := &handshake{
			engine: e, up: quiet, opening: &proxy.Opening{}, greeted: greeted,
			client: &proxy.Client{Conn: conn, Door: &proxy.Door{TLS: serverTLS, Users: []string{"app"}}},
		}
		if err := h.hear(); err == nil && (shut || h.reply.user != "app" && h.reply.user != "") {
			t.Errorf("%q is let in", script)
		}
	})
}

func FuzzVerifier(f *testing.F) {
	f.Add([]byte(serverScramble), mysql.CalcCachingSha2Password([]byte(serverScramble), []byte("another")), "another")
	f.Add([]byte{}, []byte{}, "")
	f.Fuzz(func(t *testing.T, scramble, answer []byte, password string) {
		v := NewVerifier(tokens.NewSecret(password))
		right := mysql.CalcCachingSha2Password(scramble, []byte(password))
		if password != "" && !v.verify(scramble, right) {
			t.Errorf("the right answer %q is refused", right)
		}
		if v.verify(scramble, answer) && !bytes.Equal(answer, right) && password != "" {
			t.Errorf("answer %q is accepted", answer)
		}
	})
}

// A recorder is a connection that keeps what is written and reads a script.
type recorder struct {
	net.Conn
	written bytes.Buffer
	script  io.Reader
}

func (r *recorder) Write(b []byte) (int, error)        { return r.written.Write(b) }
func (r *recorder) Read(b []byte) (int, error)         { return r.script.Read(b) }
func (r *recorder) SetDeadline(_ time.Time) error      { return nil }
func (r *recorder) SetWriteDeadline(_ time.Time) error { return nil }
func (r *recorder) Close() error                       { return nil }

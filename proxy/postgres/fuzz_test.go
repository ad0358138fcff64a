package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A tape is a connection on which everything was said beforehand.
type tape struct {
	net.Conn // nil: what is not here is not used
	in       *bytes.Reader
	out      bytes.Buffer
}

func newTape(in []byte) *tape { return &tape{in: bytes.NewReader(in)} }

func (t *tape) Read(p []byte) (int, error)       { return t.in.Read(p) }
func (t *tape) Write(p []byte) (int, error)      { return t.out.Write(p) }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }

func FuzzReadStartup(f *testing.F) {
	f.Add(packet(version(3, 0), fields("user", "app", "database", "orders"), []byte{0}))
	f.Add(slices.Concat(sslRequest, gssRequest, packet(version(3, 2), fields("user", "a", "user", "b", "_pq_.x", ""), []byte{0}), []byte("Q")))
	f.Add(slices.Concat(sslRequest, packet(version(1234, 5678), []byte("pid.key!"))))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte{0x16, 3, 1, 0, 5})
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := newTape(in)
		first, err := readStartup(&proxy.Client{Conn: conn, Door: &proxy.Door{}})
		if err != nil {
			if err := refuseStartup(context.Background(), conn, err); err == nil && conn.out.Len() > 2 {
				t.Errorf("a client that was told %q is no failure", conn.out.Bytes())
			}
			return
		}
		declined := strings.Count(conn.out.String(), "N")
		if conn.out.Len() != declined || declined > 2 {
			t.Fatalf("client was told %q, want at most N twice", conn.out.Bytes())
		}
		rest := in[8*declined : len(in)-conn.in.Len()]
		switch first := first.(type) {
		case cancelRequest:
			if !bytes.Equal(first, rest) || len(first.key()) < 8 {
				t.Errorf("got cancel request %q from %q", first, rest)
			}
		case *startupMessage:
			if !bytes.Equal(first.packet, rest) {
				t.Errorf("got packet %q from %q", first.packet, rest)
			}
			checkWith(t, first)
		default:
			t.Errorf("got a %T", first)
		}
	})
}

// FuzzReadStartupInClear is a client that may encrypt, and says whatever it likes in clear: with
// TLS begun, none of that is a startup packet.
func FuzzReadStartupInClear(f *testing.F) {
	start := startupPacket(f, map[string]string{"user": "mallory"})
	f.Add(start)
	f.Add(slices.Concat(sslRequest, start))
	f.Add(slices.Concat(gssRequest, sslRequest, []byte{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0}, start))
	f.Add(slices.Concat([]byte{0x16, 3, 3, 0, 8}, sslRequest, start))
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := newTape(in)
		first, err := readStartup(&proxy.Client{Conn: conn, Door: &proxy.Door{TLS: localTLS()}})
		if told := conn.out.String(); err == nil && strings.Trim(told, "N") != "" {
			t.Errorf("got %q behind %q", first, told)
		}
	})
}

// FuzzReadStartupInTLS is the same client within TLS.
func FuzzReadStartupInTLS(f *testing.F) {
	f.Add(startupPacket(f, map[string]string{"user": "app"}))
	f.Add(slices.Concat(sslRequest, startupPacket(f, map[string]string{"user": "app"})))
	f.Add(cancelPacket(4711, []byte("key!")))
	f.Add([]byte{0x16, 3, 1, 0, 5})
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		c := &client{far, t}
		var saying sync.WaitGroup
		saying.Go(func() {
			defer far.Close()
			c.encrypt(ALPN()...)
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = c.Write(in)
			_ = c.Conn.(*tls.Conn).CloseWrite()
		})
		encrypted := &proxy.Client{Conn: near, Door: &proxy.Door{TLS: localTLS()}}
		first, err := readStartup(encrypted)
		near.Close()
		saying.Wait()
		if err != nil {
			return
		}
		if encrypted.TLS() == nil {
			t.Fatal("the client got no TLS")
		}
		rest := in
		if bytes.HasPrefix(in, gssRequest) {
			rest = in[len(gssRequest):]
		}
		switch first := first.(type) {
		case cancelRequest:
			if !bytes.HasPrefix(rest, first) {
				t.Errorf("got cancel request %q from %q", first, in)
			}
		case *startupMessage:
			if !bytes.HasPrefix(rest, first.packet) {
				t.Errorf("got packet %q from %q", first.packet, in)
			}
		}
	})
}

// checkWith sets a user in m and looks at the outcome as a server would.
func checkWith(t *testing.T, m *startupMessage) {
	t.Helper()
	if got := m.with("user", m.get("user")); m.get("user") != "" && len(got.packet) == len(m.packet) && got.get("user") != m.get("user") {
		t.Errorf("%q became %q with the user that it has", m.packet, got.packet)
	}
	set := m.with("user", "app")
	again, err := parseStartupMessage(set.packet)
	if err != nil || again.get("user") != "app" {
		t.Fatalf("%q became %q: user %v, %v", m.packet, set.packet, again, err)
	}
	others := func(s *startupMessage) (kept []string) {
		for _, p := range s.params {
			if string(p.name) != "user" {
				kept = append(kept, string(p.name), string(p.value))
			}
		}
		return kept
	}
	if got, want := others(again), others(m); !slices.Equal(got, want) {
		t.Errorf("%q became %q", want, got)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(request(0))
	f.Add([]byte{'R', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{'R', 0, 0, 0, 3, 0})
	f.Add(append(raw('S', fields("a", "b")...), 'Z', 0))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 100
		r := bytes.NewReader(in)
		m, err := readMessage(r, limit)
		switch {
		case err == io.EOF:
			if len(in) != 0 {
				t.Errorf("got EOF in the middle of %q", in)
			}
		case err != nil:
			if len(m) != 0 {
				t.Errorf("got %q and %v", m, err)
			}
		case !bytes.HasPrefix(in, m) || len(in)-r.Len() != len(m) || len(m.body()) > limit || len(m) != messageHeader+len(m.body()):
			t.Errorf("got %q from %q", m, in)
		}
	})
}

// FuzzLogIn has a server say whatever it likes after the StartupMessage.
func FuzzLogIn(f *testing.F) {
	sasl := request(10, fields("SCRAM-SHA-256", "")...)
	for _, said := range [][]byte{
		request(0),
		slices.Concat(request(3), request(0)),
		slices.Concat(request(5, 1, 2, 3, 4), raw('v', 0), request(0)),
		slices.Concat(sasl, request(11, []byte("r=,s=YQ==,i=1")...), request(12, []byte("v=YQ==")...), request(0)),
		slices.Concat(sasl, request(0)),
		slices.Concat(request(3), raw('E', []byte("SFATAL\x00C28P01\x00Mno\x00\x00")...)),
		slices.Concat(request(3), request(3)),
	} {
		f.Add(said, "")
		f.Add(said, "scram-sha-256")
		f.Add(said, "password")
		f.Add(said, "!none")
	}
	f.Fuzz(func(t *testing.T, said []byte, requireAuth string) {
		methods, err := ParseMethods(requireAuth)
		if err != nil {
			return
		}
		engine := &Engine{RequireAuth: methods}
		start := &startupMessage{packet: []byte("start")}
		conn := newTape(said)
		l, err := engine.logIn(conn, start, tokens.Credential{User: "app", Password: tokens.NewSecret(secret)})
		told := strings.TrimPrefix(conn.out.String(), "start")
		if strings.Contains(told, secret) && !methods.Allow(MethodPassword) {
			t.Errorf("the server got the password, and require_auth is %s", requireAuth)
		}
		if strings.Count(told, secret) > 1 {
			t.Error("the server got the password twice")
		}
		if err != nil {
			if response := errorResponse(err); bytes.Contains(response, []byte(secret)) || len(response) == 0 || response[0] != 'E' {
				t.Errorf("the client got %q", response)
			}
			if errors.Is(err, proxy.ErrRejected) && told == "" {
				t.Error("a credential is taken for refused that was not sent")
			}
			return
		}
		if strings.Contains(told, "SCRAM") {
			t.Error("a server that can't know the password passed for one that does")
		}
		var last message
		for r := bytes.NewReader(l.passOn); r.Len() > 0; {
			if last, err = readMessage(r, maxLoginMessage); err != nil {
				t.Fatalf("client is to see %q: %v", l.passOn, err)
			}
		}
		if !bytes.HasPrefix(last, []byte{'R'}) || !bytes.HasPrefix(last.body(), []byte{0, 0, 0, 0}) ||
			!bytes.HasSuffix(said[:len(said)-conn.in.Len()], last) {
			t.Errorf("client is to see %q, and AuthenticationOk is not the end of it", l.passOn)
		}
	})
}

// FuzzLocalPassword has a client that does not know the password answer whatever it likes.
func FuzzLocalPassword(f *testing.F) {
	verifier, err := NewVerifier(tokens.NewSecret(localSecret))
	if err != nil {
		f.Fatal(err)
	}
	verifier.server.WithNonceGenerator(func() string { return "nonce" })
	first, proof := []byte("n,,n=,r=client"), []byte("c=biws,r=clientnonce,p=YQ==")
	f.Add(slices.Concat(saslInitial(mechanismSCRAM, string(first)), raw('p', proof...)), false)
	f.Add(slices.Concat(saslInitial(mechanismSCRAM, "y,,n=,r=client"), raw('p', []byte("c=eSws,r=clientnonce,p=YQ==")...)), false)
	f.Add(slices.Concat(saslInitial(mechanismSCRAMPlus, "p=tls-server-end-point,,n=,r=client"), raw('p', []byte("c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsYmluZGluZw==,r=clientnonce,p=YQ==")...)), true)
	f.Add(saslInitial(mechanismSCRAM, "n,a=other,n=,r=client,m=x"), true)
	f.Add(raw('p', append(fields(mechanismSCRAM), 0xff, 0xff, 0xff, 0xff)...), false)
	f.Add(raw('p', fields(localSecret)...), false)
	f.Add(raw('X'), false)
	f.Fuzz(func(t *testing.T, said []byte, bound bool) {
		var binding scram.ChannelBinding
		if bound {
			binding = scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: []byte("binding")}
		}
		conn := newTape(said)
		err := verifier.ask(conn, binding, "who\x1bever")
		if err == nil {
			t.Fatalf("a client was let in that said %q", said)
		}
		for r, kind := bytes.NewReader(conn.out.Bytes()), byte(10); r.Len() > 0; kind++ {
			m, err := readMessage(r, 2*maxLoginMessage)
			if err != nil || kind > 11 || !bytes.HasPrefix(m.body(), []byte{0, 0, 0, kind}) {
				t.Fatalf("client was told %q, want a request for SASL, a challenge and no proof", conn.out.Bytes())
			}
		}
		var response pgproto3.ErrorResponse
		if encoded := errorResponse(err); response.Decode(encoded[messageHeader:]) != nil || strings.ContainsFunc(response.Message+response.Hint, unicode.IsControl) {
			t.Errorf("the client got %q", encoded)
		}
	})
}

func FuzzParseMethods(f *testing.F) {
	for _, list := range []string{"", "password", "!none", "md5,scram-sha-256", "!md5,none", "md5,md5", ",", "!"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		m, err := ParseMethods(list)
		if err != nil {
			return
		}
		for _, method := range []string{MethodPassword, methodMD5, methodSCRAM, methodNone} {
			named := slices.Contains(strings.Split(list, ","), method)
			refused := slices.Contains(strings.Split(list, ","), "!"+method)
			want := list == "" || named || strings.HasPrefix(list, "!") && !refused
			if got := m.Allow(method); got != want {
				t.Errorf("require_auth=%s: %s allowed: got %v, want %v", list, method, got, want)
			}
		}
	})
}

// FuzzIterations looks for a message in which the SCRAM library sees more work than we do.
func FuzzIterations(f *testing.F) {
	f.Add(",s=YQ==,i=4096")
	f.Add(",s=YQ==,i=1000001,i=1")
	f.Add(",i=1,s=YQ==,i=2000000000")
	f.Add("i=1,s=YQ==,i=+2000000000")
	f.Add(",s=YQ==,i=99999999999999999999999")
	f.Fuzz(func(t *testing.T, more string) {
		const nonce, enough = "nonce", 1000
		n := iterations([]byte("r=" + nonce + more))
		if n > enough {
			return
		}
		var work counting
		client, err := work.hash().NewClientUnprepped("", secret, "")
		if err != nil {
			t.Fatal(err)
		}
		conversation := client.WithMinIterations(1).WithNonceGenerator(func() string { return nonce }).NewConversation()
		if _, err := conversation.Step(""); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if recover() == errWork {
				t.Errorf("%q is %d iterations, and the library makes more than %d", more, n, work.sums)
			}
		}()
		work.limit = 10 * enough
		_, _ = conversation.Step("r=" + nonce + more)
	})
}

// counting counts the sums that a library makes of hashes, and panics with errWork beyond a limit.
type counting struct {
	sums, limit int // 0: no limit
}

var errWork = errors.New("too much work")

func (c *counting) hash() scram.HashGeneratorFcn {
	return func() hash.Hash { return countedHash{sha256.New(), c} }
}

type countedHash struct {
	hash.Hash
	*counting
}

func (h countedHash) Sum(b []byte) []byte {
	if h.sums++; h.limit > 0 && h.sums > h.limit {
		panic(errWork)
	}
	return h.Hash.Sum(b)
}

func TestIterationsAreBounded(t *testing.T) {
	salt := base64.StdEncoding.EncodeToString([]byte("salt"))
	for serverFirst, want := range map[string]int64{
		"r=x,s=" + salt + ",i=4096":             4096,
		"r=x,s=" + salt + ",i=1000000":          1_000_000,
		"r=x,s=" + salt + ",i=2147483648":       2_147_483_648,
		"r=x,s=" + salt + ",i=4096,x=extension": 4096,
		"r=x,s=" + salt + ",i=":                 maxIterations + 1,
		"r=x,s=" + salt:                         0,
		"":                                      0,
	} {
		if got := iterations([]byte(serverFirst)); got != want {
			t.Errorf("iterations(%q) = %d, want %d", serverFirst, got, want)
		}
	}
}

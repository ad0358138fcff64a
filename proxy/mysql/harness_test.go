package mysql

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	dbtls "dbvalet/tls"
	"dbvalet/tokens"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

const (
	host   = "db.example.com"
	secret = "correct-horse-battery-staple"
)

// serverTLS is a server's side of TLS for host, and certificatePEM its certificate.
var serverTLS, certificatePEM = makeCertificate()

func makeCertificate() (*tls.Config, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue makes a certificate for name that ends at a time, in the name of serverTLS's.
func issue(name string, end time.Time) *tls.Config {
	issuer := serverTLS.Certificates[0]
	parent, err := x509.ParseCertificate(issuer.Certificate[0])
	if err != nil {
		panic(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: end.Add(-2 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), issuer.PrivateKey)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// strangersTLS has a certificate for host that nobody trusts.
var strangersTLS, _ = makeCertificate()

// clientTLS trusts serverTLS.
var clientTLS = func() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificatePEM)
	return &tls.Config{RootCAs: roots, ServerName: host}
}()

// source gives passwords, one after the other, and the last one for ever.
type source struct {
	mu        sync.Mutex
	passwords []string
	err       error
	asked     []string // for these users
}

func (s *source) Credential(_ context.Context, user string) (tokens.Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, user)
	if s.err != nil {
		return tokens.Credential{}, s.err
	}
	password := s.passwords[0]
	if len(s.passwords) > 1 {
		s.passwords = s.passwords[1:]
	}
	return tokens.Credential{Password: tokens.NewSecret(password)}, nil
}

// lines is a log.
type lines struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed at the next write
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.b.Write(p)
}

// wait returns when one of texts is there n times.
func (l *lines) wait(t testing.TB, n int, texts ...string) {
	t.Helper()
	limit := time.After(patience)
	for {
		l.mu.Lock()
		for _, text := range texts {
			if strings.Count(l.b.String(), text) >= n {
				l.mu.Unlock()
				return
			}
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("the log never said %q %d times:\n%s", texts, n, l)
		}
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A route is a running proxy.
type route struct {
	addr   string
	log    *lines
	server *proxy.Server
}

// serve runs a proxy to upstream until the test ends.
func serve(t testing.TB, e *Engine, upstream string, credentials tokens.Source, change ...func(*proxy.Server)) *route {
	t.Helper()
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, certificatePEM, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := dbtls.New(dbtls.Options{Host: host, CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &route{addr: ln.Addr().String(), log: &lines{}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := &proxy.Server{
		Engine: e, HandshakeTimeout: 4 * time.Second, Log: log,
		Upstream: &proxy.Upstream{Endpoint: proxy.Endpoint{Addr: upstream, TLS: client}, Credentials: &tokens.Cache{Source: credentials, Log: log}, Log: log},
	}
	for _, f := range change {
		f(server)
	}
	r.server = server
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := server.Counts.Panics.Load(); n != 0 {
			t.Errorf("%d panics:\n%s", n, r.log)
		}
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the secret is in the log:\n%s", r.log)
		}
	})
	return r
}

// A peer is one side of a scripted conversation.
type peer struct {
	t testing.TB
	net.Conn
	seen *lines // all that it read, decrypted
}

func (p *peer) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	_, _ = p.seen.Write(b[:n])
	return n, err
}

func (p *peer) packet() packet {
	got := make(packet, packetHeader)
	if _, err := io.ReadFull(p, got); err != nil {
		return nil
	}
	got = append(got, make([]byte, payloadLength(got))...)
	if _, err := io.ReadFull(p, got.payload()); err != nil {
		return nil
	}
	return got
}

// say sends a packet; a peer that is gone is no concern of a script.
func (p *peer) say(seq byte, payload string) { _, _ = p.Write(newPacket(seq, []byte(payload))) }

func (p *peer) raw(b string) { _, _ = p.Write([]byte(b)) }

// tls makes the rest of the conversation an encrypted one.
func (p *peer) tls() bool { return p.tlsWith(serverTLS) }

func (p *peer) tlsWith(config *tls.Config) bool {
	conn := tls.Server(p.Conn, config)
	if err := conn.Handshake(); err != nil {
		return false
	}
	p.Conn = conn
	return true
}

// A database is a scripted server.
type database struct {
	addr string
	seen *lines

	active atomic.Int64 // connections that are open

	mu    sync.Mutex
	conns int
}

func (d *database) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns
}

// database runs script for each connection.
func newDatabase(t testing.TB, script func(*peer)) *database {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{addr: ln.Addr().String(), seen: &lines{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns++
			d.mu.Unlock()
			d.active.Add(1)
			serving.Go(func() {
				defer d.active.Add(-1)
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				script(&peer{t, conn, d.seen})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return d
}

const (
	serverCapabilities = 0xFFFFFFFF &^ (1<<29 | 1<<30 | 1<<31)
	serverScramble     = "abcdefghijklmnopqrst"
	okPacket           = "\x00\x00\x00\x02\x00\x00\x00"
)

// hello is the payload of a good greeting.
func hello(plugin string) string { return helloWith(serverCapabilities, plugin) }

func helloWith(caps uint32, plugin string) string {
	return "\x0a8.4.0-test\x00" + "\x2a\x01\x00\x00" + serverScramble[:8] + "\x00" +
		string([]byte{byte(caps), byte(caps >> 8), 0xFF, 2, 0, byte(caps >> 16), byte(caps >> 24), 21}) +
		"\x00\x00\x00\x00\x00\x00\x11\x22\x33\x44" + serverScramble[8:] + "\x00" + plugin + "\x00"
}

// open greets, and takes TLS and the reply.
func (p *peer) open(plugin string) *response {
	p.say(0, hello(plugin))
	if first := p.packet(); first == nil || !p.tls() {
		return nil
	}
	reply := p.packet()
	if reply == nil {
		return nil
	}
	r, err := decodeResponse(reply.payload())
	if err != nil {
		p.t.Errorf("the server can't decode the reply: %v", err)
	}
	return r
}

// answerTo is a reply to a greeting.
func answerTo(caps uint32, user, auth, plugin string) []byte {
	r := &response{capabilities: caps, maxPacket: 1 << 24, charset: 45, user: user, auth: []byte(auth), plugin: plugin}
	return r.forServer(serverCapabilities, user, plugin, r.auth)
}

const clientCapabilities = needed | mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA | mysql.CLIENT_DEPRECATE_EOF

// dial connects a scripted client and reads the first packet.
func dial(t testing.TB, addr string) (*peer, packet) {
	t.Helper()
	p := connect(t, addr)
	return p, p.packet()
}

// connect connects a scripted client.
func connect(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{t, conn, &lines{}}
}

// asClient is the payload of a reply to a greeting as a client with caps writes it.
func asClient(caps uint32, user, auth, plugin string) string {
	b := binary.LittleEndian.AppendUint32(nil, caps)
	b = append(b, (&response{maxPacket: 1 << 24, charset: 45}).fixed(0)[len(b):]...)
	b = append(appendText(b, user), byte(len(auth)))
	b = append(b, auth...)
	if caps&mysql.CLIENT_PLUGIN_AUTH != 0 {
		b = appendText(b, plugin)
	}
	return string(b)
}

// logIn is an ordinary client's login; it returns what it is told at the end.
func (p *peer) logIn(user string) packet {
	p.say(1, asClient(clientCapabilities, user, "", mysql.AUTH_NATIVE_PASSWORD))
	return p.packet()
}

// isClosed waits for the end of the connection.
func (p *peer) isClosed() bool {
	n, err := p.Read(make([]byte, 1))
	return n == 0 && !errors.Is(err, os.ErrDeadlineExceeded)
}

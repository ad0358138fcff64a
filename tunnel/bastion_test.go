package tunnel

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hurried is a timing in which nothing is waited for that a test does not want.
var hurried = timing{
	login: 20 * time.Second, open: 20 * time.Second, slow: 20 * time.Second,
	interval: time.Hour, patience: time.Hour, urgent: time.Hour, idle: time.Hour,
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A server is an SSH server in this process, which forwards like sshd.
type server struct {
	t      testing.TB
	addr   string
	config *ssh.ServerConfig
	logins atomic.Int64
	// asked is called with the user who shows a key.
	asked atomic.Pointer[func(user string)]
	// refuse answers a request to forward; nil: it is done. It is set before the server is used.
	refuse func(address string) *ssh.OpenChannelError

	mu    sync.Mutex
	ln    net.Listener
	conns []net.Conn
}

// newServer starts a server that lets users in with the keys.
func newServer(t testing.TB, keys []ssh.PublicKey, hostKeys ...ssh.Signer) *server {
	t.Helper()
	s := &server{t: t}
	s.config = &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if asked := s.asked.Load(); asked != nil {
				(*asked)(c.User())
			}
			for _, k := range keys {
				if string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("no")
		},
	}
	for _, key := range hostKeys {
		s.config.AddHostKey(key)
	}
	s.listen("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *server) listen(addr string) {
	s.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.ln, s.addr = ln, ln.Addr().String()
	s.mu.Unlock()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
}

// stop closes everything.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln.Close()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

func (s *server) serve(conn net.Conn) {
	sc, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	defer sc.Close()
	s.logins.Add(1)
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		go s.forward(channel)
	}
}

// forward is direct-tcpip and direct-streamlocal@openssh.com.
func (s *server) forward(channel ssh.NewChannel) {
	network, address := "unix", ""
	if channel.ChannelType() == "direct-tcpip" {
		var to struct {
			Host   string
			Port   uint32
			Origin string
			From   uint32
		}
		_ = ssh.Unmarshal(channel.ExtraData(), &to)
		network, address = "tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port))
	} else {
		var to struct {
			Path, Reserved string
			Zero           uint32
		}
		_ = ssh.Unmarshal(channel.ExtraData(), &to)
		address = to.Path
	}
	if s.refuse != nil {
		if refusal := s.refuse(address); refusal != nil {
			_ = channel.Reject(refusal.Reason, refusal.Message)
			return
		}
	}
	to, err := net.Dial(network, address)
	if err != nil {
		text := err.Error()
		_ = channel.Reject(ssh.ConnectionFailed, strings.ToUpper(text[strings.LastIndex(text, ": ")+2:][:1])+text[strings.LastIndex(text, ": ")+3:])
		return
	}
	from, requests, err := channel.Accept()
	if err != nil {
		to.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, from)
		_ = to.(interface{ CloseWrite() error }).CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(from, to)
		_ = from.CloseWrite()
	})
	both.Wait()
	to.Close()
	from.Close()
}

// echo is a database that says what it hears, and ends when the other side has.
func echo(t testing.TB) string {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		_, _ = io.Copy(conn, conn)
		conn.Close()
	})
}

// listen serves connections until the test ends.
func listen(t testing.TB, network, addr string, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return ln.Addr().String()
}

// A home is a user's directory with a key that servers know.
type home struct {
	t    testing.TB
	dir  string
	key  ed25519.PrivateKey
	env  map[string]string
	pub  ssh.PublicKey
	host ssh.Signer // a host key, which known_hosts does not have by itself
}

func newHome(t testing.TB) *home {
	t.Helper()
	dir, err := os.MkdirTemp("", "tunnel-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key, pub := newKey(t)
	h := &home{t: t, dir: dir, key: key, pub: pub, env: map[string]string{}, host: newSigner(t)}
	h.write(".ssh/id_ed25519", pemOf(t, key))
	return h
}

func newKey(t testing.TB) (ed25519.PrivateKey, ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, signer.PublicKey()
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	key, _ := newKey(t)
	return signerOf(t, key)
}

func signerOf(t testing.TB, key crypto.Signer) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newECDSA(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, key)
}

// pemOf is a file with key.
func pemOf(t testing.TB, key crypto.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// lockedPEM is a file with a key that has a passphrase, as ssh-keygen makes it, but for what only who
// knows the passphrase could read: to make that takes seconds.
// https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
func lockedPEM(public ssh.PublicKey) string {
	content := ssh.Marshal(struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public, Private         []byte
	}{"aes256-ctr", "bcrypt", "options", 1, public.Marshal(), make([]byte, 64)})
	return string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append([]byte("openssh-key-v1\x00"), content...)}))
}

func (h *home) write(name, content string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// knows writes known_hosts, with these keys for addr.
func (h *home) knows(addr string, keys ...ssh.PublicKey) {
	h.t.Helper()
	var lines string
	for _, key := range keys {
		lines += knownhosts.Line([]string{addr}, key) + "\n"
	}
	h.write(".ssh/known_hosts", lines)
}

// server is one that knows the home's key, and that known_hosts has.
func (h *home) server() *server {
	h.t.Helper()
	s := newServer(h.t, []ssh.PublicKey{h.pub}, h.host)
	h.knows(s.addr, h.host.PublicKey())
	return s
}

// dialer is one by way of via, until the test ends.
func (h *home) dialer(t timing, via ...string) *Dialer {
	h.t.Helper()
	d, err := newDialer(h.options(via...), t)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { d.Close() })
	return d
}

func (h *home) options(via ...string) Options {
	h.t.Helper()
	hops, err := ParseHops(via)
	if err != nil {
		h.t.Fatal(err)
	}
	return Options{Hops: hops, Home: h.dir, Getenv: func(name string) string { return h.env[name] }}
}

// startAgent is an SSH agent that holds keys.
func (h *home) startAgent(keys ...crypto.PrivateKey) {
	h.t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key, Comment: "of the agent"}); err != nil {
			h.t.Fatal(err)
		}
	}
	h.serveAgent(ring)
}

func (h *home) serveAgent(ring agent.Agent) {
	h.t.Helper()
	h.env["SSH_AUTH_SOCK"] = listen(h.t, "unix", filepath.Join(h.dir, "agent"), func(conn net.Conn) {
		_ = agent.ServeAgent(ring, conn)
		conn.Close()
	})
}

// mustEcho fails the test if conn does not lead to echo.
func mustEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	_ = conn.SetDeadline(time.Time{})
}

func mustDial(t *testing.T, d *Dialer, addr string) net.Conn {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// failure is the *Error of a dial that must not succeed.
func failure(t *testing.T, d *Dialer, addr string) *Error {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err == nil {
		conn.Close()
		t.Fatal("got a connection")
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	if e.Advice == "" {
		t.Errorf("%v has no hint", e)
	}
	return e
}

func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it never happened that %s", what)
		}
	}
}

package tunnel

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestUnknownHostKeyIsRefusedWithItsFingerprint(t *testing.T) {
	h := newHome(t)
	s := h.server()
	h.write(".ssh/known_hosts", "")
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	e := failure(t, d, "db:5432")
	_, port, _ := net.SplitHostPort(s.addr)
	fingerprint := ssh.FingerprintSHA256(h.host.PublicKey())
	if want := "via ssh://u@" + s.addr + ": its host key is not known: ssh-ed25519 " + fingerprint; e.Error() != want {
		t.Errorf("got %q, want %q", e, want)
	}
	for _, want := range []string{`run "ssh -p ` + port + ` u@127.0.0.1"`, "ssh-keyscan -p " + port + " 127.0.0.1 >>" + h.dir + "/.ssh/known_hosts"} {
		if !strings.Contains(e.Advice, want) {
			t.Errorf("the hint is %q, want %q in it", e.Advice, want)
		}
	}
	if !e.Final() || s.logins.Load() != 0 {
		t.Errorf("final: %v, logins: %d", e.Final(), s.logins.Load())
	}
	db := echo(t)
	h.knows(s.addr, h.host.PublicKey()) // as the hint says
	mustEcho(t, mustDial(t, d, db))
}

func TestChangedHostKeyIsRefused(t *testing.T) {
	h := newHome(t)
	s := h.server()
	before := newSigner(t).PublicKey()
	h.knows(s.addr, before)
	e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), "db:5432")
	for _, want := range []string{"its host key has changed", ssh.FingerprintSHA256(h.host.PublicKey()), ssh.FingerprintSHA256(before), "/.ssh/known_hosts:1 has"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("got %q, want %q in it", e, want)
		}
	}
	if !strings.Contains(e.Advice, "ssh-keygen -R '"+knownhosts.Normalize(s.addr)+"' -f "+h.dir) || !e.Final() {
		t.Errorf("the hint is %q, final %v", e.Advice, e.Final())
	}
}

// A server has several host keys, and known_hosts one of them: that is the one to be shown.
func TestOnlyTheHostKeysThatAreKnownAreAskedFor(t *testing.T) {
	h := newHome(t)
	curve := newECDSA(t)
	s, db := newServer(t, []ssh.PublicKey{h.pub}, newSigner(t), curve), echo(t)
	h.knows(s.addr, curve.PublicKey())
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), db))

	other := newServer(t, []ssh.PublicKey{h.pub}, newSigner(t))
	h.knows(other.addr, curve.PublicKey())
	e := failure(t, h.dialer(hurried, "ssh://u@"+other.addr), db)
	if !strings.Contains(e.Error(), "it has no host key of a kind that is known for it: there is ecdsa-sha2-nistp256, and it has ssh-ed25519") || !e.Final() {
		t.Errorf("got %v", e)
	}
}

// As with ssh, a key that is known without a port will do on any, where none is known with that port.
func TestHostKeyWithoutPortIsThatOfAllPorts(t *testing.T) {
	h := newHome(t)
	curve := newECDSA(t)
	s, db := newServer(t, []ssh.PublicKey{h.pub}, newSigner(t), curve), echo(t)
	line := func(name string, key ssh.PublicKey) string { return knownhosts.Line([]string{name}, key) + "\n" }
	h.write(".ssh/known_hosts", line("127.0.0.1", curve.PublicKey()))
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), db))

	h.write(".ssh/known_hosts", line("127.0.0.1", newECDSA(t).PublicKey()))
	if e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), db); !strings.Contains(e.Error(), "its host key is not known") {
		t.Errorf("another key without port: got %v", e)
	}
	other := newServer(t, []ssh.PublicKey{h.pub}, h.host)
	if e := failure(t, h.dialer(hurried, "ssh://u@"+other.addr), db); !strings.Contains(e.Error(), "its host key is not known") {
		t.Errorf("a key of another kind without port: got %v", e)
	}
	h.write(".ssh/known_hosts", line("127.0.0.1", h.host.PublicKey())+line(other.addr, newSigner(t).PublicKey()))
	if e := failure(t, h.dialer(hurried, "ssh://u@"+other.addr), db); !strings.Contains(e.Error(), "its host key has changed") {
		t.Errorf("another key with the port: got %v", e)
	}
}

func TestHostCertificatesOfAKnownAuthority(t *testing.T) {
	h := newHome(t)
	authority, key := newECDSA(t), newSigner(t) // of different kinds
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s, db := newServer(t, []ssh.PublicKey{h.pub}, certified), echo(t)
	line := func(key ssh.PublicKey) string {
		return "@cert-authority " + knownhosts.Line([]string{s.addr}, key) + "\n"
	}
	h.write(".ssh/known_hosts", line(authority.PublicKey()))
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	mustEcho(t, mustDial(t, d, db))
	plain := newServer(t, []ssh.PublicKey{h.pub}, h.host)
	h.write(".ssh/known_hosts", "@cert-authority "+knownhosts.Line([]string{plain.addr}, authority.PublicKey())+"\n"+knownhosts.Line([]string{plain.addr}, h.host.PublicKey())+"\n")
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+plain.addr), db)) // it has no certificate
	h.write(".ssh/known_hosts", line(newSigner(t).PublicKey()))
	if e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), db); !strings.Contains(e.Error(), "its host certificate will not do") || !e.Final() {
		t.Errorf("another authority: got %v", e)
	}
	h.write(".ssh/known_hosts", line(authority.PublicKey())+"@revoked * "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))+"\n")
	if e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), db); !strings.Contains(e.Error(), "revoked") || !e.Final() {
		t.Errorf("revoked: got %v", e)
	}
}

func TestHostKeysThatSSHConfigRevokesAreRefused(t *testing.T) {
	h := newHome(t)
	authority, key := newSigner(t), newSigner(t)
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s, db := newServer(t, []ssh.PublicKey{h.pub}, certified), echo(t)
	h.write(".ssh/known_hosts", "@cert-authority "+knownhosts.Line([]string{s.addr}, authority.PublicKey())+"\n")
	h.write(".ssh/config", "RevokedHostKeys ~/.ssh/revoked\n")
	line := func(key ssh.PublicKey) string { return "# of a host\n\n" + string(ssh.MarshalAuthorizedKey(key)) }
	for _, row := range []struct{ name, content, fails string }{
		{"another key", line(h.pub), ""},
		{"its key", line(h.pub) + line(key.PublicKey()), "is revoked in "},
		{"its certificate", line(cert), "is revoked in "},
		{"the authority's", line(authority.PublicKey()), "is revoked in "},
		{"what is no key", "hello\n", "revoked:1: "},
		{"a KRL", "SSHKRL\n\x00\x00", "is a KRL"},
		{"no such file", "", "no such file"},
	} {
		if h.write(".ssh/revoked", row.content); row.content == "" {
			os.Remove(h.dir + "/.ssh/revoked")
		}
		d := h.dialer(hurried, "ssh://u@"+s.addr)
		if row.fails == "" {
			mustEcho(t, mustDial(t, d, db))
			continue
		}
		if e := failure(t, d, db); !strings.Contains(e.Error(), row.fails) || !e.Final() {
			t.Errorf("%s: got %q, final %v", row.name, e, e.Final())
		}
	}
	h.write(".ssh/config", "RevokedHostKeys none\n")
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), db))
}

func TestFileOfHostKeysThatTheRouteNames(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	content, _ := os.ReadFile(h.dir + "/.ssh/known_hosts")
	h.write(".ssh/known_hosts", "")
	o := h.options("ssh://u@" + s.addr)
	o.KnownHosts = h.write("known", string(content))
	d, err := newDialer(o, hurried)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	mustEcho(t, mustDial(t, d, db))

	for name, change := range map[string]func(){
		"no such file": func() { os.Remove(o.KnownHosts) },
		"no valid":     func() { h.write("known", "what is this\n") },
	} {
		change()
		d, err := newDialer(o, hurried)
		if err != nil {
			t.Fatal(err)
		}
		if e := failure(t, d, db); !strings.Contains(e.Error(), name) || !e.Final() {
			t.Errorf("got %v, want %q in it", e, name)
		}
	}
}

func TestKeysThatAreTried(t *testing.T) {
	other, _ := newKey(t)
	for _, row := range []struct {
		name    string
		prepare func(h *home, o *Options)
		fails   string // with this in the error; empty: it does not
		advice  string
	}{
		{"the usual file", func(*home, *Options) {}, "", ""},
		{"the agent", func(h *home, _ *Options) { os.Remove(h.dir + "/.ssh/id_ed25519"); h.startAgent(other, h.key) }, "", ""},
		{"the agent that ~/.ssh/config names", func(h *home, _ *Options) {
			os.Remove(h.dir + "/.ssh/id_ed25519")
			h.startAgent(h.key)
			h.write(".ssh/config", "IdentityAgent ~/agent\n")
			delete(h.env, "SSH_AUTH_SOCK")
		}, "", ""},
		{"a file that the route names", func(h *home, o *Options) {
			o.Key = "~/mine"
			h.write("mine", pemOf(h.t, h.key))
			h.write(".ssh/id_ed25519", pemOf(h.t, other))
		}, "", ""},
		{"a file that ~/.ssh/config names", func(h *home, _ *Options) {
			os.Remove(h.dir + "/.ssh/id_ed25519")
			h.write(".ssh/work-u", pemOf(h.t, h.key))
			h.write(".ssh/config", "Match host 127.*\n  IdentityFile %d/.ssh/work-%r\n  IdentitiesOnly yes\n")
		}, "", ""},
		{"one of several files that ~/.ssh/config names alone", func(h *home, _ *Options) {
			h.write(".ssh/locked", lockedPEM(newSigner(h.t).PublicKey()))
			h.write(".ssh/config", "IdentitiesOnly yes\nIdentityFile ~/.ssh/gone\nIdentityFile ~/.ssh/locked\nIdentityFile ~/.ssh/id_ed25519\n")
		}, "", ""},
		{"none of several files that ~/.ssh/config names alone", func(h *home, _ *Options) {
			h.startAgent(h.key)
			h.write(".ssh/locked", lockedPEM(newSigner(h.t).PublicKey()))
			h.write(".ssh/config", "IdentitiesOnly yes\nIdentityFile ~/.ssh/gone\nIdentityFile ~/.ssh/locked\n")
		}, "there is no key to log in with: read the key ", `ssh-add `},
		{"the agent, where ~/.ssh/config wants the usual files only", func(h *home, _ *Options) {
			os.Remove(h.dir + "/.ssh/id_ed25519")
			h.startAgent(h.key)
			h.write(".ssh/config", "IdentitiesOnly yes\n")
		}, "there is no key to log in with: IdentitiesOnly in ~/.ssh/config leaves out the agent's", ""},
		{"the agent, which holds that of a usual file", func(h *home, _ *Options) {
			h.write(".ssh/id_ed25519", lockedPEM(h.pub))
			h.startAgent(other, h.key)
			h.write(".ssh/config", "IdentitiesOnly yes\n")
		}, "", ""},
		{"the agent, where ~/.ssh/config wants no file", func(h *home, _ *Options) {
			h.startAgent(h.key)
			h.write(".ssh/config", "IdentityFile none\n")
		}, "", ""},
		{"no file, as ~/.ssh/config wants", func(h *home, _ *Options) { h.write(".ssh/config", "IdentityFile none\n") }, "SSH_AUTH_SOCK is not set", ""},
		{"a locked file whose key the agent holds", func(h *home, o *Options) {
			o.Key = h.write("locked", lockedPEM(h.pub))
			h.startAgent(other, h.key)
		}, "", ""},
		{"a locked file", func(h *home, o *Options) { o.Key = h.write("locked", lockedPEM(h.pub)) }, "passphrase", "ssh-add "},
		{"a locked usual file", func(h *home, _ *Options) { h.write(".ssh/id_ed25519", lockedPEM(h.pub)) }, "no key to log in with: SSH_AUTH_SOCK is not set", "id_ed25519 has a passphrase: run \"ssh-add "},
		{"no such file", func(_ *home, o *Options) { o.Key = "/nowhere/key" }, "read the key /nowhere/key: no such file", "check the file"},
		{"not a key", func(h *home, o *Options) { o.Key = h.write("mine", "hello") }, "read the key", "ssh-keygen"},
		{"no key", func(h *home, _ *Options) { os.Remove(h.dir + "/.ssh/id_ed25519") }, "SSH_AUTH_SOCK is not set", "ssh_key=FILE"},
		{"an empty agent", func(h *home, _ *Options) { os.Remove(h.dir + "/.ssh/id_ed25519"); h.startAgent() }, "the agent holds none", "ssh-add"},
		{"an agent that is gone", func(h *home, _ *Options) {
			os.Remove(h.dir + "/.ssh/id_ed25519")
			h.env["SSH_AUTH_SOCK"] = h.dir + "/gone"
		}, "does not answer (connect: no such file", "ssh-add"},
		{"keys that the server does not take", func(h *home, _ *Options) {
			h.write(".ssh/id_ed25519", pemOf(h.t, other))
			another, _ := newKey(h.t)
			h.startAgent(another)
		}, "user u may not log in with the keys that there are: the agent's of the agent, /", `try "ssh -p`},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHome(t)
			s, db := h.server(), echo(t)
			o := h.options("ssh://u@" + s.addr)
			row.prepare(h, &o)
			d, err := newDialer(o, hurried)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			if row.fails == "" {
				mustEcho(t, mustDial(t, d, db))
				return
			}
			if e := failure(t, d, db); !strings.Contains(e.Error(), row.fails) || !strings.Contains(e.Advice, row.advice) || !e.Final() {
				t.Errorf("got %q, hint %q, final %v", e, e.Advice, e.Final())
			}
		})
	}
}

// A timidAgent holds a key that it does not sign with, because its user does not want it to or the token is
// not there.
type timidAgent struct {
	agent.Agent
	shy   ssh.PublicKey
	asked int
}

func (a *timidAgent) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	if bytes.Equal(key.Marshal(), a.shy.Marshal()) {
		a.asked++
		return nil, errors.New("no")
	}
	return a.Agent.Sign(key, data)
}

func TestKeyThatTheAgentDoesNotSignWithIsPassedOver(t *testing.T) {
	h := newHome(t)
	shy, public := newKey(t)
	ring := &timidAgent{agent.NewKeyring(), public, 0}
	if err := ring.Add(agent.AddedKey{PrivateKey: shy, Comment: "of the token"}); err != nil {
		t.Fatal(err)
	}
	h.serveAgent(ring)
	s, db := newServer(t, []ssh.PublicKey{h.pub, public}, h.host), echo(t)
	h.knows(s.addr, h.host.PublicKey())
	shown := 0
	count := func(string) { shown++ }
	s.asked.Store(&count)
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), db))
	if ring.asked != 1 || shown != 2 {
		t.Errorf("the agent was asked %d times, and %d keys were shown", ring.asked, shown)
	}

	other, _ := newKey(t)
	h.write(".ssh/id_ed25519", pemOf(t, other))
	if e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), db); !strings.Contains(e.Error(), "; the agent did not sign with the agent's of the token") {
		t.Errorf("with a key that the server does not take: got %q", e)
	}

	os.Remove(h.dir + "/.ssh/id_ed25519")
	e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), db)
	if !strings.Contains(e.Error(), "log in: the agent did not sign with the agent's of the token") || !strings.Contains(e.Advice, "ssh-add") || e.Final() {
		t.Errorf("with no other key: got %q, hint %q, final %v", e, e.Advice, e.Final())
	}
}

func TestAgentThatDoesNotAnswerInTimeIsToldSo(t *testing.T) {
	h := newHome(t)
	s := h.server()
	os.Remove(h.dir + "/.ssh/id_ed25519")
	h.env["SSH_AUTH_SOCK"] = listen(t, "unix", h.dir+"/agent", func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	})
	timing := hurried
	timing.login = 200 * time.Millisecond
	e := failure(t, h.dialer(timing, "ssh://u@"+s.addr), "db:5432")
	if !errors.Is(e, os.ErrDeadlineExceeded) || !strings.Contains(e.Advice, "SSH agent is waiting for an answer") || e.Final() {
		t.Errorf("got %q, hint %q, final %v", e, e.Advice, e.Final())
	}
}

func TestUserCertificatesAreShown(t *testing.T) {
	h := newHome(t)
	authority := newSigner(t)
	cert := &ssh.Certificate{Key: h.pub, CertType: ssh.UserCert, ValidPrincipals: []string{"u"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	h.write(".ssh/id_ed25519-cert.pub", string(ssh.MarshalAuthorizedKey(cert)))
	s, db := newServer(t, []ssh.PublicKey{cert}, h.host), echo(t)
	h.knows(s.addr, h.host.PublicKey())
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), db))
}

func TestServerThatShutsTheDoorIsToldInClearWords(t *testing.T) {
	h := newHome(t)
	s := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		fmt.Fprint(conn, "220 mail.example.com ESMTP\r\n")
		conn.Close()
	})
	if e := failure(t, h.dialer(hurried, "ssh://u@"+s), "db:5432"); !strings.Contains(e.Error(), "log in: ") || !strings.Contains(e.Advice, "SSH server") || e.Final() {
		t.Errorf("got %q, hint %q", e, e.Advice)
	}
	if e := failure(t, h.dialer(hurried, "ssh://u@nowhere.invalid"), "db:5432"); !strings.Contains(e.Error(), "connect to it: ") || !strings.Contains(e.Advice, "~/.ssh/config") {
		t.Errorf("got %q, hint %q", e, e.Advice)
	}
}

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestSessionsShareOneLogin(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			conn, err := d.DialContext(t.Context(), "tcp", db)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			mustEcho(t, conn)
		})
	}
	all.Wait()
	if n := s.logins.Load(); n != 1 {
		t.Errorf("there were %d logins", n)
	}
}

func TestOneWhoLeavesDoesNotEndTheLoginOfOthers(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hold := func(string) {
		once.Do(func() { close(asked) })
		<-answer
	}
	s.asked.Store(&hold)
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := d.DialContext(impatient, "tcp", db)
		left <- err
	}()
	<-asked
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left got %v", err)
	}
	close(answer)
	mustEcho(t, mustDial(t, d, db))
	if n := s.logins.Load(); n != 1 {
		t.Errorf("there were %d logins", n)
	}
}

func TestBrokenConnectionIsMadeAnew(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	for want := int64(1); want <= 3; want++ {
		mustEcho(t, mustDial(t, d, db))
		if n := s.logins.Load(); n != want {
			t.Errorf("there were %d logins, want %d", n, want)
		}
		s.stop()
		if e := failure(t, d, db); !errors.Is(e, syscall.ECONNREFUSED) || e.Permanent || !strings.Contains(e.Error(), "via ssh://u@"+s.addr+": connect to it") {
			t.Errorf("without a server: got %v", e)
		}
		s.listen(s.addr)
	}
}

// A freezer is a network that can fall silent, as when a laptop sleeps, or what is behind it is busy.
type freezer struct {
	mu     sync.Mutex
	frozen []*atomic.Bool
	thawed chan struct{} // closed when what is frozen goes on
	thaw   func()
}

func (f *freezer) start(t testing.TB, to string) string {
	t.Helper()
	t.Cleanup(f.thaw)
	return listen(t, "tcp", "127.0.0.1:0", func(from net.Conn) {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			from.Close()
			return
		}
		frozen := new(atomic.Bool)
		f.mu.Lock()
		f.frozen = append(f.frozen, frozen)
		f.mu.Unlock()
		for _, pair := range [][2]net.Conn{{from, conn}, {conn, from}} {
			go func() {
				buf := make([]byte, 4096)
				for {
					n, err := pair[0].Read(buf)
					if err != nil {
						pair[1].Close()
						return
					}
					if frozen.Load() {
						<-f.thawed
					}
					_, _ = pair[1].Write(buf[:n])
				}
			}()
		}
	})
}

// freeze has nothing pass any more on the connections that there are.
func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, frozen := range f.frozen {
		frozen.Store(true)
	}
}

// through returns what leads to s by way of a network that can fall silent.
func (h *home) through(s *server) (*freezer, string) {
	f := &freezer{thawed: make(chan struct{})}
	f.thaw = sync.OnceFunc(func() { close(f.thawed) })
	addr := f.start(h.t, s.addr)
	h.knows(addr, h.host.PublicKey())
	return f, "ssh://u@" + addr
}

// hastens changes the timing of the SSH connection that d has: it, and no other, is to be given up soon.
// Nobody may be dialling by way of it.
func hastens(d *Dialer, change func(*timing)) {
	b := d.bastions[0]
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.link.timing)
}

// suspicious has little patience with who says nothing.
func suspicious(t *timing) { t.slow, t.urgent = 50*time.Millisecond, 50*time.Millisecond }

func TestSilentConnectionIsNoticedByWhoeverWaits(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	f, via := h.through(s)
	d := h.dialer(hurried, via)
	old := mustDial(t, d, db)
	mustEcho(t, old)
	hastens(d, func(t *timing) {
		suspicious(t)
		t.patience = 300 * time.Millisecond
	})
	f.freeze()
	mustEcho(t, mustDial(t, d, db))
	if n := s.logins.Load(); n != 2 {
		t.Errorf("there were %d logins, want a second one", n)
	}
	if _, err := old.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "silent for too long") {
		t.Errorf("the session on the silent connection got %v", err)
	}
}

// An sshd that looks up a name for one is silent for all.
func TestSilenceThatPassesEndsNoSession(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	f, via := h.through(s)
	d := h.dialer(hurried, via)
	old := mustDial(t, d, db)
	mustEcho(t, old)
	hastens(d, suspicious)
	f.freeze()
	mustEcho(t, mustDial(t, d, db))
	f.thaw()
	mustEcho(t, old)
	mustEcho(t, mustDial(t, d, db))
	if n := s.logins.Load(); n != 2 {
		t.Errorf("there were %d logins, want two", n)
	}
	b := d.bastions[0]
	links := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.links)
	}
	if n := links(); n != 2 {
		t.Errorf("there are %d SSH connections, want two", n)
	}
	old.Close()
	waitUntil(t, "the SSH connection that fell silent is closed with its last session", func() bool { return links() == 1 })
}

func TestCloseEndsWhatIsOnASilentConnection(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	f, via := h.through(s)
	d := h.dialer(hurried, via)
	old := mustDial(t, d, db)
	hastens(d, suspicious)
	f.freeze()
	mustEcho(t, mustDial(t, d, db))
	d.Close()
	_ = old.SetReadDeadline(time.Now().Add(patience))
	if _, err := old.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), errClosed.Error()) {
		t.Errorf("got %v", err)
	}
}

// A name that can't be looked up there has the new SSH connection fall silent too.
func TestNameThatSilencesTheBastionIsToldInClearWords(t *testing.T) {
	h := newHome(t)
	s := h.server()
	f, via := h.through(s)
	s.refuse = func(string) *ssh.OpenChannelError {
		f.freeze()
		return nil
	}
	timing := hurried
	timing.slow, timing.urgent = time.Second, 150*time.Millisecond // the bastion has heard the name by then
	e := failure(t, h.dialer(timing, via), "db.internal:5432")
	if !errors.Is(e, os.ErrDeadlineExceeded) || !strings.Contains(e.Error(), "connect from there to db.internal:5432: no answer in time") || !strings.Contains(e.Advice, "looked up there") || e.Permanent {
		t.Errorf("got %v (%s)", e, e.Advice)
	}
	if n := s.logins.Load(); n != 2 {
		t.Errorf("there were %d logins, want two", n)
	}
}

func TestKeepalivesNoticeSilence(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	f, via := h.through(s)
	timing := hurried
	timing.interval, timing.patience = 10*time.Millisecond, 2*time.Second
	conn := mustDial(t, h.dialer(timing, via), db)
	mustEcho(t, conn)
	f.freeze()
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "silent for too long") {
		t.Errorf("got %v", err)
	}
}

// The answer to a keepalive stands behind all that was sent before it, which over a thin line takes a while.
func TestBusyConnectionIsNotTakenForASilentOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := &link{timing: usualTiming, line: &lifeline{Conn: near}, nudge: make(chan struct{}, 1), doubted: make(chan struct{})}
		answered := make(chan error, 1)
		var both sync.WaitGroup
		both.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for range 2 * l.timing.patience / time.Second {
				<-tick.C
				_, _ = far.Write(make([]byte, 1<<10))
			}
			answered <- nil
		})
		both.Go(func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{l.line}) })
		l.suspect()
		if !l.await(answered) {
			t.Error("it was taken for a silent one")
		}
		near.Close()
		both.Wait()
	})
}

// A database that does not answer is not the SSH connection's fault: other sessions go on.
func TestSlowDatabaseDoesNotEndTheOthers(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	s.refuse = func(address string) *ssh.OpenChannelError {
		if address == "192.0.2.1:5432" {
			<-hold
		}
		return nil
	}
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	other := mustDial(t, d, db)
	hastens(d, func(t *timing) { t.slow, t.open = 10*time.Millisecond, 300*time.Millisecond })
	e := failure(t, d, "192.0.2.1:5432")
	if !errors.Is(e, os.ErrDeadlineExceeded) || !strings.Contains(e.Error(), "connect from there to 192.0.2.1:5432: no answer in time") || !strings.Contains(e.Advice, "security group") {
		t.Errorf("got %v (%s)", e, e.Advice)
	}
	mustEcho(t, other)
	if n := s.logins.Load(); n != 1 {
		t.Errorf("there were %d logins", n)
	}
}

func TestUnusedConnectionIsClosed(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	timing := hurried
	timing.idle = 300 * time.Millisecond
	d := h.dialer(timing, "ssh://u@"+s.addr)
	conn := mustDial(t, d, db)
	mustEcho(t, conn)
	b := d.bastions[0]
	linked := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.link != nil
	}
	if !linked() {
		t.Error("the SSH connection is closed while it is used")
	}
	conn.Close()
	waitUntil(t, "the SSH connection is closed", func() bool { return !linked() })
	mustEcho(t, mustDial(t, d, db))
}

func TestCloseEndsEverything(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	d := h.dialer(hurried, "ssh://u@"+s.addr)
	conn := mustDial(t, d, db)
	d.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	_, err := d.DialContext(t.Context(), "tcp", db)
	if e, ok := errors.AsType[*Error](err); !ok || !e.Final() {
		t.Errorf("a dial after it: got %v", err)
	}
}

func TestWhatTheBastionSaysIsToldInClearWords(t *testing.T) {
	for _, row := range []struct {
		name           string
		reason         ssh.RejectionReason
		message        string
		is             error // nil: nothing in particular
		final          bool
		text, advice   string
		dns, temporary bool
	}{
		{"refused", ssh.ConnectionFailed, "Connection refused", syscall.ECONNREFUSED, false, "connect from there to db.internal:5432: Connection refused", "database is up", false, false},
		{"timeout", ssh.ConnectionFailed, "Connection timed out", os.ErrDeadlineExceeded, false, "timed out", "security group", false, false},
		{"no route", ssh.ConnectionFailed, "No route to host", syscall.EHOSTUNREACH, false, "No route", "security group", false, false},
		{"name", ssh.ConnectionFailed, "Name or service not known", nil, false, "not known", "looked up there", true, false},
		{"DNS down", ssh.ConnectionFailed, "Temporary failure in name resolution", nil, false, "Temporary", "reached from there", true, true},
		{"unnamed", ssh.ConnectionFailed, "open\x1b[31m failed", nil, false, "open [31m failed", "reached from there", false, false},
		{"prohibited", ssh.Prohibited, "open failed", nil, true, "administratively prohibited", "AllowTcpForwarding", false, false},
		{"no such thing", ssh.UnknownChannelType, "unknown", nil, true, "can't forward", "another bastion", false, false},
		{"busy", ssh.ResourceShortage, "too many", nil, false, "no resources", "try again later", false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHome(t)
			s := h.server()
			s.refuse = func(string) *ssh.OpenChannelError {
				return &ssh.OpenChannelError{Reason: row.reason, Message: row.message}
			}
			e := failure(t, h.dialer(hurried, "ssh://u@"+s.addr), "db.internal:5432")
			if !strings.Contains(e.Error(), row.text) || !strings.HasPrefix(e.Error(), "via ssh://u@"+s.addr+": ") || !strings.Contains(e.Advice, row.advice) {
				t.Errorf("got %q, hint %q", e, e.Advice)
			}
			if e.Final() != row.final || row.is != nil && !errors.Is(e, row.is) {
				t.Errorf("final: %v; is %v: %v", e.Final(), row.is, errors.Is(e, row.is))
			}
			dns, is := errors.AsType[*net.DNSError](e)
			if is != row.dns || is && (dns.IsTemporary != row.temporary || dns.IsNotFound == row.temporary) {
				t.Errorf("got %+v", dns)
			}
			if n := s.logins.Load(); n != 1 {
				t.Errorf("a refusal was taken for the end of the SSH connection: %d logins", n)
			}
		})
	}
}

func TestSocketsOfTheBastionAreReached(t *testing.T) {
	h := newHome(t)
	s := h.server()
	path := h.dir + "/db"
	listen(t, "unix", path, func(conn net.Conn) {
		_, _ = io.Copy(conn, conn)
		conn.Close()
	})
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr, "unix:"+path), "db:5432"))
	conn, err := h.dialer(hurried, "ssh://u@"+s.addr).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustEcho(t, conn)
	mustEcho(t, mustDial(t, h.dialer(hurried, "unix:"+path), "db:5432")) // of this machine
}

// Behind a bastion there is another one, which ~/.ssh/config says or via=, and it is verified like the
// first.
func TestBastionsBehindBastions(t *testing.T) {
	h := newHome(t)
	outer, db := h.server(), echo(t)
	inner := newServer(t, []ssh.PublicKey{h.pub}, newSigner(t))
	_, outerPort, _ := net.SplitHostPort(outer.addr)
	_, innerPort, _ := net.SplitHostPort(inner.addr)
	h.write(".ssh/config", fmt.Sprintf(`
# a comment
Host inner
	HostName 127.0.0.1
	Port %s
	ProxyJump outer
Host=out*
	HostName=127.0.0.1
	Port = "%s"
	User jumper
Host *
	User somebody
`, innerPort, outerPort))
	var users sync.Map
	for _, s := range []*server{outer, inner} {
		note := func(user string) { users.Store(s, user) }
		s.asked.Store(&note)
	}
	d := h.dialer(hurried, "ssh://inner")
	if e := failure(t, d, db); !strings.Contains(e.Error(), "via ssh://inner: its host key is not known") {
		t.Fatalf("got %v", e)
	}
	lines, _ := os.ReadFile(h.dir + "/.ssh/known_hosts")
	h.knows(inner.addr, hostKeyOf(t, inner))
	known, _ := os.ReadFile(h.dir + "/.ssh/known_hosts")
	h.write(".ssh/known_hosts", string(lines)+string(known))
	mustEcho(t, mustDial(t, d, db))
	if u, _ := users.Load(outer); u != "jumper" {
		t.Errorf("the outer one was logged in to as %v", u)
	}
	if u, _ := users.Load(inner); u != "somebody" {
		t.Errorf("the inner one was logged in to as %v", u)
	}
	if d.First() != outer.addr {
		t.Errorf("%s is dialled from here, want %s", d.First(), outer.addr)
	}
	mustEcho(t, mustDial(t, h.dialer(hurried, "ssh://outer", "ssh://u@"+inner.addr), db))

	inner.stop()
	// The one in use has to notice that it is gone.
	waitUntil(t, "the inner one is found to be gone", func() bool {
		e := failure(t, d, db)
		return errors.Is(e, syscall.ECONNREFUSED) && strings.Contains(e.Error(), "via ssh://outer: connect from there to "+inner.addr) && strings.Contains(e.Advice, "ssh://inner is up")
	})
}

func hostKeyOf(t *testing.T, s *server) (key ssh.PublicKey) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _, _, _ = ssh.NewClientConn(conn, s.addr, &ssh.ClientConfig{HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
		key = k
		return errors.New("seen enough")
	}})
	return key
}

func TestCircleOfJumpsIsAnError(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config", "Host a\n ProxyJump b\nHost b\n ProxyJump a\nHost c\n ProxyCommand nc %h %p\n")
	for host, want := range map[string]string{"a": "circle", "c": "ProxyCommand"} {
		_, err := New(h.options("ssh://" + host))
		if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Error(), want) || e.Advice == "" || !e.Final() {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

func TestConnectionsAreLogged(t *testing.T) {
	h := newHome(t)
	s, db := h.server(), echo(t)
	var log strings.Builder
	o := h.options("ssh://u@" + s.addr)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	d, err := newDialer(o, hurried)
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, d, db)
	d.Close()
	b := d.bastions[0]
	waitUntil(t, "the end is in the log", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return strings.Contains(log.String(), "SSH connection ended")
	})
	if !strings.Contains(log.String(), `msg="SSH connection open" via=ssh://u@`+s.addr) {
		t.Errorf("the log is %s", &log)
	}
}

package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A nameserver answers for one name, over UDP.
type nameserver struct {
	net.PacketConn
	mu    sync.Mutex
	addrs [][4]byte // nil: it fails
}

func newNameserver(t *testing.T, addrs ...[4]byte) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{PacketConn: conn, addrs: addrs}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() { conn.Close(); serving.Wait() })
	return n
}

func (n *nameserver) answer(addrs ...[4]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = addrs
}

func (n *nameserver) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.LocalAddr().String())
	}}
}

func (n *nameserver) serve() {
	packet := make([]byte, 1500)
	for {
		size, from, err := n.ReadFrom(packet)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		n.mu.Lock()
		if n.addrs == nil {
			m.RCode = dnsmessage.RCodeServerFailure
		}
		for _, a := range n.addrs {
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 300}, Body: &dnsmessage.AResource{A: a},
				})
			}
		}
		n.mu.Unlock()
		if answer, err := m.Pack(); err == nil {
			_, _ = n.WriteTo(answer, from)
		}
	}
}

var (
	oldAddr = [4]byte{127, 0, 0, 2}
	newAddr = [4]byte{127, 0, 0, 3}
)

func TestFollowerReportsAddressesThatAreGoneTwice(t *testing.T) {
	dns := newNameserver(t, oldAddr)
	var gone func(net.Addr) bool
	f := &Follower{
		Hosts: []string{"db.test."}, Resolver: dns.resolver(), Log: slog.New(slog.DiscardHandler),
		Moved: func(g func(net.Addr) bool) { gone = g },
	}
	for _, step := range []struct {
		name     string
		answer   [][4]byte
		old, new bool // reported as gone
		asked    bool // Moved is called
	}{
		{"at first", [][4]byte{oldAddr}, false, false, false},
		{"the same", [][4]byte{oldAddr}, false, true, true},
		{"moved", [][4]byte{newAddr}, false, false, true},
		{"DNS is down", nil, false, false, false},
		{"moved, the second time", [][4]byte{newAddr}, true, false, true},
	} {
		gone = nil
		dns.answer(step.answer...)
		f.look(t.Context())
		if (gone != nil) != step.asked {
			t.Errorf("%s: reported %v, want %v", step.name, gone != nil, step.asked)
			continue
		}
		if gone == nil {
			continue
		}
		if old, new := gone(tcpAddr(oldAddr)), gone(tcpAddr(newAddr)); old != step.old || new != step.new {
			t.Errorf("%s: gone are old %v, new %v; want %v, %v", step.name, old, new, step.old, step.new)
		}
		if gone(&net.UnixAddr{Name: "/run/x"}) {
			t.Errorf("%s: a socket is gone that has no address", step.name)
		}
	}
}

func TestFollowerRunsUntilItsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &Follower{
		Hosts: []string{"db.test."}, Every: time.Millisecond, Resolver: newNameserver(t, oldAddr).resolver(),
		Log: slog.New(slog.DiscardHandler), Moved: func(func(net.Addr) bool) { cancel() },
	}
	f.Run(ctx)
	if t.Context().Err() != nil {
		t.Error("it never reported")
	}
}

func tcpAddr(a [4]byte) *net.TCPAddr { return &net.TCPAddr{IP: net.IP(a[:]), Port: 5432} }

// listenOn listens on several addresses with the same port.
func listenOn(t *testing.T, addr [4]byte, port string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(net.IP(addr[:]).String(), port))
	if err != nil {
		t.Skipf("the machine has no %v: %v", addr, err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestNameIsLookedUpAtEachDial(t *testing.T) {
	dns := newNameserver(t, oldAddr)
	first := listenOn(t, oldAddr, "0")
	_, port, _ := net.SplitHostPort(first.Addr().String())
	second := listenOn(t, newAddr, port)
	u := newUpstream("db.test.:"+port, numbered{new(counter)})
	u.Resolver = dns.resolver()
	for _, step := range []struct {
		answer [][4]byte
		want   string
	}{
		{[][4]byte{oldAddr}, first.Addr().String()},
		{[][4]byte{newAddr}, second.Addr().String()},
		{[][4]byte{{127, 0, 0, 4}, newAddr}, second.Addr().String()}, // nobody is at the first address
	} {
		dns.answer(step.answer...)
		if got, err := connects(t, u, patience, host{}.login); got != step.want {
			t.Errorf("DNS says %v: got %q, %v, want %s", step.answer, got, err, step.want)
		}
	}
}

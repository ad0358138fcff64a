package proxy

import (
	"errors"
	"net"
	"strings"
	"testing"
)

const socketName = ".s.PGSQL.5432"

// mustListen closes what it opens at the test's end.
func mustListen(t *testing.T, addr string) []net.Listener {
	t.Helper()
	listeners, err := Listen(ListenOptions{Addr: addr, SocketName: socketName})
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range listeners {
		t.Cleanup(func() { ln.Close() })
	}
	return listeners
}

// refusesToListen returns the error of listening on addr, which must say what to do.
func refusesToListen(t *testing.T, addr string) *ListenError {
	t.Helper()
	listeners, err := Listen(ListenOptions{Addr: addr, SocketName: socketName})
	for _, ln := range listeners {
		ln.Close()
	}
	e, ok := errors.AsType[*ListenError](err)
	if !ok {
		t.Fatalf("listen on %s: got %v, %v, want a *ListenError", addr, listeners, err)
	}
	if e.Hint() == "" || Hint(err) != e.Hint() || !strings.HasPrefix(e.Error(), "listen on ") {
		t.Errorf("listen on %s: got %q with hint %q, want both to say something", addr, e, e.Hint())
	}
	return e
}

func TestListenOnLoopback(t *testing.T) {
	for addr, want := range map[string][]string{
		"127.0.0.1:0":          {"127.0.0.1"},
		"127.0.0.2:0":          {"127.0.0.2"},
		"[::1]:0":              {"::1"},
		"[::ffff:127.0.0.1]:0": {"127.0.0.1"},
		"localhost:0":          {"127.0.0.1", "::1"},
	} {
		t.Run(addr, func(t *testing.T) {
			if strings.Contains(addr, "::1") || len(want) > 1 {
				needsIPv6(t)
			}
			var got, ports []string
			for _, ln := range mustListen(t, addr) {
				host, port, err := net.SplitHostPort(ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				got, ports = append(got, host), append(ports, port)
				dial(t, ln.Addr())
			}
			if strings.Join(got, " ") != strings.Join(want, " ") || ports[0] != ports[len(ports)-1] {
				t.Errorf("got %v with ports %v, want %v with the same port", got, ports, want)
			}
		})
	}
}

func needsIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6:", err)
	}
	ln.Close()
}

// What an address is, and not how it looks, decides.
func TestListenRefusesWhatOthersCanReach(t *testing.T) {
	for _, addr := range []string{
		"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "10.0.0.1:0", "[2001:db8::1]:0", "[fe80::1%lo]:0",
		"[::ffff:0.0.0.0]:0", "[::ffff:192.0.2.1]:0", "[::127.0.0.1]:0",
	} {
		if e := refusesToListen(t, addr); !strings.Contains(e.Error(), "not an address of this machine alone") {
			t.Errorf("listen on %s: got %v, want the reason", addr, e)
		}
	}
}

func TestListenRefusesWhatIsNoAddress(t *testing.T) {
	for _, addr := range []string{"*:0", "0:0", "127.0.0.01:0", "0x7f000001:0", "127.0.0.1 :0", "@db", "@db:0", "", "5432", "127.0.0.1", "::1", "run/db", "./db.sock", "127.0.0.1:5432:1", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:nothing"} {
		_ = refusesToListen(t, addr)
	}
}

func TestListenSaysThatPortIsTaken(t *testing.T) {
	taken := listen(t).Addr().(*net.TCPAddr)
	_, port, _ := net.SplitHostPort(taken.String())
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if e := refusesToListen(t, net.JoinHostPort(host, port)); !strings.Contains(e.Hint(), "choose another port") {
			t.Errorf("got hint %q, want another port", e.Hint())
		}
	}
}

func TestLocalhostNeedsBothFamilies(t *testing.T) {
	needsIPv6(t)
	taken, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	_ = refusesToListen(t, "localhost:"+port)
	// What was opened before is closed again.
	mustListen(t, "127.0.0.1:"+port)
}

func TestListenElsewhereIsAskedFor(t *testing.T) {
	listeners, err := Listen(ListenOptions{Addr: "0.0.0.0:0", Remote: true})
	if err != nil {
		t.Fatal(err)
	}
	defer listeners[0].Close()
	if addr := listeners[0].Addr().(*net.TCPAddr); !addr.IP.IsUnspecified() {
		t.Errorf("got %v, want every address", addr)
	}
}

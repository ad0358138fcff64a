package peer

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnClientIsKnownAndLetIn(t *testing.T) {
	for name, row := range map[string]struct {
		network, addr string
		dial          func(t *testing.T, addr net.Addr)
	}{
		"IPv4":                         {"tcp", "127.0.0.1:0", dial},
		"IPv6":                         {"tcp", "[::1]:0", dial},
		"IPv4 to an IPv6 listener":     {"tcp", "[::]:0", dialIPv4},
		"IPv6 socket to IPv4 listener": {"tcp", "127.0.0.1:0", dialMapped},
		"IPv6 socket, IPv4, IPv6":      {"tcp", "[::]:0", dialMapped},
		"multipath TCP":                {"tcp", "127.0.0.1:0", dialMultipath},
		"unix socket":                  {"unix", "", dial},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(row.addr, "[") {
				needIPv6(t)
			}
			ln := listen(t, row.network, row.addr)
			row.dial(t, ln.Addr())
			who, err := Policy{}.Check(accept(t, ln))
			if err != nil {
				t.Fatalf("%v (hint: %s)", err, hint(err))
			}
			if !who.Known || who.UID != uint32(os.Geteuid()) || (who.Inode == 0) != (row.network == "unix") {
				t.Errorf("got %+v, want uid %d", who, os.Geteuid())
			}
			if row.network == "unix" && (who.PID != os.Getpid() || who.GID != uint32(os.Getegid())) {
				t.Errorf("got %+v, want pid %d and gid %d", who, os.Getpid(), os.Getegid())
			}
		})
	}
}

func needIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	ln.Close()
}

func dial(t *testing.T, addr net.Addr) {
	t.Helper()
	dialWith(t, &net.Dialer{}, addr.Network(), addr.String())
}

func dialIPv4(t *testing.T, addr net.Addr) {
	t.Helper()
	dialWith(t, &net.Dialer{}, "tcp4", "127.0.0.1:"+strconv.Itoa(addr.(*net.TCPAddr).Port))
}

func dialMultipath(t *testing.T, addr net.Addr) {
	t.Helper()
	var dialer net.Dialer
	dialer.SetMultipathTCP(true)
	conn := dialWith(t, &dialer, addr.Network(), addr.String())
	if is, err := conn.(*net.TCPConn).MultipathTCP(); err != nil || !is {
		t.Skipf("there is no multipath TCP here (%v)", err)
	}
}

func dialWith(t *testing.T, dialer *net.Dialer, network, addr string) net.Conn {
	t.Helper()
	conn, err := dialer.DialContext(context.Background(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dialMapped connects by IPv4 with a socket for IPv6, as some runtimes do.
func dialMapped(t *testing.T, addr net.Addr) {
	t.Helper()
	needIPv6(t)
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrInet6{Port: addr.(*net.TCPAddr).Port, Addr: [16]byte(net.IPv4(127, 0, 0, 1).To16())}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
}

func TestNeighbourIsKnownAndRefused(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			attr := as(t, otherGroup)
			ln := listen(t, network, "127.0.0.1:0")
			client := start(t, attr, "client", network, ln.Addr().String())
			conn := accept(t, ln)
			who, err := Policy{}.Check(conn)
			if !who.Known || who.UID != neighbour {
				t.Errorf("got %+v, want uid %d", who, neighbour)
			}
			wantRefusal(t, err, "connections of user with uid 54321 are not allowed here",
				"this route lets in self (root): connect as one of them, or write allow=self,54321 on the route")
			if network == "unix" && (who.PID != client.cmd.Process.Pid || who.GID != neighbourGroup || !slices.Equal(who.Groups, []uint32{otherGroup})) {
				t.Errorf("got %+v, want the helper's pid, gid and groups", who)
			}
			for text, wanted := range map[string]bool{
				"self,54321":  true,
				"54321":       true,
				"54320":       false,
				"root":        false,
				"pod":         true,
				"any":         true,
				"group:54322": network == "unix", // its gid
				"group:54323": network == "unix", // one of the others
				"group:54321": false,
			} {
				if _, err := policy(t, text).Check(conn); (err == nil) != wanted {
					t.Errorf("allow=%s: got %v, want let in: %t", text, err, wanted)
				}
			}
		})
	}
}

func wantRefusal(t *testing.T, err error, text, advice string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Error() != text || e.Hint() != advice || !e.Final() {
		t.Errorf("got  %v (hint: %s)\nwant %s (hint: %s)", err, hint(err), text, advice)
	}
}

func TestUserOfManyGroupsIsKnownByEach(t *testing.T) {
	var groups []uint32
	for i := range uint32(1000) {
		groups = append(groups, 60000+i)
	}
	attr := as(t, groups...)
	ln := listen(t, "unix", "")
	start(t, attr, "client", "unix", ln.Addr().String())
	conn := accept(t, ln)
	for text, wanted := range map[string]bool{"group:60000": true, "group:60999": true, "group:61000": false} {
		if _, err := policy(t, text).Check(conn); (err == nil) != wanted {
			t.Errorf("allow=%s: got %v, want let in: %t", text, err, wanted)
		}
	}
}

func TestGroupsOfUserAreLookedUpOnTCP(t *testing.T) {
	_, conn := pair(t, listen(t, "tcp", "127.0.0.1:0"))
	who, err := Of(conn)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := groupsOf(who)
	if err != nil || len(groups) == 0 {
		t.Skipf("the user who runs this test has no groups (%v)", err)
	}
	if _, err := policy(t, "group:"+strconv.Itoa(int(groups[0]))).Check(conn); err != nil {
		t.Errorf("own group: %v", err)
	}
	if _, err := policy(t, "group:"+strconv.Itoa(otherGroup)).Check(conn); err == nil {
		t.Error("the user was let in for a group that is not theirs")
	}
}

func TestUnprivilegedServerKnowsEverybody(t *testing.T) {
	attr := as(t)
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = publicDir(t) + "/x.sock"
		}
		server := start(t, attr, "server", network, addr, "self", strconv.Itoa(neighbour))
		dialWith(t, &net.Dialer{}, network, server.line(t))
		if v := server.verdict(t); !v.Peer.Known || v.Peer.UID != 0 || v.Err != "" {
			t.Errorf("%s: self: got %+v, want root let in", network, v)
		}
		if v := server.verdict(t); v.Err == "" {
			t.Errorf("%s: a list without root let root in", network)
		}
		if network == "unix" {
			addr = publicDir(t) + "/x.sock"
		}
		server = start(t, attr, "server", network, addr, "self")
		start(t, attr, "client", network, server.line(t))
		if v := server.verdict(t); !v.Peer.Known || v.Peer.UID != neighbour || v.Err != "" {
			t.Errorf("%s: self: got %+v, want the own user let in", network, v)
		}
	}
}

func TestRootOfUserNamespaceIsWhoMadeIt(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = neighbour, neighbourGroup
	}
	for _, network := range []string{"tcp", "unix"} {
		ln := listen(t, network, "127.0.0.1:0")
		start(t, fakeRoot(uid, gid, 0), "client", network, ln.Addr().String())
		who, err := policy(t, "root").Check(accept(t, ln))
		if !who.Known || who.UID != uint32(uid) || err == nil {
			t.Errorf("%s: got %+v, %v; want uid %d, refused", network, who, err, uid)
		}
	}
}

func TestUserWithoutNumberInNamespaceIsRefused(t *testing.T) {
	needRoot(t)
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = publicDir(t) + "/x.sock"
		}
		server := start(t, fakeRoot(neighbour, neighbourGroup, 0), "server", network, addr, "self", "0,1", "group:65534", "pod", "65534", "any")
		dialWith(t, &net.Dialer{}, network, server.line(t)) // as root, who has no number there
		for _, row := range []struct {
			policy string
			in     bool
		}{{"self", false}, {"0,1", false}, {"group:65534", false}, {"pod", true}, {"65534", true}, {"any", true}} {
			v := server.verdict(t)
			if !v.Peer.Known || !v.Peer.Unmapped || v.Peer.UID != 65534 || (v.Err == "") != row.in {
				t.Errorf("%s, allow=%s: got %+v, want let in: %t", network, row.policy, v, row.in)
			}
			if row.policy == "self" && !strings.Contains(v.Hint, "allow=self,65534") {
				t.Errorf("%s: got hint %q, want what to write", network, v.Hint)
			}
		}
	}
}

func TestClientOfOtherNetworkNamespaceIsRefused(t *testing.T) {
	if err := ip("-V"); err != nil {
		t.Skipf("ip, of iproute2, is missing: %v", err)
	}
	server := start(t, fakeRoot(os.Geteuid(), os.Getegid(), syscall.CLONE_NEWNET), "server-with-stranger", "self", "pod", "any")
	server.line(t)
	for _, policy := range []string{"self", "pod"} {
		v := server.verdict(t)
		if v.Peer.Known || v.Gone || !strings.Contains(v.Err, "in dbvalet's network namespace") || !strings.Contains(v.Hint, "allow=any") {
			t.Errorf("allow=%s: got %+v, want an unknown client refused, and how to let it in", policy, v)
		}
	}
	if v := server.verdict(t); v.Peer.Known || v.Err != "" {
		t.Errorf("allow=any: got %+v, want an unknown client let in", v)
	}
}

// A socket that is bound to a device can have the same addresses as one that is not, so that what the
// kernel says about the other one would be taken for an answer.
func TestClientBoundToDeviceIsRefused(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	var bound error
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), "lo") })
	}}
	dialWith(t, &dialer, "tcp", ln.Addr().String())
	if bound != nil {
		t.Skipf("this user can't bind a socket to a device: %v", bound)
	}
	if who, err := policy(t, "pod").Check(accept(t, ln)); who.Known || err == nil || errors.Is(err, ErrGone) {
		t.Errorf("got %+v, %v; want an unknown client refused", who, err)
	}
}

func TestConnectionWithoutUserIsRefused(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if who, err := (Policy{}).Check(a); who.Known || err == nil || hint(err) == "" {
		t.Errorf("got %+v, %v; want an error with a hint", who, err)
	}
	if _, err := policy(t, "any").Check(a); err != nil {
		t.Errorf("allow=any: %v", err)
	}
}

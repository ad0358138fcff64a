package peer

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestClientThatLeftIsNobody(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, client, ours *net.TCPConn){
		"closed": func(t *testing.T, client, ours *net.TCPConn) {
			client.Close()
			wantRead(t, ours, io.EOF)
		},
		"reset": func(t *testing.T, client, ours *net.TCPConn) {
			reset(t, client, ours)
		},
		"in TIME_WAIT": func(t *testing.T, client, ours *net.TCPConn) {
			client.Close()
			wantRead(t, ours, io.EOF)
			if err := ours.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		},
		"half closed": func(t *testing.T, client, ours *net.TCPConn) {
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantRead(t, ours, io.EOF)
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, ours := tcpPair(t)
			leave(t, client, ours)
			for _, text := range []string{"self", "pod", "root"} {
				if who, err := policy(t, text).Check(ours); !errors.Is(err, ErrGone) || who.Known {
					t.Errorf("allow=%s: got %+v, %v; want %v", text, who, err, ErrGone)
				}
			}
			if _, err := policy(t, "any").Check(ours); err != nil {
				t.Errorf("allow=any: %v", err)
			}
		})
	}
}

func tcpPair(t *testing.T) (client, ours *net.TCPConn) {
	t.Helper()
	near, far := pair(t, listen(t, "tcp", "127.0.0.1:0"))
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

func wantRead(t *testing.T, conn net.Conn, want error) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("read: got %v, want %v", err, want)
	}
}

// reset ends the client's side with a reset, and waits until it is here.
func reset(t *testing.T, client, ours *net.TCPConn) {
	t.Helper()
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	wantRead(t, ours, syscall.ECONNRESET)
}

// The pair of addresses is free after a reset, and whoever takes it must not be taken for the client.
func TestSuccessorOfAddressesIsNotTheClient(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	// An address that nobody else uses: the ports of old connections can be connected from, not bound.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	client := dialWith(t, &dialer, "tcp", ln.Addr().String())
	ours := accept(t, ln)
	reset(t, client.(*net.TCPConn), ours.(*net.TCPConn))
	dialer.LocalAddr = client.LocalAddr()
	dialWith(t, &dialer, "tcp", ln.Addr().String())
	second := accept(t, ln)
	if second.RemoteAddr().String() != ours.RemoteAddr().String() {
		t.Fatalf("the second client is at %v, want %v", second.RemoteAddr(), ours.RemoteAddr())
	}
	if who, err := Of(second); err != nil || !who.Known {
		t.Errorf("the second client: got %+v, %v", who, err)
	}
	if who, err := Of(ours); !errors.Is(err, ErrGone) {
		t.Errorf("the first client: got %+v, %v; want %v", who, err, ErrGone)
	}
}

// elsewhere is a connection that says to be between other addresses.
type elsewhere struct{ *net.TCPConn }

func (elsewhere) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1} }
func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 2} }

func TestKernelThatKnowsNoConnectionIsBlamed(t *testing.T) {
	_, ours := tcpPair(t)
	_, err := Of(elsewhere{ours})
	if err == nil || errors.Is(err, ErrGone) || !strings.Contains(hint(err), "tcp_diag") {
		t.Errorf("got %v (hint: %s), want the kernel's module named", err, hint(err))
	}
}

func TestClosedConnectionIsAnError(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		_, ours := pair(t, listen(t, network, "127.0.0.1:0"))
		ours.Close()
		if who, err := Of(ours); !errors.Is(err, net.ErrClosed) || who.Known {
			t.Errorf("%s: got %+v, %v; want %v", network, who, err, net.ErrClosed)
		}
	}
}

// Only a connection that stands at both ends says who is there, and uid 0 with it.
func TestDoubtfulAnswersNameNobody(t *testing.T) {
	const last = 13 // of the kernel's states
	for ours := range uint8(last + 1) {
		for state := range uint8(last + 1) {
			for _, inode := range []uint32{0, 77} {
				who, err := judge(answer{state: state, inode: inode}, ours)
				want := inode != 0 && (state == 1 || state == 8) && (ours == 1 || ours == 8)
				if who.Known != want || (err == nil) != want {
					t.Errorf("state %d, inode %d, ours %d: got %+v, %v", state, inode, ours, who, err)
				}
			}
		}
	}
	for _, found := range []answer{{errno: syscall.ENOENT}, {errno: syscall.EPERM}, {state: established, inode: 1, uid: noID}} {
		if who, err := judge(found, established); err == nil || who.Known {
			t.Errorf("%+v: got %+v", found, who)
		}
	}
}

func TestForbiddenNetlinkIsExplained(t *testing.T) {
	for errno, final := range map[syscall.Errno]bool{
		syscall.EPERM: true, syscall.EACCES: true, syscall.EAFNOSUPPORT: true, syscall.EPROTONOSUPPORT: true,
		syscall.ENOBUFS: false, syscall.EAGAIN: false, syscall.EMFILE: false,
	} {
		err := cannotAsk(os.NewSyscallError("socket", errno))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Final() != final || strings.Contains(e.Hint(), "AF_NETLINK") != final || !strings.Contains(e.Hint(), "allow=any") {
			t.Errorf("%v: got %v (hint: %s)", errno, err, hint(err))
		}
	}
}

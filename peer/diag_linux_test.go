package peer

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// addrs returns where a connection comes from and goes to.
func addrs(conn net.Conn) (from, to netip.AddrPort) {
	return unmapped(conn.RemoteAddr().(*net.TCPAddr)), unmapped(conn.LocalAddr().(*net.TCPAddr))
}

func wantFound(t *testing.T, d *diag, conn net.Conn) {
	t.Helper()
	if a, err := d.look(addrs(conn)); err != nil || a.errno != 0 || a.inode == 0 {
		t.Errorf("got %+v, %v; want the client's socket", a, err)
	}
}

func TestLookUpIsOneQuestionAndOneAnswer(t *testing.T) {
	var d diag
	ln := listen(t, "tcp", "127.0.0.1:0")
	var conn net.Conn
	for range 200 { // a dump would have them all
		_, conn = pair(t, ln)
	}
	from, to := addrs(conn)
	q := question(1, from, to)
	if flags := binary.NativeEndian.Uint16(q[6:]); flags != unix.NLM_F_REQUEST {
		t.Errorf("the question's flags are %#x, want %#x: nothing but a request", flags, unix.NLM_F_REQUEST)
	}
	if len(q) != 72 {
		t.Errorf("the question has %d bytes, want 72", len(q))
	}
	wantFound(t, &d, conn)
	socket := d.socket
	if size := binary.NativeEndian.Uint32(d.buf[:]); size < headerSize+answerSize || size > 512 {
		t.Errorf("the answer has %d bytes, want those of one socket", size)
	}
	if n, _, err := unix.Recvfrom(int(socket.Fd()), make([]byte, 100), unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("after the answer: got %d bytes, %v; want nothing", n, err)
	}
	wantFound(t, &d, conn)
	if d.socket != socket {
		t.Error("the netlink socket was not kept")
	}
}

func TestStaleAnswerIsDiscarded(t *testing.T) {
	var d diag
	_, conn := pair(t, listen(t, "tcp", "127.0.0.1:0"))
	wantFound(t, &d, conn)
	socket := d.socket
	nowhere := netip.MustParseAddrPort("127.0.0.2:1")
	for _, q := range [][questionSize]byte{question(1000, nowhere, nowhere), question(1001, nowhere, nowhere)} {
		if _, err := socket.Write(q[:]); err != nil {
			t.Fatal(err)
		}
	}
	wantFound(t, &d, conn)
	if d.socket != socket {
		t.Error("a stale answer was taken for trouble")
	}
}

func TestBrokenNetlinkSocketIsReplaced(t *testing.T) {
	var d diag
	_, conn := pair(t, listen(t, "tcp", "127.0.0.1:0"))
	wantFound(t, &d, conn)
	socket := d.socket
	socket.Close()
	wantFound(t, &d, conn)
	if d.socket == socket {
		t.Error("the broken socket is still there")
	}
}

func TestLostAnswerDoesNotHang(t *testing.T) {
	socket, err := openDiag()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := socket.Read(make([]byte, 100)); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v, want %v", err, syscall.EAGAIN)
	}
}

func TestConcurrentLookUpsGetTheirOwnAnswers(t *testing.T) {
	var d diag
	var wg sync.WaitGroup
	ln := listen(t, "tcp", "127.0.0.1:0")
	for range 16 {
		client, conn := pair(t, ln)
		var stat unix.Stat_t
		raw, err := client.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &stat) }); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 100 {
				if a, err := d.look(addrs(conn)); err != nil || a.inode != uint32(stat.Ino) {
					t.Errorf("got %+v, %v; want inode %d", a, err, stat.Ino)
				}
			}
		})
	}
	wg.Wait()
}

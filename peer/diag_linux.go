package peer

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kernel is the process's line to the kernel. It is kept because opening one takes ten times as long
// as a question, and shared because a Policy is a value, which has no end at which to close it.
var kernel diag

// A diag asks the kernel for TCP sockets. The zero value is ready. It opens a netlink socket at the
// first question, which belongs to the network namespace that the process is in then.
type diag struct {
	mu     sync.Mutex
	socket *os.File // nil: not open
	seq    uint32
	buf    [4096]byte // an answer has some 100 bytes
}

// The kernel answers before the question has been sent, so that an answer which has to be waited for
// is lost.
const lostAfter = 100 * time.Millisecond

// maxStale is how many answers to questions before are thrown away.
const maxStale = 16

// look asks for the socket that is bound to from and connected to to. The answer may be that there is
// none; an error means that the kernel can't be asked.
func (d *diag) look(from, to netip.AddrPort) (answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.ask(from, to)
	if err != nil { // such as ENOBUFS; what else is in the socket is not worth finding out
		a, err = d.ask(from, to)
	}
	return a, err
}

// ask makes one try, and leaves no socket behind that is in trouble.
func (d *diag) ask(from, to netip.AddrPort) (a answer, err error) {
	if d.socket == nil {
		if d.socket, err = openDiag(); err != nil {
			return answer{}, err
		}
	}
	if a, err = d.exchange(from, to); err != nil {
		d.socket.Close()
		d.socket = nil
	}
	return a, err
}

func (d *diag) exchange(from, to netip.AddrPort) (answer, error) {
	d.seq++
	q := question(d.seq, from, to)
	if _, err := d.socket.Write(q[:]); err != nil {
		return answer{}, err
	}
	for range maxStale {
		n, err := d.socket.Read(d.buf[:])
		if err != nil {
			return answer{}, err
		}
		a, err := parseAnswer(d.buf[:n], d.seq)
		if err == errStale {
			continue
		}
		if err == nil && a.errno == 0 && (a.from != from || a.to != to) {
			err = fmt.Errorf("the kernel was asked for the socket from %v to %v and answered for %v to %v", from, to, a.from, a.to)
		}
		return a, err
	}
	return answer{}, errStale
}

// openDiag opens a netlink socket. It blocks, as there is nothing to wait for; os.File repeats what a
// signal interrupts.
func openDiag() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	timeout := unix.NsecToTimeval(lostAfter.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		socket.Close()
		return nil, os.NewSyscallError("setsockopt", err)
	}
	// Connected to the kernel, it takes nothing from other processes.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		socket.Close()
		return nil, os.NewSyscallError("connect", err)
	}
	return socket, nil
}

package peer

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// States of a TCP socket; the numbers of the others are of no interest.
// https://github.com/torvalds/linux/blob/master/include/net/tcp_states.h
const (
	established = 1
	synSent     = 2
	synReceived = 3
	closeWait   = 8
)

// connected reports whether a socket in this state is at one end of a connection that lasts, with
// nothing but its pair of addresses at the other.
func connected(state uint8) bool { return state == established || state == closeWait }

// ofTCP asks the kernel for the client's socket. The order matters: our end is looked at last, so that
// if it is connected then, it was while the kernel answered.
func ofTCP(raw syscall.RawConn, client, ours netip.AddrPort) (Peer, error) {
	found, err := kernel.look(client, ours)
	if err != nil {
		return Peer{}, cannotAsk(err)
	}
	state, err := tcpState(raw)
	if err != nil {
		return Peer{}, unknown("find out whether the client is still there: %w", err)
	}
	if found.errno == syscall.ENOENT && state == established {
		return Peer{}, notHere(client, ours)
	}
	return judge(found, state)
}

// judge says what an answer about the client's socket is worth if our end was then in state ours.
func judge(found answer, ours uint8) (Peer, error) {
	switch {
	case !connected(ours) || found.errno == syscall.ENOENT:
		return Peer{}, gone()
	case found.errno != 0:
		return Peer{}, passing(unknown("ask the kernel for the client's socket: %w", found.errno))
	case found.state == synSent || found.state == synReceived:
		return Peer{}, passing(unknown("the client is not connected yet"))
	case !connected(found.state):
		return Peer{}, gone()
	case found.inode == 0 || found.uid == noID: // the uid, if any, may be a made-up 0
		return Peer{}, unknown("the client's socket belongs to no process")
	}
	return Peer{Known: true, UID: found.uid, Unmapped: unmappedUID(found.uid), Inode: found.inode}, nil
}

// tcpState returns the state of our end.
func tcpState(raw syscall.RawConn) (state uint8, err error) {
	var tcp *unix.TCPInfo
	if e := raw.Control(func(fd uintptr) { tcp, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	return tcp.State, nil
}

// notHere tells why the kernel doesn't know the socket of a client that is connected. If it doesn't
// know ours either, the reason isn't the client.
func notHere(client, ours netip.AddrPort) error {
	own, err := kernel.look(ours, client)
	if err != nil {
		return cannotAsk(err)
	}
	if own.errno == syscall.ENOENT {
		return unknown("the kernel can't tell whose a TCP connection is").
			withHint("load the kernel's module tcp_diag (modprobe tcp_diag), or listen on a unix socket; or %s", letAllIn)
	}
	return unknown("there is no socket of the client at %v in dbvalet's network namespace, so that its user can't be known", client).
		withHint("connect from the same container or machine, or %s", letAllIn)
}

// cannotAsk tells why there is no line to the kernel.
func cannotAsk(err error) error {
	e := unknown("ask the kernel whose a TCP connection is: %w", err)
	for _, forbidden := range []error{syscall.EPERM, syscall.EACCES, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT} {
		if errors.Is(err, forbidden) {
			return e.withHint("allow netlink sockets (in a systemd unit: AF_NETLINK in RestrictAddressFamilies=), or listen on a unix socket; or %s", letAllIn)
		}
	}
	return passing(e)
}

// gone returns the error about a client that has left.
func gone() *Error {
	return &Error{text: ErrGone.Error(), err: ErrGone, passing: true}
}

// passing says that another try may go better.
func passing(e *Error) *Error {
	e.passing = true
	return e
}

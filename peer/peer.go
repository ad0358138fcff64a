package peer

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/user"
	"strconv"
	"syscall"
)

// A Peer is who is at the other end of a connection, as the kernel knows it. The zero Peer is nobody
// that is known, and not root.
type Peer struct {
	// Known says that the kernel named the user. Without it nothing else means anything.
	Known bool

	UID uint32 // who made the client's socket

	// Unmapped says that the user has no number in this process's user namespace, and that UID is
	// what the kernel puts in its place: the overflow uid, the same for everybody.
	Unmapped bool

	// Of unix sockets.
	GID    uint32
	Groups []uint32 // the supplementary groups, where the kernel tells
	PID    int      // who connected; 0: not known, or not to be seen from this pid namespace

	// Of TCP.
	Inode uint32 // the client's socket; never 0 if Known, and always 0 for a unix socket
}

// Of returns who is at the other end of conn, a connection that was accepted on TCP or on a unix
// socket of this machine. The error is an *Error; it matches ErrGone if the client has left already.
// Calls may be concurrent.
func Of(conn net.Conn) (Peer, error) {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}, unknown("a connection of type %T has no user", conn)
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return Peer{}, unknown("find out who is connected: %w", err)
	}
	switch ours := conn.LocalAddr().(type) {
	case *net.UnixAddr:
		return ofUnix(raw)
	case *net.TCPAddr:
		if client, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			return ofTCP(raw, unmapped(client), unmapped(ours))
		}
	}
	return Peer{}, unknown("a connection from %v to %v has no user", conn.RemoteAddr(), conn.LocalAddr())
}

// unmapped returns addr as it is on the wire, where an IPv4 address is no IPv6 address.
func unmapped(addr *net.TCPAddr) netip.AddrPort {
	pair := addr.AddrPort()
	return netip.AddrPortFrom(pair.Addr().Unmap(), pair.Port())
}

// String returns the user for people to read: alice (uid 1001). It looks the name up, which may take
// a while where names come from a directory on the network.
func (p Peer) String() string {
	switch {
	case !p.Known:
		return "unknown"
	case p.Unmapped:
		return fmt.Sprintf("a user without a number here (uid %d)", p.UID)
	}
	return id{p.UID, p.name()}.user()
}

// LogValue is the peer as attributes: uid, and as far as there are any user, unmapped and pid.
func (p Peer) LogValue() slog.Value {
	if !p.Known {
		return slog.StringValue(p.String())
	}
	attrs := []slog.Attr{slog.Uint64("uid", uint64(p.UID))}
	if name := p.name(); name != "" {
		attrs = append(attrs, slog.String("user", name))
	}
	if p.Unmapped {
		attrs = append(attrs, slog.Bool("unmapped", true))
	}
	if p.PID != 0 {
		attrs = append(attrs, slog.Int("pid", p.PID))
	}
	return slog.GroupValue(attrs...)
}

// name returns the user's name, or "".
func (p Peer) name() string {
	if !p.Known || p.Unmapped {
		return ""
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return ""
	}
	return printable(u.Username)
}

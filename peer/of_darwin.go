package peer

import (
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ofUnix returns who connected. The first of the groups is that of the process, its gid.
func ofUnix(raw syscall.RawConn) (Peer, error) {
	var (
		cred *unix.Xucred
		pid  int
		err  error
	)
	if e := raw.Control(func(fd uintptr) {
		if cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			pid, _ = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID) // else 0
		}
	}); e != nil {
		return Peer{}, unknown("find out who is connected: %w", e)
	}
	if err != nil {
		return Peer{}, unknown("find out who is connected: %w", os.NewSyscallError("getsockopt", err))
	}
	if cred.Version != 0 || cred.Uid == noID || cred.Ngroups < 1 || int(cred.Ngroups) > len(cred.Groups) {
		return Peer{}, unknown("the kernel did not note who connected")
	}
	groups := cred.Groups[:cred.Ngroups]
	return Peer{Known: true, UID: cred.Uid, GID: groups[0], Groups: groups[1:], PID: pid}, nil
}

func ofTCP(syscall.RawConn, netip.AddrPort, netip.AddrPort) (Peer, error) {
	return Peer{}, unknown("macOS can't tell whose a TCP connection is").
		withHint("listen on a unix socket, where it can (listen=DIRECTORY); or %s", letAllIn)
}

// unmappedUID reports whether uid stands for several users, which it never does here.
func unmappedUID(uint32) bool { return false }

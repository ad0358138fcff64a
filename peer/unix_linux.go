package peer

import (
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ofUnix returns who connected; that stays known when the client has left.
func ofUnix(raw syscall.RawConn) (Peer, error) {
	var (
		cred   *unix.Ucred
		groups []uint32
		err    error
	)
	if e := raw.Control(func(fd uintptr) {
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			groups = peerGroups(fd)
		}
	}); e != nil {
		return Peer{}, unknown("find out who is connected: %w", e)
	}
	if err != nil {
		return Peer{}, unknown("find out who is connected: %w", os.NewSyscallError("getsockopt", err))
	}
	if cred.Uid == noID {
		return Peer{}, unknown("the kernel did not note who connected")
	}
	return Peer{Known: true, UID: cred.Uid, Unmapped: unmappedUID(cred.Uid), GID: cred.Gid, Groups: groups, PID: int(cred.Pid)}, nil
}

// peerGroups returns the supplementary groups of who connected, or nil: kernels before 4.13 don't
// tell.
func peerGroups(fd uintptr) []uint32 {
	groups := make([]uint32, 32)
	for {
		size := uint32(4 * len(groups)) // bytes, and then how many there are
		_, _, errno := syscall.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return slices.Clip(groups[:min(int(size/4), len(groups))])
		case errno != syscall.ERANGE || int(size/4) <= len(groups) || size > 4*maxGroups:
			return nil
		}
		groups = make([]uint32, size/4)
	}
}

// maxGroups is how many groups a process can have, the kernel's NGROUPS_MAX.
const maxGroups = 65536

//go:build !linux && !darwin

package peer

import (
	"net/netip"
	"runtime"
	"syscall"
)

func ofUnix(syscall.RawConn) (Peer, error) {
	return Peer{}, unknown("dbvalet can't tell on %s whose a connection is", runtime.GOOS)
}

func ofTCP(syscall.RawConn, netip.AddrPort, netip.AddrPort) (Peer, error) {
	return Peer{}, unknown("dbvalet can't tell on %s whose a connection is", runtime.GOOS)
}

// unmappedUID reports whether uid stands for several users, which it never does here.
func unmappedUID(uint32) bool { return false }

//go:build unix

package proxy

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// isListening reports whether ln's socket is one that connections are accepted from.
func isListening(ln net.Listener) bool {
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	listening := 0
	if controlErr := raw.Control(func(fd uintptr) {
		listening, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	}); controlErr != nil || err != nil {
		return false
	}
	return listening != 0
}

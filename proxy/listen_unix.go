//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// listenPrivately makes the socket with mode 0600 from its first moment: a chmod after bind would
// leave a gap in which others can connect. The mask is the whole process's, so this is for the time
// before sessions.
func listenPrivately(path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

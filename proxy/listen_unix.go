//go:build unix

package proxy

import (
	"io/fs"
	"net"
	"os"
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

// ofSomebodyElse reports whether a directory belongs to neither root nor the own user.
func ofSomebodyElse(dir fs.FileInfo) bool {
	stat, ok := dir.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

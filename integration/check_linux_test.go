package integration

import (
	"context"
	"net"
	"syscall"
	"testing"

	"dbvalet/integration/servers"
)

// fullQueue is an address where somebody listens with the shortest queue that there is, and accepts nobody.
// length is how many connections it may take at most.
func fullQueue(t *testing.T) (addr string, length int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}).String(), 8
}

// restart starts s again, which may never come up. stop ends the attempt, and done is closed behind it.
func restart(t *testing.T, s *servers.Server) (done <-chan struct{}, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Restart(ctx)
	}()
	return ended, stop
}

package proxy

import (
	"context"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"dbvalet/tokens"
)

// TestDialThatHangsEndsAtTimeLimit has a listener whose queue is full: the kernel drops what comes.
func TestDialThatHangsEndsAtTimeLimit(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for {
		conn, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}

	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errHandshakeTimeout)
	defer cancel()
	began := time.Now()
	_, err = newUpstream(addr, numbered{new(counter)}).Connect(ctx, "app",
		func(context.Context, net.Conn, Endpoint, tokens.Credential) (net.Conn, error) { return nil, errTest })
	if stageOf(err) != StageDial || !timedOut(err) || Hint(err) == "" {
		t.Errorf("got %v, want an error of stage dial that is a time limit's, with a hint", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

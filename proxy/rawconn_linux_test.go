package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// fastPair returns a connection as the relay uses it, and its other end, of both kinds.
func fastPair(t *testing.T, network string) (conn net.Conn, far net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(privateDir(t), "x.sock")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	_ = far.SetDeadline(time.Now().Add(patience))
	conn = fast(near)
	if conn == near {
		t.Fatalf("a %s connection is not made faster", network)
	}
	return conn, far
}

func TestFastConnectionBehavesAsAnyOther(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, check := range map[string]func(t *testing.T, conn, far net.Conn){
			"a write of more than fits waits for its reader": func(t *testing.T, conn, far net.Conn) {
				sent := bytes.Repeat([]byte("0123456789"), 1<<20)
				done := make(chan error, 1)
				go func() {
					n, err := conn.Write(sent)
					if err == nil && n != len(sent) {
						err = io.ErrShortWrite
					}
					done <- err
				}()
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("something else arrived (%v)", err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			},
			"a read waits for its writer": func(t *testing.T, conn, far net.Conn) {
				heard := make(chan string, 1)
				go func() {
					buf := make([]byte, 10)
					n, _ := conn.Read(buf)
					heard <- string(buf[:n])
				}()
				say(t, far, "hello")
				if got := <-heard; got != "hello" {
					t.Errorf("got %q", got)
				}
			},
			"the end is io.EOF": func(t *testing.T, conn, far net.Conn) {
				far.Close()
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("got %d, %v, want EOF", n, err)
				}
			},
			"nothing is read and written at once": func(t *testing.T, conn, _ net.Conn) {
				if n, err := conn.Read(nil); n != 0 || err != nil {
					t.Errorf("read: got %d, %v", n, err)
				}
				if n, err := conn.Write(nil); n != 0 || err != nil {
					t.Errorf("write: got %d, %v", n, err)
				}
			},
			"a deadline ends a read": func(t *testing.T, conn, _ net.Conn) {
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				_, err := conn.Read(make([]byte, 1))
				checkDeadline(t, err)
			},
			"a deadline ends a write": func(t *testing.T, conn, far net.Conn) {
				much := make([]byte, 32<<20)
				go func() {
					_, _ = io.ReadFull(far, make([]byte, 1))
					_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				}()
				n, err := conn.Write(much)
				checkDeadline(t, err)
				if n == 0 || n == len(much) {
					t.Errorf("%d bytes were written, want a part", n)
				}
			},
			"closing ends a read": func(t *testing.T, conn, _ net.Conn) {
				time.AfterFunc(10*time.Millisecond, func() { conn.Close() })
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v, want net.ErrClosed", err)
				}
			},
			"a closed one is closed": func(t *testing.T, conn, _ net.Conn) {
				conn.Close()
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: got %v, want net.ErrClosed", err)
				}
				if _, err := conn.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("write: got %v, want net.ErrClosed", err)
				}
			},
			"writing to nobody is EPIPE or a reset": func(t *testing.T, conn, far net.Conn) {
				far.Close()
				var err error
				for err == nil {
					_, err = conn.Write([]byte("x"))
				}
				if !normalEnd(err) || !ofWrite(err) {
					t.Errorf("got %v, want an everyday end, of a write", err)
				}
			},
			"half a close": func(t *testing.T, conn, far net.Conn) {
				closeWrite(conn)
				hearEnd(t, far)
				say(t, far, "the answer")
				hear(t, conn, "the answer")
			},
		} {
			t.Run(network+": "+name, func(t *testing.T) {
				conn, far := fastPair(t, network)
				check(t, conn, far)
			})
		}
	}
}

func checkDeadline(t *testing.T, err error) {
	t.Helper()
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a time limit's error", err)
	}
}

func TestFastConnectionReportsReset(t *testing.T) {
	conn, far := fastPair(t, "tcp")
	_ = far.(*net.TCPConn).SetLinger(0)
	far.Close()
	_, err := conn.Read(make([]byte, 1))
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "read" || !errors.Is(err, syscall.ECONNRESET) || ofWrite(err) {
		t.Errorf("got %v, want a read that met a reset", err)
	}
}

func TestOnlySystemConnectionsAreMadeFaster(t *testing.T) {
	conn, far := net.Pipe()
	defer conn.Close()
	defer far.Close()
	if fast(conn) != conn {
		t.Error("a pipe was wrapped")
	}
}

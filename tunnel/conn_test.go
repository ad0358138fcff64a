package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// pipe returns the two ends of a connection by way of an SSH server.
func pipe(t *testing.T) (ours, theirs net.Conn, s *server) {
	t.Helper()
	h := newHome(t)
	s = h.server()
	accepted := make(chan net.Conn, 1)
	addr := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { accepted <- conn })
	ours = mustDial(t, h.dialer(hurried, "ssh://u@"+s.addr), addr)
	theirs = <-accepted
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs, s
}

// What package net promises of a connection holds for one by way of SSH: deadlines above all.
func TestConnectionsThroughSSHAreLikeOthers(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		ours, theirs, _ := pipe(t)
		return ours, theirs, func() {
			ours.Close()
			theirs.Close()
		}, nil
	})
}

func TestHalfCloseArrives(t *testing.T) {
	ours, theirs, _ := pipe(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	_ = ours.SetReadDeadline(time.Now().Add(patience))
	_ = theirs.SetReadDeadline(time.Now().Add(patience))
	heard := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(theirs)
		heard <- all
		_, _ = theirs.Write([]byte("and goodbye"))
		theirs.Close()
	}()
	if _, err := ours.Write(sent); err != nil {
		t.Fatal(err)
	}
	_ = ours.SetWriteDeadline(time.Unix(1, 0)) // as TLS does behind its own farewell
	if err := ours.(stream).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if all := <-heard; !bytes.Equal(all, sent) {
		t.Errorf("%d bytes arrived, want %d", len(all), len(sent))
	}
	if rest, err := io.ReadAll(ours); err != nil || string(rest) != "and goodbye" {
		t.Errorf("got %q, %v", rest, err)
	}
	if _, err := ours.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write behind the end: got %v, want EPIPE", err)
	}
}

// What arrives when a Read has just given up is the next one's.
func TestNothingIsLostWhenADeadlinePasses(t *testing.T) {
	ours, theirs, _ := pipe(t)
	const rounds = 200
	go func() {
		for i := range rounds {
			_, _ = theirs.Write([]byte{byte(i)})
		}
	}()
	b := make([]byte, 1)
	for want := 0; want < rounds; {
		_ = ours.SetReadDeadline(time.Now().Add(time.Microsecond))
		switch _, err := ours.Read(b); {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			t.Fatal(err)
		case b[0] != byte(want):
			t.Fatalf("got byte %d, want %d", b[0], want)
		default:
			want++
		}
	}
}

// A deadline that has passed counts, whatever there is to read: that is how a reader is stopped.
func TestDeadlineCountsWhereThereIsSomethingToRead(t *testing.T) {
	ours, theirs, _ := pipe(t)
	if _, err := theirs.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	for _, want := range "ab" {
		if _, err := ours.Read(b); err != nil || b[0] != byte(want) {
			t.Fatalf("got %q, %v, want %q", b, err, want)
		}
		_ = ours.SetReadDeadline(time.Unix(1, 0))
		if n, err := ours.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %d bytes, %v, want the deadline", n, err)
		}
		_ = ours.SetReadDeadline(time.Time{})
	}
}

// A database that is not read from is not read ahead of without limit, and a write to one that does not
// read ends at its deadline, and at the connection's end.
func TestWritesThatNobodyReadsEnd(t *testing.T) {
	ours, _, _ := pipe(t)
	_ = ours.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	var err error
	for n := 0; err == nil; n++ {
		if n > 64 {
			t.Fatal("64 MB went into the void")
		}
		_, err = ours.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	_ = ours.SetWriteDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		_, err := ours.Write([]byte("x"))
		done <- err
	}()
	ours.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want the connection's end", err)
	}
}

// The end of the SSH connection is not taken for the end of what the database says.
func TestLostTunnelIsNoNormalEnd(t *testing.T) {
	ours, _, s := pipe(t)
	s.stop()
	_, err := ours.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the SSH connection was lost") || !strings.Contains(err.Error(), "via ssh://u@") {
		t.Errorf("got %v, want an error that says so", err)
	}
	if _, err := ours.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "the SSH connection was lost") {
		t.Errorf("a write: got %v", err)
	}
}

package proxy

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func newPort(t *testing.T, ln net.Listener) *Port {
	t.Helper()
	p, err := NewPort(ln)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestNobodyIsLostWhenViewsChange(t *testing.T) {
	const clients, each, views = 8, 400, 200
	unix, err := net.Listen("unix", filepath.Join(privateDir(t), "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	for name, ln := range map[string]net.Listener{"tcp": listen(t), "unix": unix} {
		t.Run(name, func(t *testing.T) {
			p := newPort(t, ln)
			var serving, dialling sync.WaitGroup
			serve := func(ln net.Listener) {
				serving.Go(func() {
					for {
						conn, err := ln.Accept()
						if err != nil {
							if !errors.Is(err, net.ErrClosed) {
								t.Errorf("Accept: got %v, want net.ErrClosed", err)
							}
							return
						}
						_, _ = conn.Write([]byte("x"))
						conn.Close()
					}
				})
			}
			serve(p.View())
			for range clients {
				dialling.Go(func() {
					for range each {
						conn, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
						if err != nil {
							t.Error(err)
							return
						}
						_ = conn.SetDeadline(time.Now().Add(patience))
						if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
							t.Errorf("client got %v, want a byte", err)
						}
						conn.Close()
					}
				})
			}
			for range views {
				serve(p.View())
			}
			dialling.Wait()
			p.Close()
			serving.Wait()
		})
	}
}

func TestClosedViewLeavesThePortOpen(t *testing.T) {
	p := newPort(t, listen(t))
	first := p.View()
	first.Close()
	if conn, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v, %v, want net.ErrClosed", conn, err)
	}
	c := dial(t, p.Addr()) // and waits in the kernel
	second := p.View()
	conn, err := second.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say(t, conn, "hello")
	hear(t, c, "hello")
	first.Close() // once more, which is not the second's business
	dial(t, p.Addr())
	if conn, err = second.Accept(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

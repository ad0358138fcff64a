package tunnel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
)

// socksServer is a proxy without passwords, which answers reply where that is not 0. It notes what it
// was asked for.
func socksServer(t *testing.T, reply byte) (addr string, asked chan string) {
	t.Helper()
	asked = make(chan string, 1)
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		head := make([]byte, 2)
		_, _ = io.ReadFull(conn, head)
		_, _ = io.ReadFull(conn, make([]byte, head[1]))
		_, _ = conn.Write([]byte{5, 0})
		request := make([]byte, 4)
		_, _ = io.ReadFull(conn, request)
		var host string
		switch request[3] {
		case 1:
			ip := make(net.IP, 4)
			_, _ = io.ReadFull(conn, ip)
			host = ip.String()
		case 3:
			length := make([]byte, 1)
			_, _ = io.ReadFull(conn, length)
			name := make([]byte, length[0])
			_, _ = io.ReadFull(conn, name)
			host = string(name)
		}
		port := make([]byte, 2)
		_, _ = io.ReadFull(conn, port)
		to := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port)))
		asked <- to
		_, _ = conn.Write(append([]byte{5, reply, 0, 1}, make([]byte, 6)...))
		if reply == 0 {
			join(conn, to)
		}
	}), asked
}

// join joins conn to what listens at to, half-close included.
func join(conn net.Conn, to string) {
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{conn, other}, {other, conn}} {
		both.Go(func() {
			_, _ = io.Copy(pair[1], pair[0])
			_ = pair[1].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

// endsWell says something, ends its side and reads the rest.
func endsWell(t *testing.T, conn net.Conn) {
	t.Helper()
	mustEcho(t, conn)
	if _, err := conn.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(stream).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "the end" {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestSOCKSProxyConnects(t *testing.T) {
	h := newHome(t)
	proxy, asked := socksServer(t, 0)
	db := echo(t)
	conn := mustDial(t, h.dialer(hurried, "socks5://"+proxy), db)
	endsWell(t, conn)
	if to := <-asked; to != db {
		t.Errorf("it was asked for %s", to)
	}
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T, which hides the TCP connection", conn)
	}
}

func TestNamesAreTheProxysToLookUp(t *testing.T) {
	proxy, asked := socksServer(t, 4)
	if e := failure(t, newHome(t).dialer(hurried, "socks5://"+proxy), "db.nowhere.invalid:5432"); !errors.Is(e, syscall.EHOSTUNREACH) {
		t.Errorf("got %v", e)
	}
	if to := <-asked; to != "db.nowhere.invalid:5432" {
		t.Errorf("it was asked for %s", to)
	}
}

func TestRepliesOfSOCKSAreToldInClearWords(t *testing.T) {
	for reply, want := range map[byte]struct {
		is    error
		final bool
		text  string
	}{
		1: {nil, false, "general SOCKS server failure"},
		2: {nil, true, "its rules do not allow a connection to db:5432"},
		3: {syscall.ENETUNREACH, false, "network unreachable"},
		4: {syscall.EHOSTUNREACH, false, "host unreachable"},
		5: {syscall.ECONNREFUSED, false, "connect from there to db:5432: connection refused"},
		6: {nil, false, "TTL expired"},
		9: {nil, false, "unknown code: 9"},
	} {
		proxy, _ := socksServer(t, reply)
		e := failure(t, newHome(t).dialer(hurried, "socks5://"+proxy), "db:5432")
		if !strings.Contains(e.Error(), "via socks5://"+proxy+": ") || !strings.Contains(e.Error(), want.text) || e.Final() != want.final || want.is != nil && !errors.Is(e, want.is) {
			t.Errorf("%d: got %v (final: %v)", reply, e, e.Final())
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, kind := range []string{"socks5://", "http://"} {
		e := failure(t, newHome(t).dialer(hurried, kind+closed.Addr().String()), "db:5432")
		if !errors.Is(e, syscall.ECONNREFUSED) || !strings.Contains(e.Error(), "connect to it: ") {
			t.Errorf("without a proxy: got %v", e)
		}
	}
	asking := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 3))
		_, _ = conn.Write([]byte{5, 0xff})
		conn.Close()
	})
	if e := failure(t, newHome(t).dialer(hurried, "socks5://"+asking), "db:5432"); !strings.Contains(e.Error(), "asks for a password") || !e.Final() {
		t.Errorf("with a password: got %v", e)
	}
}

// httpProxy answers each CONNECT with head, and joins if that says so.
func httpProxy(t *testing.T, head string) string {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil || request.Method != http.MethodConnect {
			t.Errorf("the proxy was asked %+v, %v", request, err)
			return
		}
		_, _ = io.WriteString(conn, head)
		if strings.Contains(head, " 200 ") {
			join(conn, request.Host)
		}
	})
}

func TestHTTPProxyConnects(t *testing.T) {
	proxy := httpProxy(t, "HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\n\r\n")
	conn := mustDial(t, newHome(t).dialer(hurried, "http://"+proxy), echo(t))
	endsWell(t, conn)
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T, which hides the TCP connection", conn)
	}
}

// MySQL speaks first, maybe in the packet in which the proxy's answer ends.
func TestNothingBehindTheProxysAnswerIsLost(t *testing.T) {
	proxy := httpProxy(t, "HTTP/1.0 200 OK\r\n\r\nJ\x00\x00\x00greeting")
	conn := mustDial(t, newHome(t).dialer(hurried, "http://"+proxy), echo(t))
	got := make([]byte, 12)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "J\x00\x00\x00greeting" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAnswersOfHTTPProxiesAreToldInClearWords(t *testing.T) {
	for head, want := range map[string]struct {
		is    error
		final bool
		text  string
	}{
		"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n":                {nil, true, "it asks for a password (407)"},
		"HTTP/1.1 403 Forbidden\r\n\r\n":                                    {nil, true, "it does not connect to db:5432: it answers 403 Forbidden"},
		"HTTP/1.1 408 Request Timeout\r\n\r\n":                              {nil, false, "it answers 408"},
		"HTTP/1.1 429 Too Many Requests\r\n\r\n":                            {nil, false, "it answers 429"},
		"HTTP/1.1 502 Bad Gateway\r\n\r\n":                                  {syscall.ECONNREFUSED, false, "connect from there to db:5432: it answers 502"},
		"HTTP/1.1 503 \x1b[31m\r\n\r\n":                                     {syscall.ECONNREFUSED, false, "it answers 503 Service Unavailable"},
		"HTTP/1.1 504 Gateway Timeout\r\n\r\n":                              {os.ErrDeadlineExceeded, false, "it answers 504"},
		"HTTP/1.1 500 Oops\r\n\r\n":                                         {nil, false, "it answers 500"},
		"220 mail ESMTP\r\n\r\n":                                            {nil, false, "its answer is not HTTP"},
		"HTTP/1.1 200 ":                                                     {nil, false, "read its answer: "},
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n": {nil, false, "its answer has no end"},
	} {
		proxy := httpProxy(t, head)
		if strings.HasSuffix(head, " 200 ") {
			proxy = listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, head)
				conn.Close()
			})
		}
		e := failure(t, newHome(t).dialer(hurried, "http://"+proxy), "db:5432")
		if !strings.Contains(e.Error(), want.text) || strings.Contains(e.Error(), "\x1b") || e.Final() != want.final || want.is != nil && !errors.Is(e, want.is) {
			t.Errorf("%.30q: got %v (final: %v)", head, e, e.Final())
		}
	}
}

func TestProxiesDoNotReachSockets(t *testing.T) {
	for _, via := range []string{"socks5://127.0.0.1:1", "http://127.0.0.1:1"} {
		_, err := newHome(t).dialer(hurried, via).DialContext(t.Context(), "unix", "/run/db")
		if e, ok := errors.AsType[*Error](err); !ok || !e.Final() || !strings.Contains(e.Advice, "ssh://") {
			t.Errorf("%s: got %v", via, err)
		}
	}
}

func TestBastionBehindAProxy(t *testing.T) {
	h := newHome(t)
	s := h.server()
	proxy, asked := socksServer(t, 0)
	mustEcho(t, mustDial(t, h.dialer(hurried, "socks5://"+proxy, "ssh://u@"+s.addr), echo(t)))
	if to := <-asked; to != s.addr {
		t.Errorf("the proxy was asked for %s", to)
	}
}

// TestAddressIsNoMoreThanThat has a secret name a host with a header behind it.
func TestAddressIsNoMoreThanThat(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	said := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(far)
		said <- string(all)
	}()
	_, err := ask(t.Context(), near, "db.example.com\r\nX: y:5432")
	near.Close()
	if got := <-said; err == nil || got != "" {
		t.Errorf("got %v, and the proxy was told %q", err, got)
	}
}

func FuzzConnectAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nJ"))
	f.Add([]byte("HTTP/1.0 407 \n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := bytes.NewReader(answer)
		status, err := readAnswer(iotest.HalfReader(r))
		if err != nil {
			return
		}
		head := answer[:len(answer)-r.Len()]
		if status < 0 || status > 999 || !bytes.HasSuffix(head, []byte("\n\n")) && !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			t.Errorf("status %d, head %q", status, head)
		}
	})
}

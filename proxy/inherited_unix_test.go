//go:build unix

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The variable says which part of a test the test's binary is to play, in a process of its own.
const inheritedPart = "DBVALET_TEST_INHERITED"

// inChild runs the test that calls it again, in a process that is passed files under names.
func inChild(t *testing.T, names string, files ...*os.File) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), inheritedPart+"=pass", fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("the child: %v\n%s", err, out)
	}
	return string(out)
}

// take is what the program does at its start. LISTEN_PID can only be set by the process itself, which
// then begins again with it.
func take(t *testing.T) *Inherited {
	t.Helper()
	if os.Getenv(inheritedPart) == "pass" {
		t.Setenv(inheritedPart, "take")
		t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		t.Fatal(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	return TakeInherited()
}

func isParent() bool { return os.Getenv(inheritedPart) == "" }

// fileOf is ln's socket, to be passed on.
func fileOf(t *testing.T, ln interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	file, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestInheritedSocketsAreServedUnderTheirNames(t *testing.T) {
	if isParent() {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		path := filepath.Join(privateDir(t), "x.sock")
		unix, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close()
		inChild(t, "orders:other:orders", fileOf(t, tcp.(*net.TCPListener)), fileOf(t, tcp.(*net.TCPListener)), fileOf(t, unix.(*net.UnixListener)))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the socket is not ours to remove: %v", err)
		}
		return
	}
	all := take(t)
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is left for children", name)
		}
	}
	if got := strings.Join(all.Names(), " "); got != "orders other" {
		t.Errorf("got the names %q", got)
	}
	for range 2 { // a reload asks again
		listeners, err := Listen(ListenOptions{Addr: "systemd:orders", Inherited: all})
		if err != nil || len(listeners) != 2 {
			t.Fatalf("got %v, %v, want two listeners", listeners, err)
		}
		for _, ln := range listeners {
			if !IsInherited(ln) {
				t.Errorf("%v is not known to be inherited", ln.Addr())
			}
			client, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
			server.Close()
			ln.Close()
			if ln.Addr().Network() == "unix" {
				if _, err := os.Stat(ln.Addr().String()); err != nil {
					t.Errorf("after Close: %v", err)
				}
			}
		}
	}
	out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	if err == nil && strings.Contains(string(out), "socket:") {
		t.Errorf("a child has them too:\n%s", out)
	}
}

// passed is what a program was passed under the name x, without another process.
func passed(t *testing.T, ln interface{ File() (*os.File, error) }) *Inherited {
	t.Helper()
	return &Inherited{files: map[string][]*os.File{"x": {fileOf(t, ln)}}}
}

func TestInheritedSocketsKeepToTheRules(t *testing.T) {
	listen := func(network, addr string) interface{ File() (*os.File, error) } {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln.(interface{ File() (*os.File, error) })
	}
	everywhere := passed(t, listen("tcp", "0.0.0.0:0"))
	rows := []struct {
		name   string
		given  *Inherited
		addr   string
		reason string
	}{
		{"nothing was passed", nil, "systemd:x", "none was"},
		{"other name", everywhere, "systemd:y", "there are x"},
		{"no name", everywhere, "systemd:", "there are x"},
		{"all addresses", everywhere, "systemd:x", "not an address of this machine alone"},
		{"datagrams", passed(t, func() *net.UnixConn {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(privateDir(t), "d.sock"), Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}()), "systemd:x", "nobody listens"},
		{"connection", passed(t, func() *net.TCPConn {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn.(*net.TCPConn)
		}()), "systemd:x", "a connection"},
	}
	if abstract, err := net.Listen("unix", "@dbvalet-test-abstract"); err == nil { // Linux has them
		t.Cleanup(func() { abstract.Close() })
		rows = append(rows, struct {
			name   string
			given  *Inherited
			addr   string
			reason string
		}{"abstract", passed(t, abstract.(*net.UnixListener)), "systemd:x", "abstract"})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			listeners, err := Listen(ListenOptions{Addr: row.addr, Inherited: row.given})
			e, ok := errors.AsType[*ListenError](err)
			if !ok || !strings.Contains(e.Error(), row.reason) || !strings.Contains(e.Hint(), ".socket unit") {
				t.Errorf("got %v, %v, want %q and what to write", listeners, err, row.reason)
			}
		})
	}
	listeners, err := Listen(ListenOptions{Addr: "systemd:x", Inherited: everywhere, Remote: true})
	if err != nil {
		t.Fatalf("with allow_remote=: %v", err)
	}
	listeners[0].Close()
}

package peer

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestHolderOfAnAddressIsFound(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, network, addr, asked string }{
		{"the same", "tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"all of IPv4", "tcp4", "0.0.0.0:0", "127.0.0.1"},
		{"all of both", "tcp", "[::]:0", "127.0.0.1"},
		{"IPv6", "tcp6", "[::1]:0", "::1"},
		{"one of those that are wanted", "tcp4", "127.0.0.1:0", "0.0.0.0"},
		{"unix socket", "unix", "x.sock", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if strings.HasPrefix(row.addr, "[") {
				needIPv6(t)
			}
			if row.network == "unix" {
				row.addr = filepath.Join(publicDir(t), row.addr) // which is short
			}
			ln, err := net.Listen(row.network, row.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			asked := ln.Addr()
			if tcp, ok := asked.(*net.TCPAddr); ok {
				asked = &net.TCPAddr{IP: net.ParseIP(row.asked), Port: tcp.Port}
			}
			h, ok := HolderOf(asked)
			if !ok || h.PID != os.Getpid() || h.Program != filepath.Base(exe) || int(h.UID) != os.Geteuid() || !h.IsSelf() || h.Guessed {
				t.Errorf("got %+v, %v; want this process", h, ok)
			}
			ln.Close()
			if h, ok := HolderOf(asked); ok {
				t.Errorf("got %v of an address that nobody holds", h)
			}
		})
	}
}

func TestHolderThatIsAnotherProcessIsNamed(t *testing.T) {
	other := start(t, nil, "server", "tcp", "127.0.0.1:0", "any")
	addr, err := net.ResolveTCPAddr("tcp", other.line(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // which it waits for
		if conn, err := net.DialTCP("tcp", nil, addr); err == nil {
			conn.Close()
		}
	}()
	pid := other.cmd.Process.Pid
	h, ok := HolderOf(addr)
	if !ok || h.PID != pid || h.IsSelf() || !h.IsLike(h.Program) || !strings.Contains(h.String(), "(pid "+strconv.Itoa(pid)+")") {
		t.Errorf("got %v, %v; want process %d", h, ok, pid)
	}
}

// TestHolderThatHidesIsGuessed has a server that lets nobody look at it, as dbvalet does.
func TestHolderThatHidesIsGuessed(t *testing.T) {
	var attr *syscall.SysProcAttr // root sees everything
	if os.Geteuid() == 0 {
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 3_999_999, Gid: 3_999_999}}
	}
	hidden := start(t, attr, "hidden")
	asker := start(t, attr, "asker", hidden.line(t))
	want := programOf("/proc/self") + ", by the looks of it (pid " + strconv.Itoa(hidden.cmd.Process.Pid) + ")"
	if got := asker.line(t); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHolderIsDescribedAsFarAsItIsKnown(t *testing.T) {
	other := uint32(os.Geteuid()) + 4_000_000
	for _, row := range []struct {
		holder Holder
		want   string
	}{
		{Holder{Peer: Peer{Known: true, UID: other}}, "a program, of uid " + strconv.Itoa(int(other))},
		{Holder{Peer: Peer{Known: true, UID: uint32(os.Geteuid())}, PID: 1, Program: "postgres"}, "postgres (pid 1)"},
		{Holder{Peer: Peer{Known: true, UID: other}, PID: 1, Program: "postgres"}, "postgres (pid 1), of uid " + strconv.Itoa(int(other))},
		{Holder{Peer: Peer{Known: true, UID: uint32(os.Geteuid())}, PID: 7, Program: "dbvalet", Guessed: true}, "dbvalet, by the looks of it (pid 7)"},
		{Holder{Peer: Peer{Known: true, UID: uint32(os.Geteuid())}, Program: "dbvalet", Guessed: true}, "dbvalet, by the looks of it"},
	} {
		if got := row.holder.String(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

const (
	listeningLine = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0"
	mappedLine    = "   1: 0000000000000000FFFF00000100007F:1538 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 6 1 0"
)

func TestLinesAboutSocketsAreRead(t *testing.T) {
	want := listener{netip.MustParseAddrPort("127.0.0.1:5432"), 1000, 12345}
	if got, ok := parseListener(listeningLine); !ok || got != want {
		t.Errorf("got %v, %v; want %v", got, ok, want)
	}
	want.inode = 6
	if got, ok := parseListener(mappedLine); !ok || got != want {
		t.Errorf("got %v, %v; want %v", got, ok, want)
	}
	for _, line := range []string{"", "  sl  local_address rem_address   st tx_queue", strings.Replace(listeningLine, "0A", "01", 1),
		strings.Replace(listeningLine, "0100007F", "01007F", 1), strings.Replace(listeningLine, "12345", "0", 1), strings.Replace(listeningLine, "1538", "11538", 1)} {
		if got, ok := parseListener(line); ok {
			t.Errorf("%q is read as %v", line, got)
		}
	}
}

func FuzzParseListener(f *testing.F) {
	f.Add(listeningLine)
	f.Add(mappedLine)
	f.Fuzz(func(t *testing.T, line string) {
		if l, ok := parseListener(line); ok && (l.inode == 0 || !l.addr.IsValid()) {
			t.Errorf("%q is read as %v", line, l)
		}
	})
}

package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

func TestProgramIsFound(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "unix"} {
		ln := listen(t, network, "127.0.0.1:0")
		client := start(t, nil, "client", network, ln.Addr().String())
		who, err := Of(accept(t, ln))
		if err != nil {
			t.Fatal(err)
		}
		f := Finder{Patience: patience}
		if pid, program := f.Find(who); pid != client.cmd.Process.Pid || program != filepath.Base(exe) {
			t.Errorf("%s: got %d, %q; want %d, %s", network, pid, program, client.cmd.Process.Pid, filepath.Base(exe))
		}
		if pid, _ := (&Finder{UnixOnly: true}).Find(who); (pid != 0) != (network == "unix") {
			t.Errorf("%s: got %d where only clients on unix sockets are looked for", network, pid)
		}
	}
}

func TestProcessThatConnectsAgainIsFoundWithoutScan(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	client := start(t, nil, "pool", "tcp", ln.Addr().String())
	f := Finder{Patience: patience}
	for i := range 3 {
		who, err := Of(accept(t, ln))
		if err != nil {
			t.Fatal(err)
		}
		if pid, _ := f.Find(who); pid != client.cmd.Process.Pid {
			t.Errorf("connection %d: got %d, want %d", i, pid, client.cmd.Process.Pid)
		}
		f.scans = rate.NewLimiter(0, 0)
		fmt.Fprintln(client.in)
	}
}

func TestConnectionsOfOneProcessShareAScan(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	f := Finder{scans: rate.NewLimiter(0, 1), Patience: patience}
	var wg sync.WaitGroup
	for range 20 {
		_, ours := pair(t, ln)
		who, err := Of(ours)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if pid, _ := f.Find(who); pid != os.Getpid() {
				t.Errorf("got %d, want %d", pid, os.Getpid())
			}
		})
	}
	wg.Wait()
}

func TestScansAreLimited(t *testing.T) {
	_, ours := pair(t, listen(t, "tcp", "127.0.0.1:0"))
	who, err := Of(ours)
	if err != nil {
		t.Fatal(err)
	}
	f := Finder{scans: rate.NewLimiter(0, 1), Patience: patience}
	if pid, _ := f.Find(Peer{Known: true, Inode: 1}); pid != 0 {
		t.Errorf("inode 1: got %d, want nobody", pid)
	}
	if pid, program := f.Find(who); pid != 0 || program != "" {
		t.Errorf("got %d, %q; want no second scan", pid, program)
	}
	f.scans = rate.NewLimiter(0, 1)
	if pid, _ := f.Find(who); pid != os.Getpid() {
		t.Errorf("got %d, want %d", pid, os.Getpid())
	}
}

func TestNobodyHasNoProgram(t *testing.T) {
	f := Finder{scans: rate.NewLimiter(0, 0)}
	for _, who := range []Peer{{}, {PID: os.Getpid()}, {Inode: 5}, {Known: true}} {
		if pid, program := f.Find(who); pid != 0 || program != "" {
			t.Errorf("%+v: got %d, %q; want nothing", who, pid, program)
		}
	}
}

func TestLatestProcessesAreRemembered(t *testing.T) {
	var f Finder
	for i := range 20 {
		f.remember(procDir(i))
	}
	f.remember(procDir(15))
	if got := strings.Join(f.lately(), " "); got != "/proc/15 /proc/19 /proc/18 /proc/17 /proc/16 /proc/14 /proc/13 /proc/12" {
		t.Errorf("got %s", got)
	}
}

func TestNameOfProgramIsHarmless(t *testing.T) {
	for name, want := range map[string]string{
		"psql":                             "psql",
		"a\x1b[31m\nb\x00":                 "a?[31m?b?",
		strings.Repeat("x", 1000):          strings.Repeat("x", maxName),
		"é" + strings.Repeat("é", maxName): strings.Repeat("é", maxName/2),
		"a" + strings.Repeat("é", maxName): "a" + strings.Repeat("é", maxName/2-1),
	} {
		if got := printable(name); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

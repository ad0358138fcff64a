package harden

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// confine calls Landlock, and skips the test where the kernel has none, or less than the test needs.
func confine(t *testing.T, needed int, n Needs) {
	t.Helper()
	if abi, err := llsys.LandlockGetABIVersion(); err != nil || abi < needed {
		t.Skipf("needs ABI %d of Landlock, and this kernel has %d (%v)", needed, abi, err)
	}
	status, err := Landlock(n)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(status, "(ABI ") {
		t.Fatalf("got status %q, want one that says what is in force", status)
	}
}

func denied(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%s: got %v, want it denied", what, err)
	}
}

func works(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// makeDir makes a directory in the child's own, with one file of the same name and content.
func makeDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv(dirVariable), name)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func readFile(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func TestOnlyStatedFilesAreRead(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	inside, outside, single := makeDir(t, "inside"), makeDir(t, "outside"), makeDir(t, "single")
	if err := os.Symlink(filepath.Join(outside, "outside"), filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(single, "single")
	confine(t, 1, Needs{Read: []string{inside, file, filepath.Join(outside, "missing")}})

	works(t, "read a file in a stated directory", readFile(filepath.Join(inside, "inside")))
	works(t, "read a stated file", readFile(file))
	denied(t, "read a file elsewhere", readFile(filepath.Join(outside, "outside")))
	denied(t, "read a file elsewhere through a link", readFile(filepath.Join(inside, "link")))
	denied(t, "read a file through /proc", readFile("/proc/self/root"+filepath.Join(outside, "outside")))
	_, err := os.ReadDir(single)
	denied(t, "list the directory of a stated file", err)
}

// TestReplacedFileIsRead has rotation's two ways: a rename over the file, and Kubernetes' exchange of
// a symbolic link. Somebody else does it: here, a process without limits.
func TestReplacedFileIsRead(t *testing.T) {
	if isChild(t) {
		dir := os.Getenv(argVariable)
		confine(t, 1, Needs{Read: []string{dir}})
		waitToEnd(t)
		for _, name := range []string{"password", "linked"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(content) != "new" {
				t.Errorf("%s: got %q, %v; want the new one", name, content, err)
			}
		}
		return
	}
	dir := t.TempDir()
	place := func(version string) error {
		next := filepath.Join(dir, "next")
		return errors.Join(
			os.WriteFile(next, []byte(version), 0o600),
			os.Rename(next, filepath.Join(dir, "password")),
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "linked"), []byte(version), 0o600),
			os.Symlink(version, next),
			os.Rename(next, filepath.Join(dir, "..data")),
		)
	}
	works(t, "place the old one", errors.Join(place("old"), os.Symlink("..data/linked", filepath.Join(dir, "linked"))))
	child := childCommand(t, self(t), dir)
	begin(t, child) // which checks the child's verdict at the end
	works(t, "place the new one", place("new"))
}

func TestNothingIsRun(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	program := filepath.Join(makeDir(t, "bin"), "program")
	content, err := os.ReadFile(self(t))
	if err := errors.Join(err, os.WriteFile(program, content, 0o700)); err != nil {
		t.Fatal(err)
	}
	confine(t, 1, Needs{Read: []string{"/"}, Write: []string{filepath.Dir(program)}})
	start := func(argv ...string) error {
		cmd := exec.Command(argv[0], argv[1:]...)
		// Otherwise package exec would open /dev/null, which is denied by itself.
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
	denied(t, "run a program that may be read", start(program, "-test.list=x"))
	denied(t, "run a program of the system", start("/bin/sh", "-c", "exit 0"))
}

func TestNothingIsWrittenElsewhere(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	inside, outside := makeDir(t, "inside"), makeDir(t, "outside")
	confine(t, 3, Needs{Read: []string{outside}, Write: []string{inside}})

	inner, outer := filepath.Join(inside, "inside"), filepath.Join(outside, "outside")
	works(t, "write a stated file", os.WriteFile(inner, []byte("x"), 0o600))
	works(t, "make a file in a stated directory", os.WriteFile(inner+"2", []byte("x"), 0o600))
	works(t, "rename it over the other", os.Rename(inner+"2", inner))
	works(t, "remove it", os.Remove(inner))
	denied(t, "write a file elsewhere", os.WriteFile(outer, []byte("x"), 0o600))
	denied(t, "make a file elsewhere", os.WriteFile(outer+"2", []byte("x"), 0o600))
	denied(t, "remove a file elsewhere", os.Remove(outer))
	denied(t, "truncate a file elsewhere", os.Truncate(outer, 0))
	denied(t, "make a directory elsewhere", os.Mkdir(outer+"3", 0o700))
}

// plainListen listens without Multipath TCP, which Landlock does not know and Go prefers.
func plainListen(t *testing.T) (net.Listener, error) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
}

func TestOnlyStatedPortsAreConnectedTo(t *testing.T) {
	for _, row := range []struct {
		name    string
		anyPort bool
	}{{"stated", false}, {"any", true}} {
		t.Run(row.name, func(t *testing.T) {
			if !isChild(t) {
				inChild(t, "")
				return
			}
			var ports []uint16
			for range 2 {
				ln, err := plainListen(t)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				ports = append(ports, uint16(ln.Addr().(*net.TCPAddr).Port))
			}
			confine(t, abiPorts, Needs{Connect: ports[:1], AnyPort: row.anyPort})

			works(t, "connect to a stated port", connect(ports[0]))
			if err := connect(ports[1]); row.anyPort {
				works(t, "connect to another port", err)
			} else {
				denied(t, "connect to another port", err)
			}
			_, err := plainListen(t)
			denied(t, "listen on a port", err)
		})
	}
}

func connect(port uint16) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		conn.Close()
	}
	return err
}

func TestOpenListenerServesAndItsSocketIsRemoved(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	path := filepath.Join(makeDir(t, "run"), "x.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	confine(t, 1, Needs{Sockets: []string{filepath.Dir(path)}})

	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := ln.Accept()
	works(t, "accept", err)
	works(t, "close both", errors.Join(accepted.Close(), ln.Close()))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	denied(t, "make a file in the directory of the socket", os.WriteFile(path, nil, 0o600))
}

func TestOtherProcessesGetNoSignalsAndNoConnections(t *testing.T) {
	abstract := "@harden-test-" + fmt.Sprint(os.Getppid())
	if !isChild(t) {
		abstract = "@harden-test-" + fmt.Sprint(os.Getpid())
		ln, err := net.Listen("unix", abstract)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		inChild(t, "")
		return
	}
	confine(t, abiSignals, Needs{})
	denied(t, "signal the parent", syscall.Kill(os.Getppid(), 0))
	_, err := net.Dial("unix", abstract)
	denied(t, "connect to an abstract socket", err)
	works(t, "signal oneself", syscall.Kill(os.Getpid(), 0))
}

func TestSignalsAreSentWhereThatIsStated(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	confine(t, 1, Needs{Signals: true})
	works(t, "signal the parent", syscall.Kill(os.Getppid(), 0))
}

func TestOnlyStatedDirectoriesLoseDirectories(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	inside, outside := makeDir(t, "inside"), makeDir(t, "outside")
	for _, dir := range []string{inside, outside} {
		works(t, "make one", os.Mkdir(filepath.Join(dir, "below"), 0o700))
	}
	confine(t, 1, Needs{Dirs: []string{inside}})
	works(t, "remove a directory of a stated one", os.Remove(filepath.Join(inside, "below")))
	denied(t, "remove another", syscall.Rmdir(filepath.Join(outside, "below")))
	denied(t, "remove a file of a stated one", syscall.Unlink(filepath.Join(inside, "inside")))
}

// TestOtherProcessesCanStillBeNamed is for the record of who connected: comm and status stay, and what
// leads from a socket to its process goes.
func TestOtherProcessesCanStillBeNamed(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	parent := fmt.Sprintf("/proc/%d/", os.Getppid())
	confine(t, 1, Needs{Read: []string{"/proc"}})
	works(t, "read comm", readFile(parent+"comm"))
	works(t, "read status", readFile(parent+"status"))
	works(t, "read cmdline", readFile(parent+"cmdline"))
	_, err := os.Readlink(parent + "exe")
	denied(t, "read exe", err)
	_, err = os.Readlink(parent + "fd/1")
	denied(t, "read fd/1", err)
}

func TestStatusSaysWhatIsInForce(t *testing.T) {
	for _, row := range []struct {
		abi     int
		anyPort bool
		want    string
	}{
		{1, false, "files only (ABI 1)"},
		{3, true, "files only (ABI 3)"},
		{4, false, "files and TCP ports (ABI 4)"},
		{7, true, "files and listening, not connecting (ABI 7)"},
	} {
		if got := (Needs{AnyPort: row.anyPort}).inForce(row.abi); got != row.want {
			t.Errorf("ABI %d: got %q, want %q", row.abi, got, row.want)
		}
	}
}

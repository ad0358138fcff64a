package harden

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is who runs the processes where the tests run as root, which may read everything.
const nobody = 65534

func asOrdinaryUser(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// TestSameUserReadsNeitherMemoryNorEnvironment looks at two processes of the same user: at one as Go
// starts it, to see that there is something to guard, and at a hardened one.
func TestSameUserReadsNeitherMemoryNorEnvironment(t *testing.T) {
	const plain, hardened, thief = "plain", "hardened", "thief "
	if isChild(t) {
		switch argument := os.Getenv(argVariable); argument {
		case hardened:
			if err := Process(); err != nil {
				t.Fatal(err)
			}
			fallthrough
		case plain:
			waitToEnd(t)
		default:
			steal(strings.TrimPrefix(argument, thief))
		}
		return
	}
	program := copyForAll(t)
	look := func(kind string) string {
		victim := asOrdinaryUser(childCommand(t, program, kind))
		begin(t, victim)
		out, err := asOrdinaryUser(childCommand(t, program, fmt.Sprint(thief, victim.Process.Pid))).CombinedOutput()
		if err != nil {
			t.Fatalf("the thief: %v\n%s", err, out)
		}
		return string(out)
	}
	// A plain process is guarded only by what the machine forbids everybody, such as Yama does mem.
	if got := look(plain); !strings.Contains(got, "environ: read") {
		t.Fatalf("another process of the same user can't read even a plain one, so that nothing would be proved:\n%s", got)
	}
	got := look(hardened)
	for _, name := range secretFiles {
		if !strings.Contains(got, name+": denied") {
			t.Errorf("/proc/PID/%s of a hardened process is not denied:\n%s", name, got)
		}
	}
}

var secretFiles = []string{"environ", "mem", "maps", "fd", "exe"}

// steal reads what it can of the process pid.
func steal(pid string) {
	for _, name := range secretFiles {
		path := filepath.Join("/proc", pid, name)
		var err error
		switch name {
		case "fd":
			_, err = os.ReadDir(path)
		case "exe":
			_, err = os.Readlink(path)
		case "mem":
			var f *os.File
			if f, err = os.Open(path); err == nil {
				f.Close()
			}
		default:
			_, err = os.ReadFile(path)
		}
		switch {
		case err == nil:
			fmt.Printf("%s: read\n", name)
		case os.IsPermission(err):
			fmt.Printf("%s: denied\n", name)
		default:
			fmt.Printf("%s: %v\n", name, err)
		}
	}
}

func TestNoCoreFile(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	if err := Process(); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 1, Max: 1}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("got a limit of %+v, %v; want none at all", limit, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("got dumpable %d, %v; want 0, which also keeps cores from programs", dumpable, err)
	}
}

// TestNoThreadGainsPrivileges has threads of before and of after.
func TestNoThreadGainsPrivileges(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	const threads = 5 // more than there are processors on some machines
	done := make(chan struct{})
	var holding sync.WaitGroup
	hold := func() {
		var locked sync.WaitGroup
		for range threads {
			locked.Add(1)
			holding.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				locked.Done()
				<-done
			})
		}
		locked.Wait()
	}
	hold()
	if err := Process(); err != nil {
		t.Fatal(err)
	}
	hold()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) < 2*threads {
		t.Fatalf("got %d threads, %v; want at least %d", len(files), err, 2*threads)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
			t.Errorf("%s does not say NoNewPrivs: 1", file)
		}
	}
	close(done)
	holding.Wait()
}

func TestProcessCanBeHardenedTwice(t *testing.T) {
	if !isChild(t) {
		inChild(t, "")
		return
	}
	for range 2 {
		if err := Process(); err != nil {
			t.Error(err)
		}
	}
}

package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// portRoute is a route whose database is not needed.
const portRoute = "postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen="

// thisProgram is what the kernel calls the tests.
func thisProgram(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s (pid %d)", filepath.Base(exe), os.Getpid())
}

func TestPortOfListenAutoStaysFromRunToRun(t *testing.T) {
	env := []string{"XDG_STATE_HOME=" + t.TempDir()}
	first := start(t, env, portRoute+"auto")
	addr := first.addrs[0]
	first.stop()
	second := start(t, env, portRoute+"auto")
	if second.addrs[0] != addr || second.count("the port of listen=auto is taken, so that the route has another one this time") != 0 {
		t.Errorf("got %s, and then %s", addr, second.addrs[0])
	}
	second.stop()

	held, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	third := start(t, env, portRoute+"auto")
	taken := third.next("the port of listen=auto is taken, so that the route has another one this time", 0)
	if third.addrs[0] == addr || taken.str("by") != thisProgram(t) {
		t.Errorf("got %s while somebody else has %s, and %v; want another, and %s named", third.addrs[0], addr, taken, thisProgram(t))
	}
	third.stop()
	held.Close()
	if fourth := start(t, env, portRoute+"auto"); fourth.addrs[0] != addr {
		t.Errorf("got %s when %s is free again", fourth.addrs[0], addr)
	}
}

// refusesToStart runs dbvalet, which must end, and returns what it says.
func refusesToStart(t *testing.T, route string) string {
	t.Helper()
	_, stderr, err := finish(t, command(t, plainProgram, nil, route))
	if err == nil {
		t.Errorf("it ended well; it said\n%s", stderr)
	}
	return stderr
}

func TestErrorNamesWhoHasThePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if got := refusesToStart(t, portRoute+ln.Addr().String()); !strings.Contains(got, "listen on "+ln.Addr().String()+": bind: address already in use by "+thisProgram(t)) ||
		!strings.Contains(got, "listen=auto") {
		t.Errorf("it said\n%swant %s named, and listen=auto offered", got, thisProgram(t))
	}

	dir := filepath.Join(shortDir(t), "s")
	for _, listen := range []string{"127.0.0.1:0", dir} {
		other := startProgram(t, plainProgram, nil, portRoute+listen)
		who := "in use by dbvalet"
		if listen != dir {
			listen = other.addrs[0]
			if os.Getuid() != 0 { // from whom it hides
				who += ", by the looks of it"
			}
		}
		who += fmt.Sprintf(" (pid %d)", other.cmd.Process.Pid)
		if got := refusesToStart(t, portRoute+listen); !strings.Contains(got, who) || !strings.Contains(got, "dbvalet status") {
			t.Errorf("it said\n%swant %q, and what shows its routes", got, who)
		}
	}
}

// A dbvalet hides from other processes of its user, who can see all the same that it is one.
func TestOrdinaryUserLearnsThatItIsADBValet(t *testing.T) {
	needsUsers(t)
	other := startCommand(t, as(owner, nil, command(t, plainProgram, nil, portRoute+"127.0.0.1:0")), 1)
	_, stderr, err := finish(t, as(owner, nil, command(t, plainProgram, nil, portRoute+other.addrs[0])))
	if want := fmt.Sprintf("in use by dbvalet, by the looks of it (pid %d)", other.cmd.Process.Pid); err == nil || !strings.Contains(stderr, want) {
		t.Errorf("%v; it said\n%swant %q", err, stderr, want)
	}
}

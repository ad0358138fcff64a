package integration

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dbvalet/integration/servers"
)

// idlePSQL opens a session of psql at addr, which does nothing until the test ends or stop is called.
func idlePSQL(t *testing.T, addr string) (stop func()) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	cmd, err := servers.Client(t.Context(), "18", "psql", "-X", "-w", "host="+host+" port="+port+" user=x dbname=orders")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // from which nothing comes
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func TestStatusShowsOpenSessionOfPSQL(t *testing.T) {
	p := pg18(t)
	socket := "--admin=" + filepath.Join(shortDir(t), "admin.sock")
	v := startCommand(t, command(t, program, p.AWSEnvironment(), socket, iamRoute(p, "name=orders")), 1)
	v.next("admin ready", 0)
	idlePSQL(t, v.addrs[0])
	var stdout string
	waitUntil(t, "the status shows the session", func() bool {
		var status int
		if stdout, _, status = toItsEnd(t, nil, "", "status", socket); status != 0 {
			t.Fatalf("status %d\n%s", status, stdout)
		}
		return strings.Contains(stdout, " idle\n")
	})
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	session := strings.Fields(lines[len(lines)-1])
	for _, want := range []string{"orders", "127.0.0.1:", "app"} {
		if !strings.Contains(strings.Join(session, " "), want) {
			t.Errorf("got %v, want %s in it", session, want)
		}
	}
	if route := strings.Fields(lines[3]); route[0] != "orders" || route[1] != "served" || route[2] != v.addrs[0] || route[4] != "aws-iam" {
		t.Errorf("got %v, want that orders is served at %s", route, v.addrs[0])
	}

	stdout, _, _ = toItsEnd(t, nil, "", "status", "--json", socket)
	var answer struct {
		Routes []struct {
			Clients []struct{ Program, User string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || len(answer.Routes) != 1 || len(answer.Routes[0].Clients) != 1 || answer.Routes[0].Clients[0].User != "app" {
		t.Errorf("got %v, %s, want the session", err, stdout)
	}
}

func TestStatusFailsWhereRouteIsNotServed(t *testing.T) {
	p := pg18(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket := "--admin=" + filepath.Join(shortDir(t), "admin.sock")
	busy := strings.Replace(iamRoute(p, "name=busy"), "listen=127.0.0.1:0", "listen="+taken.Addr().String(), 1)
	v := startCommand(t, command(t, program, p.AWSEnvironment(), socket, iamRoute(p, "name=orders"), busy), 1)
	v.next("admin ready", 0)
	stdout, stderr, status := toItsEnd(t, nil, "", "status", socket)
	if status != 1 || !strings.Contains(stderr, "not served: busy") || !strings.Contains(stdout, "busy: ") || !strings.Contains(stdout, "hint: ") {
		t.Errorf("got status %d\n%s\n%s", status, stdout, stderr)
	}
	v.stop()
	_, stderr, status = toItsEnd(t, nil, "", "status", socket)
	if status != 1 || !strings.Contains(stderr, "nothing listens there") {
		t.Errorf("got status %d\n%s", status, stderr)
	}
}

// TestStatusOfDbvaletInTerminalIsWatched has dbvalet in one terminal, and whoever looks at it in another,
// with nothing in common but the user.
func TestStatusOfDbvaletInTerminalIsWatched(t *testing.T) {
	p := pg18(t)
	runtime := "RUNTIME_DIRECTORY=" + filepath.Join(shortDir(t), "run")
	home := "HOME=" + t.TempDir()
	serving := newTerminal(t, append(p.AWSEnvironment(), runtime, home)...)
	serving.enter(program + " '" + iamRoute(p, "name=orders") + "'")
	ready := serving.awaitTexts("ready: orders on 127.0.0.1:")
	_, addr, _ := strings.Cut(ready, "ready: orders on ")
	addr, _, _ = strings.Cut(addr, " ")

	watching := newTerminal(t, runtime, home)
	watching.enter(program + " status --watch; echo status=$?")
	watching.awaitTexts("dbvalet ", "orders  served", "no session is open")
	if watching.tmux("display-message", "-p", "#{cursor_flag}") != "0\n" {
		t.Error("the cursor is not hidden")
	}
	stop := idlePSQL(t, addr)
	if seen := watching.awaitTexts(" idle\n"); strings.Contains(seen, "no session is open") || strings.Count(seen, "orders  served") != 1 {
		t.Errorf("it was not written in place:\n%s", seen)
	}
	watching.keys("C-c")
	watching.awaitTexts("status=130")
	if watching.tmux("display-message", "-p", "#{cursor_flag}") != "1\n" {
		t.Error("the cursor does not come back")
	}

	// Other commands find it in the same way; and the socket goes with dbvalet.
	stop()
	watching.enter("clear; " + program + " shutdown --wait; echo end=$?; " + program + " status; echo status=$?")
	watching.awaitTexts("end=0", "nothing says where the admin endpoints of dbvalet are", "status=2")
	serving.awaitTexts("msg=stopped")
}

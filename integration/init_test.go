package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// freePort is the port of a freeAddr.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(freeAddr(t))
	return port
}

// configured starts dbvalet with names of routes in the user's own file, which is in home.
func configured(t *testing.T, home string, env []string, names ...string) *valet {
	t.Helper()
	cmd := command(t, program, append(env, "HOME="+home), names...)
	return startCommand(t, cmd, len(names))
}

func TestInitsFileServesPSQL(t *testing.T) {
	p := pg18(t)
	home := t.TempDir()
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	first := strings.Replace(iamRoute(p), "listen=127.0.0.1:0&", "", 1)
	_, stderr, status := toItsEnd(t, []string{"HOME=" + home}, "", "init", "--yes", "--upstream", first, "--port", port, "--name=orders")
	if status != 0 {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	second := strings.Replace(route("scram", p, "auth=env:PW"), "listen=127.0.0.1:0&", "", 1)
	port = freePort(t)
	// The answers: where it is, the port, the name, and that it may be written.
	_, stderr, status = toItsEnd(t, []string{"HOME=" + home}, second+"\n"+port+"\nscram\ny\n", "init")
	if status != 0 || !strings.Contains(stderr, "dbvalet psql scram") {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	v := configured(t, home, append(p.AWSEnvironment(), "PW="+p.SCRAMPassword), "orders", "scram")
	if v.addrs[0] != addr {
		t.Errorf("it listens on %s, want %s", v.addrs[0], addr)
	}
	psqlProgram.logsInAs(t, v, 0, "app")
	psqlProgram.logsInAs(t, v, 1, "scram")
}

// TestInitTalksToSomebodyInTerminal types what a person types: a mistake, Ctrl-C, and then the answers.
func TestInitTalksToSomebodyInTerminal(t *testing.T) {
	p := pg18(t)
	home := t.TempDir()
	port := freePort(t)
	pane := newTerminal(t, append(p.AWSEnvironment(), "HOME="+home)...)
	pane.enter(program + " init")
	pane.awaitTexts("Database: ")
	pane.enter("no such/place")
	pane.awaitTexts("that is no place of a database", "hint: write HOST")
	pane.enter(p.Endpoint)
	pane.awaitTexts("PostgreSQL or MySQL [postgres]: ")
	pane.keys("C-c")
	pane.awaitTexts("^C\n" + strings.TrimSpace(prompt))
	pane.enter("echo status=$?")
	pane.awaitTexts("\nstatus=130")
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v in the home after Ctrl-C, want nothing", entries, err)
	}

	pane = newTerminal(t, append(p.AWSEnvironment(), "HOME="+home)...)
	pane.enter(program + " init; echo again=$?")
	for _, row := range []struct{ asked, answer string }{
		{"Database: ", strings.Replace(iamRoute(p), "listen=127.0.0.1:0&", "", 1)},
		{"Port for clients [", port},
		{"Name of the route [", "orders"},
		{"upstream: postgres://app@" + p.Endpoint, ""}, // Enter writes it
	} {
		pane.awaitTexts(row.asked)
		pane.enter(row.answer)
	}
	pane.awaitTexts("wrote ", "dbvalet check orders", "again=0")
	path := filepath.Join(home, ".config", "dbvalet", "dbvalet.yaml")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want a file with 0600", info, err)
	}
	if out, err := exec.Command("find", home, "-name", "*.tmp").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v, files that are left: %s", err, out)
	}
	v := configured(t, home, p.AWSEnvironment(), "orders")
	psqlProgram.logsInAs(t, v, 0, "app")
}

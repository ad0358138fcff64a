package integration

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// A terminal is a screen of tmux with a shell in it, which knows jobs, and where dbvalet's tests type.
type terminal struct {
	t      *testing.T
	socket string
}

// prompt is the shell's. Nobody else prints it.
const prompt = "ready> "

func newTerminal(t *testing.T, b *bench) *terminal {
	t.Helper()
	for _, name := range []string{"tmux", "bash"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%v: it is needed to type on a terminal", err)
		}
	}
	x := &terminal{t, filepath.Join(b.runtime, "tmux")}
	cmd := x.command("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "bash --norc --noprofile -i")
	cmd.Env = append(b.env, "PS1="+prompt, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "SHELL=/bin/sh")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := x.command("kill-server").CombinedOutput(); err != nil {
			t.Errorf("end tmux: %v\n%s", err, out)
		}
	})
	x.awaitLine(strings.TrimSpace(prompt))
	return x
}

func (x *terminal) command(args ...string) *exec.Cmd {
	return exec.Command("tmux", append([]string{"-S", x.socket}, args...)...)
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	out, err := x.command(args...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// text is what is on the screen, and was: of the last 2000 lines.
func (x *terminal) text() string {
	x.t.Helper()
	return strings.TrimRight(x.tmux("capture-pane", "-p", "-S", "-2000"), "\n") + "\n"
}

// keys presses keys, which are called as tmux does: Enter, C-c.
func (x *terminal) keys(keys ...string) { x.tmux(append([]string{"send-keys"}, keys...)...) }

// enter writes a line and ends it.
func (x *terminal) enter(line string) {
	// A semicolon at the end would be tmux's own.
	if rest, ok := strings.CutSuffix(line, ";"); ok {
		line = rest + `\;`
	}
	x.tmux("send-keys", "-l", line)
	x.keys("Enter")
}

// shell has the shell run a line, and then print its status. The screen is empty before.
func (x *terminal) shell(line string) {
	x.t.Helper()
	x.clear()
	x.enter(line + `; echo "ended"" with $?."`) // which is not what is typed
}

func (x *terminal) clear() {
	x.tmux("send-keys", "-R")
	x.tmux("clear-history")
}

// status is that of the line that the shell was given.
func (x *terminal) status() int {
	x.t.Helper()
	text := x.await("its status", func(text string) bool { return strings.Contains(text, "ended with ") })
	_, rest, _ := strings.Cut(text, "ended with ")
	number, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		x.t.Fatalf("got status %q", number)
	}
	return n
}

// awaitLine waits for a line that begins with text.
func (x *terminal) awaitLine(text string) string {
	x.t.Helper()
	return x.await(text, func(screen string) bool { return strings.Contains("\n"+screen, "\n"+text) })
}

// await waits until the screen is as it should be, and returns what it shows.
func (x *terminal) await(what string, done func(screen string) bool) string {
	x.t.Helper()
	limit := time.Now().Add(patience)
	for again := time.NewTicker(20 * time.Millisecond); ; <-again.C {
		text := x.text()
		if done(text) {
			return text
		}
		if time.Now().After(limit) {
			x.t.Fatalf("waited in vain for %s on the screen:\n%s", what, text)
		}
	}
}

func TestControlCInPSQLCancelsTheQueryAndNoMore(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	x := newTerminal(t, l)
	x.shell("dbvalet psql '" + iamRoute(p) + "' -- -X -A -t")
	x.awaitLine(p.Database + "=>")
	for i, n := range []string{"1", "2"} {
		x.enter("SELECT pg_sleep(60), 'terminal';")
		waitUntil(t, "the query sleeps", func() bool { return superuser(t, p, sleeping("terminal")) == "1" })
		x.keys("C-c")
		x.await("the query's end", func(text string) bool {
			return strings.Count(text, "ERROR:  canceling statement due to user request") == i+1
		})
		x.enter("SELECT 'goes on " + n + "', pg_backend_pid() > 0;")
		x.awaitLine("goes on " + n + "|t")
	}
	x.keys("C-c") // at the prompt it means nothing
	x.enter(`\q`)
	if status := x.status(); status != 0 {
		t.Errorf("got status %d, want psql's own, 0", status)
	}
	l.tidy()
}

func TestControlCInMySQLKillsTheQueryAndNoMore(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	l := newBench(t, m.AWSEnvironment(), "mysql9/mysql")
	x := newTerminal(t, l)
	x.shell("dbvalet mysql '" + mysqlRoute("app", m) + "' -- -N")
	x.awaitLine("mysql>")
	x.enter("SELECT 'slept', SLEEP(60);")
	waitUntil(t, "the query sleeps", func() bool {
		return mysqlSuperuser(t, m, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info LIKE '%SLEEP(60)%' AND id <> CONNECTION_ID()") == "1"
	})
	x.keys("C-c")
	x.await("the query's end", func(text string) bool {
		return strings.Contains(text, "| slept | 1 |") || strings.Contains(text, "ERROR 1317") || strings.Contains(text, "slept |        1 |")
	})
	x.enter("SELECT 'goes on', CURRENT_USER();")
	x.await("the next answer", func(text string) bool { return strings.Contains(text, "| goes on | app@% |") })
	x.enter(`\q`)
	if status := x.status(); status != 0 {
		t.Errorf("got status %d, want mysql's own, 0", status)
	}
	l.tidy()
}

func TestControlCEndsDbvaletAtThePrompt(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	x := newTerminal(t, l)
	x.shell("dbvalet '" + iamRoute(p) + "'")
	x.awaitLine("ready: ")
	x.keys("C-c")
	if status := x.status(); status != 130 {
		t.Errorf("got status %d, want 130", status)
	}
}

func TestControlZStopsBothAndFgContinuesBoth(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	x := newTerminal(t, l)
	atShell := func(text string) bool { return strings.HasSuffix(text, "\n"+strings.TrimSpace(prompt)+"\n") }
	stopped := func(text string) bool { return strings.Contains(text, "Stopped") && atShell(text) }
	x.shell("dbvalet psql '" + iamRoute(p) + "' -- -X -A -t")
	x.awaitLine(p.Database + "=>")
	for _, n := range []string{"1", "2", "3"} {
		x.keys("C-z")
		x.await("the shell", stopped)
		x.clear()
		x.enter("fg")
		x.enter("SELECT 'goes on " + n + "';")
		x.awaitLine("goes on " + n)
	}
	x.enter(`\q`)
	x.await("the shell", atShell)
	l.tidy()

	// A shell has jobs of its own, and a process group.
	x.shell("dbvalet exec '" + iamRoute(p) + "' -- env PS1='inner> ' bash --norc --noprofile -i")
	x.awaitLine("inner>")
	x.enter("psql -X -A -t")
	x.awaitLine(p.Database + "=>")
	x.keys("C-z")
	x.await("the inner shell", func(text string) bool {
		return strings.Contains(text, "Stopped") && strings.HasSuffix(text, "\ninner>\n")
	})
	x.enter("suspend")
	x.await("the outer shell", atShell)
	x.clear()
	x.enter("fg")
	x.awaitLine("dbvalet exec")
	x.enter("fg")
	x.enter("SELECT 'goes on';")
	x.awaitLine("goes on")
	x.enter(`\q`)
	x.enter("exit 5")
	x.enter(`echo "out""er $?"`)
	x.awaitLine("outer 5")
	l.tidy()
}

func TestCommandHasTheTerminal(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	x := newTerminal(t, l)
	x.shell("dbvalet exec '" + iamRoute(p) + "' -- bash -c 'trap \"stty size\" WINCH; stty size; while read -r -t 0.1 x || [ $? -gt 128 ]; do [ \"$x\" = end ] && break; done'")
	x.awaitLine("40 120")
	x.tmux("resize-window", "-x", "100", "-y", "30")
	x.awaitLine("30 100")
	x.enter("end")
	if status := x.status(); status != 0 {
		t.Errorf("got status %d", status)
	}

	// What is typed comes once, and ends dbvalet only with the command. Two signals at a time would be one.
	x.shell("dbvalet exec --log-level=debug '" + iamRoute(p) + "' -- bash -c 'trap \"echo interrupted\" INT; trap \"echo quit\" QUIT; echo begun; until [ \"$x\" = end ]; do read -r x; done'")
	x.await("its begin", func(text string) bool { return strings.Contains(text, "\nbegun\n") })
	x.keys("C-c")
	x.await("the command's answer", func(text string) bool { return strings.Contains(text, "interrupted\n") })
	x.keys(`C-\`)
	x.await("the command's answer", func(text string) bool { return strings.Contains(text, "quit\n") })
	x.enter("end")
	if status := x.status(); status != 0 {
		t.Errorf("got status %d", status)
	}
	if text := x.text(); strings.Count(text, "interrupted\n") != 1 || strings.Count(text, "quit\n") != 1 || strings.Contains(text, "passed on") {
		t.Errorf("want each once, and none passed on:\n%s", text)
	}
	x.shell("dbvalet exec '" + iamRoute(p) + "' -- sh -c 'echo begun; exec sleep 600'")
	x.await("its begin", func(text string) bool { return strings.Contains(text, "\nbegun\n") })
	x.keys("C-c")
	if status, text := x.status(), x.text(); status != 130 || strings.Contains(text, "level=") {
		t.Errorf("got status %d, want 130, and no word of dbvalet's:\n%s", status, text)
	}

	// A command that is killed leaves a terminal behind that does not echo.
	x.shell("dbvalet exec '" + iamRoute(p) + "' -- sh -c 'stty raw -echo; kill -9 $$'; stty -a")
	text := x.await("the settings", func(text string) bool { return strings.Contains(text, "ended with 0.") })
	for _, want := range []string{" echo ", " icanon ", " isig "} {
		if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
			t.Errorf("the terminal was left without%s:\n%s", want, text)
		}
	}
	l.tidy()
}

func TestNothingIsInColourWithNO_COLOR(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	x := newTerminal(t, l)
	for _, row := range []struct {
		env    string
		colour bool
	}{{"", true}, {"NO_COLOR=1 ", false}, {"TERM=dumb ", false}} {
		x.shell(row.env + "dbvalet '" + iamRoute(p) + "'")
		x.awaitLine("ready: ")
		x.keys("C-c")
		x.await("the end", func(text string) bool { return strings.Contains(text, "msg=stopped") })
		x.status()
		screen := x.tmux("capture-pane", "-p", "-e", "-S", "-2000")
		_, screen, _ = strings.Cut(screen, "ready: ")
		if got := strings.Contains(screen, "\x1b["); got != row.colour {
			t.Errorf("%q: in colour: %v, want %v\n%q", row.env, got, row.colour, screen)
		}
	}
}

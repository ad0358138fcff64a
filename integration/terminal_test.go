package integration

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dbvalet/integration/servers"
)

func TestControlCInPSQLCancelsTheQueryAndNoMore(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	x := newTerminal(t, l.env...)
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
	x.await("the prompt", func(text string) bool {
		return strings.HasSuffix(strings.TrimRight(text, " \n"), "\n"+p.Database+"=>")
	})
	x.keys("C-c") // there it means nothing, and takes back what was typed before psql has seen it
	x.await("the next prompt", func(text string) bool {
		return strings.HasSuffix(strings.TrimRight(text, " \n"), "^C\n"+p.Database+"=>")
	})
	x.enter(`\q`)
	if status := x.status(); status != 0 {
		t.Errorf("got status %d, want psql's own, 0", status)
	}
	l.tidy()
}

func TestControlCInMySQLKillsTheQueryAndNoMore(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	l := newBench(t, m.AWSEnvironment(), "mysql9/mysql")
	x := newTerminal(t, l.env...)
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
	x := newTerminal(t, l.env...)
	x.shell("dbvalet '" + iamRoute(p) + "'")
	x.awaitLine("ready: ")
	x.keys("C-c")
	if status := x.status(); status != 130 {
		t.Errorf("got status %d, want 130", status)
	}
}

// TestClosedTerminalEndsDbvalet closes a window: what would otherwise be SIGHUP, to reload, is its end.
func TestClosedTerminalEndsDbvalet(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	x := newTerminal(t, l.env...)
	x.enter("sh -c 'echo \"is $$.\"; exec dbvalet \"" + iamRoute(p) + "\"'")
	text := x.awaitTexts("\nis ", "ready: ")
	_, text, _ = strings.Cut(text, "\nis ")
	number, _, _ := strings.Cut(text, ".")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	x.tmux("new-session", "-d") // which keeps tmux alive
	x.tmux("kill-session", "-t", "0")
	waitUntil(t, "dbvalet ends", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

func TestControlZStopsBothAndFgContinuesBoth(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	x := newTerminal(t, l.env...)
	atShell := func(text string) bool { return strings.HasSuffix(text, "\n"+prompt+"\n") }
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
		return strings.Contains(text, "Stopped") && strings.HasSuffix(text, "\ninner> \n")
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
	x := newTerminal(t, l.env...)
	x.shell("dbvalet exec '" + iamRoute(p) + "' -- bash -c 'trap \"stty size\" WINCH; stty size; while read -r -t 0.1 x || [ $? -gt 128 ]; do [ \"$x\" = end ] && break; done'")
	x.awaitLine("50 180")
	x.tmux("resize-window", "-x", "100", "-y", "30")
	x.awaitLine("30 100")
	x.enter("end")
	if status := x.status(); status != 0 {
		t.Errorf("got status %d", status)
	}

	// What is typed comes once, and ends dbvalet only with the command. Two signals at a time would be one.
	x.shell("dbvalet exec --log-level=debug '" + iamRoute(p) + "' -- bash -c 'trap \"echo interrupted\" INT; trap \"echo quit\" QUIT; echo begun; until [ \"$x\" = end ]; do read -r -t 0.1 x; done'")
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
	x := newTerminal(t, l.env...)
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

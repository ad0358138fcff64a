package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A terminal is a screen of tmux with a shell in it, which knows jobs, and on which tests type.
type terminal struct {
	t      *testing.T
	socket string // of a server of its own
}

// prompt is the shell's. Nobody else prints it.
const prompt = "ready> "

// newTerminal opens one whose shell has the machine's PATH and what env says, and nothing else. It is closed
// with all that runs in it when the test ends.
func newTerminal(t *testing.T, env ...string) *terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "tmux-") // short, for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t, filepath.Join(dir, "socket")}
	cmd := x.command("-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", "bash --norc --noprofile -i")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Env = append(cmd.Env, "PS1="+prompt, "HISTFILE=/dev/null", "TERM=xterm-256color", "LC_ALL=C.UTF-8", "SHELL=/bin/sh")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s\nhint: tmux and bash are needed to type on a terminal: apt-get install tmux bash", err, out)
	}
	t.Cleanup(func() {
		if out, err := x.command("kill-server").CombinedOutput(); err != nil {
			t.Errorf("end tmux: %v\n%s", err, out)
		}
		os.RemoveAll(dir)
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

// text is what is on the screen, and was: of the last 2000 lines, those that were too long for it in one piece.
func (x *terminal) text() string {
	x.t.Helper()
	return strings.TrimRight(x.tmux("capture-pane", "-p", "-J", "-S", "-2000"), "\n") + "\n"
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
	ended := regexp.MustCompile(`ended with (\d+)\.\n`)
	number := ended.FindStringSubmatch(x.await("its status", ended.MatchString))[1]
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

// awaitTexts waits for all of texts.
func (x *terminal) awaitTexts(texts ...string) string {
	x.t.Helper()
	return x.await(strings.Join(texts, " and "), func(screen string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(screen, text) })
	})
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

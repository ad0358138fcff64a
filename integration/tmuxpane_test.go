package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A tmuxPane is a terminal, in which a shell runs that has nothing but the environment it was given.
type tmuxPane struct {
	t      *testing.T
	socket string // of a server of its own
}

// newTmuxPane opens a terminal. It is closed with all that runs in it when the test ends.
func newTmuxPane(t *testing.T, env ...string) *tmuxPane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed, so that there is no terminal")
	}
	dir, err := os.MkdirTemp("", "tmux-") // short, for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &tmuxPane{t, filepath.Join(dir, "socket")}
	shell := "env -i PS1='$ ' TERM=screen PATH=" + os.Getenv("PATH")
	for _, variable := range env {
		shell += " '" + variable + "'"
	}
	p.tmux("-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", shell+" sh")
	t.Cleanup(func() {
		p.tmux("kill-server")
		os.RemoveAll(dir)
	})
	p.await("$")
	return p
}

// tmux runs a command of tmux, and returns what it prints.
func (p *tmuxPane) tmux(args ...string) string {
	p.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", p.socket}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

// enter types a line.
func (p *tmuxPane) enter(line string) {
	p.t.Helper()
	p.tmux("send-keys", "-l", line)
	p.tmux("send-keys", "Enter")
}

// press presses a key, such as C-c.
func (p *tmuxPane) press(key string) {
	p.t.Helper()
	p.tmux("send-keys", key)
}

// seen is what the terminal shows, lines that were too long for it in one piece.
func (p *tmuxPane) seen() string { return p.tmux("capture-pane", "-p", "-J") }

// await waits until the terminal shows all of texts, and returns what it shows.
func (p *tmuxPane) await(texts ...string) (seen string) {
	p.t.Helper()
	waitOrShow := func() bool {
		seen = p.seen()
		for _, text := range texts {
			if !strings.Contains(seen, text) {
				return false
			}
		}
		return true
	}
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the terminal shows\n%s", seen)
		}
	}()
	waitUntil(p.t, "the terminal shows "+strings.Join(texts, " and "), waitOrShow)
	return seen
}

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newTerminal returns both ends of a terminal: what is written to inside is seen at screen.
func newTerminal(t *testing.T) (screen, inside *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this machine has no terminals: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inside.Close() })
	return screen, inside
}

func TestTokenIsNotShownOnTerminalUnlessToldTo(t *testing.T) {
	t.Setenv("TOKEN_TEST", secret)
	file := withRoutes(t, passwordRoutes)
	screen, inside := newTerminal(t)
	for _, arg := range []string{"--json=false", "--json"} {
		var stderr strings.Builder
		if status := run([]string{"token", file, "one", arg}, inside, &stderr, process{}); status != exitUsage || !strings.Contains(stderr.String(), "add --reveal") {
			t.Errorf("%s: got exit status %d and %q, want %d and a hint of --reveal", arg, status, stderr.String(), exitUsage)
		}
	}
	var stderr strings.Builder
	if status := run([]string{"token", file, "one", "--reveal"}, inside, &stderr, process{}); status != exitOK {
		t.Fatalf("exit status %d\n%s", status, stderr.String())
	}
	// It is the first that was ever written there.
	if line, err := bufio.NewReader(screen).ReadString('\n'); strings.TrimSpace(line) != secret {
		t.Errorf("the terminal shows %q, %v, want %q", line, err, secret)
	}
}

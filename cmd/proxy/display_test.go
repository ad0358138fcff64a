package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestColourIsForTerminalsOnlyAndNotWithNoColor(t *testing.T) {
	show := func(terminal bool) string {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(inColour(&out, terminal), nil)).Warn("careful", "application", "\x1b[2J level=INFO ")
		return out.String()
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := show(true); !strings.Contains(got, " \x1b[33mlevel=WARN\x1b[0m msg=careful") || strings.Count(got, "\x1b") != 2 {
		t.Errorf("on a terminal: %q, want the level in colour, and nothing of the client's", got)
	}
	if got := show(false); strings.Contains(got, "\x1b") || !strings.Contains(got, " level=WARN msg=careful ") {
		t.Errorf("elsewhere: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := show(true); strings.Contains(got, "\x1b") {
		t.Errorf("with NO_COLOR: %q", got)
	}
}

// TestALogThatNobodyReadsHoldsNobodyUp has a pipe without a reader, which is full after 64 KiB.
func TestALogThatNobodyReadsHoldsNobodyUp(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	d, err := newDisplay(w, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	for range 6000 {
		d.log.Info("session started", "application", "somebody who connects often")
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	d.close()
	d.close() // which may be done twice
	w.Close()
	text := <-read
	if lines := strings.Count(text, "session started"); lines == 0 || lines >= 6000 || !strings.HasPrefix(text, `{"time"`) {
		t.Errorf("%d lines arrived, want some of 6000, as JSON", lines)
	}
}

func TestCloseWritesWhatIsLeft(t *testing.T) {
	var out bytes.Buffer
	d, err := newDisplay(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	d.log.Info("stopped")
	d.close()
	if !strings.Contains(out.String(), "level=INFO msg=stopped\n") {
		t.Errorf("got %q", out.String())
	}
}

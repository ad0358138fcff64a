package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// A browser is a Chromium that does what a test says.
type browser struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errors bytes.Buffer // what it says besides
}

// startBrowser runs one until the test ends.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	cmd, err := servers.Browser(context.WithoutCancel(t.Context()), filepath.Join("testdata", "browser.js"))
	if err != nil {
		t.Fatal(err)
	}
	// What Chromium writes, it writes there.
	cmd.Env = append(cmd.Env, "HOME="+t.TempDir())
	b := &browser{t: t, cmd: cmd}
	cmd.Stderr, cmd.WaitDelay = &b.errors, patience
	if b.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

// stop closes it, and with it Chromium, which until then writes into its home.
func (b *browser) stop() {
	b.in.Close()
	limit := time.AfterFunc(patience, func() { b.cmd.Process.Kill() })
	defer limit.Stop()
	_, _ = io.Copy(io.Discard, b.out)
	if err := b.cmd.Wait(); err != nil {
		b.t.Errorf("the browser's script: %v\n%s", err, b.errors.String())
	}
}

// args are the arguments of a step in testdata/browser.js.
type args map[string]any

// do takes a step and returns its outcome, and fails the test if there is none.
func (b *browser) do(step string, a args) json.RawMessage {
	b.t.Helper()
	request := args{"step": step}
	for key, value := range a {
		request[key] = value
	}
	line, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.t.Fatalf("%s: the browser is gone: %v\n%s", line, err, b.errors.String())
	}
	answer, err := b.out.ReadBytes('\n')
	if err != nil {
		b.t.Fatalf("%s: the browser is gone: %v\n%s", line, err, b.errors.String())
	}
	var said struct {
		Value       json.RawMessage
		Error, Page string
		Complaints  []string
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		b.t.Fatal(err)
	}
	if said.Error != "" {
		b.t.Fatalf("%s: %s\nthe page says:\n%s\nthe browser complains: %q", line, said.Error, said.Page, said.Complaints)
	}
	return said.Value
}

// outcome is do for an outcome that matters.
func outcome[T any](b *browser, step string, a args) (value T) {
	b.t.Helper()
	if err := json.Unmarshal(b.do(step, a), &value); err != nil {
		b.t.Fatalf("%s: %v", step, err)
	}
	return value
}

// sees waits for an element with a text.
func (b *browser) sees(selector, text string) {
	b.t.Helper()
	b.do("sees", args{"selector": selector, "text": text})
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return outcome[string](b, "text", args{"selector": selector})
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do("click", args{"selector": selector})
}

func (b *browser) press(key string) {
	b.t.Helper()
	b.do("press", args{"key": key})
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryCommandHasAManualPage looks for each command and each of its flags.
func TestEveryCommandHasAManualPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "0")
	dir := filepath.Join(t.TempDir(), "share", "man1")
	if status, stdout, stderr := runs(t, "man", dir); status != exitOK || stdout+stderr != "" {
		t.Fatalf("got %d, %q, %q", status, stdout, stderr)
	}
	pages := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.IsAdditionalHelpTopicCommand() {
			return
		}
		data, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		pages++
		page := strings.ReplaceAll(string(data), `\-`, "-") // that is how roff writes it
		if !strings.Contains(page, cmd.Short) {
			t.Errorf("the page of %s does not say %q", cmd.CommandPath(), cmd.Short)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(page, "--"+f.Name) {
				t.Errorf("the page of %s does not mention --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	root := newCommand(process{})
	root.InitDefaultCompletionCmd()
	look(root)
	if pages < 12 { // dbvalet, config and its 3, wait, health, shutdown, completion and its 4
		t.Errorf("got %d pages", pages)
	}
	page, err := os.ReadFile(filepath.Join(dir, "dbvalet.1"))
	if err != nil {
		t.Fatal(err)
	}
	// A line of the table of options stands by itself, and the date is the one that was asked for.
	for _, want := range []string{"\n  name=NAME  ", "Jan 1970", "dbvalet-config(1)"} {
		if !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), want) {
			t.Errorf("dbvalet.1 does not have %q:\n%s", want, page)
		}
	}
}

func TestManualPagesNeedADirectory(t *testing.T) {
	if status, _, stderr := runs(t, "man"); status != exitUsage || !strings.Contains(stderr, "1 arg") {
		t.Errorf("without one: got %d, %q", status, stderr)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := runs(t, "man", file); status != exitError || !strings.Contains(stderr, file) {
		t.Errorf("a file: got %d, %q", status, stderr)
	}
}

// TestShellsCompleteCommandsAndFlags asks for what shells read, and then for what they ask.
func TestShellsCompleteCommandsAndFlags(t *testing.T) {
	for shell, sign := range map[string]string{"bash": "complete -o", "zsh": "#compdef dbvalet", "fish": "complete -c dbvalet", "powershell": "Register-ArgumentCompleter"} {
		if status, stdout, stderr := runs(t, "completion", shell); status != exitOK || !strings.Contains(stdout, sign) {
			t.Errorf("%s: got %d, %d bytes, %q", shell, status, len(stdout), stderr)
		}
	}
	for _, row := range []struct{ ask, want string }{{"", "shutdown"}, {"", "completion"}, {"--drain", "--drain-timeout"}} {
		if status, stdout, _ := runs(t, "__complete", row.ask); status != exitOK || !strings.Contains(stdout, row.want) {
			t.Errorf("%q: got %d, %q, want %s", row.ask, status, stdout, row.want)
		}
	}
	if _, stdout, _ := runs(t, "--help"); !strings.Contains(stdout, "\n  completion ") || strings.Contains(stdout, "\n  man ") {
		t.Errorf("--help says:\n%s", stdout)
	}
}

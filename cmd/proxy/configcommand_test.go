package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const referencePath = "../../docs/configuration.md"

// configured writes a configuration file.
func configured(t *testing.T, content string) (path string) {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "dbvalet.yaml"), content)
}

const ordersFile = "routes:\n  - name: orders\n    upstream: postgres://app@db.example.com/orders\n    tls: require\n    auth: env:PW\n"

func TestReferenceIsWhatTheSchemaGenerates(t *testing.T) {
	want := reference(newCommand(process{}))
	if *update {
		if err := os.WriteFile(referencePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error(`docs/configuration.md is not what the schema generates; run "go test ./cmd/proxy -run Reference -update"`)
	}
}

func TestReferenceHasEveryFlagAndKey(t *testing.T) {
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	mentions := func(what string) {
		if !strings.Contains(string(text), what) {
			t.Errorf("docs/configuration.md does not mention %s", what)
		}
	}
	var flags func(cmd *cobra.Command)
	flags = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		cmd.Flags().VisitAll(func(f *pflag.Flag) { mentions("--" + f.Name) })
		for _, sub := range cmd.Commands() {
			flags(sub)
		}
	}
	flags(newCommand(process{}))

	_, schema, _ := runs(t, "config", "schema")
	var properties struct {
		Properties map[string]struct {
			Items struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(schema), &properties); err != nil {
		t.Fatal(err)
	}
	keys := properties.Properties["routes"].Items.Properties
	if len(keys) < 40 || len(properties.Properties) < 15 {
		t.Fatalf("the schema has %d and %d keys", len(properties.Properties), len(keys))
	}
	for key := range properties.Properties {
		mentions("`" + key + "`")
	}
	for key := range keys {
		mentions("`" + key + "`")
	}
}

func TestConfigurationIsCheckedWithoutStarting(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "never-made")
	for name, row := range map[string]struct {
		yaml, message, hint string
	}{
		"good":                {ordersFile + "    listen: " + taken + "\n", "ok: 1 route\n", ""},
		"own password":        {ordersFile + "    local_password: auto\n    allow_remote: 10.0.0.0/8\n", "ok: 1 route\n", ""},
		"no route":            {"routes: []\n", "no route is given", "--help"},
		"unknown key":         {ordersFile + "    lisen: x\n", `FILE:6: route orders: unknown key "lisen"`, "did you mean listen?"},
		"found by build":      {strings.Replace(ordersFile, "require", "disable", 1), "FILE:2: route orders:", "tls=verify-full"},
		"missing CA":          {ordersFile + "    ca: /nonexistent/ca.pem\n", "FILE:2: route orders: ", "ca=FILE"},
		"listener that is no": {ordersFile + "    listen: 5432\n", "FILE:2: route orders: listen=5432 is neither an address nor a path", "127.0.0.1:5432"},
		"remote without all":  {ordersFile + "    allow_remote: 10.0.0.0/8\n", "FILE:2: route orders: allow_remote=", "local_password=auto"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("RUNTIME_DIRECTORY", dir)
			path := configured(t, row.yaml)
			status, stdout, stderr := runs(t, "config", "check", "--config", path)
			message := strings.ReplaceAll(row.message, "FILE", path)
			if row.hint == "" {
				if status != exitOK || stdout != message || stderr != "" {
					t.Errorf("got status %d, %q and %q", status, stdout, stderr)
				}
			} else if status != exitUsage || stdout != "" || !strings.Contains(stderr, "dbvalet: "+message) || !strings.Contains(stderr, "hint: ") || !strings.Contains(stderr, row.hint) {
				t.Errorf("got status %d, %q and %q, want %q with hint %q", status, stdout, stderr, message, row.hint)
			}
			if made, _ := os.ReadDir(dir); len(made) > 0 {
				t.Errorf("a check made %s", made[0])
			}
			if _, err := os.Stat(taken); err == nil {
				t.Error("a check made a socket")
			}
		})
	}
}

func TestShownConfigurationHasNoSecrets(t *testing.T) {
	file := configured(t, "traces: https://x:"+secret+"@127.0.0.1/?key="+secret+"\nroutes:\n"+
		"- {name: a, upstream: 'postgres://"+rdsHost+"'}\n"+
		"- {name: b, upstream: 'postgres://b', auth: 'exec:get --token "+secret+"'}\n"+
		"- {name: c, upstream: 'postgres://c', auth: 'hashivault://secret/c?token="+secret+"'}\n"+
		"- {name: d, upstream: 'postgres://d', auth: "+secret+", local_password: "+secret+"}\n"+
		"- {name: e, upstream: 'postgres://e?auth=password:"+secret+"', local_password: 'env:X'}\n")
	for _, args := range [][]string{{"config", "show", "--config", file}, {"config", "show", "--json", "--config=" + file}} {
		status, stdout, stderr := runs(t, args...)
		if status != exitOK || stderr != "" || strings.Contains(stdout, secret) {
			t.Errorf("%q: got status %d and\n%s%s", args, status, stdout, stderr)
		}
		for _, text := range []string{"aws-iam", "exec:get", "hashivault://secret/c", "(hidden)", "env:X", file + ":7", "upstream", "https://hidden@127.0.0.1/?hidden"} {
			if !strings.Contains(stdout, text) {
				t.Errorf("%q: got\n%swhich lacks %q", args, stdout, text)
			}
		}
	}
}

func TestUnknownCommandIsAUsageError(t *testing.T) {
	for _, args := range [][]string{{"config", "shwo"}, {"config", "schema", "x"}, {"config", "check", "--nothing"}} {
		status, _, stderr := runs(t, args...)
		if status != exitUsage || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%q: got status %d and %s", args, status, stderr)
		}
	}
}

func TestSettingsComeFromTheEnvironmentToo(t *testing.T) {
	t.Setenv("DBVALET_LOG_LEVEL", "loud")
	status, _, stderr := runs(t, "postgres://app@db.example.com?auth=env:PW&tls=require")
	if status != exitUsage || !strings.Contains(stderr, "DBVALET_LOG_LEVEL=loud") {
		t.Errorf("got status %d and %s", status, stderr)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withRoutes writes a configuration file, and returns the flag that names it.
func withRoutes(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dbvalet.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + path
}

const passwordRoutes = `routes:
  - {name: one, upstream: "postgres://db.example.com/orders", auth: "env:TOKEN_TEST"}
  - {name: two, upstream: "mysql://app@db.example.com:3307", auth: "env:TOKEN_TEST"}
  - {name: tunnel, upstream: "postgres:///orders?instance=proj:region:orders"}
  - {name: rds, upstream: "postgres://orders.abc123.us-east-1.rds.amazonaws.com"}
`

func TestTokenIsAloneOnStdout(t *testing.T) {
	t.Setenv("TOKEN_TEST", secret)
	file := withRoutes(t, passwordRoutes)
	for _, row := range []struct {
		name, stdout, stderr string // stderr is a part of it
		args                 []string
		status               int
	}{
		{"password", secret + "\n", "a password for whoever it is, which does not expire", []string{"one"}, exitOK},
		{"user of the route", secret + "\n", "a password for app,", []string{"two"}, exitOK},
		{"user of the flag", secret + "\n", "a password for eve,", []string{"--user=eve", "one"}, exitOK},
		{"another user", "", "the route's user is app", []string{"--user=eve", "two"}, exitUsage},
		{"several routes", "", "name one of one, two, tunnel, rds", nil, exitUsage},
		{"connector", "", "there is no token to print", []string{"tunnel"}, exitUsage},
		{"no user to sign for", "", "hint: add --user NAME", []string{"rds"}, exitUsage},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			status := run(append([]string{"token", file}, row.args...), &stdout, &stderr, process{})
			if status != row.status || stdout.String() != row.stdout || !strings.Contains(stderr.String(), row.stderr) {
				t.Errorf("got %d, %q, %q, want %d, %q, %q", status, stdout.String(), stderr.String(), row.status, row.stdout, row.stderr)
			}
			if strings.Contains(stderr.String(), secret) {
				t.Error("the password is on stderr")
			}
		})
	}
}

func TestTokenAsJSONSaysWhereItIsGood(t *testing.T) {
	t.Setenv("TOKEN_TEST", secret)
	var stdout, stderr strings.Builder
	if status := run([]string{"token", "--json", withRoutes(t, passwordRoutes), "two"}, &stdout, &stderr, process{}); status != exitOK {
		t.Fatalf("exit status %d\n%s", status, stderr.String())
	}
	got := map[string]string{}
	if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"user": "app", "password": secret, "host": "db.example.com", "port": "3307", "expires": ""} {
		if got[key] != want {
			t.Errorf("got %s %q, want %q", key, got[key], want)
		}
	}
}

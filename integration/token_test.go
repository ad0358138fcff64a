package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// toItsEnd runs a command of dbvalet that ends by itself.
func toItsEnd(t *testing.T, env []string, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := command(t, program, env)
	cmd.Args = append(cmd.Args[:1], args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	if strings.Contains(errOut.String(), "DATA RACE") {
		t.Errorf("data race in dbvalet:\n%s", errOut.String())
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// directly logs in to p with a password and without dbvalet, over verified TLS.
func directly(t *testing.T, p *servers.Postgres, user, password, sql string) (stdout, stderr string, err error) {
	t.Helper()
	host, port, _ := net.SplitHostPort(p.Addr())
	cmd, err := servers.Client(within(t, patience), "18", "psql", "-X", "-w", "-A", "-t", "-c", sql,
		"host="+p.Endpoint+" hostaddr="+host+" port="+port+" user="+user+" dbname="+p.Database+" sslmode=verify-full sslrootcert="+p.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Environ(), "PGPASSWORD="+password)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return strings.TrimSpace(out.String()), errOut.String(), err
}

func TestPrintedTokenLogsInWithoutDbvalet(t *testing.T) {
	p := pg18(t)
	env := p.AWSEnvironment()
	stdout, stderr, status := toItsEnd(t, env, "", "token", iamRoute(p))
	token, rest, _ := strings.Cut(stdout, "\n")
	if status != 0 || rest != "" || !strings.Contains(stderr, "for app, good for logins until ") {
		t.Fatalf("got status %d, %q behind the token, %s", status, rest, stderr)
	}
	if got, stderr, err := directly(t, p, "app", token, "SELECT current_user"); err != nil || got != "app" {
		t.Errorf("logged in as %q, %v\n%s", got, err, stderr)
	}
	if strings.Contains(stderr, token) {
		t.Error("the token is on stderr, too")
	}

	stdout, _, _ = toItsEnd(t, env, "", "token", "--json", "--user=app", route("", p))
	var printed struct {
		User, Password, Host, Port string
		Expires                    time.Time
	}
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(p.Addr())
	if left := time.Until(printed.Expires); printed.User != "app" || printed.Host != p.Endpoint || printed.Port != port || left < 10*time.Minute || left > 15*time.Minute {
		t.Errorf("got %s at %s:%s for %v, want app at the endpoint for a quarter of an hour", printed.User, printed.Host, printed.Port, left)
	}
	if got, stderr, err := directly(t, p, "app", printed.Password, "SELECT current_user"); err != nil || got != "app" {
		t.Errorf("logged in as %q, %v\n%s", got, err, stderr)
	}
}

func TestPrintedPasswordIsThatOfTheStore(t *testing.T) {
	p := pg18(t)
	stdout, stderr, status := toItsEnd(t, []string{"PW=" + p.SCRAMPassword}, "", "token", route("scram", p, "auth=env:PW"))
	if status != 0 || stdout != p.SCRAMPassword+"\n" || !strings.Contains(stderr, "a password for scram") {
		t.Fatalf("got status %d, %s", status, stderr)
	}
	if got, stderr, err := directly(t, p, "scram", strings.TrimSpace(stdout), "SELECT current_user"); err != nil || got != "scram" {
		t.Errorf("logged in as %q, %v\n%s", got, err, stderr)
	}
}

func TestTokenIsNotShownInTerminal(t *testing.T) {
	p := pg18(t)
	pane := newTerminal(t, "PW="+p.SCRAMPassword, "HOME="+t.TempDir())
	command := program + " token '" + route("scram", p, "auth=env:PW") + "'"
	pane.enter(command + "; echo status=$?")
	if seen := pane.awaitTexts("status=2", "hint: let a program read it", "--reveal"); strings.Contains(seen, p.SCRAMPassword) {
		t.Error("the terminal shows the password")
	}
	pane.enter("clear; test \"$(" + command + ")\" = \"$PW\" && echo a program gets it")
	if seen := pane.awaitTexts("\na program gets it"); strings.Contains(seen, p.SCRAMPassword) {
		t.Error("the terminal shows the password")
	}
	pane.enter(command + " --reveal")
	pane.awaitTexts(p.SCRAMPassword)
}

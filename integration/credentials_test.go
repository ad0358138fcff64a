package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// runToEnd runs dbvalet with routes that it should refuse.
func runToEnd(t *testing.T, env []string, routes ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, routes...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"}, env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestWrongRegionIsTheDatabasesRefusalAndAWarning(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p, "region=eu-west-1"))
	e := refusal(t, v.conninfo()+" sslmode=disable")
	if want := `PAM authentication failed for user "app"`; e.Message != want || e.Code != "28000" {
		t.Errorf("got %v, want the database's own words: %s (28000)", e, want)
	}
	if warning := v.next("region= contradicts the endpoint's name; the database will refuse the token", 0); warning.str("hint") == "" {
		t.Error("the warning at the start has no hint")
	}
	if said := lastLine(t, p.VerifierLog()); !strings.Contains(said, "refused") || !strings.Contains(said, "eu-west-1") {
		t.Errorf("the verifier says %q, want a refusal for the region", said)
	}
}

func TestWrongKeyIsTriedOnlyOnce(t *testing.T) {
	p := ownServer(t, servers.Options{})
	v := start(t, []string{"AWS_ACCESS_KEY_ID=" + p.AccessKeyID, "AWS_SECRET_ACCESS_KEY=another"}, iamRoute(p))
	if e := refusal(t, v.conninfo()+" sslmode=disable"); e.Code != "28000" {
		t.Errorf("got %v, want 28000", e)
	}
	log, err := os.ReadFile(p.VerifierLog())
	if err != nil {
		t.Fatal(err)
	}
	// A token signed a moment ago would not become better by signing it again.
	if n := strings.Count(string(log), "refused"); n != 1 {
		t.Errorf("the database was asked %d times, want once:\n%s", n, log)
	}
}

// TestRefusedTokenIsReplacedOnTheNextConnect moves the database's clock, so that a token that dbvalet still
// takes for good has expired for the database.
func TestRefusedTokenIsReplacedOnTheNextConnect(t *testing.T) {
	p := ownServer(t, servers.Options{})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	mustPSQL(t, v, "SELECT 1")
	if err := p.SetClockOffset(16 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, v.conninfo()+" sslmode=disable"); e.Message != `PAM authentication failed for user "app"` {
		t.Errorf("got %v, want the database's own words", e)
	}
	if said := lastLine(t, p.VerifierLog()); !strings.Contains(said, "refused") || !strings.Contains(said, "old") {
		t.Errorf("the verifier says %q, want a refusal for the age", said)
	}
	if err := p.SetClockOffset(0); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the next login is tried, and not told what the last one was", func() bool {
		_, _, err := psql(t, v, "SELECT 1")
		return err == nil
	})
}

func TestExpiredSigningCredentialsAreNotSignedWith(t *testing.T) {
	p := ownServer(t, servers.Options{})
	dir := t.TempDir()
	script := filepath.Join(dir, "credentials.sh")
	expired := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	content := fmt.Sprintf(`#!/bin/sh
echo '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"x","Expiration":"%s"}'
`, p.AccessKeyID, p.SecretAccessKey, expired)
	if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "config")
	if err := os.WriteFile(conf, []byte("[profile stale]\ncredential_process = "+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := start(t, []string{"AWS_CONFIG_FILE=" + conf}, iamRoute(p, "profile=stale"))
	e := refusal(t, v.conninfo()+" sslmode=disable")
	if e.Code != "28000" || !strings.Contains(e.Message, "expired") || e.Hint == "" {
		t.Errorf("got %#v, want 28000, that the credentials expired, and a hint", e)
	}
	if log, err := os.ReadFile(p.VerifierLog()); err != nil || len(log) != 0 {
		t.Errorf("the database was asked all the same: %s, %v", log, err)
	}
}

func TestMissingSigningCredentialsAreSaid(t *testing.T) {
	p := pg18(t)
	v := start(t, nil, iamRoute(p))
	e := refusal(t, v.conninfo()+" sslmode=disable")
	if e.Code != "28000" || !strings.Contains(e.Hint, "AWS_PROFILE") {
		t.Errorf("got %#v, want 28000 and a hint that names AWS_PROFILE", e)
	}
}

// TestStaleSecretIsReplacedUnnoticed changes the password in the database and then where it is kept.
// The password that a command printed is reused for a while, so that dbvalet still has the old one.
func TestStaleSecretIsReplacedUnnoticed(t *testing.T) {
	p := ownServer(t, servers.Options{})
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(p.SCRAMPassword)
	v := start(t, nil, route("scram", p, "auth=exec:/bin/cat%20"+secret, "rotation_timeout=1"))
	mustPSQL(t, v, "SELECT 1")

	if err := p.Exec(t.Context(), "ALTER ROLE scram PASSWORD 'the-next-one'"); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, v.conninfo()+" sslmode=disable"); e.Code != "28P01" {
		t.Errorf("while the secret is stale: %v, want the database's 28P01", e)
	}
	write(p.SCRAMPassword) // still the old one, and cached now
	if e := refusal(t, v.conninfo()+" sslmode=disable"); e.Code != "28P01" {
		t.Errorf("while the secret is stale: %v, want the database's 28P01", e)
	}
	write("the-next-one")
	waitUntil(t, "the next login is tried, and not told what the last one was", func() bool {
		_, _, err := psql(t, v, "SELECT 1")
		return err == nil
	})
	if err := p.Exec(t.Context(), "ALTER ROLE scram PASSWORD 'and-another'"); err != nil {
		t.Fatal(err)
	}
	write("and-another")
	mustPSQL(t, v, "SELECT 1") // the cached one is refused, the new one is fetched, psql sees nothing
	v.next("credential rejected, trying another", 0)
}

func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	p := pg18(t)
	password := p.SCRAMPassword
	v := start(t, append(p.AWSEnvironment(), "SECRET="+password), iamRoute(p, "name=iam"), route("scram", p, "auth=env:SECRET", "name=password"))
	mustPSQL(t, v, "SELECT 1")
	for _, addr := range v.addrs {
		host, port, _ := strings.Cut(addr, ":")
		if _, stderr, err := client(t, "18", "psql", "-X", "-w", "-c", "SELECT 1", "host="+host+" port="+port+" user=x dbname=orders"); err != nil {
			t.Errorf("psql: %v\n%s", err, stderr)
		}
		if e := refusal(t, "host="+host+" port="+port+" user=x dbname=nowhere sslmode=disable"); e.Code != "3D000" {
			t.Errorf("got %v, want 3D000", e)
		}
	}
	v.stop()
	for _, secret := range []string{password, p.SecretAccessKey, "X-Amz-Signature"} {
		if strings.Contains(v.output(), secret) {
			t.Errorf("dbvalet wrote a secret:\n%s", v.output())
		}
	}
}

// lastLine returns the last line of a file.
func lastLine(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

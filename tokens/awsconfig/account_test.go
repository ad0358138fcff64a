package awsconfig

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
)

const (
	keyID     = "AKIDEXAMPLE"
	secretKey = "secret-key-of-the-test"
)

// An account is the AWS configuration of one test. Nothing of the machine's own is seen.
type account struct {
	t   *testing.T
	dir string
	log bytes.Buffer
}

func newAccount(t *testing.T) *account {
	return &account{t: t, dir: awsfake.Isolate(t)}
}

// env gives keys that do not expire.
func (a *account) env() *account {
	a.t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	a.t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	return a
}

func (a *account) write(name, content string) *account {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return a
}

// process makes a script the credential_process of the profile dev. Each run of it adds a line to
// the file "runs".
func (a *account) process(script string) *account {
	a.write("process.sh", "echo run >>'"+a.dir+"/runs'\n"+script+"\n")
	return a.write("config", "[profile dev]\ncredential_process = /bin/sh '"+a.dir+"/process.sh'\n")
}

func (a *account) runs(want int) {
	a.t.Helper()
	content, _ := os.ReadFile(filepath.Join(a.dir, "runs"))
	if got := bytes.Count(content, []byte("run\n")); got != want {
		a.t.Errorf("the credential_process ran %d times, want %d", got, want)
	}
}

func processOutput(expires time.Time) string {
	return fmt.Sprintf(`{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q,"SessionToken":"st","Expiration":%q}`,
		keyID, secretKey, expires.UTC().Format(time.RFC3339))
}

// login writes what "aws sso login" leaves behind.
func (a *account) login(expires time.Time, renewable bool) *account {
	more := ""
	if renewable {
		more = `,"clientId":"c","clientSecret":"` + secretKey + `","refreshToken":"` + secretKey + `"`
	}
	return a.write(fmt.Sprintf(".aws/sso/cache/%x.json", sha1.Sum([]byte("corp"))),
		fmt.Sprintf(`{"accessToken":%q,"expiresAt":%q%s}`, secretKey, expires.UTC().Format(time.RFC3339), more))
}

func (a *account) config(o Options) *Config {
	a.t.Helper()
	o.Log = slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.DefaultRegion == "" {
		o.DefaultRegion = "eu-west-1"
	}
	c, err := New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if strings.Contains(a.log.String(), secretKey) {
			a.t.Errorf("the log shows a secret: %s", a.log.String())
		}
	})
	return c
}

// retrieve returns credentials that are there.
func retrieve(t *testing.T, c *Config) aws.Credentials {
	t.Helper()
	creds, err := c.Retrieve(t.Context())
	if err != nil {
		e := c.Describe(t.Context(), "test", err)
		t.Fatalf("credentials: %v (hint: %v)", e, e.Hint())
	}
	return creds
}

// failure returns the error where there are no credentials, as described.
func failure(t *testing.T, c *Config) *tokens.Error { return failureWithin(t, c, time.Minute) }

// failureWithin is failure for a source that waits no longer than limit.
func failureWithin(t *testing.T, c *Config, limit time.Duration) *tokens.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := c.Retrieve(ctx)
	if err == nil {
		t.Fatal("there are credentials")
	}
	if strings.Contains(err.Error(), secretKey) {
		t.Errorf("the error shows a secret: %v", err)
	}
	if !NoCredentials(err) {
		t.Errorf("%v does not count as an error about credentials", err)
	}
	return c.Describe(t.Context(), "test", err)
}

// wantError checks an error: final or not, its text and its hint, and that it shows no secret.
func wantError(t *testing.T, e *tokens.Error, final bool, text, hint string) {
	t.Helper()
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		if shown := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(shown, secretKey) {
			t.Errorf("the error shows a secret: %s", shown)
		}
	}
}

package awssecrets

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
)

const (
	keyID     = "AKIDEXAMPLE"
	secretKey = "s3cr3t-key-of-the-test"
	caller    = "arn:aws:iam::123456789012:user/valet"

	// What no log line and no error may show begins like this.
	mark = "s3cr3t-"
)

// A cloud is an AWS account for one test. Nothing of the machine's own is seen.
type cloud struct {
	t          *testing.T
	dir        string
	keys       *awsfake.Keys
	sts        *awsfake.STS
	secrets    *awsfake.SecretsManager
	parameters *awsfake.ParameterStore
	log        bytes.Buffer
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t, dir: awsfake.Isolate(t), keys: &awsfake.Keys{}}
	c.keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: caller})
	var err error
	if c.sts, err = awsfake.NewSTS(c.keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.sts.Close)
	if c.secrets, err = awsfake.NewSecretsManager(c.keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.secrets.Close)
	if c.parameters, err = awsfake.NewParameterStore(c.keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.parameters.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS":             c.sts.URL,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": c.secrets.URL,
		"AWS_ENDPOINT_URL_SSM":             c.parameters.URL,
		"AWS_REGION":                       "us-east-1",
		"AWS_ACCESS_KEY_ID":                keyID,
		"AWS_SECRET_ACCESS_KEY":            secretKey,
	} {
		t.Setenv(name, value)
	}
	t.Cleanup(func() {
		if strings.Contains(c.log.String(), mark) {
			t.Errorf("the log shows a secret: %s", c.log.String())
		}
	})
	return c
}

// write makes a file of the SDK's configuration.
func (c *cloud) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) options() Options {
	return Options{Log: slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func parse(t *testing.T, s string) *tokens.SecretURL {
	t.Helper()
	u, err := tokens.ParseSecretURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// open makes the source of a URL.
func (c *cloud) open(url string) (tokens.Source, error) {
	c.t.Helper()
	return c.openWith(url, c.options())
}

func (c *cloud) openWith(url string, o Options) (tokens.Source, error) {
	c.t.Helper()
	if u := parse(c.t, url); u.Scheme == "awsparamstore" {
		return NewParameterStore(u, o)
	} else {
		return NewSecretsManager(u, o)
	}
}

// source is open for a URL that is right.
func (c *cloud) source(url string) tokens.Source {
	c.t.Helper()
	s, err := c.open(url)
	if err != nil {
		c.t.Fatalf("%s: %v", url, err)
	}
	return s
}

// secret is source for Secrets Manager.
func (c *cloud) secret(url string) *SecretsManager {
	c.t.Helper()
	return c.source(url).(*SecretsManager)
}

// read asks for a credential.
func read(t *testing.T, s tokens.Source) tokens.Credential {
	t.Helper()
	cred, err := s.Credential(t.Context(), "app")
	if err != nil {
		e, _ := errors.AsType[*tokens.Error](err)
		t.Fatalf("credential: %v (hint: %v)", err, e.Hint())
	}
	return cred
}

// others asks for what else there is, as "user password id" each.
func others(t *testing.T, s tokens.Rotating) []string {
	t.Helper()
	creds, err := s.Others(t.Context(), "app")
	if err != nil {
		t.Fatalf("others: %v", err)
	}
	var lines []string
	for _, c := range creds {
		lines = append(lines, fmt.Sprintf("%s %s %s", c.User, c.Password.Reveal(), c.ID))
	}
	return lines
}

// wantError checks that err is fit to be shown, and says what it should. A part that begins with an
// exclamation mark must be missing.
func wantError(t *testing.T, err error, denied bool, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got error %v, want a *tokens.Error", err)
	}
	text := e.Error() + "\nhint: " + e.Hint()
	if e.Final() != denied {
		t.Errorf("final is %v, want %v: %s", e.Final(), denied, text)
	}
	for _, part := range parts {
		missing, unwanted := strings.CutPrefix(part, "!")
		if strings.Contains(text, missing) == unwanted {
			t.Errorf("got error\n%s\nwant it to say %s", text, part)
		}
	}
	if len(text) > 450 {
		t.Errorf("the error has %d bytes, want at most 450: %s", len(text), text)
	}
	if strings.Contains(text, mark) || e.Hint() == "" {
		t.Errorf("the error shows a secret, or has no hint: %s", text)
	}
}

package awsrds

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

const (
	instance  = "db.abc123.eu-west-1.rds.amazonaws.com"
	keyID     = "AKIDEXAMPLE"
	secretKey = "secret-key-of-the-test"
)

// An account is the AWS configuration of one test. Nothing of the machine's own is seen.
type account struct {
	t   *testing.T
	log bytes.Buffer
}

func newAccount(t *testing.T) *account {
	awsfake.Isolate(t)
	return &account{t: t}
}

// env gives keys that do not expire.
func (a *account) env() *account {
	a.t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	a.t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	return a
}

func (a *account) source(o Options) *Source { return a.as(awsconfig.Options{}, o) }

// as makes a source that signs as c says.
func (a *account) as(c awsconfig.Options, o Options) *Source {
	a.t.Helper()
	o.Endpoint = cmp.Or(o.Endpoint, instance+":5432")
	o.Log = slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Log = o.Log
	var err error
	if o.AWS, err = awsconfig.New(c); err != nil {
		a.t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if strings.Contains(a.log.String(), secretKey) || strings.Contains(a.log.String(), "Signature") {
			a.t.Errorf("the log shows a secret: %s", a.log.String())
		}
	})
	return s
}

// sign asks for a token, and returns its parts.
func sign(t *testing.T, s *Source, user string) (*url.URL, tokens.Credential) {
	t.Helper()
	cred, err := s.Credential(t.Context(), user)
	if err != nil {
		e, _ := errors.AsType[*tokens.Error](err)
		t.Fatalf("credential: %v (hint: %v)", err, e.Hint())
	}
	token := cred.Password.Reveal()
	if strings.Contains(token, "://") {
		t.Errorf("the token has a scheme: %s", token)
	}
	u, err := url.Parse("https://" + token)
	if err != nil {
		t.Fatal(err)
	}
	return u, cred
}

// wantError checks an error: final or not, its text and its hint, and that it shows no secret.
func wantError(t *testing.T, err error, final bool, text, hint string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		if shown := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(shown, secretKey) {
			t.Errorf("the error shows a secret: %s", shown)
		}
	}
}

// wantSignature computes the signature of a token again, from the description of SigV4, and not
// with the SDK: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
func wantSignature(t *testing.T, u *url.URL) {
	t.Helper()
	query := u.Query()
	got := query.Get("X-Amz-Signature")
	query.Del("X-Amz-Signature")
	canonical := strings.Join([]string{"GET", u.Path, strings.ReplaceAll(query.Encode(), "+", "%20"),
		"host:" + u.Host, "", "host", fmt.Sprintf("%x", sha256.Sum256(nil))}, "\n")
	scope := strings.SplitN(query.Get("X-Amz-Credential"), "/", 2)[1]
	toSign := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", query.Get("X-Amz-Date"), scope, sha256.Sum256([]byte(canonical)))
	key := []byte("AWS4" + secretKey)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if want := hex.EncodeToString(key); got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
}

func TestTokenSaysWhoConnectsWhere(t *testing.T) {
	for _, tt := range []struct{ endpoint, option, host, region string }{
		{instance + ":5432", "", instance + ":5432", "eu-west-1"},
		{"DB.abc123.EU-west-1.RDS.amazonaws.com.:3306", "", instance + ":3306", "eu-west-1"},
		{"db.abc123.us-gov-west-1.rds.amazonaws.com:5432", "", "db.abc123.us-gov-west-1.rds.amazonaws.com:5432", "us-gov-west-1"},
		{"db.abc123.cn-north-1.rds.amazonaws.com.cn:5432", "", "db.abc123.cn-north-1.rds.amazonaws.com.cn:5432", "cn-north-1"},
		{"db.abc123.eusc-de-east-1.rds.amazonaws.eu:5432", "", "db.abc123.eusc-de-east-1.rds.amazonaws.eu:5432", "eusc-de-east-1"},
		{"db.abc123.rds.us-iso-east-1.c2s.ic.gov:5432", "", "db.abc123.rds.us-iso-east-1.c2s.ic.gov:5432", "us-iso-east-1"},
		{"db.abc123.rds.cn-northwest-1.amazonaws.com.cn:3306", "", "db.abc123.rds.cn-northwest-1.amazonaws.com.cn:3306", "cn-northwest-1"},
		{"g.global-abc.global.rds.amazonaws.com:5432", "ap-south-1", "g.global-abc.global.rds.amazonaws.com:5432", "ap-south-1"},
		{instance + ":5432", "us-west-2", instance + ":5432", "us-west-2"},
	} {
		t.Run(tt.endpoint, func(t *testing.T) {
			a := newAccount(t).env()
			t.Setenv("AWS_REGION", "sa-east-1") // the endpoint's name knows better
			u, cred := sign(t, a.source(Options{Endpoint: tt.endpoint, Region: tt.option}), "App User")
			today := time.Now().UTC().Format("20060102")
			if u.Host != tt.host || u.Path != "/" {
				t.Errorf("token is for %s%s, want %s/", u.Host, u.Path, tt.host)
			}
			for name, want := range map[string]string{
				"Action":              "connect",
				"DBUser":              "App User",
				"X-Amz-Expires":       "900",
				"X-Amz-Algorithm":     "AWS4-HMAC-SHA256",
				"X-Amz-SignedHeaders": "host",
				"X-Amz-Credential":    keyID + "/" + today + "/" + tt.region + "/rds-db/aws4_request",
			} {
				if got := u.Query().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			wantSignature(t, u)
			if cred.User != "App User" || cred.ID != keyID {
				t.Errorf("got %v, want the user and the access key id", cred)
			}
		})
	}
}

func TestTokenLivesFifteenMinutes(t *testing.T) {
	s := newAccount(t).env().source(Options{})
	before := time.Now()
	_, cred := sign(t, s, "app")
	after := time.Now()
	if cred.Issued.Before(before.Round(0)) || cred.Issued.After(after) || cred.Expires.Sub(cred.Issued) != 15*time.Minute {
		t.Errorf("issued %v, expires %v, want now and 15 minutes later", cred.Issued, cred.Expires)
	}
	for _, at := range []time.Time{cred.Issued, cred.Expires} {
		if strings.Contains(at.String(), "m=") {
			t.Errorf("%v has a monotonic reading", at)
		}
	}
}

func TestSessionTokenGoesIntoTheTokenUncut(t *testing.T) {
	a := newAccount(t).env()
	session := strings.Repeat("IQoJb3JpZ2luX2Vj+/=", 60)
	t.Setenv("AWS_SESSION_TOKEN", session)
	u, cred := sign(t, a.source(Options{}), "app")
	if got := u.Query().Get("X-Amz-Security-Token"); got != session {
		t.Errorf("session token is %q, want %q", got, session)
	}
	if got := len(cred.Password.Reveal()); got < 1600 {
		t.Errorf("token has %d bytes, want at least 1600", got)
	}
	wantSignature(t, u)
}

func TestUserMustBeNamed(t *testing.T) {
	_, err := newAccount(t).env().source(Options{}).Credential(t.Context(), "")
	wantError(t, err, true, "no database user", "name the user in the route")
}

func TestUnknownRegionIsAnError(t *testing.T) {
	for _, tt := range []struct{ endpoint, hint string }{
		{"g.global-abc.global.rds.amazonaws.com:5432", "the writer"},
		{"db.example.com:5432", "eu-west-1"},
	} {
		a := newAccount(t).env()
		if strings.Contains(tt.endpoint, "global") {
			t.Setenv("AWS_REGION", "sa-east-1") // may not be the writer's
		}
		s := a.source(Options{Endpoint: tt.endpoint, Resolver: answers{"db.example.com": "db.example.com."}})
		_, err := s.Credential(t.Context(), "app")
		wantError(t, err, true, "region", "set region=…")
		wantError(t, err, true, "region", tt.hint)
	}
}

func TestRegionOfTheConfigurationServesOtherNames(t *testing.T) {
	a := newAccount(t).env()
	t.Setenv("AWS_REGION", "sa-east-1")
	s := a.source(Options{Endpoint: "db.example.com:5432", Resolver: answers{"db.example.com": "db.example.com."}})
	u, _ := sign(t, s, "app")
	if got := u.Query().Get("X-Amz-Credential"); !strings.Contains(got, "/sa-east-1/") {
		t.Errorf("credential is %s, want region sa-east-1", got)
	}
}

func TestTokenDiesWithTheCredentials(t *testing.T) {
	for _, left := range []time.Duration{2 * time.Minute, 14 * time.Minute, time.Hour} {
		a := newAccount(t).env()
		expires := time.Now().Add(left).UTC().Truncate(time.Second)
		t.Setenv("AWS_CREDENTIAL_EXPIRATION", expires.Format(time.RFC3339))
		_, cred := sign(t, a.source(Options{}), "app")
		want := expires
		if latest := cred.Issued.Add(15 * time.Minute); expires.After(latest) {
			want = latest
		}
		if !cred.Expires.Equal(want) {
			t.Errorf("credentials with %v left: token expires %v, want %v", left, cred.Expires, want)
		}
	}
}

func TestDeadCredentialsSignNothing(t *testing.T) {
	a := newAccount(t).env()
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", "2001-02-03T04:05:06Z")
	_, err := a.source(Options{}).Credential(t.Context(), "app")
	wantError(t, err, true, "awsrds "+instance+":5432: AWS credentials of the environment variables expired at 2001-02-03T04:05:06Z", "renew AWS_SESSION_TOKEN")
}

func TestNoCredentialsAnywhere(t *testing.T) {
	_, err := newAccount(t).source(Options{}).Credential(t.Context(), "app")
	wantError(t, err, true, "no AWS credentials found", "aws sso login")
}

func TestConcurrentCallersSign(t *testing.T) {
	s := newAccount(t).env().source(Options{})
	done := make(chan error)
	for i := range 20 {
		go func() {
			_, err := s.Credential(context.WithoutCancel(t.Context()), fmt.Sprint("app", i))
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

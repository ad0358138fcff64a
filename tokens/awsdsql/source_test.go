package awsdsql

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
	cluster   = "foo0bar1baz2quux3quuux4abc.dsql.eu-west-1.on.aws"
	keyID     = "AKIDEXAMPLE"
	secretKey = "secret-key-of-the-test"
	userARN   = "arn:aws:iam::111111111111:user/app"
	roleARN   = "arn:aws:iam::222222222222:role/db"
)

// account hides the machine's own configuration, and gives keys that an STS knows.
func account(t *testing.T) (*awsfake.STS, *awsfake.Keys) {
	awsfake.Isolate(t)
	t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	keys := &awsfake.Keys{}
	keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: userARN})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sts.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	sts.SetRole(roleARN, awsfake.Role{Trusts: []string{userARN}})
	return sts, keys
}

func source(t *testing.T, c awsconfig.Options, o Options) *Source {
	t.Helper()
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Log = o.Log
	o.Endpoint = cmp.Or(o.Endpoint, cluster+":5432")
	var err error
	if o.AWS, err = awsconfig.New(c); err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if strings.Contains(log.String(), secretKey) || strings.Contains(log.String(), "Signature") {
			t.Errorf("the log shows a secret: %s", log.String())
		}
	})
	return s
}

// sign asks for a token, and returns its parts.
func sign(t *testing.T, s *Source, user string) (*url.URL, tokens.Credential) {
	t.Helper()
	cred, err := s.Credential(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://" + cred.Password.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return u, cred
}

// wantError checks an error: final or not, its text and its hint.
func wantError(t *testing.T, err error, final bool, text, hint string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
}

// wantSignature computes the signature of a token again, from the description of SigV4, and not
// with the SDK: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
func wantSignature(t *testing.T, u *url.URL, secret string) {
	t.Helper()
	query := u.Query()
	got := query.Get("X-Amz-Signature")
	query.Del("X-Amz-Signature")
	canonical := strings.Join([]string{"GET", u.Path, strings.ReplaceAll(query.Encode(), "+", "%20"),
		"host:" + u.Host, "", "host", fmt.Sprintf("%x", sha256.Sum256(nil))}, "\n")
	scope := strings.SplitN(query.Get("X-Amz-Credential"), "/", 2)[1]
	toSign := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", query.Get("X-Amz-Date"), scope, sha256.Sum256([]byte(canonical)))
	key := []byte("AWS4" + secret)
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
	const private = "foo0bar1baz2quux3quuux4abc.dsql-fnh4.us-east-1.on.aws"
	for _, tt := range []struct{ name, endpoint, option, user, host, region, action string }{
		{"app", cluster + ":5432", "", "app", cluster, "eu-west-1", "DbConnect"},
		{"admin", cluster + ":5432", "", "admin", cluster, "eu-west-1", "DbConnectAdmin"},
		{"another user than admin", cluster + ":5432", "", "Admin", cluster, "eu-west-1", "DbConnect"},
		{"capitals and a dot", strings.ToUpper(cluster) + ".:5432", "", "app", cluster, "eu-west-1", "DbConnect"},
		{"PrivateLink", private + ":5432", "", "app", private, "us-east-1", "DbConnect"},
		{"region of the route", "dsql.example.com:5432", "ap-south-1", "app", "dsql.example.com", "ap-south-1", "DbConnect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			account(t)
			t.Setenv("AWS_REGION", "sa-east-1") // the cluster's name knows better
			u, cred := sign(t, source(t, awsconfig.Options{}, Options{Endpoint: tt.endpoint, Region: tt.option}), tt.user)
			if u.Host != tt.host || u.Path != "/" {
				t.Errorf("token is for %s%s, want %s/", u.Host, u.Path, tt.host)
			}
			for name, want := range map[string]string{
				"Action":              tt.action,
				"X-Amz-Expires":       "900",
				"X-Amz-Algorithm":     "AWS4-HMAC-SHA256",
				"X-Amz-SignedHeaders": "host",
				"X-Amz-Credential":    keyID + "/" + time.Now().UTC().Format("20060102") + "/" + tt.region + "/dsql/aws4_request",
			} {
				if got := u.Query().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			wantSignature(t, u, secretKey)
			if cred.User != tt.user || cred.ID != keyID || cred.Expires.Sub(cred.Issued) != 15*time.Minute {
				t.Errorf("got %v, want the user, the access key id, and 15 minutes", cred.LogValue())
			}
		})
	}
}

func TestTokenIsSignedByTheRoleAndDiesWithItsSession(t *testing.T) {
	sts, keys := account(t)
	sts.SetRole(roleARN, awsfake.Role{Trusts: []string{userARN}, Life: 5 * time.Minute})
	u, cred := sign(t, source(t, awsconfig.Options{Roles: []string{roleARN}}, Options{}), "app")
	key, _ := keys.Key(cred.ID)
	if got := u.Query().Get("X-Amz-Security-Token"); got != key.SessionToken || !strings.HasPrefix(u.Query().Get("X-Amz-Credential"), cred.ID+"/") {
		t.Errorf("the token is not of the session of %q", key.ARN)
	}
	wantSignature(t, u, key.Secret)
	if !cred.Expires.Equal(key.Expires) {
		t.Errorf("the token expires %v, want %v with the session", cred.Expires, key.Expires)
	}
	if got := sts.Requests()[0].Region; got != "eu-west-1" {
		t.Errorf("STS was asked in %s, want the cluster's region", got)
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	sts, _ := account(t)
	s := source(t, awsconfig.Options{}, Options{})
	_, err := s.Credential(t.Context(), "")
	wantError(t, err, true, "no database user", "name the user in the route")
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", "2001-02-03T04:05:06Z")
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, true, "awsdsql "+cluster+":5432: AWS credentials of the environment variables expired at", "renew AWS_SESSION_TOKEN")

	s = source(t, awsconfig.Options{Roles: []string{roleARN}}, Options{})
	sts.Fail(awsfake.Down)
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, false, "ServiceUnavailable", "check the network")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Credential(ctx, "app")
	wantError(t, err, false, "canceled", "")
}

func TestNewRefusesWhatCannotBeSigned(t *testing.T) {
	aws, err := awsconfig.New(awsconfig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ endpoint, text, hint string }{
		{cluster, "not a host and a port", "name the cluster"},
		{"10.0.0.5:5432", "IP address", "dial="},
		{"dsql.example.com:5432", "not the name of a DSQL cluster", "dial="},
		{"a/b:5432", "not the name of a host", "name the cluster"},
	} {
		_, err := New(Options{Endpoint: tt.endpoint, AWS: aws})
		wantError(t, err, true, tt.text, tt.hint)
	}
}

func TestEndpointIsKnownByItsName(t *testing.T) {
	for host, want := range map[string]bool{
		cluster: true, strings.ToUpper(cluster) + ".": true, "id.dsql-fnh4.us-gov-west-1.on.aws": true,
		"": false, "dsql.eu-west-1.on.aws": false, ".dsql.eu-west-1.on.aws": false, "id.rds.eu-west-1.on.aws": false,
		"id.dsql.eu-west.on.aws": false, "id.dsql.eu-west-1.on.aws.example.com": false, "a.id.dsql.eu-west-1.on.aws": false,
		"id.dsqlx.eu-west-1.on.aws": false, "id.dsql.eu-west-1.off.aws": false, "id.dsql.eu-west-1.on.com": false,
	} {
		if got := IsEndpoint(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func TestExplanationSaysWhoSignedWhatAndWhatMayBeMissing(t *testing.T) {
	const (
		session     = "arn:aws:sts::123456789012:assumed-role/app/i-0123456789abcdef0"
		longSession = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_DatabaseAdministrator_0123456789abcdef/firstname.lastname@example.com"
		resource    = `"Resource":"arn:aws:dsql:eu-west-1:123456789012:cluster/foo0bar1baz2quux3quuux4abc"}`
	)
	for _, tt := range []struct {
		name, caller, user string
		want               []string
		limit              int
	}{
		{"app", session, "app", []string{"signed by " + session + " for app@" + cluster, `"Action":"dsql:DbConnect",` + resource,
			"AWS IAM GRANT app TO 'arn:aws:iam::123456789012:role/app'"}, 380},
		{"admin", session, "admin", []string{`"Action":"dsql:DbConnectAdmin",` + resource}, 380},
		{"nobody knows who", "", "app", []string{"signed by access key " + keyID, "dsql:eu-west-1:*:cluster/", "TO 'arn:aws:iam::…:role/…'"}, 380},
		{"quotes", session, `App"1`, []string{`GRANT "App""1" TO`}, 380},
		{"long names", longSession, "orders_reporting_readonly", []string{"role/AWSReservedSSO_DatabaseAdministrator_0123456789abcdef", "GRANT"}, 450},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sts, keys := account(t)
			keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: tt.caller})
			if tt.caller == "" {
				sts.Close()
			}
			s := source(t, awsconfig.Options{}, Options{})
			_, cred := sign(t, s, tt.user)
			got := s.Explain(t.Context(), tt.user, cred)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %s\nwant %s", got, want)
				}
			}
			if len(got) > tt.limit {
				t.Errorf("%d bytes, want at most %d: %s", len(got), tt.limit, got)
			}
			if tt.user == admin && strings.Contains(got, "GRANT") {
				t.Errorf("admin needs no grant: %s", got)
			}
		})
	}
}

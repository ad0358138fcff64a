package rdstoken

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
)

// now is the time at which the tests' tokens are made and presented, unless they say otherwise.
var now = time.Date(2026, 11, 21, 0, 45, 30, 0, time.UTC)

var want = Expect{
	Host:            "orders.abc123.us-east-1.rds.amazonaws.com",
	Port:            5432,
	Region:          "us-east-1",
	User:            "app",
	AccessKeyID:     "AKIATESTTESTTESTTEST",
	SecretAccessKey: "secret/with+signs=",
}

// A request is what a token is made of. Its zero value makes a good one.
type request struct {
	endpoint, region, service, query, secret, session string
	date                                              time.Time
}

// token presigns a request with the SDK's signer, which is what all SDKs do for RDS.
func (r request) token(t *testing.T) string {
	t.Helper()
	or := func(value *string, fallback string) {
		if *value == "" {
			*value = fallback
		}
	}
	or(&r.endpoint, fmt.Sprintf("%s:%d", want.Host, want.Port))
	or(&r.region, want.Region)
	or(&r.service, "rds-db")
	or(&r.secret, want.SecretAccessKey)
	or(&r.query, "Action=connect&DBUser=app&X-Amz-Expires=900")
	if r.date.IsZero() {
		r.date = now
	}
	req, err := http.NewRequest(http.MethodGet, "https://"+r.endpoint+"/?"+r.query, nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{
		AccessKeyID:     want.AccessKeyID,
		SecretAccessKey: r.secret,
		SessionToken:    r.session,
	}, req, hex.EncodeToString(empty[:]), r.service, r.region, r.date)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(signed, "https://")
}

func TestAcceptsTokensOfTheSDK(t *testing.T) {
	for _, test := range []struct{ name, user, session string }{
		{name: "permanent credentials", user: "app"},
		{name: "temporary credentials", user: "app", session: strings.Repeat("se/ss+ion=", 150)},
		{name: "user that needs escaping", user: "o'reilly & söhne+1 %"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := want
			want.User, want.SessionToken = test.user, test.session
			token, err := auth.BuildAuthToken(t.Context(), fmt.Sprintf("%s:%d", want.Host, want.Port), want.Region, want.User,
				credentials.NewStaticCredentialsProvider(want.AccessKeyID, want.SecretAccessKey, want.SessionToken))
			if err != nil {
				t.Fatal(err)
			}
			endpoint, query, _ := strings.Cut(token, "?")
			for _, token := range []string{endpoint + "?" + query, strings.TrimSuffix(endpoint, "/") + "/?" + query} {
				if err := Verify(token, want, time.Now()); err != nil {
					t.Errorf("%s: %v", token, err)
				}
			}
		})
	}
}

func TestRefusalSaysWhichCheckFailed(t *testing.T) {
	good := request{}.token(t)
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the token", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	temporary := want
	temporary.SessionToken = "session"

	for _, test := range []struct {
		name    string
		token   string
		want    Expect
		refusal string
	}{
		{"not a token", "hunter2", want, "no question mark"},
		{"too long", strings.Repeat("x", 70_000), want, "longer than"},
		{"no port", request{endpoint: want.Host}.token(t), want, "host:port"},
		{"other host", request{endpoint: "other.abc123.us-east-1.rds.amazonaws.com:5432"}.token(t), want, `host is "other.`},
		{"other port", request{endpoint: want.Host + ":3306"}.token(t), want, `port is "3306", expected 5432`},
		{"other region", request{region: "eu-central-1"}.token(t), want, `region is "eu-central-1", expected "us-east-1"`},
		{"other service", request{service: "dsql"}.token(t), want, `service is "dsql"`},
		{"other action", request{query: "Action=DbConnect&DBUser=app&X-Amz-Expires=900"}.token(t), want, `action is "DbConnect"`},
		{"other user", request{query: "Action=connect&DBUser=bob&X-Amz-Expires=900"}.token(t), want, `token is for user "bob", login is for "app"`},
		{"user in capitals", request{query: "Action=connect&DBUser=App&X-Amz-Expires=900"}.token(t), want, `token is for user "App"`},
		{"other access key", change("AKIATEST", "AKIAREST"), want, "access key id is not known"},
		{"other algorithm", change("HMAC-SHA256", "HMAC-SHA1"), want, "algorithm is"},
		{"other day in the credential", change("%2F20261121%2F", "%2F20261120%2F"), want, "different days"},
		{"broken credential", change("%2Faws4_request", ""), want, "credential has not the form"},
		{"more signed headers", change("SignedHeaders=host", "SignedHeaders=host%3Bdate"), want, "signed headers are"},
		{"other secret key", request{secret: "another"}.token(t), want, "signature is wrong"},
		{"changed signature", good[:len(good)-4] + "0000", want, "signature is wrong"},
		{"session token of permanent credentials", request{session: "session"}.token(t), want, "credentials are permanent"},
		{"no session token", good, temporary, "session token is missing"},
		{"other session token", request{session: "another"}.token(t), temporary, "session token is another one"},
		{"too long a life", request{query: "Action=connect&DBUser=app&X-Amz-Expires=3600"}.token(t), want, "lifetime is 1h0m0s, limit 15m0s"},
		{"no life", request{query: "Action=connect&DBUser=app&X-Amz-Expires=0"}.token(t), want, "lifetime is 0s"},
		{"lifetime is no number", change("Expires=900", "Expires=9e2"), want, "not a number"},
		{"endless lifetime", change("Expires=900", "Expires=90000000000"), want, "too many digits"},
		{"too old", request{date: now.Add(-16*time.Minute - 4*time.Second)}.token(t), want, "token is 16m4s old, limit 15m0s"},
		{"too old for a shorter life", request{query: "Action=connect&DBUser=app&X-Amz-Expires=60", date: now.Add(-2 * time.Minute)}.token(t), want, "token is 2m0s old, limit 1m0s"},
		{"from the future", request{date: now.Add(6 * time.Minute)}.token(t), want, "token is dated 6m0s in the future, limit 5m0s"},
		{"parts of a second", change("4530Z", "4530.5Z"), want, "not a date"},
		{"date is none", change("Date=2026", "Date=year"), want, "not a date"},
		{"twice the user", good + "&DBUser=app", want, "DBUser is there twice"},
		{"unknown parameter", good + "&Extra=1", want, `parameter "Extra" is unknown`},
		{"no signature", good[:strings.LastIndex(good, "&")], want, "X-Amz-Signature is missing"},
		{"bad escape", change("DBUser=app", "DBUser=%zz"), want, "DBUser is not properly escaped"},
		{"bad escape in a name", good + "&%zz=1", want, "name is not properly escaped"},
		{"empty", "?", want, `parameter "" is unknown`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Verify(test.token, test.want, now)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.refusal) {
				t.Errorf("refusal is %q, expected it to say %q", err, test.refusal)
			}
		})
	}
}

func TestAcceptsUpToTheLimits(t *testing.T) {
	for name, age := range map[string]time.Duration{
		"15 minutes old":          15 * time.Minute,
		"5 minutes in the future": -5 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			if err := Verify(request{date: now.Add(-age)}.token(t), want, now); err != nil {
				t.Error(err)
			}
		})
	}
}

// Some signers put the parameters in another order and escape more than is necessary.
func TestOrderAndEscapingDoNotMatter(t *testing.T) {
	endpoint, query, _ := strings.Cut(request{}.token(t), "?")
	pairs := strings.Split(query, "&")
	for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
		pairs[i], pairs[j] = pairs[j], pairs[i]
	}
	token := endpoint + "?" + strings.Join(pairs, "&")
	token = strings.Replace(token, "DBUser=app", "DBUser=%61%70%70", 1)
	if err := Verify(token, want, now); err != nil {
		t.Error(err)
	}
}

func FuzzVerify(f *testing.F) {
	const good = "orders.abc123.us-east-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app" +
		"&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIATESTTESTTESTTEST%2F20261121%2Fus-east-1%2Frds-db%2Faws4_request" +
		"&X-Amz-Date=20261121T004530Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature="
	f.Add(good)
	f.Add(good + "00")
	f.Add("?" + url.QueryEscape(good))
	f.Fuzz(func(t *testing.T, token string) {
		// Without the secret key nobody can make a token that is accepted.
		if err := Verify(token, want, now); err == nil {
			t.Errorf("accepted %q", token)
		}
	})
}

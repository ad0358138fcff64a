package awsfake

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

const (
	stsKeyID  = "AKIDEXAMPLE"
	stsSecret = "secret"
	stsUser   = "arn:aws:iam::111111111111:user/app"
	stsRole   = "arn:aws:iam::222222222222:role/team/db"
)

func newSTS(t *testing.T) (*STS, *Keys) {
	Isolate(t)
	keys := &Keys{}
	keys.Add(stsKeyID, Key{Secret: stsSecret, ARN: stsUser})
	s, err := NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, keys
}

// stsClient is the SDK's, with a key.
func stsClient(s *STS, id, secret, token string) *sts.Client {
	return sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token)})
}

// wantCode checks what the service answered; "" is no error.
func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	} else if err != nil {
		code = err.Error()
	}
	if code != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestSignatureMustBeOfAKeyThatIsAlive(t *testing.T) {
	for _, tt := range []struct {
		name              string
		key               Key // that STS knows
		id, secret, token string
		want              string
	}{
		{"permanent", Key{Secret: stsSecret}, stsKeyID, stsSecret, "", ""},
		{"temporary", Key{Secret: stsSecret, SessionToken: "a/b+c="}, stsKeyID, stsSecret, "a/b+c=", ""},
		{"other secret", Key{Secret: stsSecret}, stsKeyID, "other", "", "SignatureDoesNotMatch"},
		{"unknown", Key{Secret: stsSecret}, "AKIDOTHER", stsSecret, "", "InvalidClientTokenId"},
		{"no session token", Key{Secret: stsSecret, SessionToken: "st"}, stsKeyID, stsSecret, "", "InvalidClientTokenId"},
		{"other session token", Key{Secret: stsSecret, SessionToken: "st"}, stsKeyID, stsSecret, "other", "InvalidClientTokenId"},
		{"session token of a permanent key", Key{Secret: stsSecret}, stsKeyID, stsSecret, "st", "InvalidClientTokenId"},
		{"expired", Key{Secret: stsSecret, Expires: time.Now().Add(-time.Second)}, stsKeyID, stsSecret, "", "ExpiredToken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, keys := newSTS(t)
			keys.Add(stsKeyID, tt.key)
			_, err := stsClient(s, tt.id, tt.secret, tt.token).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			wantCode(t, err, tt.want)
		})
	}
}

func TestSignatureCoversTheRequest(t *testing.T) {
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	for _, tt := range []struct {
		name    string
		service string
		at      time.Time
		change  func(*http.Request)
		want    string
	}{
		{"as signed", "sts", time.Now(), func(*http.Request) {}, ""},
		{"other body", "sts", time.Now(), func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "2011", "2012", 1)))
		}, "SignatureDoesNotMatch"},
		{"other query", "sts", time.Now(), func(r *http.Request) { r.URL.RawQuery = "a=b" }, "SignatureDoesNotMatch"},
		{"other path", "sts", time.Now(), func(r *http.Request) { r.URL.Path = "/a" }, "SignatureDoesNotMatch"},
		{"other host", "sts", time.Now(), func(r *http.Request) { r.Host = "sts.example.com" }, "SignatureDoesNotMatch"},
		{"another header of AWS", "sts", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Target", "a") }, "IncompleteSignature"},
		{"no date", "sts", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Date", "") }, "IncompleteSignature"},
		{"no signature", "sts", time.Now(), func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
		{"another algorithm", "sts", time.Now(), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignature"},
		{"old", "sts", time.Now().Add(-16 * time.Minute), func(*http.Request) {}, "SignatureDoesNotMatch"},
		{"for another service", "ssm", time.Now(), func(*http.Request) {}, "SignatureDoesNotMatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newSTS(t)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: stsKeyID, SecretAccessKey: stsSecret}, r,
				hash(body), tt.service, "eu-west-1", tt.at); err != nil {
				t.Fatal(err)
			}
			tt.change(r)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answer, _ := io.ReadAll(response.Body)
			if tt.want == "" && response.StatusCode == http.StatusOK {
				return
			}
			if !bytes.Contains(answer, []byte("<Code>"+tt.want+"</Code>")) {
				t.Errorf("got %s: %s, want %q", response.Status, answer, tt.want)
			}
		})
	}
}

func TestRoleIsOnlyForWhomItTrusts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		role  Role
		in    sts.AssumeRoleInput
		want  string
		known bool
	}{
		{"trusted", Role{Trusts: []string{stsUser}}, sts.AssumeRoleInput{}, "", true},
		{"no such role", Role{}, sts.AssumeRoleInput{}, "AccessDenied", false},
		{"not trusted", Role{Trusts: []string{stsRole}}, sts.AssumeRoleInput{}, "AccessDenied", true},
		{"external id", Role{Trusts: []string{stsUser}, ExternalID: "id"}, sts.AssumeRoleInput{ExternalId: aws.String("id")}, "", true},
		{"no external id", Role{Trusts: []string{stsUser}, ExternalID: "id"}, sts.AssumeRoleInput{}, "AccessDenied", true},
		{"other external id", Role{Trusts: []string{stsUser}, ExternalID: "id"}, sts.AssumeRoleInput{ExternalId: aws.String("other")}, "AccessDenied", true},
		{"too short", Role{Trusts: []string{stsUser}}, sts.AssumeRoleInput{DurationSeconds: aws.Int32(60)}, "ValidationError", true},
		{"a name with a space", Role{Trusts: []string{stsUser}}, sts.AssumeRoleInput{RoleSessionName: aws.String("a b")}, "ValidationError", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newSTS(t)
			if tt.known {
				s.SetRole(stsRole, tt.role)
			}
			in := tt.in
			in.RoleArn = aws.String(stsRole)
			if in.RoleSessionName == nil {
				in.RoleSessionName = aws.String("me")
			}
			out, err := stsClient(s, stsKeyID, stsSecret, "").AssumeRole(t.Context(), &in)
			wantCode(t, err, tt.want)
			if err != nil {
				return
			}
			session := stsClient(s, *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
			who, err := session.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if err != nil || *who.Arn != "arn:aws:sts::222222222222:assumed-role/db/me" || *who.Account != "222222222222" {
				t.Errorf("got %v, %v, want the session of the role", who, err)
			}
			in.DurationSeconds = aws.Int32(7200)
			_, err = session.AssumeRole(t.Context(), &in)
			wantCode(t, err, "ValidationError") // a chain is limited to an hour
		})
	}
}

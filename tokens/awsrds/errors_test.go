package awsrds

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
)

// service starts a fake AWS service that gives one answer.
func service(t *testing.T, status int, contentType, errorType, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if errorType != "" {
			w.Header().Set("X-Amzn-Errortype", errorType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// nobody returns an address where nothing listens.
func nobody(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func TestNoCredentialsAnywhere(t *testing.T) {
	_, err := newAccount(t).source(Options{}).Credential(t.Context(), "app")
	for _, way := range []string{"aws sso login", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "role"} {
		wantError(t, err, true, "no AWS credentials found", way)
	}
}

func TestMetadataServiceThatDoesNotAnswerMeansNoCredentials(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := newAccount(t).source(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+listener.Addr().String())
	s.limit = 200 * time.Millisecond
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, true, "no AWS credentials found", "aws sso login")
}

func TestMetadataServiceThatWorkedBeforeIsOnlyOutOfOrder(t *testing.T) {
	up := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !up:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, "imds-token")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "role")
		default:
			fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":%q,"Token":"st","Expiration":%q}`,
				keyID, secretKey, time.Now().Add(30*time.Second).UTC().Format(time.RFC3339))
		}
	}))
	defer server.Close()
	s := newAccount(t).source(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	sign(t, s, "app")
	s.loaded.config.Credentials.(interface{ Invalidate() }).Invalidate() // what the end of the credentials does
	up = false
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, false, "get AWS credentials", "aws sts get-caller-identity")
}

const roleProfile = `[profile base]
aws_access_key_id = ` + keyID + `
aws_secret_access_key = ` + secretKey + `
[profile dev]
role_arn = arn:aws:iam::123456789012:role/db
source_profile = base
`

func stsError(code, message string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>` + message + `</Message></Error><RequestId>r</RequestId></ErrorResponse>`
}

func TestAnswersOfAWS(t *testing.T) {
	for _, tt := range []struct {
		name       string
		status     int
		code       string
		final      bool
		text, hint string
	}{
		{"access denied", 403, "AccessDenied", true, "not authorized to perform sts:AssumeRole", "aws sts get-caller-identity --profile dev"},
		{"keys expired", 403, "ExpiredToken", true, "ExpiredToken", "renew them"},
		{"wrong keys", 403, "InvalidClientTokenId", true, "InvalidClientTokenId", "administrator"},
		{"throttled", 400, "Throttling", false, "Throttling", "check the network"},
		{"out of order", 503, "ServiceUnavailable", false, "ServiceUnavailable", "check the network"},
		{"internal failure", 500, "InternalFailure", false, "InternalFailure", "check the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).write("config", roleProfile)
			t.Setenv("AWS_ENDPOINT_URL_STS", service(t, tt.status, "text/xml", "",
				stsError(tt.code, "not authorized to perform sts:AssumeRole")))
			_, err := a.source(Options{Profile: "dev"}).Credential(t.Context(), "app")
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestAssumedRoleSigns(t *testing.T) {
	a := newAccount(t).write("config", roleProfile) // without a region: the endpoint's serves
	const answer = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>` + secretKey + `</SecretAccessKey>
<SessionToken>st</SessionToken><Expiration>2999-01-02T03:04:05Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/db/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>`
	scope := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope <- r.Header.Get("Authorization")
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	if _, cred := sign(t, a.source(Options{Profile: "dev"}), "app"); cred.ID != "ASIAROLE" {
		t.Errorf("signed with %s, want the role's key", cred.ID)
	}
	if got := <-scope; !strings.Contains(got, "/eu-west-1/sts/") {
		t.Errorf("STS was asked with %s, want the endpoint's region", got)
	}
}

func TestUnreachableAWSIsNotFinal(t *testing.T) {
	a := newAccount(t).write("config", roleProfile)
	t.Setenv("AWS_ENDPOINT_URL_STS", nobody(t))
	_, err := a.source(Options{Profile: "dev"}).Credential(t.Context(), "app")
	wantError(t, err, false, "connection refused", "check the network")
}

func TestRoleThatWantsMFAIsExplained(t *testing.T) {
	a := newAccount(t).write("config", roleProfile+"mfa_serial = arn:aws:iam::123456789012:mfa/me\n")
	_, err := a.source(Options{Profile: "dev"}).Credential(t.Context(), "app")
	wantError(t, err, true, `profile "dev" wants an MFA code`, "SSO")
}

const ssoProfile = `[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = db
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.example.com/start
`

// login writes what "aws sso login" leaves behind.
func (a *account) login(expires time.Time, renewable bool) *account {
	more := ""
	if renewable {
		more = `,"clientId":"c","clientSecret":"` + secretKey + `","refreshToken":"` + secretKey + `"`
	}
	return a.write(fmt.Sprintf(".aws/sso/cache/%x.json", sha1.Sum([]byte("corp"))),
		fmt.Sprintf(`{"accessToken":%q,"expiresAt":%q%s}`, secretKey, expires.UTC().Format(time.RFC3339), more))
}

func TestEndedSSOSessionNamesTheCommand(t *testing.T) {
	const command = `run "aws sso login --profile dev"`
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	invalidGrant := `{"error":"invalid_grant","error_description":"refresh token expired"}`
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, a *account)
		final   bool
		hint    string
	}{
		{"never logged in", func(*testing.T, *account) {}, true, command},
		{"expired", func(_ *testing.T, a *account) { a.login(past, false) }, true, command},
		{"expired, and can't be renewed", func(t *testing.T, a *account) {
			a.login(past, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO_OIDC", service(t, 400, "application/json", "InvalidGrantException", invalidGrant))
		}, true, command},
		{"expired, and the network is down", func(t *testing.T, a *account) {
			a.login(past, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO_OIDC", nobody(t))
		}, false, "check the network"},
		{"expired, and SSO is out of order", func(t *testing.T, a *account) {
			a.login(past, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO_OIDC", service(t, 500, "application/json", "InternalServerException", `{}`))
		}, false, "check the network"},
		{"logged out elsewhere", func(t *testing.T, a *account) {
			a.login(future, false)
			t.Setenv("AWS_ENDPOINT_URL_SSO", service(t, 401, "application/json", "UnauthorizedException", `{"message":"Session token not found or invalid"}`))
		}, true, command},
		{"role not granted", func(t *testing.T, a *account) {
			a.login(future, false)
			t.Setenv("AWS_ENDPOINT_URL_SSO", service(t, 403, "application/json", "ForbiddenException", `{"message":"No access"}`))
		}, true, "administrator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).write("config", ssoProfile)
			tt.prepare(t, a)
			t.Setenv("AWS_PROFILE", "dev")
			_, err := a.source(Options{}).Credential(t.Context(), "app")
			wantError(t, err, tt.final, "", tt.hint)

			// The same below a role that is assumed with the session.
			a.write("config", strings.Replace(ssoProfile, "[profile dev]", "[profile base]", 1)+
				"[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/db\nsource_profile = base\n")
			t.Setenv("AWS_ENDPOINT_URL_STS", nobody(t))
			_, err = a.source(Options{}).Credential(t.Context(), "app")
			wantError(t, err, tt.final, "", strings.Replace(tt.hint, "login --profile dev", "login --profile base", 1))
		})
	}
}

func TestCredentialProcessErrorsDoNotQuoteItsOutput(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		final        bool
		text         string
	}{
		{"not JSON", "echo " + secretKey, true, "did not print the JSON object"},
		{"truncated", `echo '{"Version":1,"SecretAccessKey":"` + secretKey + `"'`, true, "did not print the JSON object"},
		{"other version", `echo '{"Version":2}'`, true, "did not print the JSON object"},
		{"bad date", `echo '{"Version":1,"Expiration":"` + secretKey + `"}'`, true, "did not print the JSON object"},
		{"failure", "echo " + secretKey + "; exit 3", false, "exit status 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newAccount(t).process(tt.script).source(Options{Profile: "dev"}).Credential(t.Context(), "app")
			wantError(t, err, tt.final, tt.text, `credential_process of profile "dev"`)
		})
	}
}

func TestCallerThatGoesAwaySeesNoOutputOfTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newAccount(t).source(Options{Profile: "dev"})
	err := &processcreds.ProviderError{Err: errors.New("parse failed of process output: " + secretKey)}
	wantError(t, s.describeRetrieve(ctx, &loaded{base: "dev"}, err), true, "did not print the JSON object", "by hand")
}

func TestCredentialProcessThatHangsIsGivenUp(t *testing.T) {
	s := newAccount(t).process("exec sleep 3").source(Options{Profile: "dev"})
	s.limit = 200 * time.Millisecond
	begin := time.Now()
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, false, "credential_process: context deadline exceeded", "by hand")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCallerThatGoesAwayIsNotToldToLogIn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := newAccount(t).source(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.Credential(ctx, "app")
	wantError(t, err, false, "deadline exceeded", "")
}

func TestUnreadableConfigurationIsFinal(t *testing.T) {
	a := newAccount(t).write("config/file", "") // the file is a directory
	t.Setenv("AWS_PROFILE", "")
	_, err := a.source(Options{}).Credential(t.Context(), "app")
	wantError(t, err, true, "load the AWS configuration", "~/.aws/config")
}

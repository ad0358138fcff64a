package awsconfig

import (
	"context"
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
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
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
	e := failure(t, newAccount(t).config(Options{}))
	for _, way := range []string{"aws sso login", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "role"} {
		wantError(t, e, true, "no AWS credentials found", way)
	}
}

func TestMetadataServiceThatDoesNotAnswerMeansNoCredentials(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := newAccount(t).config(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+listener.Addr().String())
	e := failureWithin(t, c, time.Second)
	wantError(t, e, true, "no AWS credentials found", "aws sso login")
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
	c := newAccount(t).config(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	retrieve(t, c)
	c.loaded.chain.(interface{ Invalidate() }).Invalidate() // what the end of the credentials does
	up = false
	wantError(t, failure(t, c), false, "get AWS credentials", "aws sts get-caller-identity")
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
			e := failure(t, a.config(Options{Profile: "dev"}))
			wantError(t, e, tt.final, tt.text, tt.hint)
		})
	}
}

func TestUnreachableAWSIsNotFinal(t *testing.T) {
	a := newAccount(t).write("config", roleProfile)
	t.Setenv("AWS_ENDPOINT_URL_STS", nobody(t))
	e := failure(t, a.config(Options{Profile: "dev"}))
	wantError(t, e, false, "connection refused", "check the network")
}

func TestRoleThatWantsMFAIsExplained(t *testing.T) {
	a := newAccount(t).write("config", roleProfile+"mfa_serial = arn:aws:iam::123456789012:mfa/me\n")
	e := failure(t, a.config(Options{Profile: "dev"}))
	wantError(t, e, true, `profile "dev" wants an MFA code`, "SSO")
}

const ssoProfile = `[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = db
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.example.com/start
`

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
			e := failure(t, a.config(Options{}))
			wantError(t, e, tt.final, "", tt.hint)

			// The same below a role that is assumed with the session.
			a.write("config", strings.Replace(ssoProfile, "[profile dev]", "[profile base]", 1)+
				"[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/db\nsource_profile = base\n")
			t.Setenv("AWS_ENDPOINT_URL_STS", nobody(t))
			e = failure(t, a.config(Options{}))
			wantError(t, e, tt.final, "", strings.Replace(tt.hint, "login --profile dev", "login --profile base", 1))
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
			c := newAccount(t).process(tt.script).config(Options{Profile: "dev"})
			c.Identity(t.Context()) // writes an error into the log
			e := failure(t, c)
			wantError(t, e, tt.final, tt.text, `credential_process of profile "dev"`)
		})
	}
}

func TestCallerThatGoesAwaySeesNoOutputOfTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := &credentialsError{&loaded{base: "dev"}, &processcreds.ProviderError{Err: errors.New("parse failed of process output: " + secretKey)}}
	e := newAccount(t).config(Options{Profile: "dev"}).Describe(ctx, "test", err)
	if shown := e.Error() + e.Hint(); strings.Contains(shown, secretKey) || !strings.Contains(shown, "did not print the JSON object") {
		t.Errorf("got %s", shown)
	}
}

func TestCredentialProcessThatHangsIsGivenUp(t *testing.T) {
	c := newAccount(t).process("exec sleep 5").config(Options{Profile: "dev"})
	begin := time.Now()
	wantError(t, failureWithin(t, c, 500*time.Millisecond), false, "credential_process: context deadline exceeded", "by hand")
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCallerThatGoesAwayIsNotToldToLogIn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := newAccount(t).config(Options{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = c.Retrieve(ctx)
	wantError(t, c.Describe(ctx, "test", err), false, "deadline exceeded", "")
}

func TestUnreadableConfigurationIsFinal(t *testing.T) {
	a := newAccount(t).write("config/file", "") // the file is a directory
	t.Setenv("AWS_PROFILE", "")
	e := failure(t, a.config(Options{}))
	wantError(t, e, true, "load the AWS configuration", "~/.aws/config")
}

func TestServiceCallsTellCredentialsFromAnswers(t *testing.T) {
	a := newAccount(t).env()
	server, _ := a.cloud()
	call := func(c *Config) (bool, *tokens.Error) {
		sdk, err := c.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = sts.NewFromConfig(sdk).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		return NoCredentials(err), c.Describe(t.Context(), "test", err)
	}
	_, err := a.config(Options{}).Load(t.Context())
	if NoCredentials(err) || NoCredentials(errors.New("another")) {
		t.Error("what is not about credentials counts as such")
	}

	server.SetRole(roleOne, awsfake.Role{})
	about, e := call(a.config(bothRoles))
	wantError(t, e, true, "assume role: AccessDenied", roleOne)
	if !about {
		t.Errorf("%v does not count as an error about credentials", e)
	}
	for _, tt := range []struct {
		failure    *awsfake.Refusal
		final      bool
		text, hint string
	}{
		{awsfake.Denied, true, "STS: AccessDenied: User: " + userARN, "administrator"},
		{awsfake.Down, false, "ServiceUnavailable", "network"},
		{&awsfake.Refusal{Status: 400, Code: "ExpiredTokenException", Message: "expired"}, true, "STS: ExpiredTokenException", "renew AWS_SESSION_TOKEN"},
	} {
		server.Fail(tt.failure)
		about, e = call(a.config(Options{}))
		wantError(t, e, tt.final, tt.text, tt.hint)
		if about {
			t.Errorf("%v counts as an error about credentials", e)
		}
	}
}

func TestProfileIsQuotedForTheShell(t *testing.T) {
	if got, want := command("aws sso login", "my team's"), `"aws sso login --profile 'my team'\''s'"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

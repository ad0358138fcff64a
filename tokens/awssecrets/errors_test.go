package awssecrets

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
)

const sso = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_DatabaseOperators_0123456789abcdef/a.rather.long.name@subsidiary.example.com"

func TestAnswersOfSecretsManager(t *testing.T) {
	const allow = `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"`
	for _, tt := range []struct {
		name    string
		refusal *awsfake.Refusal
		denied  bool
		parts   []string
	}{
		{"denied", awsfake.Denied, true, []string{caller + " may not secretsmanager:GetSecretValue in us-east-1", "!kms",
			allow + `arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-pass-??????"}`}},
		{"denied, and AWS knows the ARN", refusal("AccessDeniedException", "User: "+sso+" is not authorized to perform: "+
			"secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-pass-Ab0000 "+
			"because no resource-based policy allows the secretsmanager:GetSecretValue action"), true,
			[]string{"AWSReservedSSO", allow + `arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-pass-Ab0000"}`}},
		{"denied explicitly", refusal("AccessDeniedException", "User: "+caller+" is not authorized to perform: "+
			"secretsmanager:GetSecretValue on resource: prod/db-pass with an explicit deny in a service control policy"), true,
			[]string{caller + " may not", "explicit deny in a service control policy", "change the policy", "!Allow"}},
		{"denied without a reason", refusal("AccessDeniedException", ""), true, []string{allow, caller, "!kms"}},
		{"key denied", refusal("AccessDeniedException", "Access to KMS is not allowed"), true,
			[]string{"Access to KMS is not allowed", `"kms:Decrypt"`, "KEY-ARN", "policy of the KMS key", caller}},
		{"key disabled", refusal("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key."), true,
			[]string{"can't decrypt", `"kms:Decrypt"`, "must be enabled", caller}},
		{"no such secret", refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret."), true,
			[]string{"in us-east-1", caller, `"aws secretsmanager list-secrets --region us-east-1"`}},
		{"deleted", refusal("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."), true,
			[]string{"marked for deletion", `"aws secretsmanager restore-secret --secret-id prod/db-pass --region us-east-1"`}},
		{"name that is not valid", refusal("ValidationException", "Invalid name. "+strings.Repeat("Must be a valid name. ", 30)), true,
			[]string{"Invalid name", "check the name"}},
		{"throttled", awsfake.Throttled, false, []string{"Rate exceeded", "wait="}},
		{"out of order", refusal("InternalServiceError", "An error occurred on the server side."), false, []string{"InternalServiceError"}},
		{"down", awsfake.Down, false, []string{"Service is unavailable"}},
		{"gateway down", &awsfake.Refusal{Status: 502}, false, []string{"in us-east-1"}},
		{"cut", awsfake.Cut, false, []string{"ask http://127.0.0.1", "EOF", "check the network"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			c.secrets.Create("us-east-1", "prod/db-pass", "s3cr3t-1")
			c.secrets.Fail(tt.refusal)
			_, err := c.source("awssecretsmanager://prod/db-pass").Credential(t.Context(), "app")
			wantError(t, err, tt.denied, append(tt.parts, "awssecretsmanager://prod/db-pass: ")...)
		})
	}
}

func TestPolicyIsForTheARNThatWasAskedFor(t *testing.T) {
	const arn = "arn:aws-cn:secretsmanager:cn-north-1:999999999999:secret:team/orders/production/db-pass"
	for _, tt := range []struct{ name, secret, resource string }{
		{"complete", arn + "-a1B2c3", arn + "-a1B2c3"},
		{"without its suffix", arn, arn + "-??????"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			c.keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: sso})
			c.secrets.Fail(refusal("AccessDeniedException", "User: "+caller+" is not authorized to perform: "+
				"secretsmanager:GetSecretValue on resource: db-pass because no identity-based policy allows it"))
			_, err := c.source("awssecretsmanager://"+tt.secret).Credential(t.Context(), "app")
			wantError(t, err, true, `"Resource":"`+tt.resource+`"`)
		})
	}
}

func TestSecretInAnotherRegionIsNotFoundThere(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("eu-west-1", "db-pass", "s3cr3t-1")
	c.write("config", "[profile x]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+secretKey+"\n")
	_, err := c.source("awssecretsmanager://db-pass?region=us-west-2&profile=x").Credential(t.Context(), "app")
	wantError(t, err, true, "ResourceNotFoundException", "in us-west-2", "--region us-west-2 --profile x")
}

func TestDeletedSecret(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	c.secrets.Delete("db-pass")
	_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
	wantError(t, err, true, "marked for deletion", "restore-secret")
}

func TestStoreIsAskedTwiceAtMost(t *testing.T) {
	c := newCloud(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "9")
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	c.secrets.Fail(awsfake.Down)
	_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
	wantError(t, err, false, "unavailable")
	if n := c.secrets.Count(""); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestStoreThatIsGone(t *testing.T) {
	c := newCloud(t)
	c.secrets.Close()
	_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
	wantError(t, err, false, "ask http://127.0.0.1", "refused", "check the network")
}

func TestStoreThatIsSilentIsGivenUp(t *testing.T) {
	c := newCloud(t)
	_, release := c.secrets.Hold()
	defer release()
	_, err := c.source("awssecretsmanager://db-pass?timeout=50ms").Credential(t.Context(), "app")
	wantError(t, err, false, "did not answer within 50ms", "check the network")
}

func TestWhoAsksCanGiveUp(t *testing.T) {
	c := newCloud(t)
	arrived, release := c.secrets.Hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	s := c.source("awssecretsmanager://db-pass")
	failed := make(chan error)
	go func() {
		_, err := s.Credential(ctx, "app")
		failed <- err
	}()
	<-arrived
	cancel()
	wantError(t, <-failed, false, "canceled")

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Credential(ctx, "app")
	wantError(t, err, false, "deadline exceeded", "!within 10s") // the time was not ours
}

func TestAnswerThatIsNotOfAWSIsNotQuoted(t *testing.T) {
	c := newCloud(t)
	for _, body := range []string{"s3cr3t-", `{"SecretString":{"s3cr3t-1":2}}`, `{"SecretBinary":"s3cr3t-"}`} {
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", page(t, 200, body))
		_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
		wantError(t, err, false, "what answered is not AWS", "!s3c", "!illegal")
	}
	for _, scheme := range []string{"awssecretsmanager", "awsparamstore"} {
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", page(t, 200, "{}"))
		t.Setenv("AWS_ENDPOINT_URL_SSM", page(t, 200, "{}"))
		_, err := c.source(scheme+"://db-pass").Credential(t.Context(), "app")
		wantError(t, err, true, "the password is empty")
	}
}

func TestNoCredentialsMeansThatNobodyIsAsked(t *testing.T) {
	c := newCloud(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
	wantError(t, err, true, "awssecretsmanager://db-pass: no AWS credentials found", "aws sso login")
	_, err = c.source("awssecretsmanager://db-pass?profile=none").Credential(t.Context(), "app")
	wantError(t, err, true, `no profile "none"`, "aws configure list-profiles")
	if n := c.secrets.Count(""); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestCredentialsThatAWSRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   awsfake.Key
		parts []string
	}{
		{"expired", awsfake.Key{Secret: secretKey, SessionToken: "st", ARN: caller, Expires: time.Now().Add(-time.Minute)},
			[]string{"ExpiredTokenException", "renew AWS_SESSION_TOKEN"}},
		{"another secret key", awsfake.Key{Secret: "other", SessionToken: "st", ARN: caller},
			[]string{"InvalidSignatureException", "aws sts get-caller-identity"}},
		{"another session", awsfake.Key{Secret: secretKey, SessionToken: "other", ARN: caller},
			[]string{"UnrecognizedClientException", "aws sts get-caller-identity"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			t.Setenv("AWS_SESSION_TOKEN", "st")
			c.keys.Add(keyID, tt.key)
			_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
			wantError(t, err, true, append(tt.parts, "awssecretsmanager://db-pass")...)
		})
	}
}

func TestExplanationFitsIntoAnError(t *testing.T) {
	c := newCloud(t)
	long := "arn:aws:secretsmanager:us-east-1:123456789012:secret:" + strings.Repeat("ö/", 200) + "-a1B2c3"
	refused := tokens.Credential{User: strings.Repeat("\x01ü", 40), ID: "AWSPENDING " + strings.Repeat("0", 64)}
	for _, url := range []string{"awssecretsmanager://" + long, "awssecretsmanager://" + long + "?version_id=1", "awsparamstore://" + strings.Repeat("/ü", 500)} {
		text := c.source(url).(tokens.Explainer).Explain(t.Context(), "app", refused)
		if len(text) > 350 || !strings.Contains(text, "AWSPENDING") || strings.ToValidUTF8(text, "") != text {
			t.Errorf("explanation of %d bytes, want 350 at most: %q", len(text), text)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	s := c.secret("awssecretsmanager://db-pass")
	cred := read(t, s)
	if text := fmt.Sprintf("%v %+v %#v %+v %+v", s, s, s, s.store, cred); strings.Contains(text, mark) {
		t.Errorf("printed: %s", text)
	}
}

package awssecrets

import (
	"net/url"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
)

func TestParameterIsReadDecrypted(t *testing.T) {
	c := newCloud(t)
	c.parameters.Put("us-east-1", "/prod/db", `{"username":"app","password":"s3cr3t-1","host":"db.example.com","port":3306}`)
	s := c.source("awsparamstore:///prod/db")
	cred := read(t, s)
	if cred.User != "app" || cred.Password.Reveal() != "s3cr3t-1" || cred.Host != "db.example.com" || cred.Port != "3306" {
		t.Errorf("got %v with %s at %s:%s", cred.User, cred.Password.Reveal(), cred.Host, cred.Port)
	}
	if cred.ID != "version 1" {
		t.Errorf("got id %q, want version 1", cred.ID)
	}
	if all, allowed := c.parameters.Count(""), c.parameters.Count("GetParameter"); all != 1 || allowed != 1 {
		t.Errorf("%d requests, of them %d GetParameter, want one", all, allowed)
	}
}

func TestParameterIsFoundByEveryOfItsNames(t *testing.T) {
	c := newCloud(t)
	const arn = "arn:aws:ssm:us-east-1:123456789012:parameter/prod/db"
	for _, name := range []string{"name", "/prod/db"} {
		c.parameters.Put("us-east-1", name, "s3cr3t-"+name+"-1")
		c.parameters.Put("us-east-1", name, "s3cr3t-"+name+"-2\n")
		c.parameters.Label("us-east-1", name, 1, "stable")
	}
	for _, tt := range []struct{ name, parameter, password, id string }{
		{"name", "name", "s3cr3t-name-2", "version 2"},
		{"path", "/prod/db", "s3cr3t-/prod/db-2", "version 2"},
		{"percent-encoded", "%2Fprod%2Fdb", "s3cr3t-/prod/db-2", "version 2"},
		{"version", "name:1", "s3cr3t-name-1", "version 1"},
		{"percent-encoded version", "name%3A1", "s3cr3t-name-1", "version 1"},
		{"label", "/prod/db:stable", "s3cr3t-/prod/db-1", "version 1"},
		{"shared, by its ARN", arn, "s3cr3t-/prod/db-2", "version 2"},
		{"ARN and version", arn + ":1", "s3cr3t-/prod/db-1", "version 1"},
		{"percent-encoded ARN", url.QueryEscape(arn), "s3cr3t-/prod/db-2", "version 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred := read(t, c.source("awsparamstore://"+tt.parameter))
			if cred.Password.Reveal() != tt.password || cred.ID != tt.id {
				t.Errorf("got %q (%s), want %q (%s)", cred.Password.Reveal(), cred.ID, tt.password, tt.id)
			}
		})
	}
}

func TestChangedParameterIsSeen(t *testing.T) {
	c := newCloud(t)
	c.parameters.Put("us-east-1", "name", "s3cr3t-1")
	s := c.source("awsparamstore://name")
	read(t, s)
	c.parameters.Put("us-east-1", "name", "s3cr3t-2")
	if cred := read(t, s); cred.Password.Reveal() != "s3cr3t-2" || cred.ID != "version 2" {
		t.Errorf("got %s (%s), want s3cr3t-2 (version 2)", cred.Password.Reveal(), cred.ID)
	}
}

func TestParameterThatDoesNotExist(t *testing.T) {
	c := newCloud(t)
	c.parameters.Put("us-east-1", "/prod/db", "s3cr3t-1")
	for _, tt := range []struct {
		name, parameter string
		parts           []string
	}{
		{"no such name", "nothing?profile=", []string{"ParameterNotFound", "us-east-1", caller, "aws ssm describe-parameters --region us-east-1", "!begins with one"}},
		{"no slash at its beginning", "prod/db", []string{"ParameterNotFound", "awsparamstore:///prod/db"}},
		{"no such version", "/prod/db:7", []string{"ParameterVersionNotFound", "version 7"}},
		{"no such label", "/prod/db:stable", []string{"ParameterVersionNotFound", "version stable"}},
		{"another region", "/prod/db?region=eu-west-1", []string{"ParameterNotFound", "in eu-west-1", "--region eu-west-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.source("awsparamstore://"+tt.parameter).Credential(t.Context(), "app")
			wantError(t, err, true, tt.parts...)
		})
	}
}

func TestAnswersOfTheParameterStore(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666"
	for _, tt := range []struct {
		name    string
		refusal *awsfake.Refusal
		denied  bool
		parts   []string
	}{
		{"denied", awsfake.Denied, true, []string{caller + " may not ssm:GetParameter", "!KEY",
			`{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:us-east-1:123456789012:parameter/prod/db"}`}},
		{"key denied", refusal("AccessDeniedException", "User: "+caller+" is not authorized to perform: kms:Decrypt on resource: "+key+
			" because no identity-based policy allows the kms:Decrypt action"), true,
			[]string{caller + " may not kms:Decrypt", `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + key + `"}`, "policy of the KMS key"}},
		{"key unknown", refusal("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, "+
			"does not exist in this region, or you are not allowed to access."), true, []string{"kms:Decrypt", "KEY-ARN", caller}},
		{"key disabled", refusal("InvalidKeyId", ""), true, []string{"InvalidKeyId", "kms:Decrypt", "must be enabled", caller}},
		{"name that is not valid", refusal("ValidationException", "Invalid parameter name."), true, []string{"Invalid parameter name.", "check the name"}},
		{"throttled", awsfake.Throttled, false, []string{"Rate exceeded", "wait="}},
		{"out of order", refusal("InternalServerError", "An error occurred on the server side."), false, []string{"InternalServerError"}},
		{"down", awsfake.Down, false, []string{"Service is unavailable"}},
		{"cut", awsfake.Cut, false, []string{"ask http://127.0.0.1", "EOF", "check the network"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			c.parameters.Put("us-east-1", "/prod/db", "s3cr3t-1")
			c.parameters.Fail(tt.refusal)
			_, err := c.source("awsparamstore:///prod/db").Credential(t.Context(), "app")
			wantError(t, err, tt.denied, append(tt.parts, "awsparamstore:///prod/db: ")...)
		})
	}
}

func refusal(code, message string) *awsfake.Refusal {
	return &awsfake.Refusal{Status: 400, Code: code, Message: message}
}

func TestParameterIsExplained(t *testing.T) {
	c := newCloud(t)
	c.parameters.Put("us-east-1", "/prod/db", `{"username":"app","password":"s3cr3t-1"}`)
	s := c.source("awsparamstore:///prod/db").(*ParameterStore)
	text := s.Explain(t.Context(), "other", read(t, s))
	for _, part := range []string{`"app"`, "awsparamstore:///prod/db", "version 1", "not in the parameter"} {
		if !strings.Contains(text, part) {
			t.Errorf("explanation %q does not say %s", text, part)
		}
	}
}

package vault

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"dbvalet/tokens"
)

// An awsCaller is who shows Vault its identity with a request to STS.
type awsCaller struct {
	credentials func(context.Context) (aws.Credentials, error)
	region      string
	role        string // of Vault
	header      string // what Vault wants to see signed, so that nobody else can use the request; may be empty
}

// callerIdentity is what Vault sends to STS in our name, to learn who we are.
const callerIdentity = "Action=GetCallerIdentity&Version=2011-06-15"

// signedByAWS is the payload of https://developer.hashicorp.com/vault/api-docs/auth/aws#login, with
// the method iam: a request to STS that is signed here and sent by Vault.
func (s *Source) signedByAWS(ctx context.Context, c awsCaller) (map[string]any, error) {
	creds, err := c.credentials(ctx)
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return nil, &tokens.Error{Source: s.name, Err: fmt.Errorf("AWS credentials for %s: %w", s.login, e.Err), Advice: e.Advice, Denied: e.Denied}
	}
	if err != nil {
		return nil, &tokens.Error{Source: s.name, Err: fmt.Errorf("AWS credentials for %s: %w", s.login, err),
			Advice: `ask AWS who you are: "aws sts get-caller-identity"`}
	}
	address := "https://" + stsHost(c.region) + "/"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(callerIdentity))
	if err != nil {
		return nil, s.denied(errors.New("option region is no region"), "write it like eu-west-1")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if c.header != "" {
		r.Header.Set("X-Vault-AWS-IAM-Server-ID", c.header)
	}
	sum := sha256.Sum256([]byte(callerIdentity))
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), "sts", c.region, time.Now()); err != nil {
		return nil, s.denied(fmt.Errorf("sign the request for %s: %w", s.login, err), `ask AWS who you are: "aws sts get-caller-identity"`)
	}
	headers, err := json.Marshal(r.Header)
	if err != nil {
		return nil, err
	}
	return withRole(c.role, map[string]any{
		"iam_http_request_method": r.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(address)),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(callerIdentity)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(headers),
	}), nil
}

// stsHost returns the name that Vault has to have for the region, as its sts_endpoint. Without that
// setting it is the global one, which is signed for as us-east-1.
func stsHost(region string) string {
	switch {
	case region == "us-east-1":
		return "sts.amazonaws.com"
	case strings.HasPrefix(region, "cn-"):
		return "sts." + region + ".amazonaws.com.cn"
	}
	return "sts." + region + ".amazonaws.com"
}

// identityOfGCP is the payload of https://developer.hashicorp.com/vault/api-docs/auth/gcp#login: the
// machine's identity, from the metadata service of GCE, GKE and Cloud Run.
func (s *Source) identityOfGCP(ctx context.Context, role string) (map[string]any, error) {
	query := url.Values{"audience": {"http://vault/" + role}, "format": {"full"}}
	token, err := metadata.GetWithContext(ctx, "instance/service-accounts/default/identity?"+query.Encode())
	if err != nil {
		e := &tokens.Error{Source: s.name, Err: errors.New("the metadata service of Google Cloud does not answer"),
			Advice: "login=gcp works on GCE, GKE and Cloud Run; choose another login= elsewhere"}
		if refused, ok := errors.AsType[*metadata.Error](err); ok {
			e.Err = fmt.Errorf("the metadata service of Google Cloud answered %d", refused.Code)
		}
		if _, ok := errors.AsType[metadata.NotDefinedError](err); ok {
			e.Err = errors.New("this machine has no service account")
			e.Advice = "give it one: gcloud compute instances set-service-account NAME --service-account=…"
			e.Denied = true
		}
		return nil, e
	}
	return withRole(role, map[string]any{"jwt": strings.TrimSpace(token)}), nil
}

package gcp

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"path"

	"google.golang.org/api/secretmanager/v1"

	"dbvalet/tokens"
)

// A reader reads versions with one token.
type reader struct {
	*SecretManager
	adc   *adc
	token token
}

func (s *SecretManager) open(ctx context.Context) (*reader, error) {
	a, err := s.caller.find(ctx)
	if err != nil {
		return nil, describe(s.url, cloudPlatform, err)
	}
	t, err := s.caller.token(ctx, a, cloudPlatform)
	if err != nil {
		return nil, describe(s.url, cloudPlatform, err)
	}
	return &reader{s, a, t}, nil
}

// read asks for a version. The credential's ID is its number.
func (r *reader) read(ctx context.Context, version string) (tokens.Credential, error) {
	payload, number, err := r.access(ctx, version)
	if err != nil {
		return tokens.Credential{}, r.describeAccess(ctx, version, err)
	}
	cred, err := r.decoder.Credential(payload)
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		e.Source = r.url
		return tokens.Credential{}, e
	}
	if err != nil {
		return tokens.Credential{}, err
	}
	cred.ID = number
	r.log.Debug("read a secret", "secret", r.url, "id", number)
	return cred, nil
}

var (
	errDamaged = errors.New("the payload does not have the checksum that was sent with it")
	errForm    = errors.New("the answer is not a version of a secret")
)

// access returns the payload of a version, and its number.
// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
func (r *reader) access(ctx context.Context, version string) ([]byte, string, error) {
	x := &exchange{}
	api, err := secretmanager.NewService(ctx, r.caller.options(ctx, x, r.endpoint)...)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", secretAPI, err)
	}
	call := api.Projects.Secrets.Versions.Access(fmt.Sprintf("projects/%s/secrets/%s/versions/%s", r.project, r.secret, version)).Context(ctx)
	quota := r.adc.quotaProject()
	if len(r.caller.impersonate) > 0 {
		quota = "" // it is the user's, and a service account has its own
	}
	r.token.authorize(call.Header(), quota)
	res, err := call.Do()
	if err != nil {
		return nil, "", x.reason(ctx, err)
	}
	if res.Payload == nil {
		return nil, "", errForm
	}
	payload, err := base64.StdEncoding.DecodeString(res.Payload.Data)
	if err != nil {
		return nil, "", errForm // the text of err quotes a byte
	}
	// 0 is also what the client makes of a checksum that was not sent; emulators send none.
	sum := crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))
	if res.Payload.DataCrc32c != 0 && int64(sum) != res.Payload.DataCrc32c {
		return nil, "", errDamaged
	}
	return payload, path.Base(res.Name), nil
}

// describeAccess says why a version could not be read.
func (r *reader) describeAccess(ctx context.Context, version string, err error) *tokens.Error {
	answer, answered := errors.AsType[*refusal](err)
	if !answered || answer.passing() {
		e := describe(r.url, cloudPlatform, err)
		e.Err = fmt.Errorf("read version %s: %w", version, err)
		return e
	}
	email, _ := r.caller.principal(ctx, r.adc)
	who := cmp.Or(email, r.adc.String())
	e := r.denied(fmt.Errorf("read version %s as %s: %w", version, who, err), answer.advice(secretAPI))
	switch {
	case e.Advice != "":
	case answer.status == http.StatusForbidden:
		e.Err = fmt.Errorf("%s may not read version %s, or there is none", who, version)
		e.Advice = fmt.Sprintf(`run "gcloud secrets add-iam-policy-binding %s --member=%s --role=roles/secretmanager.secretAccessor --project=%s"`,
			r.secret, member(email), r.project)
	case answer.code == "NOT_FOUND":
		e.Advice = fmt.Sprintf(`see "gcloud secrets versions list %s --project=%s"`, r.secret, r.project)
	case answer.code == "FAILED_PRECONDITION" && version == latest:
		e.Advice = fmt.Sprintf(`the latest version is the one added last, enabled or not: add another with "gcloud secrets versions add %s --project=%s --data-file=-"`,
			r.secret, r.project)
	case answer.code == "FAILED_PRECONDITION":
		e.Advice = fmt.Sprintf(`run "gcloud secrets versions enable %s --secret=%s --project=%s", or name another version`, version, r.secret, r.project)
	default:
		e.Advice = "check the name of the secret, and endpoint= if there is one"
	}
	return e
}

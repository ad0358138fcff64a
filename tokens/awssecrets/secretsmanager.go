package awssecrets

import (
	"cmp"
	"context"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"dbvalet/tokens"
)

// The staging labels of a rotation.
const (
	current  = "AWSCURRENT"
	pending  = "AWSPENDING"
	previous = "AWSPREVIOUS"
)

// SecretsManager is a secret in AWS Secrets Manager. Calls may be concurrent.
type SecretsManager struct {
	*store[*secretsmanager.Client]
	stage     string // empty: not said
	versionID string // empty: not said

	last atomic.Pointer[string] // the id of the version that Credential returned last
}

var (
	_ tokens.Rotating  = (*SecretsManager)(nil)
	_ tokens.Explainer = (*SecretsManager)(nil)
)

// NewSecretsManager reads u, which begins with awssecretsmanager://. It asks nobody, and does not
// touch the SDK. Its errors are *tokens.Error.
//
// Without version_stage and version_id, the secret is the version AWSCURRENT.
func NewSecretsManager(u *tokens.SecretURL, o Options) (*SecretsManager, error) {
	s := &SecretsManager{stage: u.Option("version_stage"), versionID: u.Option("version_id")}
	var err error
	s.store, err = newStore(u, o, "secretsmanager:GetSecretValue", func(c aws.Config, endpoint string) *secretsmanager.Client {
		return secretsmanager.NewFromConfig(c, func(o *secretsmanager.Options) {
			if endpoint != "" {
				o.BaseEndpoint = &endpoint
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Credential returns what is in the secret. Who asks makes no difference.
func (s *SecretsManager) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	limited, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	stage := s.stage
	if !s.pinned() {
		stage = current
	}
	v, region, err := s.read(limited, stage, s.versionID)
	if err != nil {
		return tokens.Credential{}, s.describe(ctx, region, err)
	}
	s.last.Store(&v.id)
	return s.credential(v, stage)
}

// pinned reports whether the URL says which version is meant.
func (s *SecretsManager) pinned() bool { return s.stage != "" || s.versionID != "" }

// secretVersion is a version of the secret.
type secretVersion struct {
	id      string
	payload []byte
}

// read asks for a version. The region is empty where it did not come to that.
func (s *SecretsManager) read(ctx context.Context, stage, versionID string) (v secretVersion, region string, err error) {
	client, region, err := s.open(ctx)
	if err != nil {
		return v, "", err
	}
	in := &secretsmanager.GetSecretValueInput{SecretId: &s.name}
	if stage != "" {
		in.VersionStage = &stage
	}
	if versionID != "" {
		in.VersionId = &versionID
	}
	out, err := client.GetSecretValue(ctx, in)
	if err != nil {
		return v, region, err
	}
	v = secretVersion{id: aws.ToString(out.VersionId), payload: out.SecretBinary}
	if out.SecretString != nil {
		v.payload = []byte(*out.SecretString)
	}
	return v, region, nil
}

func (s *SecretsManager) credential(v secretVersion, stage string) (tokens.Credential, error) {
	cred, err := s.decode(v.payload)
	cred.ID = strings.TrimSpace(stage + " " + v.id)
	return cred, err
}

// Explain says which version of the secret was refused.
func (s *SecretsManager) Explain(_ context.Context, user string, refused tokens.Credential) string {
	gave := s.gave(cmp.Or(refused.User, user), refused)
	if s.pinned() {
		return gave + "; the URL asks for that version, which a rotation leaves behind: take version_id and version_stage out"
	}
	return gave + "; if it is being rotated, this is over in a minute; " +
		"else the password in the database is another, or the secret is another database's or user's"
}

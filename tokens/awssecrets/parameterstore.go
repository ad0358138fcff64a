package awssecrets

import (
	"cmp"
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"dbvalet/tokens"
)

// ParameterStore is a parameter of AWS Systems Manager. Calls may be concurrent.
type ParameterStore struct {
	*store[*ssm.Client]
}

var (
	_ tokens.Source    = (*ParameterStore)(nil)
	_ tokens.Explainer = (*ParameterStore)(nil)
)

// NewParameterStore reads u, which begins with awsparamstore://. It asks nobody, and does not touch
// the SDK. Its errors are *tokens.Error.
//
// A version or a label follows the parameter's name after a colon.
func NewParameterStore(u *tokens.SecretURL, o Options) (*ParameterStore, error) {
	s, err := newStore(u, o, "ssm:GetParameter", func(c aws.Config, endpoint string) *ssm.Client {
		return ssm.NewFromConfig(c, func(o *ssm.Options) {
			if endpoint != "" {
				o.BaseEndpoint = &endpoint
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return &ParameterStore{s}, nil
}

// Credential returns what is in the parameter. Who asks makes no difference.
func (s *ParameterStore) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	limited, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	client, region, err := s.open(limited)
	if err != nil {
		return tokens.Credential{}, s.describe(ctx, "", err)
	}
	out, err := client.GetParameter(limited, &ssm.GetParameterInput{Name: &s.name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return tokens.Credential{}, s.describe(ctx, region, err)
	}
	if out.Parameter == nil {
		out.Parameter = &types.Parameter{} // which is empty, and that is an error
	}
	cred, err := s.decode([]byte(aws.ToString(out.Parameter.Value)))
	cred.ID = "version " + strconv.FormatInt(out.Parameter.Version, 10)
	return cred, err
}

// Explain says which version of the parameter was refused.
func (s *ParameterStore) Explain(_ context.Context, user string, refused tokens.Credential) string {
	return s.gave(cmp.Or(refused.User, user), refused) +
		"; the password in the database is another: it was changed there and not in the parameter, " +
		"or the parameter is another database's or user's"
}

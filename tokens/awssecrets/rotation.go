package awssecrets

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"dbvalet/tokens"
)

// Others returns the version that a rotation will make current, and the one that was current before
// the last one. A version that was the current one when Credential was called is left out, and so is
// one without a password: rotations are abandoned half way.
//
// Where the URL says which version is meant, there are no others. There is an error only where AWS did
// not give any: a policy may allow one stage and not the other.
func (s *SecretsManager) Others(ctx context.Context, _ string) ([]tokens.Credential, error) {
	if s.pinned() {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var seen []string
	if last := s.last.Load(); last != nil {
		seen = append(seen, *last)
	}
	var creds []tokens.Credential
	var failure error
	for _, stage := range []string{pending, previous} {
		v, region, err := s.read(limited, stage, "")
		if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
			continue
		}
		if err != nil {
			described := s.describe(ctx, region, err)
			s.log.Debug("left out a version of a secret", "secret", s.source, "id", stage, "err", described)
			failure = cmp.Or(failure, error(described))
			continue
		}
		if slices.Contains(seen, v.id) {
			continue
		}
		seen = append(seen, v.id)
		cred, err := s.credential(v, stage)
		if err != nil {
			s.log.Debug("left out a version of a secret", "secret", s.source, "id", cred.ID, "err", err)
			continue
		}
		creds = append(creds, cred)
	}
	if len(creds) > 0 {
		return creds, nil
	}
	return nil, failure
}

package awssecrets

import (
	"context"

	"dbvalet/tokens"
)

var (
	_ tokens.Identifier = (*SecretsManager)(nil)
	_ tokens.Identifier = (*ParameterStore)(nil)
)

// Identify says who asks the store, and in which region.
func (s *store[Client]) Identify(ctx context.Context) (tokens.Identity, error) {
	return s.aws.Identify(ctx, s.source)
}

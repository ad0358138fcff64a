package awsdsql

import (
	"context"

	"dbvalet/tokens"
)

var _ tokens.Identifier = (*Source)(nil)

// Identify says who signs, and for which region.
func (s *Source) Identify(ctx context.Context) (tokens.Identity, error) {
	who, err := s.options.AWS.Identify(ctx, s.name())
	who.Region = s.options.Region
	return who, err
}

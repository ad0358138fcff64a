package azure

import (
	"context"

	"dbvalet/tokens"
)

var _ tokens.Identifier = (*Source)(nil)

// Identify says for whom tokens are. Only a token says that.
func (s *Source) Identify(ctx context.Context) (tokens.Identity, error) {
	token, err := s.token(ctx)
	if err != nil {
		return tokens.Identity{}, err
	}
	who := parseClaims(token.Token)
	identity := tokens.Identity{Principal: who.principal(), Account: who.TenantID}
	if who.ObjectID != "" && who.ObjectID != identity.Principal {
		identity.From = "object " + who.ObjectID
	}
	return identity, nil
}

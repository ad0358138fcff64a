package gcp

import (
	"context"

	"dbvalet/tokens"
)

var (
	_ tokens.Identifier = (*Source)(nil)
	_ tokens.Identifier = (*SecretManager)(nil)
)

// Identify says for whom tokens are. Of gcloud's user only the file is known.
func (s *Source) Identify(ctx context.Context) (tokens.Identity, error) {
	return s.caller.identify(ctx, s.name(), s.service.scope)
}

// Identify says who asks Secret Manager.
func (s *SecretManager) Identify(ctx context.Context) (tokens.Identity, error) {
	return s.caller.identify(ctx, s.url, cloudPlatform)
}

func (c *caller) identify(ctx context.Context, source, scope string) (tokens.Identity, error) {
	a, err := c.find(ctx)
	if err != nil {
		return tokens.Identity{}, describe(source, scope, err)
	}
	who := tokens.Identity{From: "the metadata server"}
	if a.path != "" {
		who.From = a.path
	}
	if who.Principal, err = c.principal(ctx, a); err != nil {
		who.Unsaid = describe(source, scope, &loginError{a, err, true})
	}
	return who, nil
}

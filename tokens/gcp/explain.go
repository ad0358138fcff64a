package gcp

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"dbvalet/tokens"
)

// maxExplanation is how many bytes tokens.Explainer allows.
const maxExplanation = 350

// Explain says as whom the login was, and what must have been done before. It asks nobody: what is
// not known without, such as the user of gcloud, stays a word in capitals.
func (s *Source) Explain(_ context.Context, user string, refused tokens.Credential) string {
	engine := s.options.Engine
	name := cmp.Or(refused.User, DatabaseUser(engine, user))
	principal := cmp.Or(refused.ID, guess(engine, name))
	if own := DatabaseUser(engine, refused.ID); own != "" && own != name {
		return fmt.Sprintf("the token is for %s, whose database user is %s, but the login was as %s: correct USER in the route", principal, own, name)
	}
	if n := maxUser(engine); len(name) > n {
		return fmt.Sprintf("the user %s is longer than the %d bytes that the engine keeps: use a principal with a shorter name", name, n)
	}
	text, separator := "the login was as "+name, ". Check: "
	for _, part := range []string{
		"gcloud projects add-iam-policy-binding PROJECT --member=" + member(principal) + " --role=" + s.service.role,
		s.service.user(engine, cmp.Or(principal, "EMAIL")),
		"database flag " + s.service.flag(engine),
	} {
		if len(text)+len(separator)+len(part) <= maxExplanation {
			text += separator + part
			separator = "; "
		}
	}
	return text
}

// guess returns the principal that a database user of PostgreSQL is the name of, and "" for MySQL,
// where half of it is missing.
func guess(engine, user string) string {
	name, domain, ok := strings.Cut(user, "@")
	switch {
	case engine == mysql || !ok || name == "":
		return ""
	case strings.HasSuffix(domain, ".iam"), domain == "developer", domain == "appspot":
		return user + serviceAccountSuffix
	}
	return user
}

package vault

import (
	"context"
	"fmt"
	"strings"

	"dbvalet/tokens"
)

// maxExplanation is what a client's error message has room for, in bytes.
const maxExplanation = 350

// Explain says where the refused credential came from, and where to look on. It asks nobody.
func (s *Source) Explain(_ context.Context, user string, refused tokens.Credential) string {
	if refused.User != "" {
		user = refused.User
	}
	s.mu.Lock()
	path := s.path
	if s.found != "" {
		path = s.found
	}
	s.mu.Unlock()
	role := path[strings.LastIndex(path, "/")+1:]
	var text string
	switch {
	case refused.Lease != nil:
		text = fmt.Sprintf("Vault made the user %q at %s (lease %s); check that it is made in this database: vault read %s/%s",
			user, path, refused.ID, rolesPath(path), role)
	case strings.HasPrefix(refused.ID, "rotated "):
		text = fmt.Sprintf("the password of %q is that of %s, %s; check the role, and rotate it if it was changed elsewhere: vault read %s/%s",
			user, path, refused.ID, rolesPath(path), role)
	case strings.HasPrefix(refused.ID, "version "):
		text = fmt.Sprintf("the password of %q is %s of %s; check that it is the one in the database: vault kv metadata get %s",
			user, refused.ID, path, kvPath(path))
	default:
		text = fmt.Sprintf("the password of %q is that in %s; check that it is the one in the database: vault read %s", user, path, path)
	}
	if len(text) > maxExplanation {
		text = strings.ToValidUTF8(text[:maxExplanation-len("…")], "") + "…"
	}
	return text
}

package azure

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"dbvalet/tokens"
)

const (
	maxExplanation = 350 // bytes, as tokens.Explainer says
	maxMySQLUser   = 32  // characters: https://dev.mysql.com/doc/refman/8.4/en/user-names.html
)

// Explain says for whom the refused token is, and what makes the database know the user. It asks
// nobody.
func (s *Source) Explain(_ context.Context, user string, refused tokens.Credential) string {
	who := parseClaims(refused.Password.Reveal())
	user = cmp.Or(refused.User, s.options.User, user)
	text := fmt.Sprintf("the token is for %s, the user is %q; it must be the principal's exact name, in the same case (for a group's member, the group's). If missing, an Entra admin runs ",
		cmp.Or(who.principal(), "an unknown principal"), user)
	if s.options.Engine == "mysql" {
		text += createMySQL(user, who)
	} else {
		text += fmt.Sprintf("in database postgres: select * from pgaadauth_create_principal(%s, false, false);", quote(user))
	}
	return clip(text, maxExplanation)
}

// createMySQL returns the statement that makes a user. An application is found by its client id, so
// that the user may have any name. Somebody with a long name needs a short one for the login.
func createMySQL(user string, who claims) string {
	switch long := utf8.RuneCountInString(user) > maxMySQLUser; {
	case who.app() && long:
		return fmt.Sprintf("SET aad_auth_validate_oids_in_tenant = OFF; CREATE AADUSER 'SHORT' IDENTIFIED BY %s; and the route says SHORT", quote(who.principal()))
	case who.app():
		return fmt.Sprintf("SET aad_auth_validate_oids_in_tenant = OFF; CREATE AADUSER %s IDENTIFIED BY %s;", quote(user), quote(who.principal()))
	case long:
		return fmt.Sprintf("CREATE AADUSER %s AS 'SHORT'; and the route says SHORT: over %d characters need an alias", quote(user), maxMySQLUser)
	}
	return fmt.Sprintf("CREATE AADUSER %s;", quote(user))
}

// quote makes a string of SQL, for somebody who copies it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// clip shortens s to at most limit bytes, between two characters.
func clip(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

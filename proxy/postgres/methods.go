package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// MethodPassword is the method that sends the credential as it is, which is the only one for a token.
const MethodPassword = "password"

// The other authentication methods, as libpq's require_auth names them. "none" is a database that
// asks for nothing.
const (
	methodMD5   = "md5"
	methodSCRAM = "scram-sha-256"
	methodNone  = "none"
)

var knownMethods = []string{MethodPassword, methodMD5, methodSCRAM, methodNone}

// Methods is the set of authentication methods that a route allows the database to ask for. The
// zero value allows all.
type Methods struct {
	allowed []string // nil: all
}

// ParseMethods reads require_auth as libpq does: a list of methods with commas between, of which one
// must be used, or each with "!" in front, of which none may be used.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
func ParseMethods(list string) (Methods, error) {
	if list == "" {
		return Methods{}, nil
	}
	names := strings.Split(list, ",")
	negated := strings.HasPrefix(names[0], "!")
	var named []string
	for _, name := range names {
		bare, not := strings.CutPrefix(name, "!")
		if not != negated {
			return Methods{}, fmt.Errorf("require_auth=%q mixes methods with and without \"!\"", list)
		}
		if !slices.Contains(knownMethods, bare) {
			return Methods{}, fmt.Errorf("require_auth: unknown method %q; there are %s", bare, strings.Join(knownMethods, ", "))
		}
		if slices.Contains(named, bare) {
			return Methods{}, fmt.Errorf("require_auth names %q twice", bare)
		}
		named = append(named, bare)
	}
	m := Methods{allowed: []string{}}
	for _, name := range knownMethods {
		if slices.Contains(named, name) != negated {
			m.allowed = append(m.allowed, name)
		}
	}
	return m, nil
}

// check returns an error if the database may not ask for method.
func (m Methods) check(method string) error {
	if m.allowed == nil || slices.Contains(m.allowed, method) {
		return nil
	}
	return loginError(
		fmt.Sprintf("if this is meant to be, allow it with require_auth=%s; an IAM token needs a user that the database knows as one (RDS: GRANT rds_iam TO the user)", method),
		"the database asks for authentication method %q, and the route allows %s", method, strings.Join(m.allowed, ", "))
}

// finish returns an error if the database may not be content with method, or with nothing, which is
// empty.
func (m Methods) finish(method string) error {
	if method == "" {
		return m.check(methodNone)
	}
	return nil
}

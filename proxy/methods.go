package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// Methods is the set of authentication methods that a route allows the database to ask for. The
// zero value allows all.
type Methods struct {
	allowed []string // nil: all
}

// ParseMethods reads require_auth as libpq does: a list of methods with commas between, of which one
// must be used, or each with "!" in front, of which none may be used. The methods that there are, are
// known.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
func ParseMethods(list string, known []string) (Methods, error) {
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
		if !slices.Contains(known, bare) {
			return Methods{}, fmt.Errorf("require_auth: unknown method %q; there are %s", bare, strings.Join(known, ", "))
		}
		if slices.Contains(named, bare) {
			return Methods{}, fmt.Errorf("require_auth names %q twice", bare)
		}
		named = append(named, bare)
	}
	m := Methods{allowed: []string{}}
	for _, name := range known {
		if slices.Contains(named, name) != negated {
			m.allowed = append(m.allowed, name)
		}
	}
	return m, nil
}

// Allow reports whether the database may ask for method.
func (m Methods) Allow(method string) bool {
	return m.allowed == nil || slices.Contains(m.allowed, method)
}

// Any reports whether the database may ask for whatever it likes, or for nothing.
func (m Methods) Any() bool { return m.allowed == nil }

// String lists what is allowed.
func (m Methods) String() string {
	if m.allowed == nil {
		return "any method"
	}
	return strings.Join(m.allowed, ", ")
}

// A MethodError is a database that asks for the credential in a way that the route does not allow: what
// it has for the user is something else than what the route logs in with.
type MethodError struct {
	Method  string // as the engine names it
	Allowed Methods
}

func (e *MethodError) Error() string {
	return fmt.Sprintf("the database asks for authentication method %q, and the route allows %s", e.Method, e.Allowed)
}

package postgres

import (
	"fmt"

	"dbvalet/proxy"
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

// ParseMethods reads require_auth.
func ParseMethods(list string) (proxy.Methods, error) { return proxy.ParseMethods(list, knownMethods) }

// check returns an error if the database may not ask for method.
func check(m proxy.Methods, method string) error {
	if m.Allow(method) {
		return nil
	}
	return proxy.LoginError(
		fmt.Sprintf("if this is meant to be, allow it with require_auth=%s; an IAM token needs a user that the database knows as one (RDS: GRANT rds_iam TO the user)", method),
		"%w", &proxy.MethodError{Method: method, Allowed: m})
}

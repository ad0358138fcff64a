package gcp

import "strings"

// The engines that spell database users.
const (
	postgres = "postgres"
	mysql    = "mysql"
)

// serviceAccountSuffix ends the email of every service account. PostgreSQL leaves it out of the user,
// because the name would be too long.
const serviceAccountSuffix = ".gserviceaccount.com"

// DatabaseUser returns the user that the principal is in a database, where principal may be the user
// already. PostgreSQL: the email without ".gserviceaccount.com". MySQL: what is before "@". Both are in
// lower case.
//
// https://cloud.google.com/sql/docs/postgres/add-manage-iam-users
// https://cloud.google.com/sql/docs/mysql/add-manage-iam-users
func DatabaseUser(engine, principal string) string {
	name := strings.ToLower(principal)
	if engine == mysql {
		name, _, _ = strings.Cut(name, "@")
		return name
	}
	return strings.TrimSuffix(name, serviceAccountSuffix)
}

// maxUser returns how many bytes of a user the engine keeps.
func maxUser(engine string) int {
	if engine == mysql {
		return 32
	}
	return 63
}

// member returns principal as IAM policies write it.
func member(principal string) string {
	switch {
	case principal == "":
		return "user:EMAIL"
	case isServiceAccount(principal):
		return "serviceAccount:" + principal
	}
	return "user:" + principal
}

func isServiceAccount(principal string) bool {
	return strings.HasSuffix(principal, serviceAccountSuffix)
}

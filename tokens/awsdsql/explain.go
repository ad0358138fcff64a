package awsdsql

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// Explain says who signed what, and what may be missing: the permission and the grant. Who we are takes
// a call of STS at most once per key.
//
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/using-database-and-iam-roles.html
func (s *Source) Explain(ctx context.Context, user string, refused tokens.Credential) string {
	caller := s.options.AWS.Identity(ctx)
	action, grant := "dsql:DbConnectAdmin", ""
	if user != admin {
		action = "dsql:DbConnect"
		grant = fmt.Sprintf(" and AWS IAM GRANT %s TO '%s'", quote(user), cmp.Or(awsconfig.Principal(caller), "arn:aws:iam::…:role/…"))
	}
	id, _, _ := strings.Cut(s.host, ".")
	resource := fmt.Sprintf("arn:%s:dsql:%s:%s:cluster/%s", awsconfig.Partition(s.options.Region), s.options.Region, awsconfig.Account(caller), id)
	return fmt.Sprintf(`signed by %s for %s@%s; needs {"Effect":"Allow","Action":%q,"Resource":%q}%s`,
		cmp.Or(awsconfig.Brief(caller), "access key "+refused.ID), user, s.host, action, resource, grant)
}

// quote writes a role as the manual does, and with quotes where it would be another without them.
func quote(role string) string {
	if strings.Trim(role, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		return role
	}
	return `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
}

package awsrds

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// Explain says who signed what, and what may be missing: the permission and the grant. RDS itself
// gives no reason. Who we are takes a call of STS at most once per key.
//
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
func (s *Source) Explain(ctx context.Context, user string, refused tokens.Credential) string {
	s.mu.Lock()
	was := s.signed
	s.mu.Unlock()
	caller := s.options.AWS.Identity(ctx)
	where := was.host + ":" + s.port
	if region, _ := Region(was.host); region != was.region { // otherwise the name says it
		where += " in " + was.region
	}
	resource := fmt.Sprintf("arn:%s:rds-db:%s:%s:dbuser:*/%s", awsconfig.Partition(was.region), was.region, awsconfig.Account(caller), user)
	return fmt.Sprintf(`signed by %s for %s@%s; needs {"Effect":"Allow","Action":"rds-db:connect","Resource":%q} and %s`,
		cmp.Or(awsconfig.Brief(caller), "access key "+refused.ID), user, where, resource, s.grant(was.host, user))
}

// grant is what makes the database ask IAM.
func (s *Source) grant(host, user string) string {
	switch {
	case isProxy(host):
		return "RDS Proxy that requires IAM authentication and has a secret for the user"
	case s.options.Engine == "mysql":
		return "CREATE USER " + quote(user, "'") + " IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
	}
	return "GRANT rds_iam TO " + quote(user, `"`)
}

func quote(s, mark string) string { return mark + strings.ReplaceAll(s, mark, mark+mark) + mark }

// Package awsdsql signs the tokens that Amazon Aurora DSQL takes in place of a password. It speaks
// PostgreSQL, and knows no other way to log in.
//
// # What a token is
//
// A token is a presigned URL without its scheme, as for RDS, but for the name of the cluster alone. It
// does not say the user: whoever may dsql:DbConnect can log in as each role that was granted to them in
// the database, and as admin who may dsql:DbConnectAdmin.
//
//	foo0bar1baz2quux3quuux4abc.dsql.eu-west-1.on.aws/?Action=DbConnect&X-Amz-Expires=900&…
//
// Signing takes no network; only the credentials may have to be fetched. DSQL looks at a token during
// the login and never again. It is good for 15 minutes here, or until the credentials that signed it
// expire, whichever comes first; DSQL would take a week.
//
// # What goes wrong, and is prevented here
//
//   - A token with the action of others is refused for the user admin, and the other way round. The
//     action follows from the user.
//   - The host must be the cluster's own name, which TLS needs too. Another name is refused, unless
//     the region is said, for names that are not known here.
//   - Dead credentials sign nothing.
//
// # Permission needed
//
// For the user admin the action is dsql:DbConnectAdmin. All others need, in the database, a role that
// may log in, and a grant:
//
//	{"Effect": "Allow", "Action": "dsql:DbConnect", "Resource": "arn:aws:dsql:eu-west-1:123456789012:cluster/foo0bar1baz2quux3quuux4abc"}
//
//	CREATE ROLE app WITH LOGIN;
//	AWS IAM GRANT app TO 'arn:aws:iam::123456789012:role/app';
//
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/authentication-authorization.html
package awsdsql

// Package awsrds signs the tokens that Amazon RDS, Aurora and RDS Proxy take in place of a password.
//
// # What a token is
//
// A token is a presigned URL without its scheme. It says "connect as this user to this host, this
// port, in this region", and is signed with AWS credentials:
//
//	db.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app&X-Amz-Expires=900&…
//
// Signing takes microseconds and no network; only the credentials may have to be fetched. RDS looks
// at a token during the login and never again. It is good for 15 minutes, or until the credentials
// that signed it expire, whichever comes first.
//
// # What goes wrong, and is prevented here
//
// RDS answers a bad token with "authentication failed" and no reason, and the SDK signs whatever it
// is given. So everything that makes a token useless is found before it is signed:
//
//   - The host must be the endpoint's own name, in lower case, without a dot at the end. A name of
//     one's own that is a CNAME of the endpoint is followed; an address is refused.
//   - The region must be the database's. The endpoint's name says it, but for Aurora global
//     endpoints.
//   - The credentials must be alive. They are renewed while they still have a minute, and dead
//     ones sign nothing.
//   - The user must be named.
//
// List says which databases there are that such tokens may be for. A CLI makes commands of the AWS CLI about one.
//
// Not prevented is what only AWS knows: whether the credentials may rds-db:connect, and whether the
// database user has rds_iam (PostgreSQL) or AWSAuthenticationPlugin (MySQL). Explain says that to who
// sees the database's refusal.
//
// # Permission needed
//
// The user is named as in the database, in the same case; * stands for the resource id of the database,
// which is not its name:
//
//	{"Effect": "Allow", "Action": "rds-db:connect", "Resource": "arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/app"}
//
// # Names
//
// The name of a CNAME is found with LookupCNAME, which sees the last name of a chain only. Where the
// endpoint's name is itself an alias, as for instances with a public address, the last name is not
// the endpoint: name the endpoint in the route then, and the other name in dial=.
//
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
package awsrds

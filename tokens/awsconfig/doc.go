// Package awsconfig says who dbvalet is to AWS: it loads the configuration of the AWS SDK, assumes
// roles, sees to it that credentials are alive, and explains why there are none. What signs tokens or
// asks AWS for secrets builds on it.
//
// # Configuration
//
// The SDK's own applies: AWS_PROFILE, AWS_REGION, the files under ~/.aws, SSO, web identity, the
// roles of containers and instances. It is loaded on first use, and again when one of its files has
// changed. Roles that a route names are assumed one after the other on top of that:
//
//	who the SDK says we are ──sts:AssumeRole──▶ first role ──sts:AssumeRole──▶ last role
//
// # What goes wrong, and is prevented here
//
//   - Dead credentials are handed out by the SDK, and a service answers with something else than
//     "expired". Credentials are renewed while they still have a minute, and dead ones are an error.
//   - The SDK's errors quote what a credential_process printed, which may be the secret key. They
//     are replaced.
//   - Keys of an assumed role travel in STS's answer. Over plain HTTP nothing is asked, but from this
//     machine and from the metadata services of instances and containers.
//
// # Permission needed
//
// For a role, two statements: one in a policy of the caller, one in the role's trust policy, where the
// external id is demanded, too:
//
//	{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::222222222222:role/db"}
//
//	{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::111111111111:role/app"},
//	 "Condition": {"StringEquals": {"sts:ExternalId": "…"}}}
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_permissions-to-switch.html
package awsconfig

// Package gcpconnector reaches Cloud SQL instances through Google's Go connector: instances that accept
// connectors only, have no address that one could know, or belong to another network.
//
// # What a connection is
//
// The Cloud SQL Admin API says where the instance is, and signs a client certificate for a key that
// never leaves this process. The IAM login token goes into the same request, so that the certificate
// stands for the login too. Then there is mutual TLS to port 3307, and inside it the bytes of the
// database as if there were no TLS:
//
//	dbvalet → Admin API    connectSettings, generateEphemeralCert(public key, login token)
//	dbvalet → instance     TLS 1.3 to :3307 with that certificate, PostgreSQL or MySQL inside
//
// The token is for logins only. A certificate is used for many connections, and replaced four minutes
// before it or the token ends, when somebody connects: a sidecar may have no processor time in between.
//
// # What goes wrong, and is prevented here
//
//   - The database's own TLS must not be started inside. Dial's connections are encrypted already.
//   - The connector of itself sends metrics to Cloud Monitoring, with a warning for everybody whose
//     role does not allow it. Not here.
//   - For users of gcloud, the connector would put a token into the certificate that is good for all of
//     Google Cloud. Package gcp makes one for logins only.
//   - GOOGLE_SDK_GO_LOGGING_LEVEL=debug makes the connector write the login token to stderr. It is
//     refused.
//   - One caller at a time asks for a certificate. The connector makes the others wait for that
//     without a look at their contexts.
//
// # Permissions
//
// cloudsql.instances.connect and cloudsql.instances.get, in roles/cloudsql.client, and to log in
// cloudsql.instances.login, in roles/cloudsql.instanceUser. The Cloud SQL Admin API must be enabled.
//
// List, which says which instances a project has, needs cloudsql.instances.list, in
// roles/cloudsql.viewer.
//
// https://cloud.google.com/sql/docs/postgres/connect-connectors
// https://cloud.google.com/sql/docs/postgres/iam-authentication
package gcpconnector

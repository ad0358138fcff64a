// Package gcp has what Google Cloud gives to log in to a database with: IAM tokens that Cloud SQL and
// AlloyDB take in place of a password, and passwords from Secret Manager. It is one of the packages
// that import Google's client libraries.
//
// # Who we are
//
// Application Default Credentials say it, in Google's own order: the file that
// GOOGLE_APPLICATION_CREDENTIALS names, gcloud's file, the metadata server. They are looked up anew
// for each credential, so that a file that was replaced is seen. A chain of service accounts may be
// impersonated from there.
//
// # What a token is
//
// An OAuth 2.0 access token with one scope, that of database logins. It goes as a cleartext password
// over TLS to the database's own port, and is looked at during the login only. New ones live for an
// hour; those of the metadata server have been kept there, and may have minutes left.
//
// # What goes wrong, and is prevented here
//
//   - A token with the scope cloud-platform is accepted as well, and the database that receives it could
//     do with it all that we may do. The scope is narrowed, also for users, where the library does not;
//     only the metadata server of a virtual machine may give more than it was asked for.
//   - The database user is not spelled like the principal, and each engine spells it differently.
//   - The library holds on to a token until it expires, and gives the same again when one with a
//     longer life is wanted. Here every call gets a new one.
//   - The library does not listen to contexts everywhere, takes "no metadata server" for an answer that
//     is final, and quotes in errors what it was sent, which may be a token.
//   - With GOOGLE_SDK_GO_LOGGING_LEVEL=debug the clients of APIs write the answers to stderr, secrets
//     included. Not here.
//   - A version of a secret that was damaged on the way is not used: its checksum is verified.
//
// Not prevented is what only Google knows: whether the principal may log in, and whether the
// database has such a user. Explain says what to look at.
//
// # Permissions
//
// cloudsql.instances.login, in roles/cloudsql.instanceUser; alloydb.clusters.login with others in
// roles/alloydb.databaseUser; secretmanager.versions.access, in roles/secretmanager.secretAccessor;
// to impersonate, iam.serviceAccounts.getAccessToken, in roles/iam.serviceAccountTokenCreator.
//
// https://cloud.google.com/sql/docs/postgres/iam-authentication
// https://cloud.google.com/alloydb/docs/connect-iam
// https://cloud.google.com/docs/authentication/application-default-credentials
// https://cloud.google.com/secret-manager/docs/reference/rest
package gcp

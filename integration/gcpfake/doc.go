// Package gcpfake is the part of Google Cloud that dbvalet talks to, on loopback and with accounts that
// exist in one test only:
//
//	POST /token                                     service account keys (JWT), refresh tokens of users
//	POST /sts                                       workload identity federation
//	GET  /computeMetadata/v1/instance/…             the metadata server
//	POST /v1/projects/-/serviceAccounts/…:generateAccessToken
//	GET  /v1/projects/…/secrets/…/versions/…:access
//
// It checks what the real one checks: signatures, audiences, scopes, bearers, who may do what. It
// answers with the documented JSON, errors included. Real client libraries are led to it by files
// with Application Default Credentials, which it writes, and by the environment:
//
//	GOOGLE_APPLICATION_CREDENTIALS                 a file of it
//	GCE_METADATA_HOST                              Host()
//	CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS URL
//	endpoint=… in the URL of a secret              URL
//
// https://developers.google.com/identity/protocols/oauth2/service-account
// https://cloud.google.com/compute/docs/metadata/overview
// https://cloud.google.com/iam/docs/reference/credentials/rest
// https://cloud.google.com/secret-manager/docs/reference/rest
package gcpfake

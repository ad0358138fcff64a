// Package azurefake is a Microsoft Entra ID for tests: the endpoints from which managed identities and
// service principals get their tokens, as Azure's documentation describes them, and the key with
// which a database verifies the tokens.
//
//	GET  URL?resource=…                             managed identity of an App Service
//	GET  http://169.254.169.254/metadata/identity/… managed identity of a virtual machine
//	GET  https://AUTHORITY/TENANT/v2.0/.well-known/openid-configuration
//	POST https://AUTHORITY/TENANT/oauth2/v2.0/token client secrets and federated tokens
//	GET  https://management.azure.com/subscriptions…  the servers that there are
//
// A program that runs by itself is sent to the first with the variables of Env. The others have fixed
// addresses, and are reached through the http.Client of Client only.
//
// https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
package azurefake

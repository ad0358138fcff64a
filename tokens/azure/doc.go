// Package azure gets the Microsoft Entra ID tokens that Azure Database for PostgreSQL and MySQL take
// in place of a password. It is the only package that imports Azure's SDK.
//
// # What a token is
//
// A token is a JSON Web Token for the resource "Azure OSSRDBMS Database". It says who somebody is,
// and not to which server or as which database user. The server looks the database user up, and
// compares the object id that it keeps with that in the token. A token lives for an hour or more,
// and is looked at during the login only.
//
// # Who we are
//
// azidentity's DefaultAzureCredential finds out: a service principal in AZURE_CLIENT_ID,
// AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH; the workload identity of
// a pod; the managed identity of this machine; whoever ran "az login". With a client id of its own, a
// route gets the workload identity or the managed identity of that id, and nothing else: a token of
// somebody else would only be refused by the database.
//
// # What goes wrong, and is prevented here
//
//   - The database user is the name of the principal, exactly and in the same case. Where the route
//     does not give it, it is read from the token, which says it in one of several places.
//   - The SDK's errors are pages long, and name each credential that does not exist. They become one
//     line, with the command that mends it.
//   - The SDK keeps tokens itself. One from its memory has less life left than a new one, so the
//     end of the token counts, and no date of issue is given.
//   - A managed identity answers over plain HTTP. That is done on this machine and on the link only.
//
// Not prevented is what only the database knows: whether it has that user, and whether Microsoft
// Entra authentication is on.
//
// List says which servers there are, and needs the role Reader for that. No Azure permission is needed to get a token. The database needs its user; docs/sources has the
// statements.
//
// https://learn.microsoft.com/azure/postgresql/flexible-server/how-to-configure-sign-in-azure-ad-authentication
// https://learn.microsoft.com/azure/mysql/flexible-server/how-to-azure-ad
package azure

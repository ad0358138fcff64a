// Package vault takes database credentials from HashiCorp Vault or OpenBao: auth=hashivault://PATH.
// PATH is that of the HTTP API without /v1/. It is the only package that imports the Vault client.
//
// # What there is behind a path
//
// The answer says what it is, and not the path:
//
//	secret/data/database        KV version 2: data.data and data.metadata
//	secret/database             KV version 1: data; or version 2 with its data/ left out
//	database/creds/ROLE         a lease: a database user made for this credential
//	database/static-creds/ROLE  the current password of a user that Vault rotates
//
// # What goes wrong, and is prevented here
//
//   - Each read of a dynamic role makes another database user. So only what is a new credential
//     reads, and the lease is given back when its last holder has gone: see [tokens.Lease].
//   - A lease ends when the token ends that made it, whatever the lease says of itself. So a
//     credential expires with its token if that comes first, and the token is renewed with the lease.
//     A login that is replaced is not revoked, because that would take the old leases with it.
//   - At the maximum TTL Vault still grants a renewal, only a shorter one each time. That is taken
//     as the end, so that another user is made while the old one still works.
//   - KV version 2 wants data/ in the path, which the vault command hides. Where the answer is that
//     of a path without it, the path with it is asked, and remembered.
//   - VAULT_SKIP_VERIFY, and http:// to another machine, would show the secret to others: refused.
//
// # Permission
//
// What is read needs "read", and a dynamic role also the renewal and the revocation of its leases,
// of which Vault's default policy allows the first:
//
//	path "database/creds/app"  { capabilities = ["read"] }
//	path "sys/leases/renew"    { capabilities = ["update"] }
//	path "sys/leases/revoke"   { capabilities = ["update"] }
//
// https://developer.hashicorp.com/vault/api-docs
package vault

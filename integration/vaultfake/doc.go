// Package vaultfake is as much of HashiCorp Vault's HTTP API as package vault uses, for tests: KV
// versions 1 and 2, the database engine's dynamic and static roles, leases, tokens and their
// children, and the logins AppRole, Kubernetes, JWT, AWS and GCP. Answers and errors have the form
// of the documentation and, where that is silent, of the server's source:
//
//	https://developer.hashicorp.com/vault/api-docs
//
// Hooks make and drop users in a real database. Time is the machine's, and Advance adds to it:
// leases and tokens end by themselves, and a token takes its leases along.
//
// A [Server] listens on loopback. Its methods may be called concurrently.
package vaultfake

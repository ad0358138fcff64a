// Package diagnose walks the way to a database step by step, to find the one that is in the way, and says
// what to do about it. It goes the way that package proxy goes for clients, with the same credentials, the
// same TLS and the same login, but it neither waits an outage out nor goes on to another host: the first
// failure is what somebody wants to see.
//
//	identity    who we are where the credential comes from   identity.go
//	credential  the credential itself                        identity.go
//	dns         the addresses behind the name                dns.go
//	tcp         a connection to each of them                 tcp.go
//	tls         the encryption, and whose certificate it is  tls.go
//	login       up to where the database takes commands      login.go
//	query       SELECT 1                                     session.go
//	clock       ours, compared with the others'              clock.go
//
// Behind the first step that fails, only those are taken that may explain it: where there is no credential,
// names are still looked up, and clocks are always compared as far as somebody said the time.
//
// Nothing here verifies a server, and nothing prints a secret: what is shown of a credential is what a log
// shows.
package diagnose

// Package tokens provides the credentials that dbvalet logs in to databases with: what they are,
// where they come from and how long they live. It knows nothing of databases and protocols, and
// imports only the standard library; each cloud's SDK has a package of its own below.
//
// # Parts
//
// A Credential is a user and a password. The password is a Secret, which does not print: it can be
// logged, formatted and marshaled by mistake, and shows "[redacted]".
//
// A Source makes credentials. Here are those that need no SDK:
//
//	Env    auth=env:NAME                        an environment variable
//	File   auth=file:/run/secrets/pw            a file, read anew for each credential
//	Exec   auth=exec:/usr/bin/my-helper --flag  a program that prints the password
//
// A source is simple: it may be slow, and remembers nothing. A Cache stands between the sources and
// the connections, and sees to the rest.
//
// # From a connection to a password
//
//	connection                 Cache                                Source
//	    |------ Credential ----->|                                    |
//	    |                        | good for a while yet? hand it out  |
//	    |                        | otherwise, one request for all     |
//	    |                        |------------ Credential ----------->|
//	    |<-----------------------|<-----------------------------------|
//	  login: the database refuses it
//	    |------ Refresh -------->|                                    |
//	    |                        | another connection has a new one?  |
//	    |                        | hand it out; otherwise ask again   |
//	    |                        |------------ Credential ----------->|
//	    |<-- a new one, or ------|<-----------------------------------|
//	    |    ErrUnchanged        |
//
// # Time
//
// Tokens expire by the wall clock of somebody else. Go's monotonic clock stands still while a laptop
// sleeps, so every time here is without its monotonic reading.
//
// # Failures
//
// A source that has no credential returns an *Error. Its Final tells apart a source that said no,
// where only somebody's action helps, from one that can't be reached just now. Its Hint is the next
// command. As long as the credential at hand is good, a failure is only a warning in the log: a
// token until it expires, and a password that was looked up, which does not expire by itself, until
// its store says no or the database does.
package tokens

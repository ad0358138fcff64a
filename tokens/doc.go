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
//	Env       auth=env:NAME                        an environment variable
//	File      auth=file:/run/secrets/pw            a file, read anew for each credential
//	Exec      auth=exec:/usr/bin/my-helper --flag  a program that prints the password
//
// A source is simple: it may be slow, and remembers nothing. A Cache stands between the sources and
// the connections, and sees to the rest. What secret stores keep, a bare password or JSON, is read by
// a Decoder, and where they keep it is said by a SecretURL.
//
// # From a connection to a session
//
//	connection                Attempt, Cache                         Source
//	    |------ Credential ----->|                                    |
//	    |                        | good for a while yet? hand it out  |
//	    |                        | otherwise, one request for all     |
//	    |                        |------------ Credential ----------->|
//	    |<-----------------------|<-----------------------------------|
//	  login: the database refuses it
//	    |------ Refused -------->|                                    |
//	    |                        | another connection got in since?   |
//	    |                        | hand that out; otherwise ask again |
//	    |                        |------------ Credential ----------->|
//	    |                        | nothing new?                       |
//	    |                        |------------ Others --------------->|
//	    |                        | still nothing, and it used to be   |
//	    |                        | accepted? wait, and ask again      |
//	    |<-- another one, or ----|                                    |
//	    |    what the database said
//	  login: the database accepts it
//	    |------ Accepted ------->|
//	  the session ends
//	    |------ Close ---------->|
//
// # Rotation
//
// While a password is replaced, there is a time in which the store and the database don't agree. Three
// things bridge it. A store with stages is asked for what it has beside the current version. The
// password that the database accepted last is remembered, for a store that moves first. And where
// neither opens the door, connections wait for some seconds until one does, before they are told.
//
// One connection tries at a time then, and the others wait for its outcome, so that a bad credential
// makes a few logins a second and not thousands: databases lock accounts.
//
// # Time
//
// Tokens expire by the wall clock of somebody else. Go's monotonic clock stands still while a laptop
// sleeps, so every time here is without its monotonic reading.
//
// A credential that is in use is renewed in the background when two thirds of its life are over. One
// that nobody has used twice is left alone, and fetched when it is needed.
//
// # Leases
//
// A credential may be borrowed: then it has a Lease, which counts those who hold it, the Cache and the
// sessions. It is given back when the last of them has let go.
//
// # Failures
//
// A source that has no credential returns an *Error. Its Final tells apart a source that said no,
// where only somebody's action helps, from one that can't be reached just now. Its Hint is the next
// command. As long as the credential at hand is good, a failure is only a warning in the log: a
// token until it expires, and a password that was looked up, which does not expire by itself, until
// its store says no or the database does.
package tokens

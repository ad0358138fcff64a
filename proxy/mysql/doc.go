// Package mysql is the proxy.Engine of the MySQL client/server protocol, version 10, for MySQL and
// MariaDB.
//
// The server speaks first, so the database is dialled before the client has said a word, and what the
// client is greeted with is the database's own greeting:
//
//	client            dbvalet             upstream
//	  |---- connect ---->|                   |          engine.go: does it stay?
//	  |                  |---- connect ----->|
//	  |                  |<---HandshakeV10---|          greeting.go
//	  |<---HandshakeV10--|                   |          its version, thread id, status; capability.go
//	  |---SSLRequest---->|                   |          hear.go; where the route's door has TLS
//	  |======= TLS ======|                   |
//	  |-HandshakeResponse41->|               |          response.go, password.go, names.go
//	  |                  |----SSLRequest---->|          tls.go
//	  |                  |======= TLS =======|
//	  |                  |-HandshakeResponse41->|       user and answer ours, everything else as it came
//	  |                  |<----- auth ------>|          login.go, plugins.go
//	  |<------- OK ------|<------- OK -------|          as it came, but for its number
//	  |<============== bytes ===============>|          package proxy, and relay.go
//	  |-COM_CHANGE_USER->|<----- auth ------>|          changeuser.go
//
// The client is never asked for the database's password. A route may have a local one, which is shown
// by caching_sha2_password; on others, whatever the client sends as one is ignored. Both sides have the
// same capabilities, so that the bytes between them need no change; the table in capability.go says for
// each why, or why not. After the login nothing is decoded: relay.go looks at the headers of what the
// client sends, for the one command that a client without a credential can't conduct, and infile.go at
// those of what the database sends, for a request for files that the client did not offer.
//
// Two things are not as on a direct connection. A client that sends COM_CHANGE_USER before it has read
// the answers to what it said before is not served right, for the first answer is taken for that of
// the change; no client library does so. And after a login that was tried again with another credential,
// the thread id of the greeting is not the session's: see handshake.greetedAgain.
//
// A server whose certificate nobody verified may prove itself after the login: see proof.go.
//
// A client that breaks off costs the database nothing: see Engine.Handshake and finish.go.
//
// Constants and the mixing of passwords with scrambles are go-mysql's. The packets are read here:
// exactly, never ahead, so that what somebody puts behind the greeting breaks the TLS handshake, and
// with a bound on every length.
//
//   - https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
//   - https://mariadb.com/docs/server/reference/clientserver-protocol
package mysql

// Package postgres is the proxy.Engine of the PostgreSQL frontend/backend protocol, version 3.
//
// It takes part in a connection until the database has accepted the login, and then once more to
// read the cancel key as it passes:
//
//	client          dbvalet           upstream
//	  |--SSLRequest--->|                 |
//	  |<---'S' or 'N'--|                 |           startup.go
//	  |====== TLS =====|                 |           localtls.go, where the Door has it
//	  |-StartupMessage>|                 |           admit.go
//	  |<--- SCRAM ---->|                 |           localpassword.go, where the route has a password
//	  |                |--SSLRequest---->|
//	  |                |<-----'S'--------|           tls.go
//	  |                |====== TLS ======|
//	  |                |-StartupMessage->|           user ours, everything else as it came
//	  |                |<---- auth ----->|           login.go, scram.go
//	  |<NegotiateProtocolVersion, AuthenticationOk|  as they came
//	  |<ParameterStatus, BackendKeyData, ReadyForQuery|  prologue.go, as they came
//	  |<============== bytes ===========>|           package proxy
//
// The client is never asked for the database's password. Who may not come in, or does not know the local
// password, is turned away before the database is contacted; only a secret that names a database of its
// own is looked at later. Both sides speak the protocol version that the client asked for and the database
// agreed to; the engine has none of its own.
//
// It never reads ahead: before TLS, bytes that an attacker put in front of the handshake would else
// be taken for bytes from inside it (CVE-2021-23222), and after the login the relay starts on the
// bare connections. Single messages are encoded and decoded with pgproto3, on top of the exact reads
// in message.go.
//
// https://www.postgresql.org/docs/current/protocol-flow.html
package postgres

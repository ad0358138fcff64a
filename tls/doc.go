// Package dbtls makes TLS connections toward a database and decides whether the server on the other
// end is the one that was asked for. It is the only place in the program where that check can be
// relaxed. The package is called dbtls because goimports takes a bare tls for crypto/tls.
//
// A login sends a password or a token that works for whoever holds it, so the question "who is
// this?" has to be answered before the first byte of it. The modes are libpq's sslmode with libpq's
// meaning, because that is what people know:
//
//	verify-full   signed by a trusted CA, and made out to the server's name   the default
//	verify-ca     signed by a trusted CA                                      needs a CA of one's own
//	require       encrypted; whoever answers is believed                      with a CA: as verify-ca
//	zero-config   encrypted; the server proves itself after the login         MariaDB from 11.4 on
//
// The last is not libpq's. It gives no connection that could be taken for a verified one: Handshake
// refuses it, and unproven.go says what HandshakeUnproven asks of its caller.
//
// The modes below require (disable, allow, prefer) do not exist here: the first sends the credential
// in clear, the others can be talked down to that by anybody on the way.
//
// What is trusted:
//
//	ca=FILE            the certificates in FILE and nothing else
//	ca=system          the system's roots and nothing else; verify-full only
//	nothing, an RDS    verify-full: the system's roots and the embedded roots of Amazon RDS
//	  endpoint         verify-ca: the embedded roots alone
//	nothing, others    verify-full: the system's roots
//	                   verify-ca: refused; anybody can have a certificate from a public CA
//
// Which name is compared in verify-full: the server name if one is set, else the host. A DNS name is
// compared with the certificate's DNS names, an IP address with its IP addresses, a name of the form
// project:instance with its common name, which is all that the older certificates of Google Cloud
// SQL have. A common name is never taken for a host name.
//
// One handshake, and where it is in the code:
//
//	Client.Handshake       client.go   the end of the context sets the connection's deadline
//	 ClientHello                       SNI, ALPN, the key share that the server took last time
//	 Client.verify         verify.go   on full and on resumed handshakes: dates, chain, key usage, name
//	 explain…              errors.go   which of these failed, what the certificate says, what to do
//
// What is not done here: the steps with which a protocol gets to TLS (PostgreSQL's SSLRequest,
// MySQL's greeting) belong to the engines. They must have read exactly their own bytes by then. A
// byte that somebody put between them and TLS then lands in the TLS record layer, which does not
// take it for anything, instead of in a buffer from which it would be read as if it had come
// encrypted (CVE-2021-23214, CVE-2021-23222).
//
// Local clients that ask for TLS are answered as NewLocal says, in local.go. Nothing of that concerns
// the database.
//
// Toward the database there are no client certificates, no revocation lists, and no pinning other
// than ca=FILE with the server's own certificate. The CA file is read once, by New.
//
//   - https://www.postgresql.org/docs/current/libpq-ssl.html
//   - https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
//   - https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
//   - https://cloud.google.com/sql/docs/postgres/configure-ssl-instance
package dbtls

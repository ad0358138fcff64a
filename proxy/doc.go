// Package proxy is what the protocols share: it accepts the connections of local clients, opens one
// connection to the database for each, and copies bytes between the two once an Engine has made
// both ready. It speaks no protocol itself.
//
// The two sides have the same names everywhere. The client is the local application; the upstream
// is the database. A connection is read from top to bottom in conn.go:
//
//	Server.Serve            server.go     room for one more (crowd.go), accept
//	 serveConn              conn.go       everything below is called from here, in this order
//	  deadline              conn.go       the set-up's time limit becomes the client's deadline
//	  admit                 admit.go      whose connection it is, and may they     stage peer
//	                                      come in; how many in a second            stage limit
//	  Engine.Handshake      <engine>/     the client's half, within TLS if it      stage client
//	                                      asks for that (client.go)
//	                        <engine>/     what the Door asks for (door.go)         stage peer
//	   Upstream.Begin       opening.go    places under the limits (limit.go)       stage limit
//	   Opening.Credential                 a credential                             stage credential
//	   Opening.Dial                       DNS and TCP                              stage dial
//	   Opening.Login                      the rest, and once more if it was refused
//	                        <engine>/     TLS in the protocol's own way            stage tls
//	                                      the login                                stage auth
//	  relay                 relay.go      both ways, half-close, byte counts       stage relay
//	  close                 conn.go       in the opposite order of opening
//
// A client that may not come in is heard by the engine all the same, as it is told so in its protocol's
// own words; but the Upstream that the engine is given for it refuses everything.
//
// Upstream.Connect is Begin and Login in one, for a protocol in which the client speaks first. Where
// the database does, the engine dials before it knows what the client wants.
package proxy

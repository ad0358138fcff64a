// Package tunnel dials by way of other machines: bastions that speak SSH, and proxies that speak SOCKS5
// or HTTP's CONNECT. Who dials gets a connection to the address that was asked for, and does with it
// what it would do with one of its own; nothing here looks at what is sent.
//
// A way is a list of hops. Each is reached through those before it:
//
//	          ┌ direct ┐  ┌ ssh channel ┐  ┌ ssh channel ┐
//	dbvalet ──┴────────┴─ ssh://bastion ┴─ ssh://inner ──┴─ database
//
// One SSH connection per bastion is shared by all that is dialled. It is opened when it is first needed,
// watched by keepalives, closed when nothing has used it for a while, and opened anew when it has
// broken. Its sessions end with it: they can't be moved to another.
//
// # Trust
//
// A bastion is trusted if its host key is in known_hosts, and never otherwise: there is nobody to ask.
// Passwords are not offered, and no agent is forwarded. A tunnel sees no more than a network does, for
// whoever dials through it goes on to encrypt and to verify the database itself.
//
// The settings of ssh_config(5) that decide where a host is and how one logs in there are honoured: see
// sshConfig.
//
// The package imports nothing of dbvalet's.
package tunnel

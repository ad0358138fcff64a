// Package peer tells who is at the other end of a local connection, and whether they may come in.
// There is no password on the client's side, so that this is what keeps the neighbours out of a port
// on a machine with several users. The package imports nothing of ours and knows no protocol.
//
// # Who it is
//
// On a unix socket the kernel noted who connected (SO_PEERCRED, LOCAL_PEERCRED). On TCP it notes
// nothing, but it knows whose every socket of the machine is, so it is asked for the client's:
//
//	Of                                        kernel
//	 | the client's socket: from its ip:port,   |
//	 |---- to ours (SOCK_DIAG_BY_FAMILY) ------>|  one look-up in the hash table of connections,
//	 |<--- uid, inode, state -------------------|  whatever number of sockets there is
//	 |---- our own socket's state (TCP_INFO) -->|
//	 |<--- still connected? --------------------|
//
// The second question is what makes the first one's answer worth something. A client can reset its
// connection, and somebody else's socket can then have the same pair of addresses, while our end is
// still waiting to be looked at. As long as our end is connected, nobody else can have the pair. For
// the same reason a socket counts only while it is connected and belongs to a process: the kernel
// calls the owner of one that was closed uid 0.
//
// There is no other way tried, such as reading /proc/net/tcp, which takes long where there are many
// sockets, or going through all of them. Where the kernel can't be asked, nobody is known.
// HolderOf does read it: it finds out who has a port, for an error message.
//
// # What the answer does not say
//
// It names the user who made the socket. What comes through a forwarder (ssh -L, docker-proxy,
// kubectl port-forward) comes from the forwarder's user. The process id is for the audit record: a
// process may end, and its number be given to another.
//
// The root of a user namespace is the user who made the namespace. If dbvalet itself runs in one,
// users without a number there all have the same, the overflow uid, and are taken for nobody.
//
// The kernel is asked in the network namespace in which this process asked first; the process has no
// business in another. A client of another network namespace, a container's on a bridge, is not
// known.
//
// # Who may come in
//
// A Policy is what a route's allow= says; ParsePolicy has the words. Every doubt is a no, but under
// the policy any, which asks nothing.
//
//   - https://man7.org/linux/man-pages/man7/sock_diag.7.html
//   - https://man7.org/linux/man-pages/man7/unix.7.html
//   - https://github.com/torvalds/linux/blob/master/net/ipv4/inet_diag.c
package peer

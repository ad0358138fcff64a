// Package harden gives up what the process does not need, so that there is little to gain from it.
//
// Process is for the very start: nobody else's debugger, no core file, no program that gains rights. Where
// that start is still to start a program for the user, Hide comes first and Process after it.
// Landlock is for the end of the start, when the ports are open and it is known what comes: the kernel
// then refuses everything that was not stated, whoever asks for it in this process.
//
//	main            Process     /proc/PID/environ, mem, maps and fd are root's; no core file
//	listeners open  Landlock    reads, writes, connects: as stated; runs nothing, listens to nothing new
//
// Both are a second line of defence, against a mistake in this program or in a library of it that
// somebody makes use of. They don't replace a user of its own for the process, a read-only file system,
// or a seccomp filter, such as containers and systemd set up.
//
// What Landlock leaves open, as of its ABI 7: UDP, Multipath TCP and other kinds of sockets than TCP
// (whoever runs code of his own here can make one), unix sockets that have a path, and whether a file
// exists, how long it is and whom it belongs to. TCP is told by ports, not by addresses.
//
// https://docs.kernel.org/userspace-api/landlock.html
// https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
package harden

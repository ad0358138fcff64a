// Package integration holds the tests of dbvalet as its users have it: the built program between
// real clients and real servers. See the package servers for where the servers come from.
package integration

// Package audit keeps a record of who had a session with which database: a line of JSON when a session
// begins and one when it ends, with the same id, and one for each connection that was refused or whose
// set-up failed. There is no SQL in it and no secret, and what clients call themselves is bounded.
//
// Records go to the standard output, to a file, or to syslog. Whatever these do, no session waits for
// them: records that can't be written are counted and lost, and the log says so.
package audit

package proxy

import "context"

// An Engine speaks one database protocol while a connection is being set up. After that the two
// sides are joined and the engine sees no more bytes, but for those that its protocol obliges it to
// watch.
type Engine interface {
	// Handshake serves client from its first byte until the database has accepted the login. It
	// reaches the database through up, and tells client about a failure in the protocol's own words
	// before it returns the error. It reads nothing beyond the handshake from either side.
	//
	// A client that may not come in, which its Refusal says, is heard as far as it must be to understand
	// that; up refuses everything then. A client that asks for TLS gets it where its Door has it.
	//
	// An engine says by Client.Turn and Client.Spoke for how long it waits for the client to say who it is.
	//
	// The end of ctx is the end of the time for all of it. A client that was served completely, such
	// as one that asked to cancel a query, or that left before it said anything, is a nil Session
	// and a nil error. The caller keeps client and closes it.
	Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error)
}

// A Session is a client and a database that an Engine has joined. User, Database, Application and
// SilentHint are for the log.
type Session struct {
	// Upstream is the connection to the database, logged in. The receiver of the Session closes it.
	Upstream *UpstreamConn
	// Prologue, if it is not nil, passes the first of what the database sends on to the client,
	// before the relay passes on the rest, and returns how many bytes that were. Client to upstream,
	// the relay is at work already.
	Prologue func() (int64, error)
	// Ended, if it is not nil, is called once when the session is over.
	Ended func()

	// Reply says what chunk, which is what the database sent last, means for who would end the session;
	// before is the few bytes before it. The prologue's end, and that of a login without one, is
	// complete. Nil: nobody knows, and the session is never idle.
	Reply func(before, chunk []byte) Reply
	// Unanswered, if it is not nil, returns how many of the bytes that were written to Upstream want no
	// answer. It may be called at any time.
	Unanswered func() int64
	// Farewell returns what an idle client is told whose session is ended, as the answer to its next
	// command. Nil: nothing.
	Farewell func(*Farewell) []byte
	// Quit is how a client takes leave of the database.
	Quit []byte

	User        string // the database user
	Database    string // as the client named it, or the route
	Application string // what the client calls itself
	// SilentHint is advice for a client that leaves after the login without having sent a byte.
	SilentHint string
	// Traffic is the relay's to write.
	Traffic Traffic
}

// Reply is what the last bytes of a database say about its answer to the client.
type Reply int

const (
	// ReplyUnfinished is an answer of which more is to come, or of which nobody knows.
	ReplyUnfinished Reply = iota
	// ReplyComplete is an answer that is complete, outside a transaction.
	ReplyComplete
	// ReplyInTransaction is an answer that is complete, within a transaction.
	ReplyInTransaction
	// NoReply is something that nobody asked for, and that a database says only when it is idle.
	NoReply
)

// reply is Reply, of an engine that may have none.
func (s *Session) reply(before, chunk []byte) Reply {
	if s.Reply == nil {
		return ReplyUnfinished
	}
	return s.Reply(before, chunk)
}

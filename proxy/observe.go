package proxy

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/google/uuid"

	"dbvalet/peer"
)

// An Observer is told what becomes of a Server's connections: for metrics, traces and the audit.
type Observer interface {
	// Observe is called by the connection's own goroutine, so that it must not block. It may read r
	// until it returns, and changes nothing in it.
	Observe(event Event, r *Record)
}

// Observers are told one after the other.
type Observers []Observer

var _ Observer = Observers(nil)

// Observe tells all of them.
func (o Observers) Observe(event Event, r *Record) {
	for _, one := range o {
		one.Observe(event, r)
	}
}

// An Event is what an Observer is told.
type Event string

// The events of a connection: either one of the first two, or SessionStart and later SessionEnd. A client
// that was served without a session, such as one that asked to cancel a query, is Served.
const (
	Served       Event = "served"
	Refused      Event = "refused" // or the set-up has failed; Record.Err says why
	SessionStart Event = "session_start"
	SessionEnd   Event = "session_end"
)

// A Record is what is known of a connection.
type Record struct {
	ID       string // of all connections of all proxies, a UUID of version 7
	Accepted time.Time
	Listener string // the address where the client came in
	Client   string // its address, or "unix"
	Peer     peer.Peer
	PID      int    // of the client; 0: not known
	Program  string // of the client; empty: not known

	Steps []Step        // of the set-up
	SetUp time.Duration // from accept to SessionStart or Refused
	// Upstream is the address that the session is with, or that was dialled in vain.
	Upstream string
	// Session is nil where there is none.
	Session *Session
	// Err is why there is no session, or at SessionEnd why it ended; nil: as sessions do.
	Err error
	// Duration is from accept to SessionEnd.
	Duration time.Duration
}

// Stage is where Err ended the connection.
func (r *Record) Stage() Stage {
	if r.Session != nil {
		return StageRelay
	}
	return stageOf(r.Err)
}

// Took returns how long all steps of a stage took together, and false if there was none.
func (r *Record) Took(stage Stage) (took time.Duration, ok bool) {
	for _, step := range r.Steps {
		if step.Stage == stage {
			took, ok = took+step.Took, true
		}
	}
	return took, ok
}

// newRecord begins the record of a connection that was just accepted.
func newRecord(conn net.Conn) *Record {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.UUID{} // the system has no random numbers, and there will be no TLS either
	}
	return &Record{ID: id.String(), Accepted: time.Now(), Listener: conn.LocalAddr().String(), Client: clientName(conn)}
}

// observe tells the Observer, if there is one.
func (s *Server) observe(event Event, r *Record) {
	if s.Observer != nil {
		s.Observer.Observe(event, r)
	}
}

// setUp notes how the set-up has ended: with a session, with err, or with neither.
func (r *Record) setUp(steps *steps, session *Session, err error) {
	r.SetUp = time.Since(r.Accepted)
	r.Steps, r.Upstream = steps.copy()
	r.Session, r.Err = session, err
	if session != nil {
		r.Upstream = session.Upstream.RemoteAddr().String()
		r.Err = errPanicked // until the relay has returned
	}
}

// ended notes how the session has ended.
func (r *Record) ended(err error) {
	r.Duration, r.Err = time.Since(r.Accepted), err
}

var errPanicked = errors.New("panic, and the connection is closed; the log says where")

// An identity is what is known of a client's process.
type identity struct {
	peer    peer.Peer
	pid     int    // 0: not known
	program string // empty: not known
}

// identify notes who the client is, once that has been found.
func (r *Record) identify(found <-chan identity) {
	who := <-found
	r.Peer, r.PID, r.Program = who.peer, who.pid, who.program
}

// identity returns the attributes of the log that say who the client is.
func (r *Record) identity() []any {
	attrs := []any{"peer", r.Peer}
	if r.PID != 0 {
		attrs = append(attrs, slog.Group("process", "pid", r.PID, "program", r.Program))
	}
	return attrs
}

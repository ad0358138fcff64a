package proxy

import (
	"crypto/tls"
	"time"
)

// A Probe is what a login that is made for its own sake has found out. The engine that makes it fills it
// in as it gets on: after an error, what comes behind it is empty.
type Probe struct {
	TLS     *tls.ConnectionState // nil: there is none yet, or it is within a tunnel
	TLSTook time.Duration

	LoggedIn  bool          // up to where commands are taken
	LoginTook time.Duration // without TLS
	Method    string        // by which the database asked for the credential; empty: for none
	Server    string        // its version

	Answered  bool          // SELECT 1
	QueryTook time.Duration // its round trip

	// Clock is the time at the server when it was ClockAt here; zero: it did not say.
	Clock, ClockAt time.Time
}

// Took notes in took how long it is from the call to that of the function that it returns.
func Took(took *time.Duration) (done func()) {
	began := time.Now()
	return func() { *took = time.Since(began) }
}

// Tell notes the server's clock. The question was asked at began, and its answer has just come.
func (p *Probe) Tell(clock, began time.Time) {
	p.Clock, p.ClockAt = clock, began.Add(time.Since(began)/2).Round(0)
}

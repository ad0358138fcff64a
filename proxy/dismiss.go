package proxy

import (
	"context"
	"time"
)

// A Farewell is why a session is ended that could go on. It is an error of the client's connection.
type Farewell struct {
	// Text says why, in lower case and without a full stop.
	Text string
	// Advice is the next step for who reads it; it may be empty.
	Advice string
	// Silence says that the reason is the client's own silence.
	Silence bool
}

func (f *Farewell) Error() string { return f.Text }

// Hint returns the next step.
func (f *Farewell) Hint() string { return f.Advice }

// tellTime is how long a session has at the end of its grace to notice that it is over, with all others and
// on a busy machine.
const tellTime = time.Second

// Dismiss ends the sessions that which chooses, nil being all of them, and returns when they have ended:
// also those that begin while it waits, as a client that is being set up does when the listener is closed
// already. A client that is idle is told why at once, and any other one as soon as it is idle outside a
// transaction. After grace, transactions are waited for no more, and the connections of those that are
// still not idle a second later are closed without a word.
//
// A client that was told has a moment to close its side. Nothing that it sends is passed on to the
// database from then on: a command to which why is the answer was not executed.
//
// If ctx ends first, Dismiss returns its error, and the sessions still end when they are idle.
func (s *Server) Dismiss(ctx context.Context, which func(*Session) bool, why *Farewell, grace time.Duration) error {
	if which == nil {
		which = func(*Session) bool { return true }
	}
	d := &dismissal{which: which, wish: &wish{why: why, firm: true}}
	defer s.sessions.forget(d)

	s.sessions.wish(d, d.wish)
	if s.sessions.await(ctx, d, grace) {
		return nil
	}
	s.sessions.wish(d, &wish{why: why, firm: true, transactions: true})
	if s.sessions.await(ctx, d, tellTime) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.sessions.cut(d, why)
	for !s.sessions.await(ctx, d, time.Minute) {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// A dismissal is a Dismiss that waits.
type dismissal struct {
	which func(*Session) bool
	wish  *wish // of the sessions that begin
}

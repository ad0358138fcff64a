package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A talk is a session at work. Two goroutines copy, one in each direction, and each of them is the only
// one that writes to its side. So whoever wants the session to end says so with a wish, and wakes the one
// that copies to the client: that one knows what the database said last, and is never in the middle of it
// when it says farewell. As long as nobody wishes anything, all of this costs a few counters.
type talk struct {
	session *Session
	client  net.Conn
	cut     context.CancelCauseFunc // ends it without a word
	record  *Record                 // of the connection
	ended   chan struct{}           // closed when everything of the session is closed

	fromClient, fromUpstream *atomic.Int64 // of the session's Traffic
	heard                    atomic.Int64  // of the client's bytes, those that came before the database's last
	gate                     atomic.Int32
	wish                     atomic.Pointer[wish]

	knock   chan struct{} // closed when the client, to be told farewell, sends something or leaves
	knocked sync.Once

	mu      sync.Mutex
	pumping bool      // and so to be woken for a wish
	told    *Farewell // nil: nothing

	// Of the goroutine that copies to the client.
	heardBefore  int64           // heard, at the time of the database's last but one
	before, tail [tailBytes]byte // what came before the last that was read, and its own end

	watch watchedTalk
}

// tailBytes is how much is remembered of what came before the last that was read: a message may be cut
// anywhere.
const tailBytes = 16

// A wish is that a session end.
type wish struct {
	why          *Farewell
	transactions bool  // even within a transaction
	firm         bool  // of a Dismiss, which no limit replaces
	once         bool  // now, or not at all
	bytes        int64 // with once: as many have moved, and no more since
}

// States of the gate, which decides whose word is the last: the client's next command, or the farewell.
// What the client sends is counted before the gate is looked at, and the gate is closed before the count
// is: so one of the two sees the other.
const (
	gateOpen    = iota
	gateClosing // wait for what is decided
	gateShut    // nothing of the client's is passed on any more
)

// longAgo, as a deadline, wakes whoever waits.
var longAgo = time.Unix(1, 0)

func newTalk(client net.Conn, s *Session) *talk {
	return &talk{
		session: s, client: client, fromClient: &s.Traffic.FromClient, fromUpstream: &s.Traffic.FromUpstream,
		ended: make(chan struct{}), knock: make(chan struct{}), cut: func(error) {},
	}
}

// begin makes a talk of r's session, and has it known. It ends with ctx, or by its cut.
func (s *Server) begin(ctx context.Context, client net.Conn, r *Record) (context.Context, *talk) {
	t := newTalk(client, r.Session)
	t.record = r
	ctx, t.cut = context.WithCancelCause(ctx)
	t.watch = s.watchFrom(time.Now())
	s.sessions.add(t)
	s.watchLimits()
	return ctx, t
}

// bytes returns how many bytes have moved.
func (t *talk) bytes() int64 { return t.fromClient.Load() + t.fromUpstream.Load() }

// asked returns how many of the client's bytes want an answer.
func (t *talk) asked() int64 {
	n := t.fromClient.Load()
	if t.session.Unanswered != nil {
		n -= t.session.Unanswered()
	}
	return n
}

// ask makes w what is wished.
func (t *talk) ask(w *wish) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.wish.Load(); old != nil && old.firm && !w.firm {
		return
	}
	t.wish.Store(w)
	if t.pumping && t.told == nil {
		_ = t.session.Upstream.SetReadDeadline(longAgo)
	}
}

// begin notes that the goroutine that copies to the client can be woken now.
func (t *talk) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pumping = true
	if t.wish.Load() != nil {
		_ = t.session.Upstream.SetReadDeadline(longAgo)
	}
}

// farewell returns what the client has been told, nil for nothing.
func (t *talk) farewell() *Farewell {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.told
}

// dismissed returns why the session was ended that has ended, nil if it ended by itself. ctx is the one
// that cut ends.
func (t *talk) dismissed(ctx context.Context) *Farewell {
	if told := t.farewell(); told != nil {
		return told
	}
	why, _ := errors.AsType[*Farewell](context.Cause(ctx))
	return why
}

// fulfil ends the talk as w wishes, if it is idle: from then on, nothing that the client sends is passed
// on. chunk is what the database said last.
func (t *talk) fulfil(w *wish, chunk []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gate.Store(gateClosing)
	if t.idle(w, chunk) {
		t.gate.Store(gateShut)
		t.told = w.why
		return true
	}
	t.gate.Store(gateOpen)
	if w.once {
		t.wish.CompareAndSwap(w, nil)
	}
	return false
}

// idle reports whether the database's answer is complete, and the client has sent nothing since.
func (t *talk) idle(w *wish, chunk []byte) bool {
	if w.once && t.bytes() != w.bytes {
		return false
	}
	reply, heard := ReplyComplete, t.heard.Load()
	if len(chunk) > 0 {
		reply = t.session.reply(t.before[:], chunk)
	}
	switch reply {
	case ReplyUnfinished:
		return false
	case ReplyInTransaction:
		if !w.transactions {
			return false
		}
	case NoReply:
		heard = t.heardBefore
	}
	return t.asked() <= heard
}

// fromClientSide is the pump's view of what the client sends.
type fromClientSide struct {
	*talk
	left bool // the database has been told goodbye
}

var _ side = (*fromClientSide)(nil)

func (t *fromClientSide) read(chunk []byte) (pass, last bool) {
	t.fromClient.Add(int64(len(chunk)))
	if t.gate.Load() == gateOpen || t.farewell() == nil {
		return true, false
	}
	t.knocks()
	return false, false
}

func (t *fromClientSide) passed([]byte) {}

// knocks ends the wait for the client's next word.
func (t *talk) knocks() { t.knocked.Do(func() { close(t.knock) }) }

// woken is called after the farewell. What the client still sends is read until it has ended its side,
// for else the kernel would reset the connection, and the client would lose what it was told.
func (t *fromClientSide) woken(_ []byte, err error) error {
	if !t.takeLeave() {
		return err
	}
	_ = t.client.SetReadDeadline(time.Now().Add(lingerTime))
	return nil
}

// takeLeave tells the database goodbye if the client has been told farewell, once. It returns false if
// there is nothing to do.
func (t *fromClientSide) takeLeave() bool {
	if t.left || t.farewell() == nil {
		return false
	}
	t.left = true
	if quit := t.session.Quit; quit != nil {
		_, _ = t.session.Upstream.Write(quit) // it is idle; if it is gone, the better
	}
	closeWrite(t.session.Upstream.Conn)
	return true
}

// fromUpstreamSide is the pump's view of what the database sends.
type fromUpstreamSide struct{ *talk }

var _ side = fromUpstreamSide{}

func (t fromUpstreamSide) read(chunk []byte) (pass, last bool) {
	t.heardBefore = t.heard.Load()
	t.heard.Store(t.asked())
	t.before = t.tail
	if w := t.wish.Load(); w != nil {
		last = t.fulfil(w, chunk)
	}
	return true, last
}

func (t fromUpstreamSide) passed(chunk []byte) {
	t.fromUpstream.Add(int64(len(chunk)))
	n := copy(t.tail[:], t.tail[min(len(chunk), tailBytes):])
	copy(t.tail[n:], chunk[max(len(chunk)-tailBytes, 0):])
}

// woken is called for a wish.
func (t fromUpstreamSide) woken(chunk []byte, _ error) error {
	t.mu.Lock()
	w := t.wish.Load()
	_ = t.session.Upstream.SetReadDeadline(time.Time{})
	t.mu.Unlock()
	if w != nil && t.fulfil(w, chunk) {
		return errFarewell
	}
	return nil
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"
)

// ErrUnavailable is what a Login's error matches when the database says that it takes nobody for the
// moment: it starts, stops or recovers.
var ErrUnavailable = errors.New("the database takes no logins at the moment")

// ErrAbsent is what an error matches when something accepted the connection and ended it before it had
// said anything, as a forwarded port does behind which nothing listens.
var ErrAbsent = errors.New("nobody answers")

const (
	// downTime is how long an outage is waited out where nothing says that it will end. It bridges a
	// restart of PostgreSQL, and is less than the three seconds after which pg_isready gives up.
	downTime = 2 * time.Second
	// returnTime is how long an outage is waited out where the database said that it is coming or going,
	// where nothing refused the connection, or where there are other hosts, one of which will take over.
	returnTime = time.Minute

	firstPause, maxPause = 250 * time.Millisecond, time.Second
)

// A search is one connection's way to a host that does. It tries one after the other, and when it has
// tried all, it may begin again after a pause.
//
// How long it goes on is a balance. Whoever types psql expects to be told "connection refused" at once;
// whoever runs a pool expects a restart to be bridged. libpq goes through its hosts once and gives up;
// pgbouncer lets clients wait for minutes, but tells them the last error at once while it knows that
// logins fail (server_login_retry). So here: what says that it will be over, as "the database system is
// starting up" does, is waited out within the client's time; a refused connection for a moment only.
// Both are counted from the beginning of the outage, not of the connection: when it has lasted longer,
// everybody is told at the first failure. In any case it is the database's own words that the client
// gets in the end.
//
// A credential that was refused is no reason to go on to another host, as with libpq: it would be
// refused there too, and count toward the lock of the account.
type search struct {
	upstream *Upstream
	order    []int
	at       int     // position in order
	verdicts []error // the last one of each host, by its position in the list
	window   time.Duration
	anyone   bool // target_session_attrs=prefer-standby, and there is no standby
	tries    int
	pause    time.Duration
	began    time.Time
}

func (u *Upstream) newSearch() *search {
	n := 1 + len(u.Others)
	return &search{
		upstream: u, order: u.experience.order(n, time.Now()), verdicts: make([]error, n), pause: firstPause, began: time.Now(),
	}
}

func (s *search) host() int    { return s.order[s.at] }
func (s *search) place() Place { return s.upstream.place(s.host()) }

// left is how many hosts are still to be tried in this round, the present one included.
func (s *search) left() int { return len(s.order) - s.at }

// target is what the present host has to be.
func (s *search) target() Target {
	switch {
	case s.upstream.Target != PreferStandby:
		return s.upstream.Target
	case s.anyone:
		return AnyServer
	}
	return Standby
}

// found notes that the present host did.
func (s *search) found() {
	s.upstream.experience.found(s.host(), time.Now())
	if s.tries > 0 {
		s.upstream.Log.Info("connected after other tries", "upstream", s.place().Endpoint.Addr, "tries", s.tries+1,
			"after", time.Since(s.began).Round(time.Millisecond), "last", s.last())
	}
}

// next goes on to the next host after err, or to the first one after a pause. It returns what the client
// is to be told if there is no point in that.
func (s *search) next(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return s.outOfTime(err)
	}
	window, elsewhere := s.worth(err)
	if window == 0 && (!elsewhere || len(s.order) == 1) {
		return err
	}
	s.verdicts[s.host()] = err
	s.window = max(s.window, window)
	s.tries++
	if s.at+1 < len(s.order) {
		s.upstream.Log.Debug("trying the next host", "upstream", s.place().Endpoint.Addr, "next", s.upstream.place(s.order[s.at+1]).Endpoint.Addr, "err", err)
		s.at++
		return nil
	}
	return s.nextRound(ctx)
}

// nextRound begins again after a pause.
func (s *search) nextRound(ctx context.Context) error {
	s.at = 0
	if s.upstream.Target == PreferStandby && !s.anyone && s.unfit() {
		s.anyone = true
		return nil
	}
	s.anyone = false
	pause := s.pause - rand.N(s.pause/5) // those who failed together are not to come back together
	s.pause = min(2*s.pause, maxPause)
	window, now := s.window, time.Now()
	s.window = 0
	since := s.upstream.experience.down(now)
	deadline, limited := ctx.Deadline()
	if now.Add(pause).Sub(since) > window || limited && deadline.Before(now.Add(pause)) {
		return s.verdict()
	}
	s.upstream.Log.Debug("trying again", "pause", pause.Round(time.Millisecond), "err", s.last())
	wait(ctx, pause)
	if ctx.Err() != nil {
		return s.verdict()
	}
	return nil
}

// outOfTime is the verdict where err came when time was up: that says less than what came before it.
func (s *search) outOfTime(err error) error {
	if s.verdicts[s.host()] == nil || !timedOut(err) {
		s.verdicts[s.host()] = err
	}
	if s.tries == 0 {
		return err
	}
	return s.verdict()
}

// worth says how long an outage is waited out that shows in err, and whether another host may do.
func (s *search) worth(err error) (window time.Duration, elsewhere bool) {
	switch several := len(s.order) > 1; {
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnfit):
		return returnTime, true
	case Final(err), errors.Is(err, ErrRejected):
		return 0, false
	case errors.Is(err, ErrAbsent), stageOf(err) == StageDial && s.passing(err):
		if several || timedOut(err) {
			return returnTime, true
		}
		return downTime, true
	}
	stage := stageOf(err)
	return 0, stage == StageDial || (stage == StageTLS || stage == StageAuth) && (HungUp(err) || timedOut(err))
}

// passing reports whether a failure to dial may be over in a moment. A name that does not exist is one
// that was written wrong, unless it was there before.
func (s *search) passing(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsTemporary || dns.IsTimeout || dns.IsNotFound && s.upstream.experience.wasReached(s.place().Endpoint.Addr)
	}
	for _, errno := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENETUNREACH, syscall.ENETDOWN, syscall.ENOENT,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return timedOut(err)
}

// verdict is what the client is told in the end: the database's own words where there are some.
func (s *search) verdict() error {
	if len(s.order) == 1 {
		return s.verdicts[0]
	}
	if s.unfit() {
		return s.together(&SetupError{Stage: StageAuth, Advice: unfitAdvice})
	}
	for _, err := range s.verdicts {
		if errors.Is(err, ErrUnavailable) {
			return err
		}
	}
	last := s.last()
	return s.together(&SetupError{Stage: stageOf(last), Advice: Advice(last)})
}

// together fills in what was found at each host.
func (s *search) together(e *SetupError) error {
	all := make(verdicts, 0, len(s.verdicts))
	for i, err := range s.verdicts {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", s.upstream.place(i).Endpoint.Addr, withoutAddr(err)))
		}
	}
	e.Err = all
	return e
}

// withoutAddr leaves out what together says anyway.
func withoutAddr(err error) error {
	if dial, ok := errors.AsType[*dialError](err); ok {
		return dial.cause
	}
	return err
}

// verdicts are the errors of several hosts, in one line.
type verdicts []error

func (v verdicts) Error() string {
	texts := make([]string, len(v))
	for i, err := range v {
		texts[i] = err.Error()
	}
	return "none of the hosts will do: " + strings.Join(texts, "; ")
}

func (v verdicts) Unwrap() []error { return v }

// unfit reports whether a host answered, and was not what target_session_attrs= asks for.
func (s *search) unfit() bool {
	for _, err := range s.verdicts {
		if errors.Is(err, ErrUnfit) {
			return true
		}
	}
	return false
}

// last is the last host's error, in the order in which they were tried.
func (s *search) last() (last error) {
	for _, i := range s.order {
		if s.verdicts[i] != nil {
			last = s.verdicts[i]
		}
	}
	return last
}

package recent

import (
	"slices"
	"sync"
	"time"

	"dbvalet/proxy"
)

const (
	maxSpans    = 30
	spanTime    = 30 * time.Second
	maxFailures = 10
)

// A Route observes the connections of a route. The zero value has seen none. Calls may be concurrent.
type Route struct {
	mu       sync.Mutex
	spans    [maxSpans]sums // the one of a time is at its number modulo maxSpans
	failures []Failure      // the latest first
}

var _ proxy.Observer = (*Route)(nil)

// A Span is half a minute of a route's life, in which somebody connected. Times are in milliseconds,
// on average over the sessions that began.
type Span struct {
	Began      time.Time `json:"began"`
	Sessions   int       `json:"sessions"` // that began
	Failed     int       `json:"failed"`   // set-ups that ended in an error
	Credential float64   `json:"credential_ms"`
	Dial       float64   `json:"dial_ms"`
	TLS        float64   `json:"tls_ms"`
	Auth       float64   `json:"auth_ms"`
	Total      float64   `json:"total_ms"`   // the client's half included
	Slowest    float64   `json:"slowest_ms"` // in total
}

// A Failure is an error that ended a connection.
type Failure struct {
	At      time.Time   `json:"at"` // the last time
	Times   int         `json:"times"`
	Stage   proxy.Stage `json:"stage"`
	Error   string      `json:"error"`
	Hint    string      `json:"hint,omitempty"`    // the next step
	Client  string      `json:"client,omitempty"`  // the last one's address, or "unix"
	Program string      `json:"program,omitempty"` // the last one's; empty: not known
}

// sums are what a Span is made from.
type sums struct {
	number           int64 // of the span, since 1970
	sessions, failed int
	steps            [4]time.Duration
	total, slowest   time.Duration
}

// stages are those of sums.steps.
var stages = [4]proxy.Stage{proxy.StageCredential, proxy.StageDial, proxy.StageTLS, proxy.StageAuth}

// Observe notes what becomes of a connection.
func (r *Route) Observe(event proxy.Event, record *proxy.Record) {
	switch event {
	case proxy.SessionStart:
		r.connected(record)
	case proxy.Refused:
		r.refused(record)
	case proxy.SessionEnd:
		if record.Err != nil {
			r.fail(Failure{At: record.Accepted.Add(record.Duration), Stage: record.Stage(), Client: record.Client, Program: record.Program}, record.Err)
		}
	}
}

// Fail notes an error that has kept nobody from connecting yet.
func (r *Route) Fail(at time.Time, stage proxy.Stage, err error) {
	r.fail(Failure{At: at, Stage: stage}, err)
}

// Spans returns those of the last quarter of an hour before now, the oldest first.
func (r *Route) Spans(now time.Time) (spans []Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := number(now)
	for n := max(last-maxSpans+1, 1); n <= last; n++ { // 0 is the number of those that are empty
		if s := r.spans[n%maxSpans]; s.number == n {
			spans = append(spans, s.span())
		}
	}
	return spans
}

// Failures returns the last errors that differ, the latest first.
func (r *Route) Failures() []Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

func (r *Route) connected(record *proxy.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at(record.Accepted.Add(record.SetUp))
	s.sessions++
	s.total += record.SetUp
	s.slowest = max(s.slowest, record.SetUp)
	for i, stage := range stages {
		took, _ := record.Took(stage)
		s.steps[i] += took
	}
}

func (r *Route) refused(record *proxy.Record) {
	at := record.Accepted.Add(record.SetUp)
	r.mu.Lock()
	r.at(at).failed++
	r.mu.Unlock()
	r.fail(Failure{At: at, Stage: record.Stage(), Client: record.Client, Program: record.Program}, record.Err)
}

// fail notes f, whose error is err.
func (r *Route) fail(f Failure, err error) {
	f.Times, f.Error, f.Hint = 1, proxy.Printable(err.Error()), proxy.Printable(proxy.Hint(err))
	f.Program = proxy.Printable(f.Program)
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(other Failure) bool { return other.Stage == f.Stage && other.Error == f.Error }
	if i := slices.IndexFunc(r.failures, same); i >= 0 {
		f.Times += r.failures[i].Times
		r.failures = slices.Delete(r.failures, i, i+1)
	}
	r.failures = slices.Insert(r.failures, 0, f)
	r.failures = r.failures[:min(len(r.failures), maxFailures)]
}

// at returns the sums for what happens at a time. r is locked.
func (r *Route) at(t time.Time) *sums {
	n := number(t)
	s := &r.spans[n%maxSpans]
	if s.number != n {
		*s = sums{number: n}
	}
	return s
}

func number(t time.Time) int64 { return max(t.Unix(), 0) / int64(spanTime/time.Second) }

func (s sums) span() Span {
	mean := func(sum time.Duration) float64 {
		return milliseconds(sum / time.Duration(max(s.sessions, 1)))
	}
	return Span{
		Began: time.Unix(s.number*int64(spanTime/time.Second), 0).UTC(), Sessions: s.sessions, Failed: s.failed,
		Credential: mean(s.steps[0]), Dial: mean(s.steps[1]), TLS: mean(s.steps[2]), Auth: mean(s.steps[3]),
		Total: mean(s.total), Slowest: milliseconds(s.slowest),
	}
}

// milliseconds has two decimals.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

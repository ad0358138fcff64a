package recent

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/proxy"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// setUp is a record of a set-up that began at a time, with its steps in milliseconds.
func setUp(at time.Time, total int, steps ...int) *proxy.Record {
	r := &proxy.Record{Accepted: at, SetUp: time.Duration(total) * time.Millisecond, Client: "127.0.0.1:1", Program: "psql"}
	for i, took := range steps {
		r.Steps = append(r.Steps, proxy.Step{Stage: stages[i%4], Took: time.Duration(took) * time.Millisecond})
	}
	return r
}

func refused(at time.Time, err error) *proxy.Record {
	r := setUp(at, 0)
	r.Err = err
	return r
}

func TestSpanSaysWhatTheStagesTookOnAverage(t *testing.T) {
	var r Route
	r.Observe(proxy.SessionStart, setUp(noon, 20, 1, 2, 3, 4))
	r.Observe(proxy.SessionStart, setUp(noon.Add(time.Second), 40, 3, 4, 5, 6, 2)) // a second credential
	r.Observe(proxy.Refused, refused(noon.Add(2*time.Second), errors.New("no")))
	r.Observe(proxy.Served, setUp(noon, 99, 9, 9, 9, 9))
	want := Span{Began: noon, Sessions: 2, Failed: 1, Credential: 3, Dial: 3, TLS: 4, Auth: 5, Total: 30, Slowest: 40}
	if got := r.Spans(noon.Add(10 * time.Second)); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSpansAreOfTheLastQuarterOfAnHour(t *testing.T) {
	var r Route
	for i := range 100 {
		r.Observe(proxy.SessionStart, setUp(noon.Add(time.Duration(i)*spanTime), 1, 1))
	}
	last := noon.Add(99 * spanTime)
	got := r.Spans(last)
	if len(got) != maxSpans || !got[0].Began.Equal(last.Add(-29*spanTime)) || !got[29].Began.Equal(last) {
		t.Errorf("got %d spans, %v; want the last %d, the oldest first", len(got), got, maxSpans)
	}
	if got := r.Spans(last.Add(10 * spanTime)); len(got) != maxSpans-10 {
		t.Errorf("got %d spans later, want %d", len(got), maxSpans-10)
	}
	if got := r.Spans(last.Add(time.Hour)); len(got) != 0 {
		t.Errorf("got %v after an hour, want none", got)
	}
}

// A machine without a clock of its own begins there.
func TestClockMayBeginIn1970(t *testing.T) {
	start := time.Unix(100, 0)
	if got := new(Route).Spans(start); len(got) != 0 {
		t.Errorf("got %v before anybody has connected, want none", got)
	}
	var r Route
	r.Observe(proxy.SessionStart, setUp(start, 1, 1))
	if got := r.Spans(start); len(got) != 1 || got[0].Sessions != 1 {
		t.Errorf("got %v, want the one that began", got)
	}
}

func TestRepeatedErrorLeavesTheOthersInSight(t *testing.T) {
	var r Route
	advised := &proxy.SetupError{Stage: proxy.StageAuth, Err: errors.New("no such role"), Advice: "create it"}
	r.Observe(proxy.Refused, refused(noon, advised))
	for i := range 1000 {
		r.Observe(proxy.Refused, refused(noon.Add(time.Duration(i)*time.Second), errors.New("flood")))
	}
	r.Observe(proxy.SessionEnd, refused(noon, errors.New("broke off")))
	r.Observe(proxy.SessionEnd, setUp(noon, 1))
	r.Fail(noon, proxy.StageCredential, errors.New("expired\x1b[31m"))
	got := r.Failures()
	if len(got) != 4 {
		t.Fatalf("got %+v, want four", got)
	}
	if f := got[3]; f.Error != "no such role" || f.Hint != "create it" || f.Stage != proxy.StageAuth || f.Times != 1 || f.Program != "psql" || f.Client != "127.0.0.1:1" {
		t.Errorf("got %+v, want the first error", f)
	}
	if f := got[2]; f.Times != 1000 || !f.At.Equal(noon.Add(999*time.Second)) {
		t.Errorf("got %+v, want 1000 times, and when it was last", f)
	}
	if f := got[0]; f.Error != "expired [31m" || f.Stage != proxy.StageCredential {
		t.Errorf("got %+v, want the latest first, without what plays tricks on terminals", f)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var r Route
	for i := range 100 {
		r.Observe(proxy.Refused, refused(noon, fmt.Errorf("error %d of %s", i, strings.Repeat("x", 1<<20))))
	}
	got := r.Failures()
	if len(got) != maxFailures || cap(r.failures) > 4*maxFailures {
		t.Errorf("there are %d failures in room for %d, want %d", len(got), cap(r.failures), maxFailures)
	}
	for _, f := range got {
		if len(f.Error) > 4000 {
			t.Errorf("an error has %d bytes", len(f.Error))
		}
	}
}

func TestRoutesAreApart(t *testing.T) {
	var all Routes
	all.For("a").Fail(noon, proxy.StageDial, errors.New("down"))
	if len(all.For("a").Failures()) != 1 || len(all.For("b").Failures()) != 0 {
		t.Error("a's failure is not a's alone")
	}
	all.Forget("a")
	if len(all.For("a").Failures()) != 0 {
		t.Error("a is not forgotten")
	}
}

func TestConnectionsAreObservedConcurrently(t *testing.T) {
	var r Route
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				r.Observe(proxy.SessionStart, setUp(noon, 1, 1))
				r.Observe(proxy.Refused, refused(noon, errors.New("no")))
				r.Spans(noon)
				r.Failures()
			}
		})
	}
	all.Wait()
	if s := r.Spans(noon); s[0].Sessions != 800 || s[0].Failed != 800 || r.Failures()[0].Times != 800 {
		t.Errorf("got %+v and %+v, want 800 each", s, r.Failures())
	}
}

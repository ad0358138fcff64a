package proxy

import (
	"context"
	"sync"
	"time"
)

// A Step is one part of a connection's set-up: StageCredential, StageDial, StageTLS or StageAuth. Where
// a credential was refused and another tried, there are several of a stage.
type Step struct {
	Stage Stage
	Began time.Time
	Took  time.Duration
}

// steps are those of one connection so far, and where they led. They travel in the context, so that
// neither engines nor Openings have to hand them on.
type steps struct {
	mu    sync.Mutex
	list  []Step
	addr  string    // what was dialled last
	after time.Time // when the last TLS was done
}

type stepsKey struct{}

// withSteps returns ctx with a place for the steps that are taken under it.
func withSteps(ctx context.Context) (context.Context, *steps) {
	s := new(steps)
	return context.WithValue(ctx, stepsKey{}, s), s
}

// stepsOf returns the steps that are noted under ctx; nil: nobody wants to know.
func stepsOf(ctx context.Context) *steps {
	s, _ := ctx.Value(stepsKey{}).(*steps)
	return s
}

// Measure notes that a stage begins, and by the function that it returns, that it ends. An engine
// measures StageTLS, which only it can tell from the rest of a login; all else is measured around it.
func Measure(ctx context.Context, stage Stage) (done func()) {
	s := stepsOf(ctx)
	if s == nil {
		return func() {}
	}
	began := time.Now()
	return func() { s.add(stage, began) }
}

// add notes that a stage that began then has ended. The login proper begins where TLS has ended.
func (s *steps) add(stage Stage, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stage == StageAuth && s.after.After(began) {
		began = s.after
	}
	step := Step{stage, began, time.Since(began)}
	if stage == StageTLS {
		s.after = began.Add(step.Took)
	}
	s.list = append(s.list, step)
}

// toward notes what is dialled.
func (s *steps) toward(addr string) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.addr = addr
	}
}

// copy returns what was noted so far.
func (s *steps) copy() (list []Step, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Step(nil), s.list...), s.addr
}

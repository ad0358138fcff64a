package main

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dbvalet/admin"
	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// asSource is a source made of a function.
type asSource func(ctx context.Context) error

func (f asSource) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	return tokens.Credential{}, f(ctx)
}

// pinged is an engine that only logs in.
type pinged struct {
	proxy.Engine
	ping func() error
}

func (p pinged) Ping(context.Context, *proxy.Upstream) error { return p.ping() }

func healthService(name, user string, source func(context.Context) error, ping func() error) *service {
	return &service{
		route: &config.Route{Name: name, User: user},
		server: &proxy.Server{Engine: pinged{ping: ping}, Upstream: &proxy.Upstream{
			Credentials: &tokens.Cache{Source: asSource(source)},
		}},
	}
}

func never() error { panic("nobody is to log in") }

func good(context.Context) error { return nil }

func TestReadinessFollowsTheLife(t *testing.T) {
	var h health
	state := func() string {
		r := h.probes().Ready(t.Context(), false)
		if r.OK != (r.State == "ready") {
			t.Errorf("got %+v", r)
		}
		return r.State
	}
	if got := state(); got != "starting" || h.startup(t.Context()).OK || !h.live(t.Context()).OK {
		t.Errorf("got %s at the start", got)
	}
	h.serves([]*service{healthService("orders", "app", good, never)}, nil)
	if got := state(); got != "ready" || !h.startup(t.Context()).OK {
		t.Errorf("got %s when it serves", got)
	}
	h.serves(nil, map[string]error{"orders": &proxy.ListenError{Addr: "x", Err: errors.New("taken"), Advice: "choose another"}})
	want := admin.Report{State: "not ready", Routes: []admin.RouteReport{{Name: "orders", State: "not served", Reason: "listen on x: taken", Hint: "choose another"}}}
	if got := h.ready(t.Context(), false); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	h.drain()
	if got := state(); got != "draining" || !h.live(t.Context()).OK || !h.startup(t.Context()).OK {
		t.Errorf("got %s at the end", got)
	}
	h.close()
}

func TestRouteIsReadyWithACredential(t *testing.T) {
	var h health
	denied := errors.New("denied")
	full := &proxy.SetupError{Stage: proxy.StageLimit, Err: errors.New("full")}
	h.serves([]*service{
		healthService("good", "app", good, func() error { return nil }),
		healthService("bad", "app", func(context.Context) error { return denied }, never),
		healthService("anybody", "", func(context.Context) error { panic("for whom?") }, never),
		healthService("locked", "app", good, func() error { return denied }),
		healthService("full", "app", good, func() error { return full }),
		healthService("buggy", "app", good, func() error { panic("a bug") }),
	}, nil)
	defer h.close()
	states := func(upstream bool) map[string]string {
		all := map[string]string{}
		for _, r := range h.ready(t.Context(), upstream).Routes {
			all[r.Name] = r.State
			if r.OK != (r.Reason == "") {
				t.Errorf("got %+v", r)
			}
		}
		return all
	}
	want := map[string]string{"good": "ready", "bad": "no credential", "anybody": "listening", "locked": "ready", "full": "ready", "buggy": "ready"}
	if got := states(false); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	want = map[string]string{"good": "logged in", "bad": "no credential", "anybody": "listening", "locked": "no login", "full": "logged in", "buggy": "no login"}
	if got := states(true); !reflect.DeepEqual(got, want) {
		t.Errorf("by login: got %v, want %v", got, want)
	}
}

func TestResultCountsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		calls := 0
		c := &check{limit: time.Second, good: 5 * time.Second, bad: time.Second, ask: func(context.Context) error { calls++; return err }}
		step := func(wait time.Duration, wantCalls int, want error) {
			t.Helper()
			<-time.After(wait)
			if got := c.result(t.Context()); !errors.Is(got, want) || calls != wantCalls {
				t.Errorf("got %v after %d calls, want %v after %d", got, calls, want, wantCalls)
			}
		}
		step(0, 1, nil)
		step(4*time.Second, 1, nil)
		err = errors.New("denied")
		step(2*time.Second, 2, err)
		step(time.Second/2, 2, err)
		before := err
		err = nil
		step(0, 2, before)
		step(time.Second, 3, nil)
	})
}

func TestCheckIsOneForAllAndOutlivesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		c := &check{limit: 3 * time.Second, good: 5 * time.Second, bad: time.Second, ask: func(ctx context.Context) error {
			calls.Add(1)
			select {
			case <-time.After(2 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		for range 3 { // a kubelet's time is a second
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			go func() {
				defer cancel()
				if err := c.result(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v within a second", err)
				}
			}()
		}
		<-time.After(2500 * time.Millisecond)
		if err := c.result(t.Context()); err != nil || calls.Load() != 1 {
			t.Errorf("got %v after %d calls, want the one result", err, calls.Load())
		}
		<-time.After(time.Minute)
		go func() { _ = c.result(t.Context()) }()
		synctest.Wait()
		begun := time.Now()
		c.close() // which does not wait for the two seconds
		if d := time.Since(begun); d != 0 || !errors.Is(c.result(t.Context()), errChecksEnded) {
			t.Errorf("got the end after %v", d)
		}
	})
}

func TestReloadKeepsWhatIsKnownAndEndsTheRest(t *testing.T) {
	var h health
	var calls atomic.Int32
	begun := make(chan struct{})
	stays := healthService("stays", "app", func(context.Context) error { calls.Add(1); return nil }, never)
	goes := healthService("goes", "app", func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() }, never)
	h.serves([]*service{stays, goes}, nil)
	asked := make(chan admin.Report, 1)
	go func() { asked <- h.ready(t.Context(), false) }()
	<-begun
	h.serves([]*service{stays}, nil) // returns when nothing asks for goes
	if r := <-asked; r.OK {
		t.Errorf("got %+v", r)
	}
	if r := h.ready(t.Context(), false); !r.OK || calls.Load() != 1 {
		t.Errorf("got %+v after %d calls, want what was known", r, calls.Load())
	}
	h.close()
}

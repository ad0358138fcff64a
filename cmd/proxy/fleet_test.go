package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"dbvalet/config"
	"dbvalet/metrics"
	"dbvalet/proxy"
)

// newFleet serves urls, as far as it can, and returns what it is to serve.
func newFleet(t *testing.T, urls ...string) (*fleet, *config.Config) {
	t.Helper()
	c, err := config.Load(config.Sources{Args: urls})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		all: newOverall(0, 0, 0), display: display{log: slog.New(slog.DiscardHandler)},
		sights: &sights{metrics: metrics.New("")}, health: &health{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		f.closeDoors()
		cancel()
		over := make(chan struct{})
		f.wait(over)
	})
	v := &valet{fleet: f}
	p, err := f.prepare(c, func(*config.Route) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	f.launch(ctx, p)
	v.retry(ctx)
	return f, c
}

// A route whose credential is inferred from its host is the same when it is read again, or tried again.
func TestTryingABadRouteAgainLeavesTheOthersAlone(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHETEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f, c := newFleet(t, "postgres://app@"+rdsHost+"/orders?listen=127.0.0.1:0",
		"postgres://app@"+rdsHost+"/orders?name=bad&listen="+taken.Addr().String())
	before := f.served()
	if before[0].failure != nil || before[1].failure == nil || c.Routes[0].Auth != "" {
		t.Fatalf("got %v and %v, want the second to fail, and the configuration as it was", before[0].failure, before[1].failure)
	}
	taken.Close()
	(&valet{fleet: f}).retry(t.Context())
	after := f.served()
	if after[0] != before[0] {
		t.Error("the good route was exchanged")
	}
	if after[1].failure != nil {
		t.Errorf("the bad route still fails: %v", after[1].failure)
	}
	if len(f.leaving) > 0 {
		t.Errorf("%d services are leaving", len(f.leaving))
	}
}

// Whoever loses its listener is tried again, and its sessions are waited for.
func TestLostListenerIsOpenedAgain(t *testing.T) {
	f, _ := newFleet(t, "postgres://app@"+rdsHost+"/orders?auth=env:PW&listen=127.0.0.1:0")
	lost := f.served()[0]
	f.lose(t.Context(), lost, net.ErrClosed)
	if s := f.served()[0]; s.failure == nil || !strings.Contains(s.failure.Error(), "closed") {
		t.Errorf("got %v, want the failure", s.failure)
	}
	<-lost.ended
	(&valet{fleet: f}).retry(t.Context())
	if s := f.served(); len(s) != 1 || s[0].failure != nil {
		t.Errorf("got %v, want it served again", s[0].failure)
	}
}

func TestExitWhenIdleCountsSessionsAcrossReloads(t *testing.T) {
	f := &fleet{
		config:  &config.Config{Settings: config.Settings{ExitWhenIdle: time.Minute}},
		display: display{log: slog.New(slog.DiscardHandler)}, sights: &sights{metrics: metrics.New("")},
	}
	with := func(name string, open, began int64) *service {
		s := &service{route: &config.Route{Name: name}, server: &proxy.Server{}, ended: make(chan struct{})}
		s.server.Counts.Open.Store(open)
		s.server.Counts.Sessions.Store(began)
		return s
	}
	var idle idleness
	// overSoon reports whether it would be over if nothing happened for an hour from now on.
	overSoon := func() bool {
		idle.over(f)
		idle.since = time.Now().Add(-time.Hour)
		return idle.over(f)
	}
	f.services = []*service{with("a", 0, 0)}
	if overSoon() {
		t.Error("it is over before there was a session")
	}
	last := with("b", 1, 1)
	f.services, f.leaving = []*service{with("a", 0, 1), with("b", 0, 0)}, []*service{last}
	if open, began := f.sessions(); open != 1 || began != 2 || overSoon() {
		t.Errorf("got %d sessions of %d, want it to go on for the one that outlives the reload", open, began)
	}
	last.server.Counts.Open.Store(0)
	close(last.ended)
	f.retire(t.Context(), last, false, 0)
	f.services = []*service{with("a", 0, 0), with("b", 0, 0)}
	if !overSoon() {
		t.Error("it goes on for ever where every route was reloaded since the last session")
	}
}

func TestSettingsThatNeedARestartAreNamed(t *testing.T) {
	old := &config.Config{Settings: config.Settings{Admin: "127.0.0.1:1", LogLevel: "info"}}
	next := &config.Config{Settings: config.Settings{Admin: "127.0.0.1:2", LogLevel: "warn", MaxConnections: 7, Strict: true}}
	if got := needRestart(old, next); got != "admin max_connections" {
		t.Errorf("got %q", got)
	}
	if got := needRestart(old, old); got != "" {
		t.Errorf("of the same: got %q", got)
	}
}

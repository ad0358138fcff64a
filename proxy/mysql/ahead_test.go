package mysql

import (
	"context"
	"strings"
	"testing"
	"time"

	"dbvalet/proxy"
)

// In a flood of clients that say nothing, who comes is greeted without a connection to the database,
// and gets one by replying.
func TestClientIsGreetedAheadInAFlood(t *testing.T) {
	db := newGoodDatabase(t)
	engine := &Engine{User: "app"}
	r := serve(t, engine, db.addr, &source{passwords: []string{secret}})
	first, _ := dial(t, r.addr)
	if got := first.logIn("app"); got.kind() != okHeader {
		t.Fatalf("got %q", got)
	}
	silentClients(&engine.silent, manySlow)

	leaves, _ := dial(t, r.addr)
	leaves.Close()
	r.log.wait(t, 1, "client left after the greeting")
	good, packet := dial(t, r.addr)
	if g, err := decodeGreeting(packet.payload()); err != nil || g.threadID != 0 || !strings.Contains(g.version, "8.4.0-test") {
		t.Errorf("the client is greeted with %q, %v, want the database's words and no thread", packet, err)
	}
	if n := db.count(); n != 1 {
		t.Errorf("%d connections were made, want the first one only", n)
	}
	if got := good.logIn("app"); got == nil || got.kind() != okHeader {
		t.Errorf("the client got %q", got)
	}
	r.log.wait(t, 1, "KILL does not reach this session")
	if n := db.count(); n != 2 || db.broken.Load() != 0 {
		t.Errorf("%d connections were made, and %d logins broken off, want 2 and none", n, db.broken.Load())
	}
}

// Who waits for a place when the flood begins is greeted ahead too, and the flood's own clients make
// room for who replies.
func TestFloodKeepsNobodyWaiting(t *testing.T) {
	db := newGoodDatabase(t)
	places := func(s *proxy.Server) {
		s.Upstream.Setups = []*proxy.Limit{{Max: manySlow, Wait: 20 * time.Second, Name: "setups", NewestFirst: true}}
		s.HandshakeTimeout = 0
	}
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, places)
	const silent = 2 * manySlow
	greeted, told := make(chan struct{}, silent), make(chan packet, silent)
	for range silent {
		client := connect(t, r.addr)
		go func() {
			client.packet()
			greeted <- struct{}{}
			told <- client.packet()
		}()
	}
	for range silent {
		<-greeted
	}
	good, _ := dial(t, r.addr)
	if got := good.logIn("app"); got == nil || got.kind() != okHeader {
		t.Errorf("the good client got %q", got)
	}
	if got := <-told; got == nil || got.kind() != errHeader || decodeDatabaseError(got.payload(), false).number != 1040 {
		t.Errorf("the first to make room got %q", got)
	}
	if n := db.broken.Load(); n != 0 {
		t.Errorf("%d logins were broken off", n)
	}
}

// silentClients counts n clients that say nothing.
func silentClients(s *silence, n int) (silent []*handshake) {
	for range n {
		h := &handshake{}
		s.count(h)
		silent = append(silent, h)
	}
	return silent
}

func TestFloodEnds(t *testing.T) {
	var s silence
	silent := silentClients(&s, manySlow)
	if s.ahead() != nil {
		t.Error("a client would be greeted as nobody was before")
	}
	s.remember(&greeting{version: "9", threadID: 7}, "orders")
	if got := s.ahead(); got == nil || got.greeting.threadID != 0 || got.greeting.version != "9" || got.database != "orders" {
		t.Errorf("got %+v, want the database's greeting without its thread", got)
	}
	s.forget(silent[0])
	s.count(silent[0]) // late
	if s.ahead() != nil {
		t.Error("it has not ended")
	}
	ctx, cancel := s.unlessFlooded(t.Context())
	defer cancel()
	if ctx.Err() != nil {
		t.Error("there is no flood")
	}
	silentClients(&s, 1)
	<-ctx.Done()
	if context.Cause(ctx) != errFlooded {
		t.Errorf("got %v, want the flood", context.Cause(ctx))
	}
}

package mysql

import (
	"testing"
	"time"

	"dbvalet/proxy"
)

// fewSetups lets two connections be set up at a time.
func fewSetups(s *proxy.Server) {
	s.Upstream.Setups = []*proxy.Limit{{Max: 2, Wait: 20 * time.Second, Name: "setups", NewestFirst: true}}
	s.HandshakeTimeout = 0
}

// Clients that say nothing after the greeting keep nobody waiting for the time that they would have,
// and cost the database nothing.
func TestSilentClientsMakeRoomForOthers(t *testing.T) {
	for _, user := range []string{"app", ""} {
		t.Run(user, func(t *testing.T) {
			db := newGoodDatabase(t)
			r := serve(t, &Engine{User: user}, db.addr, &source{passwords: []string{secret}}, fewSetups, withTLS)
			const silent, places = 6, 2
			greeted, told := make(chan struct{}, silent), make(chan packet, silent)
			for range silent {
				client := connect(t, r.addr)
				go func() {
					if got := client.packet(); got != nil && got.kind() == protocolVersion {
						greeted <- struct{}{}
					}
					told <- client.packet()
				}()
			}
			<-greeted
			good, _ := dial(t, r.addr)
			if got := good.logIn("app"); got == nil || got.kind() != okHeader {
				t.Errorf("the good client got %q", got)
			}
			for range silent - places { // the last ones are in nobody's way
				got := <-told
				if got == nil || got.kind() != errHeader || got.seq() != 1 {
					t.Fatalf("a silent client got %q", got)
				}
				if e := decodeDatabaseError(got.payload(), false); e.number != 1040 || e.sqlstate != "08004" {
					t.Errorf("a silent client got %d (%s) %q", e.number, e.sqlstate, e.message)
				}
			}
			r.log.wait(t, silent-places, "set-up failed")
			if n := db.broken.Load(); n != 0 {
				t.Errorf("%d logins were broken off", n)
			}
		})
	}
}

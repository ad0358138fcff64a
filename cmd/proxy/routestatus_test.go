package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/config"
	"dbvalet/peer"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// statusOf returns what /status says of the one route, when it is as wanted.
func statusOf(t *testing.T, addr, what string, wanted func(routeStatus) bool) (route routeStatus, text string) {
	t.Helper()
	limit := time.Now().Add(patience)
	for {
		_, body := asks(t, addr, http.MethodGet, "/status")
		var got status
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Routes) == 1 && wanted(got.Routes[0]) {
			return got.Routes[0], body
		}
		if time.Now().After(limit) {
			t.Fatalf("%s is never in the status:\n%s", what, body)
		}
	}
}

func TestStatusShowsWhyConnectionsFail(t *testing.T) {
	log, _ := servesWithAdmin(t, "127.0.0.1:0",
		"postgres://app@127.0.0.1:1/orders?name=orders&tls=require&listen=127.0.0.1:0&auth=file:"+filepath.Join(t.TempDir(), "none"))
	at := adminListener(t, log)
	for range 2 {
		connects(t, listenerOf(t, log, "orders"))
	}
	route, _ := statusOf(t, at, "the error", func(r routeStatus) bool { return len(r.Errors) == 1 && r.Errors[0].Times == 2 })
	f := route.Errors[0]
	if f.Error == "" || f.Hint == "" || f.Stage == "" || f.Client == "" || time.Since(f.At) > time.Minute {
		t.Errorf("got %+v, want what failed, where, when, whose and what to do", f)
	}
	if len(route.Connects) == 0 || route.Connects[0].Failed+route.Connects[len(route.Connects)-1].Failed < 2 {
		t.Errorf("got %+v, want two that failed", route.Connects)
	}
}

// connects is a client of PostgreSQL that wants to log in, and waits for the end.
func connects(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("\x00\x00\x00\x11\x00\x03\x00\x00user\x00bob\x00")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

func TestStatusShowsCredentialsWithoutTheirSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := &tokens.Cache{Source: &tokens.File{Path: file}, TTL: time.Hour}
	defer cache.Close()
	s := &service{route: &config.Route{}, server: &proxy.Server{Upstream: &proxy.Upstream{Credentials: cache}}}
	if got := s.credentialStatus(); len(got) != 0 {
		t.Errorf("got %+v before anybody needs one", got)
	}
	for i := range maxCredentials + 5 {
		if _, err := cache.Credential(t.Context(), strings.Repeat("u", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(s.credentialStatus())
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) || len(got) != maxCredentials || got[0]["user"] != "u" || got[0]["id"] == "" || got[0]["fetched"] == nil {
		t.Errorf("got %s", text)
	}
	if _, ok := got[0]["expires"]; ok {
		t.Errorf("a password expires: %s", text)
	}
}

// A route counts on when a reload gives it another server, as its metrics do.
func TestStatusCountsOnWhenARouteChanges(t *testing.T) {
	const rest = "127.0.0.1:1/orders?name=orders&tls=require&listen=127.0.0.1:0&auth=file:none"
	f, _ := newFleet(t, "postgres://app@"+rest)
	v := &valet{fleet: f}
	connects(t, f.served()[0].listeners[0].Addr().String())
	next, err := config.Load(config.Sources{Args: []string{"postgres://other@" + rest}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.prepare(next, func(*config.Route) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	f.launch(ctx, p)
	connects(t, f.served()[0].listeners[0].Addr().String())
	got := v.status().Routes
	if len(got) != 1 || got[0].User != "other" || got[0].Accepted != 2 || got[0].Failed != 2 {
		t.Errorf("got %+v, want two connections that failed", got)
	}
}

// The name of a user is looked up once for all of its sessions, and is nobody else's.
func TestPeersAreNamedApart(t *testing.T) {
	names := peerNames{{known: true, uid: 7}: "looked up before"}
	for _, p := range []peer.Peer{{}, {Known: true}, {Known: true, Unmapped: true}, {Known: true, UID: 1 << 30}, {Known: true, Unmapped: true, UID: 7}} {
		if got := names.of(p); got != p.String() {
			t.Errorf("%+v: got %q, want %q", p, got, p)
		}
	}
	if got := names.of(peer.Peer{Known: true, UID: 7, PID: 1}); got != "looked up before" {
		t.Errorf("got %q, want what was looked up before", got)
	}
}

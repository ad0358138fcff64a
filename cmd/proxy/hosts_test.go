package main

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"dbvalet/config"
	"dbvalet/proxy"
)

const otherRDSHost = "orders2.abc123.eu-west-1.rds.amazonaws.com"

func TestEachHostHasItsOwnTokenAndName(t *testing.T) {
	s, _ := builds(t, "postgres://app@"+rdsHost+","+otherRDSHost+":5433/orders?target_session_attrs=read-write")
	u := s.server.Upstream
	if len(u.Others) != 1 || u.Target != proxy.ReadWrite {
		t.Fatalf("got %d other hosts, target %v", len(u.Others), u.Target)
	}
	other := u.Others[0]
	if u.Endpoint.Addr != rdsHost+":5432" || other.Endpoint.Addr != otherRDSHost+":5433" {
		t.Errorf("got %s and %s", u.Endpoint.Addr, other.Endpoint.Addr)
	}
	if other.Credentials == u.Credentials || other.Credentials.Source == u.Credentials.Source || other.Endpoint.TLS == u.Endpoint.TLS {
		t.Error("the hosts share what is for one of them only")
	}
	u.Close()
	s, _ = builds(t, "mysql://app@a,b?auth=env:PW&tls=verify-ca&ca=/etc/ssl/certs/ca-certificates.crt")
	if u := s.server.Upstream; u.Others[0].Credentials != u.Credentials {
		t.Error("the hosts have different passwords")
	}
}

func TestNamesThatAreDialledAreFollowed(t *testing.T) {
	for arg, want := range map[string][]string{
		"postgres://a.example?auth=env:PW&follow_dns=5":                           {"a.example"},
		"postgres://a.example,b.example?auth=env:PW&follow_dns=5":                 {"a.example", "b.example"},
		"postgres://a.example?auth=env:PW&follow_dns=5&dial=tunnel.example:15432": {"tunnel.example"},
		"postgres://a.example?auth=env:PW":                                        nil,
	} {
		s, _ := builds(t, arg)
		switch f := s.follower; {
		case want == nil && f != nil, want != nil && (f == nil || !reflect.DeepEqual(f.Hosts, want) || f.Every != 5*time.Second):
			t.Errorf("%s: got %+v, want %v", arg, f, want)
		}
	}
}

func TestConnectionsAreWatchedAsTheRouteSays(t *testing.T) {
	s, _ := builds(t, "postgres://a.example?auth=env:PW&keepalive=15&tcp_user_timeout=20s")
	want := proxy.TCP{Keepalive: 15 * time.Second, UserTimeout: 20 * time.Second}
	if s.server.TCP != want || s.server.Upstream.TCP != want {
		t.Errorf("got %+v and %+v, want %+v", s.server.TCP, s.server.Upstream.TCP, want)
	}
}

func TestHostsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, arg := range []string{
		"postgres://a,b?auth=env:PW&dial=127.0.0.1:1",
		"postgres://a,b?instance=p:r:i",
		"postgres://a?auth=env:PW&target_session_attrs=writer",
		"postgres://127.0.0.1?auth=env:PW&follow_dns=5",
		"postgres://a?auth=env:PW&follow_dns=5&dial=/run/postgresql/.s.PGSQL.5432",
		"postgres://?instance=p:r:i&follow_dns=5",
	} {
		route, err := config.ParseRoute(arg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = build(route, newOverall(0, 0, 0), newTestLog())
		if e, ok := errors.AsType[*config.Error](err); !ok || e.Advice == "" {
			t.Errorf("%s: got %v, want an error with a hint", arg, err)
		}
	}
}

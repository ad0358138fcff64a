package main

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/recent"
)

func TestAllHostsAreReachedByWayOfTheSameHops(t *testing.T) {
	s, _ := builds(t, "postgres://a,b/orders?auth=env:PW&via=ssh://u@bastion")
	s.recent = new(recent.Route)
	u := s.server.Upstream
	if u.Endpoint.Dialer == nil || u.Others[0].Endpoint.Dialer == nil || u.Tunnel == nil {
		t.Fatal("a host is reached directly")
	}
	if got := s.status().Via; got != "ssh://u@bastion" {
		t.Errorf("the status says %q", got)
	}
	u.Close()
	for _, to := range []proxy.Endpoint{u.Endpoint, u.Others[0].Endpoint} {
		if _, err := to.Dialer(t.Context(), "tcp", to.Addr); err == nil || !strings.Contains(err.Error(), "no longer served") {
			t.Errorf("%s, when all is over: got %v", to.Addr, err)
		}
	}
	s, _ = builds(t, "postgres://a/orders?auth=env:PW")
	s.recent = new(recent.Route)
	if u := s.server.Upstream; u.Endpoint.Dialer != nil || u.Tunnel != nil || s.status().Via != "" {
		t.Error("without via= there is a tunnel")
	}
	u.Close()
}

func TestSecretsHostIsReachedByWayOfTheHops(t *testing.T) {
	path := filepath.Join(tempDir(t), "db")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, _ := builds(t, "postgres://app@/orders?auth=file://"+write(t, filepath.Join(tempDir(t), "pw"), `{"host": "db.example.com", "password": "x"}`)+"&via=unix:"+path)
	cred, err := s.server.Upstream.Credentials.Credential(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	to, err := s.server.Upstream.Locate(cred)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := to.Dialer(t.Context(), "tcp", to.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// A hint may say what to write into ~/.ssh/config. A reload after it builds the routes that go by it.
func TestSSHConfigurationMeansTheRoutesThatGoByIt(t *testing.T) {
	home := tempDir(t)
	t.Setenv("HOME", home)
	routeOf := func(query string) *config.Route {
		r, err := config.ParseRoute("postgres://app@db.example.com?auth=env:PW" + query)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	by, direct := routeOf("&via=ssh://u@bastion"), routeOf("")
	for _, content := range []string{"Include more\n", "Include more\nHost bastion\n\tPort 2222\n"} {
		one, other := prints(by), prints(direct)
		write(t, filepath.Join(home, ".ssh", "config"), content)
		if bytes.Equal(prints(by), one) {
			t.Errorf("with %q, the route by way of the bastion is as it was", content)
		}
		if !bytes.Equal(prints(direct), other) {
			t.Errorf("with %q, the direct route is another", content)
		}
	}
	one := prints(by)
	write(t, filepath.Join(home, ".ssh", "more"), "IdentitiesOnly yes\n")
	if bytes.Equal(prints(by), one) {
		t.Error("with a file that is included, the route by way of the bastion is as it was")
	}
}

func TestWaysThatMakeNoSenseAreRefused(t *testing.T) {
	const route = "postgres://a?auth=env:PW&"
	for arg, want := range map[string]string{
		route + "via=bastion":                      "via=: hop 1: not a URL",
		route + "via=ssh://a,ftp://b":              "via=: hop 2: ftp is no kind of hop",
		route + "via=unix:/x,ssh://b":              "unix: stands for",
		route + "ssh_key=/k":                       "ssh_key= is for bastions",
		route + "via=socks5://p&ssh_key=/k":        "ssh_key= is for bastions",
		route + "via=http://p&ssh_known_hosts=/h":  "ssh_known_hosts= is for bastions",
		route + "via=ssh://u@b&follow_dns=5":       "follow_dns=",
		"postgres://?instance=p:r:i&via=ssh://u@b": "instance=",
	} {
		route, err := config.ParseRoute(arg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = build(route, newOverall(0, 0, 0), newTestLog())
		if e, ok := errors.AsType[*config.Error](err); !ok || e.Advice == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q with a hint", arg, err, want)
		}
	}
}

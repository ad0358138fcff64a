package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/proxy/mysql"
	"dbvalet/proxy/postgres"
)

// refusesToBuild returns the error of a route, which must say what to do, and repeat no secret.
func refusesToBuild(t *testing.T, arg string) error {
	t.Helper()
	route, err := config.ParseRoute(arg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = build(route, newOverall(0, 0, 0), newTestLog())
	if e, ok := errors.AsType[*config.Error](err); !ok || proxy.Hint(e) == "" || strings.Contains(err.Error()+proxy.Hint(err), secret) {
		t.Errorf("%s: got %v with hint %q, want a *config.Error with a hint and no secret", arg, err, proxy.Hint(err))
	}
	return err
}

func TestRouteBecomesDoor(t *testing.T) {
	t.Setenv("LOCAL_PW", secret)
	s, _ := builds(t, "postgres://"+rdsHost+"?allow=pod&allow_remote=10.1.2.3/8,fd00::1&local_password=env:LOCAL_PW&local_tls=auto&users=a,b&databases=x"+
		"&max_connections=3&max_handshakes=4&accept_rate=5&queue_timeout=250ms")
	door, up := s.server.Door, s.server.Upstream
	if got := door.Allow.String(); !strings.HasPrefix(got, "pod") {
		t.Errorf("allows %s", got)
	}
	if len(door.Remote) != 2 || door.Remote[0].String() != "10.0.0.0/8" || door.Remote[1].String() != "fd00::1/128" {
		t.Errorf("got networks %v", door.Remote)
	}
	if door.TLS == nil || door.TLSRequired || len(door.TLS.NextProtos) != 1 || door.CheckUser("b") != nil || door.CheckUser("c") == nil || door.CheckDatabase("y") == nil {
		t.Errorf("got door %+v", door)
	}
	if engine := s.server.Engine.(*postgres.Engine); engine.Password == nil || !strings.Contains(engine.Password.Hint, "env:LOCAL_PW") {
		t.Errorf("got verifier %v", engine.Password)
	}
	if up.Conns[0].Max != 3 || up.Setups[0].Max != 4 || up.Conns[0].Wait != up.Setups[0].Wait || s.server.QueueTimeout != up.Conns[0].Wait || s.server.Rates[0].Limit() != 5 {
		t.Errorf("got limits %+v, %+v, %v", up.Conns[0], up.Setups[0], s.server.Rates)
	}
	s, _ = builds(t, "mysql://"+rdsHost+"?local_password=env:LOCAL_PW")
	if engine := s.server.Engine.(*mysql.Engine); engine.Password == nil || !strings.Contains(engine.PasswordHint, "env:LOCAL_PW") {
		t.Errorf("got verifier %v, hint %q", engine.Password, engine.PasswordHint)
	}
	if setups := s.server.Upstream.Setups[0]; setups.Max != defaultHandshakes || setups.Wait != proxy.DefaultHandshakeTimeout {
		t.Errorf("got limit %+v by default", setups)
	}
}

// All routes together have one set of limits.
func TestLimitsOfAllRoutesAreShared(t *testing.T) {
	all := newOverall(7, 8, 9)
	var servers []*proxy.Server
	for _, arg := range []string{"postgres://" + rdsHost, "mysql://" + rdsHost} {
		route, err := config.ParseRoute(arg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := build(route, all, newTestLog())
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s.server)
	}
	for _, s := range servers {
		if s.Upstream.Conns[1] != all.conns || s.Upstream.Setups[1] != all.setups || s.Rates[0] != all.rate {
			t.Error("a route has limits of its own instead")
		}
	}
	if all.conns.Max != 7 || all.setups.Max != 8 || all.rate.Limit() != 9 {
		t.Errorf("got %+v", all)
	}
}

func TestDoorThatIsWrongIsRefused(t *testing.T) {
	t.Setenv("PW", secret)
	for _, row := range []struct{ options, want string }{
		{"allow=no-such-user", "no-such-user"},
		{"allow=any,self", "any"},
		{"allow_remote=10.0.0.0/8", "would let in everybody"},
		{"allow_remote=10.0.0.0/33&local_password=env:PW", "is no network"},
		{"local_password=" + secret, "neither auto"},
		{"local_password=password:" + secret, "neither auto"},
		{"local_password=file:", "neither auto"},
		{"local_password=env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE"},
		{"local_password=file:/nowhere", "/nowhere"},
		{"local_tls=/nowhere", "/nowhere"},
		{"local_tls_key=/x", "without local_tls="},
		{"local_client_ca=/x", "without local_tls="},
		{"local_tls=auto&local_client_ca=/nowhere", "/nowhere"},
	} {
		if err := refusesToBuild(t, "postgres://"+rdsHost+"?"+row.options); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.options, err, row.want)
		}
	}
}

// The password that dbvalet makes is kept where only its user can read it, and stays the same.
func TestLocalPasswordIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	t.Setenv("RUNTIME_DIRECTORY", dir+":/elsewhere")
	read := func(name string) string {
		t.Helper()
		p, err := newLocalPassword(&config.Route{Name: name, LocalPassword: "auto"})
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(p.where)
		if err != nil || strings.TrimSpace(string(content)) != p.secret.Reveal() || filepath.Dir(p.where) != dir {
			t.Errorf("got %s in %s, %v", content, p.where, err)
		}
		if info, err := os.Stat(p.where); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got mode %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("got mode %v, %v of the directory", info.Mode(), err)
		}
		return p.secret.Reveal()
	}
	first := read("orders")
	if len(first) != 32 || read("orders") != first || read("other") == first || read("../a/b") == first {
		t.Errorf("got %q first, want 32 characters that stay, and others for another route", first)
	}
	if outside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(outside) != 1 {
		t.Errorf("got %v, want nothing outside of the directory", outside)
	}
	for _, spoil := range []func(path string) error{
		func(path string) error { return os.Chmod(path, 0o644) },
		func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path+"x", []byte("known"), 0o600), os.Symlink(path+"x", path))
		},
		func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, fs.FileMode(0o700))) },
	} {
		if err := spoil(filepath.Join(dir, "orders.password")); err != nil {
			t.Fatal(err)
		}
		if _, err := newLocalPassword(&config.Route{Name: "orders", LocalPassword: "auto"}); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("got %v, want a refusal of what others may know", err)
		}
	}
}

package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"dbvalet/integration/servers"
)

// maxConnectErrors is how many broken connections the servers of these tests take from a machine.
const maxConnectErrors = 5

// TestProbesAreNoStepTowardABlockedHost probes routes whose server counts.
func TestProbesAreNoStepTowardABlockedHost(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		m := mysqlServer(t, servers.MySQLOptions{Version: version, Outside: true, Settings: map[string]string{"max_connect_errors": fmt.Sprint(maxConnectErrors)}})
		for name, user := range map[string]string{" with a user": "app@", " without a user": ""} {
			t.Run(version+name, func(t *testing.T) {
				forgetHosts(t, m)
				v := start(t, m.AWSEnvironment(), strings.Replace(mysqlRoute("app", m), "app@", user, 1))
				probeAll(t, m, v)
				if got := ask(t, mysqlDB(t, v.addrs[0], "app", ""), "SELECT CURRENT_USER()"); got != "app@%" {
					t.Errorf("logged in as %q", got)
				}
			})
		}
		t.Run(version+" does count", func(t *testing.T) { breakOff(t, m) })
	}
}

// probeAll probes v in all ways.
func probeAll(t *testing.T, m *servers.MySQL, v *valet) {
	greeting := func(conn net.Conn) error {
		_, err := io.ReadFull(conn, make([]byte, 10))
		return err
	}
	garbage := func(conn net.Conn) error {
		_, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		return err
	}
	made := 0
	for _, kind := range []struct {
		name   string
		times  int
		silent bool // and so nothing to complain about
		steps  []func(net.Conn) error
	}{
		{"connect and close", 200, true, nil},
		{"connect, read the greeting and close", 50, true, []func(net.Conn) error{greeting}},
		{"connect, read the greeting and reset", 10, true, []func(net.Conn) error{greeting, func(conn net.Conn) error { return conn.(*net.TCPConn).SetLinger(0) }}},
		{"garbage at once", 25, false, []func(net.Conn) error{garbage}},
		{"garbage after the greeting", 25, false, []func(net.Conn) error{greeting, garbage}},
	} {
		for range kind.times {
			conn, err := net.Dial("tcp", v.addrs[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range kind.steps {
				if err := step(conn); err != nil {
					t.Fatalf("%s: %v", kind.name, err)
				}
			}
			conn.Close()
		}
		made += kind.times
		// A login may still be brought to its end when its client is gone.
		waitUntil(t, "dbvalet is done with "+kind.name, func() bool { return v.count("served without a session")+v.count("set-up failed") == made })
		if n := brokenConnections(t, m); n != "0" {
			t.Errorf("%s: the server counts %s broken connections", kind.name, n)
		}
		complaints := strings.Count(v.output(), `"level":"WARN"`) + strings.Count(v.output(), `"level":"ERROR"`)
		switch {
		case kind.silent && complaints > 0:
			t.Errorf("%s: dbvalet complains:\n%s", kind.name, v.output())
		case !kind.silent && complaints == 0:
			t.Errorf("%s: dbvalet says nothing of it:\n%s", kind.name, v.output())
		}
	}
}

// breakOff sees to it that the tests above could have failed: connections that are broken off do count,
// until the server takes none any more.
func breakOff(t *testing.T, m *servers.MySQL) {
	forgetHosts(t, m)
	for i := range maxConnectErrors {
		conn, err := net.Dial("tcp", m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		waitUntil(t, "the server has counted", func() bool { return brokenConnections(t, m) == fmt.Sprint(i+1) })
	}
	v := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
	e := mysqlRefusal(t, mysqlDB(t, v.addrs[0], "app", ""))
	if e.Number != 1129 || strings.Contains(e.Message, "dbvalet") {
		t.Errorf("got %v, want the server's own error 1129", e)
	}
	if hint := v.next("set-up failed", 0).str("hint"); !strings.Contains(hint, "FLUSH HOSTS") {
		t.Errorf("the log's hint is %q, want FLUSH HOSTS in it", hint)
	}
}

// forgetHosts makes the server count from zero.
func forgetHosts(t *testing.T, m *servers.MySQL) {
	t.Helper()
	if err := m.Exec(t.Context(), "TRUNCATE TABLE performance_schema.host_cache"); err != nil {
		t.Fatal(err)
	}
}

// brokenConnections is how many connections the server ever counted that count toward
// max_connect_errors: a login that succeeds sets back one of the two columns only.
func brokenConnections(t *testing.T, m *servers.MySQL) string {
	t.Helper()
	super, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	return ask(t, super, "SELECT COALESCE(SUM(GREATEST(SUM_CONNECT_ERRORS, COUNT_HANDSHAKE_ERRORS)), 0) FROM performance_schema.host_cache")
}

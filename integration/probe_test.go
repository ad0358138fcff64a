package integration

import (
	"net"
	"os"
	"strings"
	"testing"

	"dbvalet/integration/servers"
)

// TestProbesOfAPostgresRouteLeaveNoTrace connects and closes, as a load balancer does. What MySQL makes of
// it is in mysql_probe_test.go.
func TestProbesOfAPostgresRouteLeaveNoTrace(t *testing.T) {
	const probes = 100
	p := ownServer(t, servers.Options{Settings: map[string]string{"log_checkpoints": "off"}}) // so that it logs nothing else
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	before, err := os.ReadFile(p.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for range probes {
		conn, err := net.Dial("tcp", v.addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	waitUntil(t, "dbvalet is done with the probes", func() bool { return v.count("served without a session") == probes })
	if log := v.output(); strings.Contains(log, `"level":"WARN"`) || strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("dbvalet complains:\n%s", log)
	}
	after, err := os.ReadFile(p.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("the database noticed:\n%s", after[len(before):])
	}
	if got := mustPSQL(t, v, "SELECT current_user"); got != "app" {
		t.Errorf("psql printed %q, want app", got)
	}
}

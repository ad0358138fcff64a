package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dbvalet/integration/otlpfake"
	"dbvalet/integration/servers"
)

// watched is a dbvalet with everything that shows what it does, in front of PostgreSQL and MySQL.
type watched struct {
	*valet
	audit  string // file
	traces *otlpfake.Collector
	where  string // URL of the metrics
}

func startWatched(t *testing.T) (watched, *servers.Postgres, *servers.MySQL) {
	t.Helper()
	p, m := pg18(t), mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	w := watched{audit: filepath.Join(t.TempDir(), "audit.json"), traces: otlpfake.New(t)}
	routes := []string{
		route("scram", p, secretFile(t, p.SCRAMPassword), "name=pg"),
		mysqlRoute("clear", m, secretFile(t, m.ClearPassword), "require_auth=password", "name=my"),
		route("scram", p, secretFile(t, "wrong"), "name=wrong"),
	}
	flags := []string{"--audit=" + w.audit, "--traces=" + w.traces.URL, "--metrics=127.0.0.1:0"}
	cmd := command(t, program, []string{"OTEL_BSP_SCHEDULE_DELAY=100"}, append(flags, routes...)...)
	w.valet = startCommand(t, cmd, len(routes))
	w.where = "http://" + w.next("metrics ready", 0).str("listener") + "/metrics"
	return w, p, m
}

// scrape returns the samples of a family by the values of two labels.
func (w watched) scrape(t *testing.T, family, label string) map[string]float64 {
	t.Helper()
	answer, err := http.Get(w.where)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for _, m := range families[family].GetMetric() {
		var routeName, value string
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "route":
				routeName = l.GetValue()
			case label:
				value = l.GetValue()
			}
		}
		samples[routeName+" "+value] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return samples
}

// lines returns the audit's records as they are now.
func (w watched) lines(t *testing.T, path string) (records []record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		r := record{}
		if line[len(line)-1] != '\n' {
			break // it is being written
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// find returns the first record of an event on a route; nil: there is none.
func find(records []record, event, route string) record {
	for _, r := range records {
		if r.str("event") == event && r.str("route") == route {
			return r
		}
	}
	return nil
}

// TestSessionsOfBothDatabasesAreSeen takes one session through each protocol, and one that is refused,
// and looks for them in the metrics, the audit and the traces.
func TestSessionsOfBothDatabasesAreSeen(t *testing.T) {
	w, p, m := startWatched(t)
	mustPSQL(t, w.valet, "SELECT 'not for the audit'")
	db := mysqlDB(t, w.addrs[1], "whoever", "")
	if got := ask(t, db, "SELECT 'not for the audit'"); got != "not for the audit" {
		t.Fatalf("got %q", got)
	}
	db.Close()
	host, port, _ := strings.Cut(w.addrs[2], ":")
	if _, _, err := client(t, "18", "psql", "-X", "-w", "-c", "SELECT 1", "host="+host+" port="+port+" user=x dbname=orders"); err == nil {
		t.Error("a wrong password was accepted")
	}

	waitUntil(t, "both sessions have ended in the audit", func() bool {
		records := w.lines(t, w.audit)
		return find(records, "session_end", "pg") != nil && find(records, "session_end", "my") != nil && find(records, "refused", "wrong") != nil
	})
	records := w.lines(t, w.audit)
	for name, addr := range map[string]string{"pg": p.Addr(), "my": m.Addr()} {
		begin, end := find(records, "session_start", name), find(records, "session_end", name)
		peer, _ := end["peer"].(map[string]any)
		if begin.str("id") == "" || begin.str("id") != end.str("id") || end.str("upstream") != addr || end.str("user") == "" || peer["uid"] != float64(os.Getuid()) {
			t.Errorf("%s: got %v and %v", name, begin, end)
		}
		if sent, _ := end["from_client"].(float64); sent == 0 {
			t.Errorf("%s: no bytes in %v", name, end)
		}
	}
	if r := find(records, "refused", "wrong"); r.str("stage") != "auth" || r.str("error") == "" {
		t.Errorf("got %v", r)
	}

	for name, want := range map[string]float64{"pg session": 1, "my session": 1, "wrong failed": 1, "wrong session": 0} {
		if got := w.scrape(t, "dbvalet_connections_total", "result"); got[name] != want {
			t.Errorf("dbvalet_connections_total of %s is %v, want %v", name, got[name], want)
		}
	}
	times := w.scrape(t, "dbvalet_setup_seconds", "step")
	for _, step := range []string{"credential", "dial", "tls", "auth", "total"} {
		if times["pg "+step] != 1 || times["my "+step] != 1 {
			t.Errorf("%s was measured %v and %v times, want once each", step, times["pg "+step], times["my "+step])
		}
	}
	if got := w.scrape(t, "dbvalet_relay_bytes_total", "direction"); got["pg from_client"] == 0 || got["my from_upstream"] == 0 {
		t.Errorf("the relayed bytes are %v", got)
	}
	if got := w.scrape(t, "dbvalet_route_up", ""); got["pg "] != 1 {
		t.Errorf("the routes are up: %v", got)
	}
	waitUntil(t, "the collector has all spans", func() bool {
		spans := w.traces.Spans()
		return len(spans["connect"]) == 3 && len(spans["tls"]) >= 3 && len(spans["auth"]) >= 3
	})

	text, err := os.ReadFile(w.audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{p.SCRAMPassword, m.ClearPassword, "not for the audit"} {
		if bytes.Contains(text, []byte(secret)) || strings.Contains(w.output(), secret) || w.traces.Contains(secret) {
			t.Errorf("%q is in the audit, the log or the traces", secret)
		}
	}
}

func TestAuditFollowsItsFileAfterSIGUSR1(t *testing.T) {
	w, _, _ := startWatched(t)
	mustPSQL(t, w.valet, "SELECT 1")
	waitUntil(t, "the session is in the audit", func() bool { return find(w.lines(t, w.audit), "session_end", "pg") != nil })
	if err := os.Rename(w.audit, w.audit+".1"); err != nil {
		t.Fatal(err)
	}
	w.cmd.Process.Signal(syscall.SIGUSR1)
	waitUntil(t, "a session is in the new file", func() bool {
		mustPSQL(t, w.valet, "SELECT 1")
		_, err := os.Stat(w.audit)
		return err == nil && find(w.lines(t, w.audit), "session_end", "pg") != nil
	})
	if len(w.lines(t, w.audit+".1")) == 0 {
		t.Error("the old records have gone")
	}
}

// TestMetricsOfALongSessionGrowWhileItLasts has a session that does not end.
func TestMetricsOfALongSessionGrowWhileItLasts(t *testing.T) {
	w, _, _ := startWatched(t)
	conn := connect(t, w.valet)
	if _, err := conn.Exec(context.Background(), "SELECT repeat('x', 100000)"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the bytes are in the metrics", func() bool {
		return w.scrape(t, "dbvalet_relay_bytes_total", "direction")["pg from_upstream"] > 100_000
	})
	if got := w.scrape(t, "dbvalet_sessions_active", ""); got["pg "] != 1 {
		t.Errorf("the open sessions are %v", got)
	}
}

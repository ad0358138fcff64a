package integration

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dbvalet/integration/servers"
)

// refusal connects and returns the error that the client gets in the protocol.
func refusal(t *testing.T, conninfo string) *pgconn.PgError {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), conninfo)
	if err == nil {
		conn.Close(t.Context())
		t.Fatalf("connecting with %q worked", conninfo)
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		t.Fatalf("the client got no error of the protocol, but: %v", err)
	}
	return e
}

// TestDatabaseErrorsArriveVerbatim compares what a client gets through dbvalet with what it gets
// from the database itself, field by field.
func TestDatabaseErrorsArriveVerbatim(t *testing.T) {
	p := ownServer(t, servers.Options{
		Settings: map[string]string{"max_connections": "5", "superuser_reserved_connections": "3", "max_wal_senders": "0"},
		HBA:      []string{"hostssl forbidden all 127.0.0.1/32 reject"},
	})
	if err := p.Exec(t.Context(), "CREATE ROLE barred LOGIN"); err != nil {
		t.Fatal(err)
	}
	v := start(t, nil, route("scram", p, secretFile(t, p.SCRAMPassword)))
	compare := func(t *testing.T, database, code string) {
		through := refusal(t, v.conninfo()+" sslmode=disable dbname="+database)
		direct := refusal(t, directConninfo(p, "scram", p.SCRAMPassword)+" dbname="+database)
		if direct.Code != code {
			t.Fatalf("the database itself says %v, want SQLSTATE %s", direct, code)
		}
		if !reflect.DeepEqual(through, direct) {
			t.Errorf("through dbvalet: %#v\nfrom the database: %#v", through, direct)
		}
	}
	t.Run("unknown database", func(t *testing.T) { compare(t, "nowhere", "3D000") })
	t.Run("no line in pg_hba.conf", func(t *testing.T) { compare(t, "forbidden", "28000") })
	t.Run("too many connections", func(t *testing.T) {
		connect(t, v)
		connect(t, v)
		compare(t, "orders", "53300")
	})
}

// directConninfo is for a connection that does without dbvalet.
func directConninfo(p *servers.Postgres, user, password string) string {
	_, port, _ := net.SplitHostPort(p.Addr())
	return "host=" + p.Host + " port=" + port + " user=" + user + " password=" + password +
		" dbname=" + p.Database + " sslmode=verify-ca sslrootcert=" + p.CAFile
}

func TestErrorInASessionLeavesItUsable(t *testing.T) {
	p := pg18(t)
	conn := connect(t, start(t, p.AWSEnvironment(), iamRoute(p)))
	_, err := conn.Exec(t.Context(), "SELECT 1/0")
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "22012" {
		t.Errorf("got %v, want SQLSTATE 22012", err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}

// TestUnverifiedServerGetsNoCredential lets dbvalet meet servers that it must not trust. That they
// got no password is what their log shows: nobody ever tried to log in.
func TestUnverifiedServerGetsNoCredential(t *testing.T) {
	rows := []struct {
		name   string
		server servers.Options
		want   string // in the hint or the message
	}{
		{"no TLS", servers.Options{NoTLS: true}, "no TLS"},
		{"certificate of another CA", servers.Options{Certificate: servers.Certificate{Foreign: true}}, "ca="},
		{"certificate for another name", servers.Options{Certificate: servers.Certificate{Names: []string{"elsewhere.example.com"}}}, "elsewhere.example.com"},
		{"expired certificate", servers.Options{Certificate: servers.Certificate{NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}}, "expired"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.server.Settings = map[string]string{"log_connections": "on"}
			p := ownServer(t, row.server)
			to := route("clear", p, secretFile(t, p.ClearPassword))
			if p.CAFile == "" {
				to = strings.Replace(to, "&ca=&", "&", 1)
			}
			v := start(t, nil, to)
			e := refusal(t, v.conninfo()+" sslmode=disable")
			if e.Code != "28000" || e.Severity != "FATAL" {
				t.Errorf("got %s %s, want FATAL 28000: trying again is useless", e.Severity, e.Code)
			}
			if said := e.Message + " " + e.Hint; !strings.Contains(said, row.want) {
				t.Errorf("the client is told %q, want %q in it", said, row.want)
			}
			log, err := os.ReadFile(p.LogFile())
			if err != nil {
				t.Fatal(err)
			}
			for _, login := range []string{"authenticated", "authorized", "authentication failed"} {
				if strings.Contains(string(log), login+": user=\"clear\"") || strings.Contains(string(log), login+" for user \"clear\"") {
					t.Errorf("the server saw a login:\n%s", log)
				}
			}
		})
	}
}

func TestCloudSQLLegacyCertificate(t *testing.T) {
	p := ownServer(t, servers.Options{Certificate: servers.Certificate{CommonName: "project:instance", Names: []string{}}})
	v := start(t, nil, route("clear", p, secretFile(t, p.ClearPassword), "tls_server_name=project:instance"))
	if got := mustPSQL(t, v, "SELECT current_user"); got != "clear" {
		t.Errorf("psql printed %q", got)
	}
	other := start(t, nil, route("clear", p, secretFile(t, p.ClearPassword), "tls_server_name=project:other"))
	if e := refusal(t, other.conninfo()+" sslmode=disable"); e.Code != "28000" {
		t.Errorf("another instance's name: %v, want SQLSTATE 28000", e)
	}
}

func TestServerDownIsSaidAndServerBackIsFound(t *testing.T) {
	p := ownServer(t, servers.Options{})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	mustPSQL(t, v, "SELECT 1")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	e := refusal(t, v.conninfo()+" sslmode=disable")
	if e.Code != "57P03" || !strings.Contains(e.Message, "connection refused") || e.Hint == "" {
		t.Errorf("got %#v, want 57P03, connection refused and a hint", e)
	}
	host, port, _ := net.SplitHostPort(v.addrs[0])
	if stdout, _, err := client(t, "18", "pg_isready", "-h", host, "-p", port); err == nil || !strings.Contains(stdout, "rejecting connections") {
		t.Errorf("pg_isready: %v, %q; want it to say that connections are rejected", err, stdout)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPSQL(t, v, "SELECT 1")
}

func TestDirectTLSWithALPN(t *testing.T) {
	new, old := pg18(t), pg15(t)
	v := start(t, new.AWSEnvironment(), iamRoute(new, "sslnegotiation=direct"))
	mustPSQL(t, v, "SELECT 1")
	// Version 15 takes the TLS hello for a startup packet, and closes.
	v = start(t, old.AWSEnvironment(), iamRoute(old, "sslnegotiation=direct"))
	if e := refusal(t, v.conninfo()+" sslmode=disable"); !strings.HasPrefix(e.Message, "dbvalet: ") {
		t.Errorf("got %v, want an error of dbvalet's", e)
	}
}

// TestClientSettingsThatCannotWorkAreNamed covers clients that give up by themselves: they say
// something about the server, and the log says what it is about.
func TestClientSettingsThatCannotWorkAreNamed(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	rows := []struct{ setting, log, hint string }{
		{"channel_binding=require", "client left right after the login", "channel_binding"},
		{"require_auth=scram-sha-256", "client left right after the login", "require_auth"},
		{"sslmode=require", "set-up failed", "sslmode=disable"},
		{"sslmode=require sslnegotiation=direct", "set-up failed", "sslnegotiation=direct"},
	}
	seen := map[string]int{}
	for _, row := range rows {
		t.Run(row.setting, func(t *testing.T) {
			if _, _, err := client(t, "18", "psql", "-X", "-w", "-c", "SELECT 1", v.conninfo()+" "+row.setting); err == nil {
				t.Fatal("psql connected")
			}
			if hint := v.next(row.log, seen[row.log]).str("hint"); !strings.Contains(hint, row.hint) {
				t.Errorf("the log's hint is %q, want %q in it", hint, row.hint)
			}
			seen[row.log]++
		})
	}
}

func TestConnectionLimitIsSaidInTheProtocol(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p, "max_connections=1", "queue_timeout=100ms"))
	first := connect(t, v)
	if e := refusal(t, v.conninfo()+" sslmode=disable"); e.Code != "53300" || !strings.Contains(e.Hint, "max_connections") {
		t.Errorf("got %#v, want 53300 and a hint that names max_connections", e)
	}
	first.Close(t.Context())
	waitUntil(t, "the place is free again", func() bool {
		_, _, err := psql(t, v, "SELECT 1")
		return err == nil
	})
}

func TestSocketThatCannotBeMadeIsSaid(t *testing.T) {
	p := pg18(t)
	dir := filepath.Join(t.TempDir(), "missing", "run")
	_, stderr, code := runToEnd(t, p.AWSEnvironment(), strings.Replace(iamRoute(p), "127.0.0.1:0", url.PathEscape(dir), 1))
	if code != 1 || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "hint: make the directory") {
		t.Errorf("exit status %d, %q; want 1, the path and a hint", code, stderr)
	}
}

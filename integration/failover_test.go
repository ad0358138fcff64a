package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/integration/servers"
)

// bothCAs writes the CAs of several servers into one file.
func bothCAs(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, data...), '\n')
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func execAll(t *testing.T, server interface {
	Exec(context.Context, string, ...any) error
}, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := server.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// TestWriterIsFoundAfterAFailover has two PostgreSQL servers change places, which say by their
// parameters what they are.
func TestWriterIsFoundAfterAFailover(t *testing.T) {
	a, b := ownServer(t, servers.Options{}), ownServer(t, servers.Options{})
	execAll(t, b, "ALTER ROLE scram PASSWORD '"+a.SCRAMPassword+"'")
	readOnly := func(p *servers.Postgres, on string) {
		execAll(t, p, "ALTER SYSTEM SET default_transaction_read_only = '"+on+"'", "SELECT pg_reload_conf()")
		waitUntil(t, "the setting is in force", func() bool { return superuser(t, p, "SELECT current_setting('default_transaction_read_only')") == on })
	}
	readOnly(b, "on")
	hosts := a.Addr() + "," + b.Addr()
	options := "/orders?listen=127.0.0.1:0&tls=verify-ca&ca=" + bothCAs(t, a.CAFile, b.CAFile) + "&" + secretFile(t, a.SCRAMPassword)
	v := start(t, nil, "postgres://scram@"+hosts+options+"&target_session_attrs=read-write")
	const port = "SELECT inet_server_port()"
	if got := mustPSQL(t, v, port); got != fmt.Sprint(a.Port) {
		t.Fatalf("got %s, want the writer at %d", got, a.Port)
	}
	readOnly(a, "on")
	readOnly(b, "off")
	if got := mustPSQL(t, v, port); got != fmt.Sprint(b.Port) {
		t.Errorf("got %s, want the new writer at %d", got, b.Port)
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	other := start(t, nil, "postgres://scram@"+hosts+options+"&target_session_attrs=read-write&connect_timeout=10")
	e := refusal(t, other.conninfo()+" sslmode=disable")
	if e.Code != "57P03" || !strings.Contains(e.Message, a.Addr()+": the server is read-only") || !strings.Contains(e.Message, b.Addr()+": connect: connection refused") {
		t.Errorf("got %v, want 57P03 and what each host was", e)
	}
}

// TestClientSeesNothingOfTheChoice compares what clients are told where dbvalet has looked at the server
// with what they are told where it hasn't.
func TestClientSeesNothingOfTheChoice(t *testing.T) {
	p := pg18(t)
	plain := connect(t, start(t, p.AWSEnvironment(), iamRoute(p)))
	for _, attrs := range []string{"read-write", "primary", "prefer-standby"} {
		conn := connect(t, start(t, p.AWSEnvironment(), iamRoute(p, "target_session_attrs="+attrs)))
		for _, name := range []string{"server_version", "in_hot_standby", "TimeZone", "session_authorization"} {
			if got, want := conn.PgConn().ParameterStatus(name), plain.PgConn().ParameterStatus(name); got != want {
				t.Errorf("%s: the client got %s=%q, want %q", attrs, name, got, want)
			}
		}
		if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Errorf("%s: %v", attrs, err)
		}
	}
}

// TestRestartIsWaitedFor has clients connect while their database restarts.
func TestRestartIsWaitedFor(t *testing.T) {
	p := ownServer(t, servers.Options{})
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	mustPSQL(t, v, "SELECT 1")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	type result struct{ stdout, stderr string }
	done := make(chan result, 1)
	go func() {
		stdout, stderr, _ := psql(t, v, "SELECT 'served'")
		done <- result{stdout, stderr}
	}()
	v.next("trying again", 0)
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-done; !strings.Contains(r.stdout, "served") {
		t.Errorf("got %q, %q; dbvalet said:\n%s", r.stdout, r.stderr, v.output())
	}
	v.next("connected after other tries", 0)
}

// TestMySQLWriterIsFoundAfterAFailover has two servers change places.
func TestMySQLWriterIsFoundAfterAFailover(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			a := mysqlServer(t, servers.MySQLOptions{Version: version})
			b := mysqlServer(t, servers.MySQLOptions{Version: version})
			for _, m := range []*servers.MySQL{a, b} {
				execAll(t, m, "CREATE USER failover IDENTIFIED BY 'failover-pw'", "GRANT ALL ON *.* TO failover")
			}
			execAll(t, b, "SET GLOBAL read_only = 1")
			v := start(t, nil, "mysql://failover@"+a.Addr()+","+b.Addr()+"/?listen=127.0.0.1:0&tls=verify-ca&target_session_attrs=read-write&ca="+
				bothCAs(t, a.CAFile, b.CAFile)+"&"+secretFile(t, "failover-pw"))
			serves := func(want *servers.MySQL) {
				t.Helper()
				db := mysqlDB(t, v.addrs[0], "whoever", "")
				defer db.Close()
				for range 2 { // what is read after the check is the client's own
					if got := ask(t, db, "SELECT @@port"); got != fmt.Sprint(want.Port) {
						t.Errorf("got port %s, want %d", got, want.Port)
					}
				}
			}
			serves(a)
			execAll(t, a, "SET GLOBAL read_only = 1")
			execAll(t, b, "SET GLOBAL read_only = 0")
			serves(b)
			for _, program := range []string{"mysql9 mysql --ssl-mode=DISABLED", "mariadb11 mariadb --skip-ssl"} {
				args := strings.Fields(program)
				host, port, _ := net.SplitHostPort(v.addrs[0])
				cmd, err := servers.MySQLClient(t.Context(), args[0], args[1], append(args[2:], "-h", host, "-P", port, "-u", "whoever", "-N", "-B", "-e", "SELECT @@port; SELECT 2")...)
				if err != nil {
					t.Fatal(err)
				}
				if out, err := cmd.CombinedOutput(); string(out) != fmt.Sprintf("%d\n2\n", b.Port) {
					t.Errorf("%s: got %q, %v", program, out, err)
				}
			}
		})
	}
}

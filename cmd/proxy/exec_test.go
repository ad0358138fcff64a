package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dbvalet/config"
	"dbvalet/proxy"
)

const execRoute = "postgres://app@" + rdsHost + "/orders?auth=env:PW&local_password=env:NONE&allow=any"

// runtimeIn has private directories made in a directory of the test's, which it returns.
func runtimeIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("RUNTIME_DIRECTORY", dir)
	return filepath.Join(dir, "exec")
}

// leavesNothing fails the test if a run has left something in base.
func leavesNothing(t *testing.T, base string) {
	t.Helper()
	entries, err := os.ReadDir(base)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Errorf("got %v, %v in %s, want the lock alone", entries, err, base)
	}
}

func TestExecEndsAsItsCommandDoes(t *testing.T) {
	base := runtimeIn(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	for name, text := range map[string]string{"unmarked": "exit 0\n", "elsewhere": "#!/nowhere/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		command []string
		status  int
		stderr  string
	}{
		{"success", []string{"true"}, 0, ""},
		{"its own status", []string{"sh", "-c", "exit 3"}, 3, ""},
		{"a word of its own", []string{"sh", "-c", "echo sorry >&2; exit 1"}, 1, "sorry\n"},
		{"a signal", []string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{"no such command", []string{"no-such-command"}, 127, "run no-such-command: there is no such command\nhint: check its name"},
		{"no such file", []string{"./no-such-command"}, 127, "there is no such command"},
		{"all in one word", []string{"psql -c x"}, 127, "sh -c and all in quotes"},
		{"no program", []string{plain}, 126, "permission denied\nhint: "},
		{"a directory", []string{dir}, 126, "hint: "},
		{"no first line", []string{filepath.Join(dir, "unmarked")}, 126, "#!/bin/sh"},
		{"no interpreter", []string{filepath.Join(dir, "elsewhere")}, 126, "names a program that there is not"},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, stdout, stderr := runs(t, append([]string{"exec", execRoute, "--"}, row.command...)...)
			if status != row.status || stdout != "" || !strings.Contains(stderr, row.stderr) || row.stderr == "" && stderr != "" {
				t.Errorf("got status %d, %q and\n%swant %d and %q", status, stdout, stderr, row.status, row.stderr)
			}
			leavesNothing(t, base)
		})
	}
}

func TestExecUsageErrorsSayWhatToDo(t *testing.T) {
	runtimeIn(t)
	const my = "mysql://app@" + rdsHost + "/shop?auth=env:PW&name=shop"
	t.Setenv("PATH", t.TempDir())
	for _, row := range []struct {
		name          string
		args          []string
		status        int
		message, hint string
	}{
		{"no dashes", []string{"exec", execRoute, "psql"}, 2, "there is no --", "dbvalet exec orders -- psql"},
		{"no command", []string{"exec", execRoute, "--"}, 2, "there is no --", "dbvalet exec orders -- psql"},
		{"no route", []string{"exec", "--", "true"}, 2, "no route is given", "--config"},
		{"a route that can't be built", []string{"exec", "postgres://app@db.example.com?tls=require", "--", "no-such-command"}, 2, "nothing says where the credential", "auth="},
		{"both flags", []string{"exec", "--tcp", "--unix", execRoute, "--", "true"}, 2, "--tcp and --unix", "--help"},
		{"records on stdout", []string{"exec", "--audit=stdout", execRoute, "--", "true"}, 2, "audit=stdout", "--audit="},
		{"psql on MySQL", []string{"psql", my}, 2, "route shop: psql does not speak with MySQL", "dbvalet mysql"},
		{"mysql on PostgreSQL", []string{"mysql", execRoute}, 2, "mysql does not speak with PostgreSQL", "dbvalet psql"},
		{"psql's arguments", []string{"psql", execRoute, "-c", "SELECT 1"}, 2, "'c'", "dbvalet psql orders -- -c 'SELECT 1'"},
		{"psql's database", []string{"psql", execRoute, "other"}, 2, "more than one route", "dbvalet psql orders -- -c 'SELECT 1'"},
		{"no psql", []string{"psql", execRoute}, 127, "there is no psql in PATH", "apt install postgresql-client"},
		{"no mysql", []string{"mysql", my}, 127, "there is no mysql and no mariadb in PATH", "apt install default-mysql-client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, stdout, stderr := runs(t, row.args...)
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if status != row.status || stdout != "" || len(lines) != 2 || !strings.Contains(lines[0], row.message) || !strings.Contains(lines[1], row.hint) {
				t.Errorf("got status %d, %q and\n%swant %d, %q and the hint %q", status, stdout, stderr, row.status, row.message, row.hint)
			}
		})
	}
}

func TestClientTakesTheOnlyRouteOfItsKind(t *testing.T) {
	parse := func(url string) *config.Route {
		r, err := config.ParseRoute(url)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, two, shop := parse("postgres://h1?auth=env:PW"), parse("postgres://h2?auth=env:PW"), parse("mysql://h3?auth=env:PW")
	if got, err := psqlClient.choose([]*config.Route{shop, one}, false); err != nil || !slices.Equal(got, []*config.Route{one}) {
		t.Errorf("got %v, %v, want the one for PostgreSQL", got, err)
	}
	if _, err := psqlClient.choose([]*config.Route{one, two, shop}, false); !strings.Contains(proxy.Hint(err), "h1, h2") {
		t.Errorf("got %v, want both named", err)
	}
	if _, err := mysqlClient.choose([]*config.Route{one}, false); err == nil || !strings.Contains(err.Error(), "there is no MySQL route") {
		t.Errorf("got %v, want an error", err)
	}
}

// accesses are routes as a command reaches them.
func accesses(t *testing.T, tcpOnly, unixOnly bool, urls ...string) (l *lodging, all []*access) {
	t.Helper()
	runtimeIn(t)
	c := &config.Config{}
	for _, url := range urls {
		r, err := config.ParseRoute(url)
		if err != nil {
			t.Fatal(err)
		}
		c.Routes = append(c.Routes, r)
	}
	l, err := newLodging(tcpOnly, unixOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if all, err = l.take(c); err != nil {
		t.Fatal(err)
	}
	return l, all
}

func TestCommandIsToldOfItsRoutes(t *testing.T) {
	const pg, pg2, my = "postgres://app@h/orders?auth=env:PW", "postgres://app@h/more?auth=env:PW&name=a-b.c", "mysql://app@h/shop?auth=env:PW&name=a-b_c"
	parent := []string{"HOME=/home/x", "DATABASE_URL=old", "PGPASSWORD=old", "PGSERVICE=old", "PGUSER=old", "PGAPPNAME=kept", "MYSQL_PWD=old", "PGREQUIREAUTH=old"}
	for _, row := range []struct {
		name     string
		tcpOnly  bool
		unixOnly bool
		urls     []string
		want     string // with DIR, and PORT1 for the port of the first route
	}{
		{"PostgreSQL", false, false, []string{pg}, "HOME=/home/x PGAPPNAME=kept MYSQL_PWD=old " +
			"PGHOST=DIR PGPORT=PORT1 PGUSER=app PGDATABASE=orders DATABASE_URL=postgres://app@127.0.0.1:PORT1/orders?sslmode=disable"},
		{"ports only", true, false, []string{pg}, "HOME=/home/x PGAPPNAME=kept MYSQL_PWD=old " +
			"PGHOST=127.0.0.1 PGPORT=PORT1 PGUSER=app PGDATABASE=orders PGSSLMODE=disable DATABASE_URL=postgres://app@127.0.0.1:PORT1/orders?sslmode=disable"},
		{"sockets only", false, true, []string{pg}, "HOME=/home/x PGAPPNAME=kept MYSQL_PWD=old " +
			"PGHOST=DIR PGPORT=5432 PGUSER=app PGDATABASE=orders DATABASE_URL=postgres://app@/orders?host=DIR&port=5432&sslmode=disable"},
		{"whatever user", false, false, []string{"postgres://h?auth=env:PW"}, "HOME=/home/x PGUSER=old PGAPPNAME=kept MYSQL_PWD=old " +
			"PGHOST=DIR PGPORT=PORT1 DATABASE_URL=postgres://127.0.0.1:PORT1/?sslmode=disable"},
		{"MySQL", false, false, []string{my}, "HOME=/home/x PGPASSWORD=old PGSERVICE=old PGUSER=old PGAPPNAME=kept PGREQUIREAUTH=old " +
			"MYSQL_UNIX_PORT=DIR/mysql.PORT1.sock MYSQL_HOST=127.0.0.1 MYSQL_TCP_PORT=PORT1 DATABASE_URL=mysql://app@127.0.0.1:PORT1/shop"},
		{"sockets of MySQL", false, true, []string{my}, "HOME=/home/x PGPASSWORD=old PGSERVICE=old PGUSER=old PGAPPNAME=kept PGREQUIREAUTH=old " +
			"MYSQL_HOST=localhost MYSQL_UNIX_PORT=DIR/mysql.3306.sock DATABASE_URL=mysql://app@localhost/shop?socket=DIR/mysql.3306.sock"},
		{"several", false, true, []string{my, pg, pg2}, "HOME=/home/x PGAPPNAME=kept " +
			"MYSQL_HOST=localhost MYSQL_UNIX_PORT=DIR/mysql.3306.sock PGHOST=DIR PGPORT=5432 PGUSER=app PGDATABASE=orders " +
			"DATABASE_URL=mysql://app@localhost/shop?socket=DIR/mysql.3306.sock DBVALET_A_B_C_URL=mysql://app@localhost/shop?socket=DIR/mysql.3306.sock " +
			"DBVALET_H_URL=postgres://app@/orders?host=DIR&port=5432&sslmode=disable DBVALET_A_B_C_2_URL=postgres://app@/more?host=DIR&port=5433&sslmode=disable"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, all := accesses(t, row.tcpOnly, row.unixOnly, row.urls...)
			got := strings.Join(environ(parent, all), " ")
			if l.dir != nil {
				got = strings.ReplaceAll(got, l.dir.path, "DIR")
			}
			for i, a := range all {
				if a.tcp != nil {
					_, port, _ := strings.Cut(a.tcp.String(), ":")
					got = strings.ReplaceAll(got, port, "PORT"+strconv.Itoa(i+1))
				}
			}
			if got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
	for _, pair := range environ(nil, []*access{{route: &config.Route{Name: "é/1", Scheme: "postgres"}}, {route: &config.Route{Name: "b", Scheme: "postgres"}}}) {
		if _, err := config.Load(config.Sources{Environ: []string{pair}}); err != nil {
			t.Errorf("a dbvalet below does not take %s: %v", pair, err)
		}
	}
}

func TestCommandKeepsWhatTheUserSaysAboutTLS(t *testing.T) {
	for _, row := range []struct {
		name    string
		tcpOnly bool
		parent  string
		want    string
	}{
		{"nothing", false, "", ""},
		{"nothing, ports only", true, "", "PGSSLMODE=disable"},
		{"required in the old way, ports only", true, "PGREQUIRESSL=1", ""},
		{"verified", false, "PGSSLMODE=verify-full PGSSLROOTCERT=/ca.pem PGSSLCERT=/c.pem PGREQUIRESSL=1", "PGSSLMODE=verify-full PGSSLROOTCERT=/ca.pem PGSSLCERT=/c.pem PGREQUIRESSL=1"},
		{"verified, ports only", true, "PGSSLMODE=verify-full PGSSLROOTCERT=/ca.pem PGSSLCERT=/c.pem PGREQUIRESSL=1", "PGSSLROOTCERT=/ca.pem PGSSLCERT=/c.pem"},
		{"no more than tried, ports only", true, "PGSSLMODE=prefer", "PGSSLMODE=prefer"},
		{"turned off by the user, ports only", true, "PGSSLMODE=disable", "PGSSLMODE=disable"},
		{"the system's roots", false, "PGSSLROOTCERT=system", "PGSSLMODE=verify-full"},
		{"the system's roots, ports only", true, "PGSSLROOTCERT=system PGSSLMODE=verify-full", ""},
		{"what a private listener has not", false, "PGREQUIREAUTH=scram-sha-256 PGCHANNELBINDING=require PGSSLNEGOTIATION=direct PGSSLCERTMODE=require PGGSSENCMODE=require", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, all := accesses(t, row.tcpOnly, false, execRoute)
			var got []string
			for _, pair := range environ(strings.Fields(row.parent), all) {
				if name, _, _ := strings.Cut(pair, "="); !slices.Contains([]string{"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "DATABASE_URL"}, name) {
					got = append(got, pair)
				}
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestEachRouteHasAURLOfItsOwn(t *testing.T) {
	_, all := accesses(t, false, false, "postgres://h/one?auth=env:PW&name=a-b", "postgres://h/two?auth=env:PW&name=a.b",
		"postgres://h/three?auth=env:PW&name=a-b-2", "postgres://h/four?auth=env:PW&name=a_b")
	var got []string
	for _, pair := range environ(nil, all) {
		if name, url, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "DBVALET_") {
			_, path, _ := strings.Cut(strings.TrimPrefix(url, "postgres://"), "/")
			database, _, _ := strings.Cut(path, "?")
			got = append(got, name+"="+database)
		}
	}
	if want := "DBVALET_A_B_URL=one DBVALET_A_B_2_URL=two DBVALET_A_B_2_2_URL=three DBVALET_A_B_3_URL=four"; strings.Join(got, " ") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
}

func TestOwnListenersTakeWhoeverTheRouteSays(t *testing.T) {
	_, all := accesses(t, false, false, "postgres://app@h/orders?auth=env:PW&listen=0.0.0.0:5432&allow=any&allow_remote=10.0.0.0/8&local_password=auto&local_tls=auto&socket_mode=0666")
	r := all[0].route
	if len(r.Listen) != 2 || !strings.HasPrefix(r.Listen[0], "127.0.0.1:") || !strings.HasSuffix(r.Listen[1], "/.s.PGSQL."+strings.TrimPrefix(r.Listen[0], "127.0.0.1:")) {
		t.Errorf("got listen=%s, want a port of 127.0.0.1 and a socket of the same number", r.Listen)
	}
	if r.Allow != "self" || r.AllowRemote != nil || r.LocalPassword != "" || r.LocalTLS != "" || r.SocketMode != 0 {
		t.Errorf("got %+v, want it open to the own user and nobody else", r)
	}
}

func TestMySQLsOwnFirstArgumentsComeFirst(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"mariadb", "oracle"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"mysql": "oracle", "mysql-of-debian": "mariadb"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	_, socket := accesses(t, false, true, "mysql://app@h/shop?auth=env:PW")
	_, both := accesses(t, false, false, "mysql://h?auth=env:PW")
	path := socket[0].socket.String()
	_, port, _ := strings.Cut(both[0].tcp.String(), ":")
	for _, row := range []struct {
		name    string
		a       *access
		program string
		args    []string
		want    string
	}{
		{"port", both[0], "mariadb", []string{"-e", "x"}, "--protocol=TCP --skip-password -h 127.0.0.1 -P " + port + " -e x"},
		{"options of files", both[0], "mysql", []string{"--defaults-file=x", "--no-auto-rehash", "other"}, "--defaults-file=x --protocol=TCP -h 127.0.0.1 -P " + port + " --no-auto-rehash other"},
		{"socket", socket[0], "mysql", nil, "--protocol=SOCKET --host=localhost -S " + path + " -u app -D shop"},
		{"socket, MariaDB's", socket[0], "mysql-of-debian", nil, "--protocol=SOCKET --host=localhost --skip-password -S " + path + " -u app -D shop --loose-skip-ssl"},
	} {
		if got := strings.Join(mysqlArguments(row.a, row.program, row.args), " "); got != row.want {
			t.Errorf("%s: got\n%s\nwant\n%s", row.name, got, row.want)
		}
	}
}

func TestLogIsQuietWhereACommandHasTheScreen(t *testing.T) {
	runtimeIn(t)
	for name, row := range map[string]struct {
		flags []string
		env   string
		want  string
	}{
		"by itself":   {nil, "", ""},
		"by flag":     {[]string{"--log-level=info"}, "", `"ready"`},
		"by variable": {nil, "info", `"ready"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DBVALET_LOG_LEVEL", row.env)
			file := filepath.Join(t.TempDir(), "dbvalet.yaml")
			if err := os.WriteFile(file, []byte("log_level: debug\nroutes:\n  - upstream: '"+execRoute+"'\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append(append([]string{"exec", "--config", file}, row.flags...), "--", "true")
			status, _, stderr := runs(t, args...)
			if status != 0 || !strings.Contains(stderr, row.want) || row.want == "" && stderr != "" {
				t.Errorf("got status %d and\n%swant %q", status, stderr, row.want)
			}
		})
	}
}

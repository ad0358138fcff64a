package integration

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// mysqlVersions are the servers that tests of MySQL share, and the client programs.
var mysqlVersions = []string{"mysql9", "mariadb11", "mariadb10"}

// sharedMySQL gives the one server of a version, started when it is first wanted.
var sharedMySQL = map[string]func() (*servers.MySQL, error){
	"mysql9":    onceMySQL(servers.MySQLOptions{Version: "mysql9"}),
	"mariadb11": onceMySQL(servers.MySQLOptions{Version: "mariadb11"}),
	"mariadb10": onceMySQL(servers.MySQLOptions{Version: "mariadb10"}),
}

func onceMySQL(o servers.MySQLOptions) func() (*servers.MySQL, error) {
	return sync.OnceValues(func() (*servers.MySQL, error) {
		m, err := servers.StartMySQL(context.Background(), o)
		if err == nil {
			keep(m)
		}
		return m, err
	})
}

// ordinaryMySQL returns the shared server of a version.
func ordinaryMySQL(t *testing.T, version string) *servers.MySQL {
	t.Helper()
	m, err := sharedMySQL[version]()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// onEachMySQL runs a test with the shared server of each version.
func onEachMySQL(t *testing.T, test func(t *testing.T, version string, m *servers.MySQL)) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) { test(t, version, ordinaryMySQL(t, version)) })
	}
}

// mysqlPasswords are the passwords of a server's users, of those whom it has. That of "mfa" is the one
// for both of its factors, which twoFactors sets.
func mysqlPasswords(m *servers.MySQL) map[string]string {
	passwords := map[string]string{
		"clear": m.ClearPassword, "native": m.NativePassword, "sha2": m.SHA2Password,
		"sha256": m.SHA256Password, "ed25519": m.Ed25519Password, "parsec": m.ParsecPassword,
	}
	if m.MFAPassword != "" {
		passwords["mfa"] = m.ClearPassword
	}
	maps.DeleteFunc(passwords, func(_, password string) bool { return password == "" })
	return passwords
}

// twoFactors gives the user "mfa" the same password for both factors, for a route has one credential.
func twoFactors(t *testing.T, m *servers.MySQL) {
	t.Helper()
	if err := m.Exec(t.Context(), "ALTER USER mfa IDENTIFIED WITH caching_sha2_password BY '"+m.ClearPassword+"'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Exec(context.Background(), "ALTER USER mfa IDENTIFIED WITH caching_sha2_password BY '"+m.MFAPassword+"'"); err != nil {
			t.Error(err)
		}
	})
}

// mysqlValet runs dbvalet with a route for each of the users, and returns the routes' addresses too.
// The user "app" has a token, the others have passwords.
func mysqlValet(t *testing.T, m *servers.MySQL, users ...string) (*valet, map[string]string) {
	t.Helper()
	passwords, routes, addrs := mysqlPasswords(m), []string(nil), map[string]string{}
	for _, user := range users {
		options := []string{"name=" + user}
		if user != "app" {
			options = append(options, secretFile(t, passwords[user]))
		}
		routes = append(routes, mysqlRoute(user, m, options...))
	}
	v := start(t, m.AWSEnvironment(), routes...)
	for i, user := range users {
		addrs[user] = v.addrs[i]
	}
	return v, addrs
}

// appValet is mysqlValet for the user with the token.
func appValet(t *testing.T, m *servers.MySQL) (*valet, string) {
	t.Helper()
	v, addrs := mysqlValet(t, m, "app")
	return v, addrs["app"]
}

// mysqlProgram is the name of a client program, which MySQL and MariaDB call differently: mysql and
// what, or mariadb, a hyphen and what.
func mysqlProgram(version, what string) string {
	switch {
	case version == "mysql9":
		return "mysql" + what
	case what == "":
		return "mariadb"
	}
	return "mariadb-" + what
}

// mysqlCommand returns a client program that connects to dbvalet at addr, without a password. what is
// as for mysqlProgram.
func mysqlCommand(t *testing.T, ctx context.Context, version, what, addr string, args ...string) *exec.Cmd {
	t.Helper()
	first := []string{"--user=whoever"}
	if filepath.IsAbs(addr) {
		first = append(first, "--socket="+addr)
	} else {
		host, port, _ := strings.Cut(addr, ":")
		first = append(first, "--host="+host, "--port="+port)
	}
	cmd, err := servers.MySQLClient(ctx, version, mysqlProgram(version, what), append(first, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// directCommand is mysqlCommand for the user "clear", who connects to the server itself.
func directCommand(t *testing.T, ctx context.Context, version, what string, m *servers.MySQL, args ...string) *exec.Cmd {
	t.Helper()
	verify := "--ssl-verify-server-cert"
	if version == "mysql9" {
		verify = "--ssl-mode=VERIFY_IDENTITY"
	}
	cmd := mysqlCommand(t, ctx, version, what, m.Addr(), append([]string{"--user=clear", "--ssl-ca=" + m.CAFile, verify}, args...)...)
	cmd.Env = append(cmd.Env, "MYSQL_PWD="+m.ClearPassword, "LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1")
	return cmd
}

// finish runs cmd to its end and returns what it printed.
func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), err
}

// mysqlCLI runs the client program of a version, which has to end with success, and returns what it
// printed.
func mysqlCLI(t *testing.T, version, addr string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout, stderr, err := finish(t, mysqlCommand(t, ctx, version, "", addr, args...))
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", version, err, stdout, stderr)
	}
	return stdout
}

// whoAmI asks who is logged in, where, and whether the server's connection is encrypted.
const whoAmI = "SELECT CURRENT_USER(), DATABASE(); SHOW STATUS LIKE 'Ssl_cipher'"

// checkWhoAmI compares the answer to whoAmI, as client programs print it with -N.
func checkWhoAmI(t *testing.T, got, user string, m *servers.MySQL) {
	t.Helper()
	want := user + "@%\t" + m.Database + "\nSsl_cipher\tTLS_"
	if cipher, ok := strings.CutPrefix(got, want); !ok || strings.Count(cipher, "\n") != 1 {
		t.Errorf("got %q, want %q and the cipher's name", got, want)
	}
}

// checkUser logs in at addr, which is a route for user, with each client that is quick, without a
// password and with one that means nothing.
func checkUser(t *testing.T, m *servers.MySQL, user, addr string) {
	for _, password := range []string{"", "dummy"} {
		name := func(client string) string { return strings.TrimSpace(user + " from " + client + " " + password) }
		for _, client := range mysqlVersions {
			t.Run(name(client), func(t *testing.T) {
				args := []string{"-N", "-e", whoAmI}
				if password != "" {
					args = append(args, "--password="+password)
				}
				if password != "" && client == "mariadb11" {
					args = append(args, "--skip-ssl") // It insists on TLS if it has a password.
				}
				checkWhoAmI(t, mysqlCLI(t, client, addr, args...), user, m)
			})
		}
		t.Run(name("go-sql-driver"), func(t *testing.T) {
			db := mysqlDB(t, addr, "whoever", password, multiStatements)
			var got strings.Builder
			for _, row := range allRows(t, db, whoAmI) {
				fmt.Fprintln(&got, strings.Join(row, "\t"))
			}
			checkWhoAmI(t, got.String(), user, m)
		})
	}
}

// multiStatements lets a driver send several statements at once.
func multiStatements(c *mysql.Config) { c.MultiStatements = true }

// allRows returns the rows of all results of a query as text.
func allRows(t *testing.T, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, query string, args ...any) (all [][]string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for again := true; again; again = rows.NextResultSet() {
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row := make([]string, len(columns))
			into := make([]any, len(row))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			all = append(all, row)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// TestMySQLEveryUserFromEveryClient goes through the plugins upstream: of each server, each user.
func TestMySQLEveryUserFromEveryClient(t *testing.T) {
	want := map[string]int{"mysql9": 5, "mariadb11": 6, "mariadb10": 4}
	onEachMySQL(t, func(t *testing.T, version string, m *servers.MySQL) {
		if m.MFAPassword != "" {
			twoFactors(t, m)
		}
		users := append([]string{"app"}, slices.Sorted(maps.Keys(mysqlPasswords(m)))...)
		if len(users) != want[version] {
			t.Errorf("the users are %v, want %d", users, want[version])
		}
		v, addrs := mysqlValet(t, m, users...)
		for _, user := range users {
			checkUser(t, m, user, addrs[user])
		}
		for user, password := range mysqlPasswords(m) {
			if strings.Contains(v.output(), password) {
				t.Errorf("the password of %q is in the log", user)
			}
		}
	})
}

// TestMySQLDialogFromEveryClient has MariaDB's PAM as it is by default, which asks a question. A token
// answers it only where the route says so, for RDS does not ask like that.
func TestMySQLDialogFromEveryClient(t *testing.T) {
	for _, version := range []string{"mariadb11", "mariadb10"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, Dialog: true})
			v := start(t, m.AWSEnvironment(), mysqlRoute("app", m, "name=app", "require_auth=dialog"),
				mysqlRoute("clear", m, "name=clear", secretFile(t, m.ClearPassword)), mysqlRoute("app", m, "name=strict"))
			for i, user := range []string{"app", "clear"} {
				checkUser(t, m, user, v.addrs[i])
			}
			err := mysqlDB(t, v.addrs[2], "app", "").PingContext(t.Context())
			if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != 1045 || !strings.Contains(e.Message, "require_auth=dialog") {
				t.Errorf("a route for tokens that does not allow dialog: got %v, want error 1045 with a hint", err)
			}
		})
	}
}

// TestMySQLSecondFactorIsTheServersToJudge has a credential that is right for one factor only.
func TestMySQLSecondFactorIsTheServersToJudge(t *testing.T) {
	m := ordinaryMySQL(t, "mysql9")
	for name, password := range map[string]string{"first factor only": m.MFAPassword, "second factor only": m.ClearPassword} {
		t.Run(name, func(t *testing.T) {
			v := start(t, nil, mysqlRoute("mfa", m, secretFile(t, password)))
			err := mysqlDB(t, v.addrs[0], "mfa", "").PingContext(t.Context())
			if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != 1045 {
				t.Errorf("got %v, want error 1045", err)
			}
		})
	}
}

func TestMySQLUnixSocketServesClientPrograms(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		dir := filepath.Join(shortDir(t), "run")
		start(t, m.AWSEnvironment(), mysqlRoute("app", m, "listen="+dir))
		path := filepath.Join(dir, "mysql.sock")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the socket: %v, %v; want mode 0600", info, err)
		}
		for _, client := range mysqlVersions {
			args := []string{"-N", "-e", whoAmI}
			if client == "mariadb11" {
				args = append(args, "--skip-ssl") // It insists on TLS on a socket, even without a password.
			}
			checkWhoAmI(t, mysqlCLI(t, client, path, args...), "app", m)
		}
	})
}

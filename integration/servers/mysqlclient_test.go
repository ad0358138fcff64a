package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mysqlClient returns a client program that connects to m over TLS.
func mysqlClient(t *testing.T, m *MySQL, version, name, user, password string, args ...string) *exec.Cmd {
	t.Helper()
	verify := "--ssl-verify-server-cert"
	if version == "mysql9" {
		verify = "--ssl-mode=VERIFY_IDENTITY"
	}
	cmd, err := MySQLClient(t.Context(), version, name, append([]string{"--host=" + m.Host,
		fmt.Sprint("--port=", m.Port), "--user=" + user, "--ssl-ca=" + m.CAFile, verify}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "MYSQL_PWD="+password, "LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1")
	return cmd
}

// clientName returns the name of a client program, which MySQL and MariaDB call differently.
func clientName(version, what string) string {
	switch {
	case version == "mysql9":
		return "mysql" + what
	case what == "":
		return "mariadb"
	}
	return "mariadb-" + what
}

func TestMySQLClientProgramsLogIn(t *testing.T) {
	for _, version := range mysqlVersions {
		m := ordinaryMySQL(t, version)
		users := m.passwordUsers()
		users["app"] = tokenRequest{}.token(t, &m.Server)
		for _, client := range mysqlVersions {
			for user, password := range users {
				if client == "mysql9" && (user == "ed25519" || user == "parsec") || client == "mariadb10" && user == "parsec" {
					continue // They do not have the plugin.
				}
				t.Run(version+" "+client+" "+user, func(t *testing.T) {
					cmd := mysqlClient(t, m, client, clientName(client, ""), user, password, "-Ne", "SELECT CURRENT_USER()", m.Database)
					out, err := cmd.CombinedOutput()
					if err != nil || !strings.HasSuffix(string(out), user+"@%\n") {
						t.Errorf("got %q, %v", out, err)
					}
				})
			}
		}
	}
}

func TestMySQLAsksForTwoFactors(t *testing.T) {
	m := ordinaryMySQL(t, "mysql9")
	for password, accepted := range map[string]bool{m.ClearPassword: true, "wrong": false} {
		cmd := mysqlClient(t, m, "mysql9", "mysql", "mfa", "", "--password1="+m.MFAPassword, "--password2="+password, "-Ne", "SELECT CURRENT_USER()")
		out, err := cmd.CombinedOutput()
		if (err == nil) != accepted || strings.Contains(string(out), "mfa@%") != accepted {
			t.Errorf("got %q, %v", out, err)
		}
	}
}

func TestMariaDBAsksWithDialog(t *testing.T) {
	for _, version := range []string{"mariadb11", "mariadb10"} {
		t.Run(version, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: version, Dialog: true})
			for user, password := range map[string]string{"clear": m.ClearPassword, "app": tokenRequest{}.token(t, &m.Server)} {
				out, err := mysqlClient(t, m, version, "mariadb", user, password, "-Ne", "SELECT CURRENT_USER()").CombinedOutput()
				if err != nil || string(out) != user+"@%\n" {
					t.Errorf("got %q, %v", out, err)
				}
				// MySQL's client does not have the plugin.
				out, err = mysqlClient(t, m, "mysql9", "mysql", user, password).CombinedOutput()
				if err == nil || !strings.Contains(string(out), "'dialog' cannot be loaded") {
					t.Errorf("got %q, %v", out, err)
				}
			}
		})
	}
}

func TestMySQLClientProgramsWork(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			if err := m.Exec(t.Context(), "CREATE TABLE t AS SELECT 42 AS a"); err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct {
				args []string
				want string
			}{
				{[]string{clientName(version, ""), "-e", "SHOW STATUS LIKE 'Ssl_cipher'"}, "TLS_"},
				{[]string{clientName(version, "admin"), "ping"}, "is alive"},
				{[]string{clientName(version, "dump"), "--single-transaction", m.Database, "t"}, "CREATE TABLE `t`"},
				{[]string{clientName(version, "binlog"), "--read-from-remote-server", "binlog.000001"}, "CREATE TABLE"},
			} {
				cmd := mysqlClient(t, m, version, test.args[0], "app", tokenRequest{}.token(t, &m.Server), test.args[1:]...)
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), test.want) {
					t.Errorf("%s: %v, expected %q in:\n%s", test.args, err, test.want, out)
				}
			}
		})
	}
}

func TestMySQLClientIgnoresTheCallersSettings(t *testing.T) {
	m := ordinaryMySQL(t, "mariadb11")
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".my.cnf"), []byte("[client]\nno-such-option\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("MYSQL_HOME", home)
	for _, version := range mysqlVersions {
		out, err := mysqlClient(t, m, version, clientName(version, ""), "native", m.NativePassword, "-Ne", "SELECT 42").CombinedOutput()
		if err != nil || string(out) != "42\n" {
			t.Errorf("%s: got %q, %v", version, out, err)
		}
	}
}

func TestMySQLInterruptKillsTheQuery(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			cmd := mysqlClient(t, m, version, clientName(version, ""), "app", tokenRequest{}.token(t, &m.Server), "-e", "SELECT SLEEP(600)")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitUntilMySQL(t, m, "(SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info LIKE 'SELECT SLEEP%')")
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			// SLEEP returns 1 if it was interrupted.
			if err := cmd.Wait(); err != nil && !strings.Contains(out.String(), "interrupted") {
				t.Errorf("got %v:\n%s", err, out.String())
			}
		})
	}
}

func TestUnknownMySQLClientAndVersionHaveHints(t *testing.T) {
	for _, test := range []struct{ version, name, hint string }{
		{"mysql9", "mysqlslap", "hint: there are mysql, mysqladmin"},
		{"mysql5", "mysql", "hint: there are mariadb10, mariadb11, mysql9"},
	} {
		_, err := MySQLClient(t.Context(), test.version, test.name)
		if err == nil || !strings.Contains(err.Error(), test.hint) {
			t.Errorf("got %v", err)
		}
	}
}

func TestSysbenchRunsOverTLS(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			dir := t.TempDir()
			if err := m.WriteSysbenchFiles(dir); err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct{ command, want string }{
				{"prepare", "Inserting 100 records"},
				{"run", "total number of events:              50\n"},
			} {
				// This user is let in only over TLS.
				cmd, err := Sysbench(t.Context(), "oltp_point_select", "--mysql-host="+m.Host, fmt.Sprint("--mysql-port=", m.Port),
					"--mysql-user=app", "--mysql-password="+tokenRequest{}.token(t, &m.Server), "--mysql-db="+m.Database,
					"--mysql-ssl=on", "--events=50", "--time=0", "--table-size=100", test.command)
				if err != nil {
					t.Fatal(err)
				}
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), test.want) {
					t.Errorf("%v, expected %q in:\n%s", err, test.want, out)
				}
			}
		})
	}
}

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dbvalet/integration/servers"
)

// A mysqlDriver is a program in another language, which uses a driver without a password and with one
// that means nothing.
type mysqlDriver struct {
	script string
	run    func(ctx context.Context, script string, args ...string) (*exec.Cmd, error)
	want   string // what it prints
}

// mysqlDrivers are the drivers that are not Go's. What is printed twice is for the two passwords.
var mysqlDrivers = map[string]mysqlDriver{
	"PyMySQL": {"mysql_client.py", servers.Python, strings.Repeat(`app@% encrypted
values 42 é
results 1 2 3
warnings 1 1292
loaded 1000
errors 1146 1062 1064
changed app@% orders None same thread
after it 100000
changed app@% orders None same thread
after it 100000
refused 1045
closed
`, 2)},
	"mysqli and PDO": {"mysql_client.php", servers.PHP, strings.Repeat(`app@% encrypted
prepared 42 é
results 1 2 3
warnings 1 1292
errors 1146 42S02, 1064 42000
changed app@% orders NULL
changed app@% orders NULL
refused 1045
persistent app@% same thread NULL
`, 2) + "PDO app@% 42\n"},
	"mysql2 and mariadb": {"mysql_client.js", servers.Node, strings.Repeat(`mysql2 app@% encrypted
prepared 42 é
results 1 2 3
loaded 1000
warnings 1 1062
errors 1146 42S02 1062 23000
tracked +03:00
tracked information_schema
reset app@% null
changed app@% information_schema null same thread
prepared 43
changed app@% information_schema null same thread
prepared 43
refused 1045 28000
mariadb app@% encrypted
prepared 42 é
results 1 2 3
loaded 1000
batch 500
warnings 1 1062
errors 1146 42S02 1062 23000
reset app@% null
`, 2)},
	"Connector/J": {"MySQLClient.java", servers.Java, strings.Repeat(`app@% encrypted
prepared 42 e
results 1 2 3
loaded 1000
batch 500
warnings 1062
errors 1146 42S02 1062 23000
reset app@% NULL
canceled
`, 2)},
}

func TestMySQLDriversOfOtherLanguages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows")
	var rows strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&rows, i)
	}
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	onEachMySQL(t, func(t *testing.T, version string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		host, port, _ := strings.Cut(addr, ":")
		for name, driver := range mysqlDrivers {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				cmd, err := driver.run(ctx, filepath.Join("testdata", driver.script), host, port, "whoever", file)
				if err != nil {
					t.Fatal(err)
				}
				stdout, stderr, err := finish(t, cmd)
				want := driver.want
				if name == "Connector/J" && version == "mysql9" {
					want = strings.ReplaceAll(want, "reset app@% NULL", "reset app@% 1") // It resets sessions of MariaDB only.
				}
				if err != nil || stdout != want {
					t.Errorf("%v; it printed\n%s%s\nwant\n%s", err, stdout, stderr, want)
				}
			})
		}
	})
}

// TestMySQLBinlogIsTheSameAsADirectOne copies a finished binary log with the programs that read it as
// a replica does.
func TestMySQLBinlogIsTheSameAsADirectOne(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, version string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		super, err := m.Superuser()
		if err != nil {
			t.Fatal(err)
		}
		defer super.Close()
		log := nextBinlog(t, m)
		mustExec(t, super, "CREATE TABLE logged (what LONGTEXT)", "INSERT INTO logged VALUES ('remember me'), ('"+strings.Repeat("0123456789abcdef", 1<<18)+"')",
			"DROP TABLE logged", "FLUSH BINARY LOGS")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		through, direct := filepath.Join(t.TempDir(), "through-"), filepath.Join(t.TempDir(), "direct-")
		args := []string{"--read-from-remote-server", "--raw", log}
		if stdout, stderr, err := finish(t, mysqlCommand(t, ctx, version, "binlog", addrs["clear"], append([]string{"--result-file=" + through}, args...)...)); err != nil {
			t.Fatalf("%v\n%s%s", err, stdout, stderr)
		}
		if stdout, stderr, err := finish(t, directCommand(t, ctx, version, "binlog", m, append([]string{"--result-file=" + direct}, args...)...)); err != nil {
			t.Fatalf("directly: %v\n%s%s", err, stdout, stderr)
		}
		got, err := os.ReadFile(through + log)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(direct + log)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || !bytes.Contains(want, []byte("remember me")) || len(want) < 4<<20 {
			t.Errorf("the log through dbvalet has %d bytes, the direct one %d; want the same, with what was written", len(got), len(want))
		}
	})
}

// TestMySQLBinlogFollowsTheServer reads on as the server writes, as a replica does.
func TestMySQLBinlogFollowsTheServer(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			_, addr := appValet(t, m)
			super, err := m.Superuser()
			if err != nil {
				t.Fatal(err)
			}
			defer super.Close()
			log := nextBinlog(t, m)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			to := filepath.Join(t.TempDir(), "copy-")
			option := "--stop-never-slave-server-id=77"
			if version == "mysql9" {
				option = "--connection-server-id=77"
			}
			cmd := mysqlCommand(t, ctx, version, "binlog", addr, "--read-from-remote-server", "--raw", "--stop-never", option, "--result-file="+to, log)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			const dumping = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND command LIKE 'Binlog Dump%'"
			waitUntil(t, "the server sends its log", func() bool { return mysqlSuperuser(t, m, dumping) == "1" })
			mustExec(t, super, "CREATE TABLE followed (what TEXT)", "INSERT INTO followed VALUES ('written later')", "DROP TABLE followed", "FLUSH BINARY LOGS")
			waitUntil(t, "what was written arrives", func() bool {
				b, err := os.ReadFile(to + log)
				return err == nil && bytes.Contains(b, []byte("written later"))
			})
			cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait() // It was stopped, and says so in its own way.
			if ctx.Err() != nil {
				t.Errorf("it did not end; it said %s", stderr.String())
			}
		})
	}
}

func TestMySQLDumpIsTheSameAsADirectOne(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, version string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		db := mysqlDB(t, addrs["clear"], "whoever", "")
		mustExec(t, db, "CREATE TABLE dumped (n INT PRIMARY KEY, what VARCHAR(200), raw VARBINARY(32))")
		defer mustExec(t, db, "DROP TABLE dumped")
		mustExec(t, db, "INSERT INTO dumped WITH digits AS (SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) "+
			"SELECT a.d + 10*b.d + 100*c.d + 1000*e.d, SHA2(CONCAT(a.d, b.d, c.d, e.d), 256), UNHEX(SHA2(a.d, 256)) FROM digits a, digits b, digits c, digits e")
		args := []string{"--single-transaction", "--skip-dump-date", "--no-tablespaces", "--routines", m.Database, "dumped"}
		if version != "mysql9" {
			args[1] = "--skip-comments"
		} else {
			args = append([]string{"--set-gtid-purged=OFF"}, args...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		through, stderr, err := finish(t, mysqlCommand(t, ctx, version, "dump", addrs["clear"], args...))
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		direct, stderr, err := finish(t, directCommand(t, ctx, version, "dump", m, args...))
		if err != nil {
			t.Fatalf("directly: %v\n%s", err, stderr)
		}
		if through != direct || len(direct) < 800_000 {
			t.Errorf("the dump through dbvalet has %d bytes, the direct one %d, and they differ or are too small", len(through), len(direct))
		}
	})
}

// TestMySQLReplicaFollowsWithoutPassword has a server as the client, which is told no password.
func TestMySQLReplicaFollowsWithoutPassword(t *testing.T) {
	t.Parallel()
	for version, follow := range map[string][]string{
		"mysql9":    {"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %s, SOURCE_USER = 'whoever', SOURCE_LOG_FILE = '%s', SOURCE_LOG_POS = 4, SOURCE_SSL = 0", "START REPLICA"},
		"mariadb11": {"CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %s, MASTER_USER = 'whoever', MASTER_LOG_FILE = '%s', MASTER_LOG_POS = 4, MASTER_SSL = 0, MASTER_SSL_VERIFY_SERVER_CERT = 0", "START SLAVE"},
	} {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			// The replica is a process of another user's.
			addr := start(t, m.AWSEnvironment(), mysqlRoute("app", m, "allow=pod")).addrs[0]
			replica := mysqlServer(t, servers.MySQLOptions{Version: version, Settings: map[string]string{"server_id": "2"}})
			log := nextBinlog(t, m)
			host, port, _ := strings.Cut(addr, ":")
			for _, statement := range []string{fmt.Sprintf(follow[0], host, port, log), follow[1]} {
				if err := replica.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			for _, statement := range []string{"CREATE TABLE replicated (what TEXT)", "INSERT INTO replicated VALUES ('far away')"} {
				if err := m.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			waitUntil(t, "the table is on the replica", func() bool {
				return mysqlSuperuser(t, replica, "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'replicated'") == "1"
			})
			waitUntil(t, "the row is on the replica", func() bool {
				return mysqlSuperuser(t, replica, "SELECT COUNT(*) FROM replicated WHERE what = 'far away'") == "1"
			})
			if err := m.Exec(t.Context(), "DROP TABLE replicated"); err != nil {
				t.Error(err)
			}
		})
	}
}

// nextBinlog begins another binary log and returns its name.
func nextBinlog(t *testing.T, m *servers.MySQL) string {
	t.Helper()
	super, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	mustExec(t, super, "FLUSH BINARY LOGS")
	logs := allRows(t, super, "SHOW BINARY LOGS")
	return logs[len(logs)-1][0]
}

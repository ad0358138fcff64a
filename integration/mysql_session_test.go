package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// directDB connects the user "clear" to the server itself.
func directDB(t *testing.T, m *servers.MySQL, change ...func(*mysql.Config)) *sql.DB {
	t.Helper()
	c, err := m.Config("clear", m.ClearPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(c)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// mysqlConn is one connection of db.
func mysqlConn(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// mysqlSuperuser runs a query on the server itself and returns its one value.
func mysqlSuperuser(t *testing.T, m *servers.MySQL, query string) string {
	t.Helper()
	db, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return ask(t, db, query)
}

// mustExec runs statements that must work.
func mustExec(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// mysqlScript is a session with most of what a server sends: results with their columns' definitions,
// several of them, warnings, notes, errors, counts of rows and keys, NULLs, and empty results.
const mysqlScript = `
CREATE TEMPORARY TABLE parcels (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(40) CHARACTER SET utf8mb4, weight DECIMAL(8,3), UNIQUE (what));
INSERT INTO parcels (what, weight) VALUES ('a', 1.5), ('b', NULL), ('schön ☃', 2);
INSERT INTO parcels (what) VALUES ('a');
UPDATE parcels SET weight = 1.5 WHERE id < 3;
SELECT * FROM parcels ORDER BY id;
SELECT * FROM parcels WHERE id > 100;
SELECT 1 FROM no_such_table;
SELEC 1;
SELECT CAST('x7' AS SIGNED), 1/0;
SHOW WARNINGS;
DROP TABLE IF EXISTS never_there;
PREPARE p FROM 'SELECT ? + 1 AS plus, ? AS text';
SET @n = 41, @s = 'é';
EXECUTE p USING @n, @s;
DROP PROCEDURE IF EXISTS results;
DELIMITER //
CREATE PROCEDURE results() BEGIN SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; UPDATE parcels SET weight = 9; END//
CALL results()//
DELIMITER ;
DROP PROCEDURE results;
USE information_schema;
SELECT DATABASE();
SELECT COUNT(*) FROM no_such_database.t;
DO NULL;
`

// withoutWarning is what a client program said less what MariaDB 11's says if it has no password.
func withoutWarning(stderr string) string {
	return strings.TrimPrefix(stderr, "WARNING: option --ssl-verify-server-cert is disabled, because of an insecure passwordless login.\n")
}

// TestMySQLSessionPrintsTheSameAsADirectOne compares all that a client program prints, with columns'
// types, warnings, and errors.
func TestMySQLSessionPrintsTheSameAsADirectOne(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		for _, client := range mysqlVersions {
			t.Run(client, func(t *testing.T) {
				args := []string{"--force", "--table", "-v", "-v", "--show-warnings", "--column-type-info", "--default-character-set=utf8mb4", m.Database}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				through := mysqlCommand(t, ctx, client, "", addrs["clear"], args...)
				direct := directCommand(t, ctx, client, "", m, args...)
				through.Stdin, direct.Stdin = strings.NewReader(mysqlScript), strings.NewReader(mysqlScript)
				got, gotErrors, _ := finish(t, through)
				want, wantErrors, _ := finish(t, direct)
				if got != want {
					t.Errorf("through dbvalet the session printed\n%s\nwant\n%s", got, want)
				}
				if gotErrors = withoutWarning(gotErrors); gotErrors != wantErrors {
					t.Errorf("through dbvalet the errors were\n%s\nwant\n%s", gotErrors, wantErrors)
				}
				for _, part := range []string{"ERROR 1062 (23000)", "ERROR 1146 (42S02)", "ERROR 1064 (42000)"} {
					if !strings.Contains(wantErrors, part) {
						t.Errorf("the direct session made no %s", part)
					}
				}
				for _, part := range []string{"Warning (Code 1292)", "Note (Code 1051)", "schön ☃"} {
					if !strings.Contains(want, part) {
						t.Errorf("the direct session printed no %q", part)
					}
				}
			})
		}
	})
}

func TestMySQLErrorsOfStatementsAreAsDirect(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		through := mysqlConn(t, mysqlDB(t, addrs["clear"], "whoever", ""))
		direct := mysqlConn(t, directDB(t, m))
		for _, statement := range []struct {
			sql    string
			number uint16
			args   []any
		}{
			{"SELECT * FROM no_such_table", 1146, nil},
			{"SELEC 1", 1064, nil},
			{"INSERT INTO parcels VALUES (1)", 1062, nil},
			{"INSERT INTO parcels VALUES (?)", 1062, []any{1}},
			{"SELECT * FROM mysql.user", 1142, nil},
			{"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own words', MYSQL_ERRNO = 5001", 5001, nil},
		} {
			var errs [2]*mysql.MySQLError
			for i, conn := range []*sql.Conn{through, direct} {
				mustExec(t, conn, "CREATE TEMPORARY TABLE IF NOT EXISTS parcels (id INT PRIMARY KEY)", "REPLACE INTO parcels VALUES (1)")
				_, err := conn.ExecContext(t.Context(), statement.sql, statement.args...)
				if !errors.As(err, &errs[i]) {
					t.Errorf("%s: got %v", statement.sql, err)
				}
			}
			if !reflect.DeepEqual(errs[0], errs[1]) || errs[1] == nil || errs[1].Number != statement.number {
				t.Errorf("%s: got %v, directly %v; want the same, number %d", statement.sql, errs[0], errs[1], statement.number)
			}
		}
	})
}

func TestMySQLPreparedStatements(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		conn := mysqlConn(t, mysqlDB(t, addr, "whoever", ""))
		mustExec(t, conn, "CREATE TEMPORARY TABLE numbers (n INT, what VARBINARY(300))")
		insert, err := conn.PrepareContext(t.Context(), "INSERT INTO numbers VALUES (?, ?)")
		if err != nil {
			t.Fatal(err)
		}
		defer insert.Close()
		const rows = 600 // so that what is sent has had each length up to that of two bytes
		for i := range rows {
			var what any
			if i > 0 {
				what = bytes.Repeat([]byte{17}, i%300)
			}
			if _, err := insert.ExecContext(t.Context(), i, what); err != nil {
				t.Fatal(err)
			}
		}
		// 17 is COM_CHANGE_USER, which dbvalet looks for.
		got := allRows(t, conn, "SELECT COUNT(*), SUM(n), COUNT(what), SUM(LENGTH(what)) FROM numbers WHERE n >= ?", 0)
		if want := [][]string{{"600", "179700", "599", "89700"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestMySQLSeveralResults(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		db := mysqlDB(t, addr, "whoever", "", multiStatements)
		mustExec(t, db, "DROP PROCEDURE IF EXISTS two_results",
			"CREATE PROCEDURE two_results(n INT) BEGIN SELECT n; SELECT n + 1, 'x'; END")
		defer mustExec(t, db, "DROP PROCEDURE two_results")
		for _, query := range []struct {
			sql  string
			args []any
		}{
			{"SELECT 7; DO 0; SELECT 8, 'x'", nil},
			{"CALL two_results(7)", nil},
			{"CALL two_results(?)", []any{7}},
		} {
			got := allRows(t, db, query.sql, query.args...)
			if want := [][]string{{"7"}, {"8", "x"}}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", query.sql, got, want)
			}
		}
	})
}

// TestMySQLLocalFilesAreTheClientsDecision loads a file with a client that allows it and one that does
// not, and looks whether the session goes on.
func TestMySQLLocalFilesAreTheClientsDecision(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		file := filepath.Join(t.TempDir(), "rows")
		if err := os.WriteFile(file, []byte(strings.Repeat("\x11\x11\x11\x11\n", 100_000)), 0o600); err != nil {
			t.Fatal(err)
		}
		script := "CREATE TEMPORARY TABLE loaded (n CHAR(4)); LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE loaded; SELECT COUNT(*), COUNT(DISTINCT n) FROM loaded"
		for _, client := range mysqlVersions {
			t.Run(client, func(t *testing.T) {
				if got := mysqlCLI(t, client, addrs["clear"], "-N", "--local-infile=1", "-e", script); got != "100000\t1\n" {
					t.Errorf("got %q", got)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				args := []string{"-N", "--force", "--local-infile=0", m.Database}
				through, direct := mysqlCommand(t, ctx, client, "", addrs["clear"], args...), directCommand(t, ctx, client, "", m, args...)
				through.Stdin, direct.Stdin = strings.NewReader(script), strings.NewReader(script)
				got, gotErrors, _ := finish(t, through)
				want, wantErrors, _ := finish(t, direct)
				if got != want || want != "0\t0\n" {
					t.Errorf("refused: got %q, directly %q; want no rows", got, want)
				}
				if gotErrors = withoutWarning(gotErrors); gotErrors != wantErrors || !strings.Contains(wantErrors, "ERROR ") {
					t.Errorf("refused: got %q, directly %q; want the same error", gotErrors, wantErrors)
				}
			})
		}
		t.Run("asked for a file that the client does not give", func(t *testing.T) {
			conn := mysqlConn(t, mysqlDB(t, addrs["clear"], "whoever", ""))
			mustExec(t, conn, "CREATE TEMPORARY TABLE loaded (n INT)")
			if _, err := conn.ExecContext(t.Context(), "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE loaded"); err == nil || !strings.Contains(err.Error(), "not registered") {
				t.Errorf("got %v, want the driver's refusal", err)
			}
			if got := ask(t, conn, "SELECT COUNT(*) FROM loaded"); got != "0" {
				t.Errorf("%s rows, want none", got)
			}
		})
	})
}

// TestMySQLHundredMegabytesWithFlatMemory sends a value up, as text, as a parameter and in pieces, and
// gets it back. Of the value, each byte could begin a COM_CHANGE_USER.
func TestMySQLHundredMegabytesWithFlatMemory(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			v := startProgram(t, plainProgram, m.AWSEnvironment(), mysqlRoute("app", m))
			mustExec(t, mysqlDB(t, v.addrs[0], "whoever", ""), "DO 1")
			before := peakMemory(t, v)
			value := strings.Repeat("\x11", 100<<20)
			want := fmt.Sprintf("%x", sha256.Sum256([]byte(value)))
			for name, maxPacket := range map[string]int{"text": 1 << 30, "parameter": 1 << 30, "pieces": 8 << 20} {
				conn := mysqlConn(t, mysqlDB(t, v.addrs[0], "whoever", "", func(c *mysql.Config) { c.MaxAllowedPacket = maxPacket }))
				statement, args := "SET @v = ?", []any{value}
				if name == "text" {
					statement, args = "SET @v = '"+value+"'", nil
				}
				if _, err := conn.ExecContext(t.Context(), statement, args...); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := ask(t, conn, "SELECT SHA2(@v, 256)"); got != want {
					t.Errorf("%s: the server has %s, want %s", name, got, want)
				}
				if name == "parameter" {
					if got := ask(t, conn, "SELECT @v"); got != value {
						t.Errorf("%s: another value came back, of %d bytes", name, len(got))
					}
				}
				conn.Close()
			}
			if grown := peakMemory(t, v) - before; grown > 8<<20 {
				t.Errorf("the values made the resident set grow by %d KiB, want at most 8 MiB", grown>>10)
			}
		})
	}
}

// TestMySQLPacketsAroundTheLargestLength has commands whose last packet is empty, small, or as large
// as a packet can be, and then another command.
func TestMySQLPacketsAroundTheLargestLength(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			_, addr := appValet(t, ordinaryMySQL(t, version))
			const largest = 1<<24 - 1
			query := "\x03SELECT /**/ 7"
			conn := mysqlConn(t, mysqlDB(t, addr, "whoever", "", func(c *mysql.Config) { c.MaxAllowedPacket = 1 << 30 }))
			for _, length := range []int{largest - 1, largest, largest + 1, 2*largest - 1, 2 * largest, 2*largest + 1} {
				comment := strings.Repeat("\x11", length-len(query))
				if got := ask(t, conn, "SELECT /*"+comment+"*/ 7"); got != "7" {
					t.Errorf("%d bytes: got %q", length, got)
				}
				if got := ask(t, conn, "SELECT 8"); got != "8" {
					t.Errorf("after %d bytes: got %q", length, got)
				}
			}
		})
	}
}

// TestMySQLResetConnection resets the session, which the server keeps.
func TestMySQLResetConnection(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := mysqlCommand(t, ctx, "mysql9", "", addr, "-N", "--commands")
		cmd.Stdin = strings.NewReader("SET @left = CONNECTION_ID();\nSELECT @left = CONNECTION_ID();\nSELECT CONNECTION_ID();\nresetconnection\n" +
			"SELECT @left;\nSELECT CONNECTION_ID(), CURRENT_USER();\n")
		stdout, stderr, err := finish(t, cmd)
		lines := strings.Fields(stdout)
		if err != nil || len(lines) != 5 || lines[0] != "1" || lines[2] != "NULL" || lines[3] != lines[1] || lines[4] != "app@%" {
			t.Errorf("got %q, %v, %s", lines, err, stderr)
		}
	})
}

// TestMySQLControlCKillsTheQuery has each client program, of which each opens another connection and
// names the thread that it was told.
func TestMySQLControlCKillsTheQuery(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		for _, client := range mysqlVersions {
			t.Run(client, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				cmd := mysqlCommand(t, ctx, client, "", addr, "-N", "-e", "SELECT SLEEP(600)")
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				sleeping := "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info = 'SELECT SLEEP(600)'"
				waitUntil(t, "the query sleeps", func() bool { return mysqlSuperuser(t, m, sleeping) == "1" })
				cmd.Process.Signal(os.Interrupt)
				err := cmd.Wait()
				if ctx.Err() != nil {
					t.Fatalf("the client waits for the query: %s", out.String())
				}
				// SLEEP returns 1 if it was interrupted, or is an error.
				if printed := out.String(); !strings.Contains(printed, "\n1\n") && !strings.Contains(printed, "ERROR 1317") {
					t.Errorf("got %q, %v; want SLEEP interrupted", printed, err)
				}
				waitUntil(t, "the server has ended the query", func() bool { return mysqlSuperuser(t, m, sleeping) == "0" })
			})
		}
	})
}

// TestMySQLThreadIDIsTheServers looks at the id by the client's own account, which it has from the
// greeting.
func TestMySQLThreadIDIsTheServers(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addr := appValet(t, m)
		for _, client := range mysqlVersions {
			args := []string{"-N", "-e", "\\s SELECT CONCAT('real id: ', CONNECTION_ID()), CONCAT('real version: ', VERSION())"}
			if client == "mysql9" {
				args = append(args, "--commands")
			}
			got := mysqlCLI(t, client, addr, args...)
			var told, real int
			var shown, version string
			for line := range strings.Lines(got) {
				_, _ = fmt.Sscanf(line, "Connection id: %d", &told)
				_, _ = fmt.Sscanf(line, "real id: %d real version: %s", &real, &version)
				if after, ok := strings.CutPrefix(line, "Server version:"); ok {
					shown = after
				}
			}
			if told == 0 || told != real || version == "" || !strings.Contains(shown, version) {
				t.Errorf("%s was told thread %d of %q, and is %d of %q:\n%s", client, told, shown, real, version, got)
			}
		}
	})
}

// TestMySQLAttributesOfTheConnectionAreTheClients compares what the server knows of the program.
func TestMySQLAttributesOfTheConnectionAreTheClients(t *testing.T) {
	onEachMySQL(t, func(t *testing.T, _ string, m *servers.MySQL) {
		_, addrs := mysqlValet(t, m, "clear")
		const query = "SELECT attr_name, attr_value, ordinal_position FROM performance_schema.session_account_connect_attrs " +
			"WHERE processlist_id = CONNECTION_ID() AND attr_name NOT IN ('_pid', '_server_host') ORDER BY ordinal_position"
		for _, client := range mysqlVersions {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got := mysqlCLI(t, client, addrs["clear"], "-N", "-e", query)
			want, stderr, err := finish(t, directCommand(t, ctx, client, "", m, "-N", "-e", query))
			if err != nil || got != want || !strings.Contains(want, "program_name\tm") {
				t.Errorf("%s: got %q, directly %q, %v, %s", client, got, want, err, stderr)
			}
		}
	})
}

// TestMySQLQueryAttributes has them with statements as text; the server tells what it was given.
func TestMySQLQueryAttributes(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{})
	if err := m.Exec(t.Context(), `INSTALL COMPONENT "file://component_query_attributes"`); err != nil {
		t.Fatal(err)
	}
	_, addr := appValet(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := mysqlCommand(t, ctx, "mysql9", "", addr, "-N", "--commands")
	cmd.Stdin = strings.NewReader("query_attributes colour blue number 7\n" +
		"SELECT mysql_query_attribute_string('colour'), mysql_query_attribute_string('number'), mysql_query_attribute_string('other');\n" +
		"SELECT mysql_query_attribute_string('colour');\n")
	stdout, stderr, err := finish(t, cmd)
	if want := "blue\t7\tNULL\nNULL\n"; err != nil || stdout != want {
		t.Errorf("got %q, %v, %s; want %q", stdout, err, stderr, want)
	}
}

// TestMySQLManySessionsAtOnce runs under dbvalet's race detector.
func TestMySQLManySessionsAtOnce(t *testing.T) {
	const sessions = 200
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			v, addr := appValet(t, m)
			db := mysqlDB(t, addr, "whoever", "")
			// Replicas of other tests may be gone, and the server not know it yet.
			const count = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND command NOT LIKE 'Binlog Dump%'"
			var all sync.WaitGroup
			ready, release := make(chan struct{}, sessions), make(chan struct{})
			for i := range sessions {
				all.Go(func() {
					conn, err := db.Conn(t.Context())
					ready <- struct{}{}
					if err != nil {
						t.Errorf("session %d: %v", i, err)
						return
					}
					defer conn.Close()
					<-release
					for n := range 5 {
						var got string
						if err := conn.QueryRowContext(t.Context(), "SELECT CONCAT(?, ' ', REPEAT('x', ?))", i, n*1000).Scan(&got); err != nil ||
							got != strconv.Itoa(i)+" "+strings.Repeat("x", n*1000) {
							t.Errorf("session %d got %d bytes, %v", i, len(got), err)
						}
					}
				})
			}
			for range sessions {
				<-ready
			}
			if got := mysqlSuperuser(t, m, count); got != "200" {
				t.Errorf("the server has %s sessions, want 200 at the same time", got)
			}
			close(release)
			all.Wait()
			db.Close()
			waitUntil(t, "the server has no session left", func() bool {
				return mysqlSuperuser(t, m, count) == "0"
			})
			if strings.Contains(v.output(), `"level":"ERROR"`) {
				t.Errorf("dbvalet complains:\n%s", v.output())
			}
		})
	}
}

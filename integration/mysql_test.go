package integration

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	replica "github.com/go-mysql-org/go-mysql/client"
	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// mysqlServer starts a server for one test.
func mysqlServer(t *testing.T, o servers.MySQLOptions) *servers.MySQL {
	t.Helper()
	m, err := servers.StartMySQL(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// mysqlRoute is a route to m for user, on a free port.
func mysqlRoute(user string, m *servers.MySQL, more ...string) string {
	options := append([]string{"listen=127.0.0.1:0", "dial=" + m.Addr(), "ca=" + url.QueryEscape(m.CAFile)}, more...)
	return fmt.Sprintf("mysql://%s@%s:%d/%s?%s", user, m.Endpoint, m.Port, m.Database, strings.Join(options, "&"))
}

// mysqlDB connects a client to addr, with a password that means nothing.
func mysqlDB(t *testing.T, addr, user, password string, change ...func(*mysql.Config)) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", addr, user, password
	if filepath.IsAbs(addr) {
		c.Net = "unix"
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

// ask returns the one value of a query.
func ask(t *testing.T, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string, args ...any) string {
	t.Helper()
	var got string
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

func TestMySQLClientsWithoutPasswordLogInWithToken(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11", "mariadb10"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, SessionToken: strings.Repeat("abcdefgh/+==", 100)})
			dir := filepath.Join(shortDir(t), "run")
			v := start(t, m.AWSEnvironment(), mysqlRoute("app", m), mysqlRoute("app", m, "name=socket", "listen="+dir))
			for _, password := range []string{"", "dummy"} {
				db := mysqlDB(t, v.addrs[0], "whoever", password)
				if got := ask(t, db, "SELECT CONCAT(CURRENT_USER(), ' ', DATABASE())"); got != "app@% "+m.Database {
					t.Errorf("logged in as %q", got)
				}
				if got := ask(t, db, "SELECT ?", "prepared"); got != "prepared" {
					t.Errorf("prepared statement: got %q", got)
				}
			}
			var name, cipher string
			db := mysqlDB(t, filepath.Join(dir, "mysql.sock"), "x", "")
			if err := db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
				t.Errorf("Ssl_cipher is %q, %v", cipher, err)
			}
		})
	}
}

func TestMySQLPasswordByAnyPlugin(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			rows := []struct{ user, password, method string }{
				{"native", m.NativePassword, "mysql_native_password"},
				{"sha2", m.SHA2Password, "caching_sha2_password"},
				{"sha256", m.SHA256Password, "sha256_password"},
				{"ed25519", m.Ed25519Password, "client_ed25519"},
				{"parsec", m.ParsecPassword, "parsec"},
				{"clear", m.ClearPassword, "mysql_clear_password"},
			}
			for _, row := range rows {
				if row.password == "" {
					continue
				}
				t.Run(row.user, func(t *testing.T) {
					v := start(t, nil, mysqlRoute(row.user, m, secretFile(t, row.password), "require_auth="+row.method),
						mysqlRoute(row.user, m, "name=any", secretFile(t, row.password)))
					for _, addr := range append(v.addrs, v.addrs...) { // the second time, caches are warm
						db := mysqlDB(t, addr, row.user, "")
						if got := ask(t, db, "SELECT CURRENT_USER()"); got != row.user+"@%" {
							t.Errorf("logged in as %q", got)
						}
						db.Close()
					}
					if strings.Contains(v.output(), row.password) {
						t.Error("the password is in the log")
					}
				})
			}
		})
	}
}

func TestMySQLDialogWithOneQuestion(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mariadb10", Dialog: true})
	v := start(t, nil, mysqlRoute("clear", m, secretFile(t, m.ClearPassword)))
	if got := ask(t, mysqlDB(t, v.addrs[0], "clear", ""), "SELECT CURRENT_USER()"); got != "clear@%" {
		t.Errorf("logged in as %q", got)
	}
}

func TestMySQLChangeUser(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11", "mariadb10"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			passwords := mysqlPasswords(m)
			rows := []struct {
				name, user string
				env        []string
				more       []string
			}{
				{"token", "app", m.AWSEnvironment(), nil},
				{"cleartext password", "clear", nil, []string{secretFile(t, m.ClearPassword)}},
				{"caching_sha2_password", "sha2", nil, []string{secretFile(t, m.SHA2Password)}},
				{"mysql_native_password", "native", nil, []string{secretFile(t, m.NativePassword)}},
				{"client_ed25519", "ed25519", nil, []string{secretFile(t, m.Ed25519Password)}},
				{"parsec", "parsec", nil, []string{secretFile(t, m.ParsecPassword)}},
			}
			for _, row := range rows {
				if _, has := passwords[row.user]; !has && row.user != "app" {
					continue // the server doesn't have the plugin
				}
				t.Run(row.name, func(t *testing.T) {
					v := start(t, row.env, mysqlRoute(row.user, m, row.more...))
					c, err := replica.Connect(v.addrs[0], row.user, "dummy", "")
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					for range 3 {
						if _, err := c.Execute("SET @left = 1"); err != nil {
							t.Fatal(err)
						}
						packet := append([]byte{17}, row.user...)
						packet = append(packet, 0, 0, 0, 45, 0)
						packet = append(packet, "mysql_native_password\x00\x00"...)
						c.ResetSequence()
						if err := c.WritePacket(append(make([]byte, 4), packet...)); err != nil {
							t.Fatal(err)
						}
						answer, err := c.ReadPacket()
						if err != nil || answer[0] != 0 {
							t.Fatalf("COM_CHANGE_USER: %q, %v\n%s", answer, err, v.output())
						}
						r, err := c.Execute("SELECT CURRENT_USER(), @left, DATABASE()")
						if err != nil {
							t.Fatal(err)
						}
						user, _ := r.GetString(0, 0)
						left, _ := r.IsNull(0, 1)
						database, _ := r.GetString(0, 2)
						if user != row.user+"@%" || !left || database != m.Database {
							t.Errorf("after the change: user %q, session reset: %t, database %q", user, left, database)
						}
					}
				})
			}
		})
	}
}

func TestMySQLKillQueryReachesTheSession(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{})
	v := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
	c, err := replica.Connect(v.addrs[0], "app", "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	killed := make(chan error, 1)
	go func() {
		_, err := c.Execute("SELECT /* here */ SLEEP(30)")
		killed <- err
	}()
	db := mysqlDB(t, v.addrs[0], "app", "")
	for ask(t, db, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT /* here */%'") == "0" {
	}
	if _, err := db.Exec(fmt.Sprintf("KILL QUERY %d", c.GetConnectionID())); err != nil {
		t.Fatal(err)
	}
	if err := <-killed; err != nil && !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("the query ended with %v", err)
	}
}

func TestMySQLLargePacketsAndLocalFilesPass(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, Settings: map[string]string{"local_infile": "ON", "max_allowed_packet": "67108864"}})
			v := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
			db := mysqlDB(t, v.addrs[0], "app", "", func(c *mysql.Config) { c.MaxAllowedPacket = 64 << 20 })
			large := strings.Repeat("\x11", 40<<20)
			if got := ask(t, db, "SELECT CONCAT(?, 'x')", large); got != large+"x" {
				t.Errorf("got %d bytes", len(got))
			}
			if _, err := db.Exec("CREATE TABLE numbers (n VARCHAR(100))"); err != nil {
				t.Fatal(err)
			}
			// Every row, and so every packet, begins like COM_CHANGE_USER.
			rows := strings.Repeat(strings.Repeat("\x11", 63)+"\n", 300_000)
			mysql.RegisterReaderHandler("rows", func() io.Reader { return strings.NewReader(rows) })
			if _, err := db.Exec("LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE numbers"); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, db, "SELECT COUNT(*) FROM numbers"); got != "300000" {
				t.Errorf("%s rows", got)
			}
		})
	}
}

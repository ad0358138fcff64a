package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

var mysqlVersions = []string{"mysql9", "mariadb11", "mariadb10"}

// startMySQL starts a server for one test.
func startMySQL(t *testing.T, o MySQLOptions) *MySQL {
	t.Helper()
	m, err := StartMySQL(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return m
}

// sharedMySQL are the ordinary servers, by version. TestMain stops them.
var sharedMySQL = make(map[string]*MySQL)

// ordinaryMySQL returns a server that tests share, which leave it as it was.
func ordinaryMySQL(t *testing.T, version string) *MySQL {
	t.Helper()
	m := sharedMySQL[version]
	if m == nil {
		var err error
		if m, err = StartMySQL(t.Context(), MySQLOptions{Version: version}); err != nil {
			t.Fatal(err)
		}
		sharedMySQL[version] = m
	}
	return m
}

// connectMySQL returns one connection as its user.
func connectMySQL(t *testing.T, c *mysql.Config) (*sql.Conn, error) {
	t.Helper()
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db.Conn(t.Context())
}

// loginMySQL connects, asks the server who it thinks has come, and compares.
func loginMySQL(t *testing.T, m *MySQL, user, password string, change ...func(*mysql.Config)) error {
	t.Helper()
	c, err := m.Config(user, password)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(c)
	}
	conn, err := connectMySQL(t, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	var got, db string
	if err := conn.QueryRowContext(t.Context(), "SELECT CURRENT_USER(), DATABASE()").Scan(&got, &db); err != nil {
		return err
	}
	if got != user+"@%" || db != m.Database {
		return fmt.Errorf("logged in as %q in %q, expected %q", got, db, user)
	}
	return nil
}

// queryMySQL returns the first column of the one row that a superuser's query has.
func queryMySQL(t *testing.T, m *MySQL, query string) string {
	t.Helper()
	db, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got string
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

// waitUntilMySQL asks the server again and again until an SQL expression is true.
func waitUntilMySQL(t *testing.T, m *MySQL, condition string) {
	t.Helper()
	db, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		var got bool
		if err := db.QueryRowContext(t.Context(), "SELECT COALESCE("+condition+", FALSE) FROM (SELECT SLEEP(0.01)) AS pause").Scan(&got); err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		if got {
			return
		}
	}
	t.Fatalf("waited until %s", condition)
}

// mysqlErrorNumber returns the number of a server's error, or 0.
func mysqlErrorNumber(err error) uint16 {
	if refusal, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return refusal.Number
	}
	return 0
}

const erAccessDenied = 1045

func TestMySQLTokenLogsIn(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			if err := loginMySQL(t, m, "app", tokenRequest{}.token(t, &m.Server)); err != nil {
				t.Error(err)
			}
			if got := lastLine(t, m.VerifierLog()); !strings.HasPrefix(got, "accepted user=app token dated ") {
				t.Errorf("verifier's log ends with %q", got)
			}
		})
	}
}

func TestMySQLLongTokenLogsIn(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: version, SessionToken: strings.Repeat("Fwo/GXIvYXdzE=", 200)})
			token := tokenRequest{}.token(t, &m.Server)
			if len(token) < 3000 {
				t.Fatalf("token has %d bytes, expected at least 3000", len(token))
			}
			if err := loginMySQL(t, m, "app", token); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMySQLRefusesBadTokenWithReasonInLog(t *testing.T) {
	for _, version := range mysqlVersions {
		m := ordinaryMySQL(t, version)
		for _, test := range []struct {
			name    string
			request tokenRequest
			clock   time.Duration
			reason  string
		}{
			{name: "other user", request: tokenRequest{user: "native"}, reason: `token is for user "native", login is for "app"`},
			{name: "other host", request: tokenRequest{endpoint: fmt.Sprintf("localhost:%d", m.Port)}, reason: `host is "localhost"`},
			{name: "other secret key", request: tokenRequest{secret: "another"}, reason: "signature is wrong"},
			{name: "16 minutes old", clock: 16 * time.Minute, reason: "token is 16m"},
		} {
			t.Run(version+" "+test.name, func(t *testing.T) {
				if err := m.SetClockOffset(test.clock); err != nil {
					t.Fatal(err)
				}
				err := loginMySQL(t, m, "app", test.request.token(t, &m.Server))
				if mysqlErrorNumber(err) != erAccessDenied {
					t.Errorf("got %v, expected error %d", err, erAccessDenied)
				}
				if err := m.SetClockOffset(0); err != nil {
					t.Fatal(err)
				}
				got := lastLine(t, m.VerifierLog())
				if !strings.HasPrefix(got, "refused user=app: ") || !strings.Contains(got, test.reason) {
					t.Errorf("verifier's log ends with %q, expected %q", got, test.reason)
				}
			})
		}
	}
}

// passwordUsers returns the users who log in with one password, by their fields.
func (m *MySQL) passwordUsers() map[string]string {
	all := map[string]string{
		"native":  m.NativePassword,
		"sha2":    m.SHA2Password,
		"sha256":  m.SHA256Password,
		"ed25519": m.Ed25519Password,
		"parsec":  m.ParsecPassword,
		"clear":   m.ClearPassword,
		"root":    m.SuperuserPassword,
	}
	for user, password := range all {
		if password == "" {
			delete(all, user)
		}
	}
	return all
}

func TestMySQLPasswordUsersLogIn(t *testing.T) {
	want := map[string]int{"mysql9": 4, "mariadb11": 6, "mariadb10": 4}
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			users := m.passwordUsers()
			if len(users) != want[version] {
				t.Errorf("%d users have a password, expected %d", len(users), want[version])
			}
			for user, password := range users {
				// The driver does not know parsec, and of the 32 random bytes of ed25519 it takes a
				// zero at the end for an end of text. See TestMySQLClientProgramsLogIn.
				if user == "parsec" || user == "ed25519" {
					continue
				}
				if err := loginMySQL(t, m, user, password); err != nil {
					t.Errorf("%s: %v", user, err)
				}
				if err := loginMySQL(t, m, user, "wrong"); mysqlErrorNumber(err) != erAccessDenied {
					t.Errorf("%s with a wrong password: got %v, expected error %d", user, err, erAccessDenied)
				}
			}
		})
	}
}

func TestMySQLAppNeedsTLS(t *testing.T) {
	plain := func(c *mysql.Config) { c.TLS = nil }
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			err := loginMySQL(t, m, "app", tokenRequest{}.token(t, &m.Server), plain)
			if mysqlErrorNumber(err) != erAccessDenied {
				t.Errorf("got %v, expected error %d", err, erAccessDenied)
			}
			for user, password := range m.passwordUsers() {
				if user == "native" || user == "sha2" {
					if err := loginMySQL(t, m, user, password, plain); err != nil {
						t.Errorf("%s without TLS: %v", user, err)
					}
				}
			}
		})
	}
}

func TestMySQLServerWithoutTLS(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: version, NoTLS: true})
			err := loginMySQL(t, m, "app", tokenRequest{}.token(t, &m.Server), func(c *mysql.Config) { c.AllowCleartextPasswords = true })
			if err != nil {
				t.Error(err)
			}
			secure := func(c *mysql.Config) { c.TLSConfig = "skip-verify" }
			if err := loginMySQL(t, m, "clear", m.ClearPassword, secure); !errors.Is(err, mysql.ErrNoTLS) {
				t.Errorf("got %v, expected %v", err, mysql.ErrNoTLS)
			}
		})
	}
}

func TestMySQLBadCertificatesAreShown(t *testing.T) {
	for _, test := range []struct {
		name, version string
		certificate   Certificate
		complaint     string
	}{
		{"other CA", "mysql9", Certificate{Foreign: true}, "unknown authority"},
		{"expired", "mysql9", Certificate{NotAfter: time.Now().Add(-time.Minute)}, "certificate has expired"},
		{"other CA", "mariadb11", Certificate{Foreign: true}, "unknown authority"},
		{"expired", "mariadb11", Certificate{NotAfter: time.Now().Add(-time.Minute)}, "certificate has expired"},
		{"other name", "mariadb10", Certificate{Names: []string{"other.example"}}, "doesn't contain any IP SANs"},
		{"common name only", "mariadb10", Certificate{CommonName: "project:instance", Names: []string{}}, "doesn't contain any IP SANs"},
	} {
		t.Run(test.version+" "+test.name, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: test.version, Certificate: test.certificate})
			err := loginMySQL(t, m, "clear", m.ClearPassword)
			if err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, expected %s", err, test.complaint)
			}
			if err := m.Exec(t.Context(), "DO 1"); err != nil {
				t.Errorf("superuser: %v", err)
			}
		})
	}
}

func TestMySQLMakesItsOwnCertificate(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: version, SelfSigned: true})
			token := tokenRequest{}.token(t, &m.Server)
			if err := loginMySQL(t, m, "app", token); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("got %v, expected a certificate that can't be verified", err)
			}
			err := loginMySQL(t, m, "app", token, func(c *mysql.Config) { c.TLS, c.TLSConfig = nil, "skip-verify" })
			if err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := StartMySQL(t.Context(), MySQLOptions{Version: "mariadb10", SelfSigned: true}); err == nil {
		t.Error("mariadb10 has zero-configuration TLS")
	}
}

func TestMySQLSettingsAreUsed(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			m := startMySQL(t, MySQLOptions{Version: version, Settings: map[string]string{
				"require_secure_transport": "ON", "max_connect_errors": "7",
			}})
			if got := queryMySQL(t, m, "SELECT @@max_connect_errors"); got != "7" {
				t.Errorf("max_connect_errors is %s", got)
			}
			err := loginMySQL(t, m, "clear", m.ClearPassword, func(c *mysql.Config) { c.TLS = nil })
			if mysqlErrorNumber(err) == 0 {
				t.Errorf("without TLS: got %v, expected a refusal", err)
			}
			if err := loginMySQL(t, m, "clear", m.ClearPassword); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMySQLStartFailureShowsTheLog(t *testing.T) {
	for _, version := range mysqlVersions {
		_, err := StartMySQL(t.Context(), MySQLOptions{Version: version, Settings: map[string]string{"no_such_thing": "1"}})
		if err == nil || !strings.Contains(err.Error(), "no-such-thing") {
			t.Errorf("%s: got %v, expected the server's complaint", version, err)
		}
	}
	_, err := StartMySQL(context.Background(), MySQLOptions{Version: "8"})
	if err == nil || !strings.Contains(err.Error(), "hint: there are mysql9") {
		t.Errorf("got %v", err)
	}
}

// A server only ever blocks hosts that are not 127.0.0.1.
func TestMySQLOutsideCountsConnectErrors(t *testing.T) {
	for _, version := range mysqlVersions {
		t.Run(version, func(t *testing.T) {
			const limit = 3
			m := startMySQL(t, MySQLOptions{Version: version, Outside: true, Settings: map[string]string{"max_connect_errors": fmt.Sprint(limit)}})
			if err := loginMySQL(t, m, "clear", m.ClearPassword); err != nil {
				t.Fatal(err)
			}
			for _, conn := range startupConnections(t, m.Addr(), limit) {
				conn.Close()
			}
			waitUntilMySQL(t, m, fmt.Sprintf("(SELECT SUM(SUM_CONNECT_ERRORS) = %d FROM performance_schema.host_cache WHERE ip = '%s')", limit, m.Host))
			const erHostIsBlocked = 1129
			err := loginMySQL(t, m, "clear", m.ClearPassword)
			if mysqlErrorNumber(err) != erHostIsBlocked {
				t.Errorf("got %v, expected error %d", err, erHostIsBlocked)
			}
		})
	}
}

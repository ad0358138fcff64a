package integration

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// errorVersions are the servers that differ in what they say.
var errorVersions = []string{"mysql9", "mariadb11"}

// mysqlRefusal connects and returns the error that the client gets in the protocol.
func mysqlRefusal(t *testing.T, db *sql.DB) *mysql.MySQLError {
	t.Helper()
	err := db.PingContext(t.Context())
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		t.Fatalf("the client got no error of the protocol, but: %v", err)
	}
	return e
}

// ours returns the error that a client gets through v, which is to be one of dbvalet's own, and checks
// what goes for all of them.
func ours(t *testing.T, v *valet, number uint16, state string) *mysql.MySQLError {
	t.Helper()
	e := mysqlRefusal(t, mysqlDB(t, v.addrs[0], "whoever", ""))
	if e.Number != number || string(e.SQLState[:]) != state || !strings.HasPrefix(e.Message, "dbvalet: ") || !strings.Contains(e.Message, "; hint: ") {
		t.Errorf("got %v, want %d (%s), the program's name and a hint", e, number, state)
	}
	if len(e.Message) >= 512 {
		t.Errorf("the message has %d bytes, of which old clients read 511: %s", len(e.Message), e.Message)
	}
	return e
}

// noState is the SQLSTATE of an error that comes in place of the greeting: it has none.
const noState = "\x00\x00\x00\x00\x00"

// straight is a client that connects to m itself.
func straight(t *testing.T, m *servers.MySQL, user, password, database string) *sql.DB {
	t.Helper()
	c, err := m.Config(user, password)
	if err != nil {
		t.Fatal(err)
	}
	c.DBName = database
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// sameRefusal compares what a client of v is told, who wants a database, with what direct is told.
func sameRefusal(t *testing.T, number uint16, v *valet, database string, direct *sql.DB) {
	t.Helper()
	want := mysqlRefusal(t, direct)
	got := mysqlRefusal(t, mysqlDB(t, v.addrs[0], "whoever", "", func(c *mysql.Config) { c.DBName = database }))
	if want.Number != number {
		t.Fatalf("the database itself says %v, want %d", want, number)
	}
	got.Message, _, _ = strings.Cut(got.Message, "; dbvalet: ") // a hint of ours may follow
	if *got != *want {
		t.Errorf("through dbvalet: %v\nfrom the database: %v", got, want)
	}
}

// verified returns what the verifier of tokens and cleartext passwords has decided so far.
func verified(t *testing.T, m *servers.MySQL) string {
	t.Helper()
	log, err := os.ReadFile(m.VerifierLog())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// TestMySQLErrorsArriveVerbatim compares what a client gets through dbvalet with what it gets from the
// database itself: number, SQLSTATE and message.
func TestMySQLErrorsArriveVerbatim(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			for _, statement := range []string{
				"CREATE USER powerful IDENTIFIED BY 'the-password'",
				"GRANT ALL ON *.* TO powerful",
				"CREATE USER limited IDENTIFIED BY 'the-password'",
				"CREATE USER barred@'10.255.255.1' IDENTIFIED BY 'the-password'",
				"CREATE USER locked IDENTIFIED BY 'the-password' ACCOUNT LOCK",
			} {
				if err := m.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			for _, row := range []struct {
				name, user, password, database string
				number                         uint16
			}{
				{"unknown database", "powerful", "the-password", "nowhere", 1049},
				{"database without a grant", "limited", "the-password", m.Database, 1044},
				{"wrong password", "limited", "wrong", "", 1045},
				{"unknown user", "nobody", "wrong", "", 1045},
				{"user of another host", "barred", "the-password", "", 1045},
				{"locked account", "locked", "the-password", "", map[string]uint16{"mysql9": 3118, "mariadb11": 4151}[version]},
			} {
				// MariaDB asks for any of its plugins where it doesn't know the user, and the driver
				// doesn't have them all.
				if unknown := row.user == "nobody" || row.user == "barred"; unknown && version == "mariadb11" {
					continue
				}
				t.Run(row.name, func(t *testing.T) {
					to := strings.Replace(mysqlRoute(row.user, m, secretFile(t, row.password)), "/"+m.Database+"?", "?", 1)
					sameRefusal(t, row.number, start(t, nil, to), row.database, straight(t, m, row.user, row.password, row.database))
				})
			}
		})
	}
}

func TestMySQLRefusalInsteadOfAGreetingArrivesVerbatim(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version+" too many connections", func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, Settings: map[string]string{"max_connections": "10"}})
			v := start(t, nil, mysqlRoute("clear", m, secretFile(t, m.ClearPassword)))
			direct := straight(t, m, "clear", m.ClearPassword, "")
			for full := false; !full; {
				conn, err := direct.Conn(t.Context())
				if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == 1040 {
					full = true
				} else if err != nil {
					t.Fatal(err)
				} else {
					defer conn.Close()
				}
			}
			// One more place is kept for an administrator. As long as it is free, somebody else may get as
			// far as the login before the server turns him down.
			super, err := m.Superuser()
			if err != nil {
				t.Fatal(err)
			}
			defer super.Close()
			waitUntil(t, "the last place is taken", func() bool { return super.PingContext(t.Context()) == nil })
			sameRefusal(t, 1040, v, "", straight(t, m, "clear", m.ClearPassword, ""))
		})
		t.Run(version+" host not allowed", func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, Outside: true})
			v := start(t, nil, mysqlRoute("clear", m, secretFile(t, m.ClearPassword)))
			for _, statement := range []string{
				"UPDATE mysql.user SET Host = '10.255.255.1' WHERE User <> 'root'",
				"RENAME USER root TO root@localhost",
				"FLUSH PRIVILEGES",
			} {
				if version == "mariadb11" { // whose mysql.user is a view
					statement = strings.Replace(statement, "mysql.user", "mysql.global_priv", 1)
				}
				if err := m.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			sameRefusal(t, 1130, v, "", straight(t, m, "clear", m.ClearPassword, ""))
		})
	}
}

func TestMySQLErrorInASessionLeavesItUsable(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			v := start(t, nil, mysqlRoute("clear", m, secretFile(t, m.ClearPassword)))
			through, direct := mysqlDB(t, v.addrs[0], "x", ""), straight(t, m, "clear", m.ClearPassword, m.Database)
			for _, db := range []*sql.DB{through, direct} {
				db.SetMaxOpenConns(1)
			}
			before := ask(t, through, "SELECT CONNECTION_ID()")
			for query, number := range map[string]uint16{
				"SELECT * FROM nothing": 1146,
				"SELEKT":                1064,
				"USE nowhere":           1044,
				"SIGNAL SQLSTATE '45678' SET MESSAGE_TEXT = 'ours'": 1644,
			} {
				_, err := through.Exec(query)
				_, directErr := direct.Exec(query)
				got, ok := errors.AsType[*mysql.MySQLError](err)
				want, directOK := errors.AsType[*mysql.MySQLError](directErr)
				if !ok || !directOK || want.Number != number || *got != *want {
					t.Errorf("%s: through dbvalet: %v; from the database: %v; want error %d", query, err, directErr, number)
				}
			}
			if after := ask(t, through, "SELECT CONNECTION_ID()"); after != before {
				t.Errorf("the session was %s and is %s", before, after)
			}
		})
	}
}

// TestMySQLUnverifiedServerGetsNoCredential lets dbvalet meet servers that it must not trust. That
// they got no password is what the log of their verifier shows, which has each one that they get.
func TestMySQLUnverifiedServerGetsNoCredential(t *testing.T) {
	t.Parallel()
	expired := servers.Certificate{NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}
	for _, version := range errorVersions {
		for _, row := range []struct {
			name   string
			server servers.MySQLOptions
			want   string // in the message
		}{
			{"no TLS", servers.MySQLOptions{NoTLS: true}, "no TLS"},
			{"certificate of another CA", servers.MySQLOptions{Certificate: servers.Certificate{Foreign: true}}, "ca="},
			{"certificate for another name", servers.MySQLOptions{Certificate: servers.Certificate{Names: []string{"elsewhere.example.com"}}}, "elsewhere.example.com"},
			{"expired certificate", servers.MySQLOptions{Certificate: expired}, "expired"},
			{"certificate of its own", servers.MySQLOptions{SelfSigned: true}, "ca="},
		} {
			t.Run(version+" "+row.name, func(t *testing.T) {
				row.server.Version = version
				m := mysqlServer(t, row.server)
				v := start(t, nil, withoutEmptyCA(mysqlRoute("clear", m, secretFile(t, m.ClearPassword))))
				if e := ours(t, v, 3159, "HY000"); !strings.Contains(e.Message, row.want) {
					t.Errorf("the client is told %q, want %q in it", e.Message, row.want)
				}
				if decided := verified(t, m); decided != "" {
					t.Errorf("the server got a credential: %s", decided)
				}
			})
		}
	}
}

// withoutEmptyCA leaves out ca= where the server has no CA.
func withoutEmptyCA(route string) string { return strings.Replace(route, "&ca=&", "&", 1) }

func TestMySQLSelfSignedServerIsServedIfTheRouteSaysSo(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, SelfSigned: true})
			options := []string{"tls=require"}
			if version == "mysql9" { // which leaves its CA where an administrator finds it
				ca := url.QueryEscape(filepath.Join(filepath.Dir(m.LogFile()), "data", "ca.pem"))
				options = append(options, "tls=verify-ca&ca="+ca, "tls=require&ca="+ca)
			}
			for _, option := range options {
				v := start(t, nil, withoutEmptyCA(mysqlRoute("clear", m, secretFile(t, m.ClearPassword), option)))
				if got := ask(t, mysqlDB(t, v.addrs[0], "x", ""), "SELECT CURRENT_USER()"); got != "clear@%" {
					t.Errorf("%s: logged in as %q", option, got)
				}
				warned := v.count("tls=require without ca= does not verify the database: the credential goes to whoever answers")
				if want := strings.Count(option, "require") - strings.Count(option, "require&ca"); warned != want {
					t.Errorf("%s: dbvalet warns %d times, want %d:\n%s", option, warned, want, v.output())
				}
			}
		})
	}
}

func TestMySQLServerDownIsSaidAndServerBackIsFound(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			v := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
			db := mysqlDB(t, v.addrs[0], "x", "")
			ask(t, db, "SELECT 1")
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := db.PingContext(t.Context()); err == nil {
				t.Error("a session outlived its server")
			}
			if e := ours(t, v, 1105, noState); !strings.Contains(e.Message, "connection refused") {
				t.Errorf("got %v, want connection refused", e)
			}
			if err := m.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			ask(t, db, "SELECT 1")
		})
	}
}

func TestMySQLWrongRegionIsTheDatabasesRefusalAndAWarning(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := ordinaryMySQL(t, version)
			v := start(t, m.AWSEnvironment(), mysqlRoute("app", m, "region=eu-west-1"))
			sameRefusal(t, 1045, v, "", straight(t, m, "app", "no-token", ""))
			if warning := v.next("region= contradicts the endpoint's name; the database will refuse the token", 0); warning.str("hint") == "" {
				t.Error("the warning at the start has no hint")
			}
			if said := lastLine(t, m.VerifierLog()); !strings.Contains(said, "refused") || !strings.Contains(said, "eu-west-1") {
				t.Errorf("the verifier says %q, want a refusal for the region", said)
			}
		})
	}
}

func TestMySQLWrongKeyIsTriedOnlyOnce(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			v := start(t, []string{"AWS_ACCESS_KEY_ID=" + m.AccessKeyID, "AWS_SECRET_ACCESS_KEY=another"}, mysqlRoute("app", m))
			if e := mysqlRefusal(t, mysqlDB(t, v.addrs[0], "x", "")); e.Number != 1045 || !strings.HasPrefix(e.Message, "Access denied for user 'app'") {
				t.Errorf("got %v, want the database's own 1045", e)
			}
			// A token signed a moment ago would not become better by signing it again.
			if log := verified(t, m); strings.Count(log, "refused") != 1 {
				t.Errorf("the database was asked more than once, or not at all:\n%s", log)
			}
		})
	}
}

func TestMySQLExpiredSigningCredentialsAreNotSignedWith(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{})
	dir := t.TempDir()
	script, conf := filepath.Join(dir, "credentials.sh"), filepath.Join(dir, "config")
	content := fmt.Sprintf(`#!/bin/sh
echo '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"x","Expiration":"%s"}'
`, m.AccessKeyID, m.SecretAccessKey, time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("[profile stale]\ncredential_process = "+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for user, code := range map[string]struct {
		number uint16
		state  string
	}{
		"app@": {1105, noState}, // who is known before there is a greeting
		"":     {1045, "28000"}, // who is known from the reply to it
	} {
		v := start(t, []string{"AWS_CONFIG_FILE=" + conf}, strings.Replace(mysqlRoute("app", m, "profile=stale"), "app@", user, 1))
		if e := ours(t, v, code.number, code.state); !strings.Contains(e.Message, "expired") {
			t.Errorf("got %v, want that the credentials expired", e)
		}
	}
	if log := verified(t, m); log != "" {
		t.Errorf("the database was asked all the same: %s", log)
	}
}

// TestMySQLStaleSecretIsReplacedUnnoticed changes the password in the database and then where it is
// kept. The password that a command printed is reused for a while, so that dbvalet still has the old
// one.
func TestMySQLStaleSecretIsReplacedUnnoticed(t *testing.T) {
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version})
			secret := filepath.Join(t.TempDir(), "secret")
			store := func(password string) {
				t.Helper()
				if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			change := func(password string) {
				t.Helper()
				if err := m.Exec(t.Context(), "ALTER USER rotated IDENTIFIED BY '"+password+"'"); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Exec(t.Context(), "CREATE USER rotated IDENTIFIED BY 'the-first'"); err != nil {
				t.Fatal(err)
			}
			store("the-first")
			to := strings.Replace(mysqlRoute("rotated", m, "auth=exec:/bin/cat%20"+secret, "rotation_timeout=1"), "/"+m.Database+"?", "?", 1)
			v := start(t, nil, to)
			logIn := func() {
				t.Helper()
				if got := ask(t, mysqlDB(t, v.addrs[0], "x", ""), "SELECT CURRENT_USER()"); got != "rotated@%" {
					t.Errorf("logged in as %q", got)
				}
			}
			logIn()
			change("the-next")
			for range 2 { // the second time, the old one has been fetched once more
				sameRefusal(t, 1045, v, "", straight(t, m, "rotated", "wrong", ""))
			}
			store("the-next")
			waitUntil(t, "the next login is tried, and not told what the last one was", func() bool {
				return mysqlDB(t, v.addrs[0], "x", "").PingContext(t.Context()) == nil
			})
			v.next("session started", 1) // behind what was said on the way there
			replaced := v.count("credential rejected, trying another")
			change("the-last")
			store("the-last")
			logIn() // the cached one is refused, the new one is fetched, and the client sees nothing
			v.next("session started", 2)
			if v.count("credential rejected, trying another") != replaced+1 {
				t.Errorf("no credential was replaced under way; dbvalet said:\n%s", v.output())
			}
		})
	}
}

func TestMySQLConnectionLimitIsSaidInTheProtocol(t *testing.T) {
	m := ordinaryMySQL(t, "mysql9")
	v := start(t, m.AWSEnvironment(), mysqlRoute("app", m, "max_connections=1", "queue_timeout=100ms"))
	first := mysqlDB(t, v.addrs[0], "x", "")
	ask(t, first, "SELECT 1") // and the pool keeps the session
	if e := ours(t, v, 1040, noState); !strings.Contains(e.Message, "max_connections") {
		t.Errorf("got %v, want max_connections in it", e)
	}
	first.Close()
	second := mysqlDB(t, v.addrs[0], "x", "")
	waitUntil(t, "the place is free again", func() bool { return second.PingContext(t.Context()) == nil })
}

// TestMySQLClientThatInsistsOnTLSIsToldTheSetting covers the clients that give up by themselves, for
// which the log says what it is about, and one that asks for TLS although there is none.
func TestMySQLClientThatInsistsOnTLSIsToldTheSetting(t *testing.T) {
	m := ordinaryMySQL(t, "mysql9")
	v := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
	host, port, _ := net.SplitHostPort(v.addrs[0])
	for i, row := range []struct {
		version, program string
		args             []string
		hint             string
	}{
		{"mysql9", "mysql", []string{"--ssl-mode=REQUIRED"}, "ssl-mode=DISABLED"},
		{"mariadb11", "mariadb", []string{"--ssl-verify-server-cert"}, "--skip-ssl"},
		{"mariadb11", "mariadb", []string{"--password=dummy"}, "--skip-ssl"},
	} {
		t.Run(row.program+" "+row.args[0], func(t *testing.T) {
			cmd, err := servers.MySQLClient(t.Context(), row.version, row.program,
				append([]string{"--host=" + host, "--port=" + port, "--user=app", "-e", "SELECT 1"}, row.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "ERROR 2026") {
				t.Errorf("the client says %q, %v; want its error 2026", out, err)
			}
			if hint := v.next("client left after the greeting", i).str("hint"); !strings.Contains(hint, row.hint) {
				t.Errorf("the log's hint is %q, want %q in it", hint, row.hint)
			}
		})
	}
	t.Run("SSLRequest", func(t *testing.T) {
		conn, err := net.Dial("tcp", v.addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		header := make([]byte, 4)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(header[0])); err != nil {
			t.Fatal(err)
		}
		const protocol41, ssl, secureConnection = 1 << 9, 1 << 11, 1 << 15
		request := binary.LittleEndian.AppendUint32([]byte{32, 0, 0, 1}, protocol41|ssl|secureConnection)
		if _, err := conn.Write(append(request, make([]byte, 28)...)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || len(answer) < 13 {
			t.Fatalf("got %q, %v", answer, err)
		}
		number, text := binary.LittleEndian.Uint16(answer[5:]), string(answer[7:])
		if answer[3] != 2 || answer[4] != 0xFF || number != 1043 || !strings.HasPrefix(text, "#08S01dbvalet: ") || len(text) > 6+511 {
			t.Errorf("got %q, want packet 2, an error 1043", answer)
		}
		for _, setting := range []string{"ssl-mode=DISABLED", "--skip-ssl", "tls=false", "useSSL=false"} {
			if !strings.Contains(text, setting) {
				t.Errorf("got %q, want %s in it", text, setting)
			}
		}
	})
}

// TestMySQLPluginThatIsNotAnsweredIsNamed has users whose plugins the route doesn't allow, and one
// whose plugin nobody should answer.
func TestMySQLPluginThatIsNotAnsweredIsNamed(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mariadb11", Dialog: true, Settings: map[string]string{"secure_auth": "OFF"}})
	if err := m.Exec(t.Context(), "CREATE USER ancient IDENTIFIED VIA mysql_old_password USING '378b243e220ca493'"); err != nil {
		t.Fatal(err)
	}
	secret := secretFile(t, "the-password")
	for _, row := range []struct{ plugin, user, option string }{
		{"dialog", "app", "auth=aws-iam"}, // a token is for mysql_clear_password
		{"dialog", "clear", secret + "&require_auth=password"},
		{"client_ed25519", "ed25519", secret + "&require_auth=mysql_native_password"},
		{"parsec", "parsec", secret + "&require_auth=client_ed25519"},
		{"caching_sha2_password", "sha2", secret + "&require_auth=password"},
		{"mysql_old_password", "ancient", secret},
	} {
		t.Run(row.plugin+" of "+row.user, func(t *testing.T) {
			v := start(t, m.AWSEnvironment(), mysqlRoute(row.user, m, row.option))
			if e := ours(t, v, 1045, "28000"); !strings.Contains(e.Message, `"`+row.plugin+`"`) {
				t.Errorf("got %v, want the plugin's name", e)
			}
		})
	}
	if log := verified(t, m); strings.Contains(log, "accepted") {
		t.Errorf("a credential was sent: %s", log)
	}
}

func TestMySQLNoSecretIsWrittenAnywhere(t *testing.T) {
	t.Parallel()
	for _, version := range errorVersions {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, SessionToken: "a-session-token"})
			password := m.SHA2Password
			v := start(t, append(m.AWSEnvironment(), "SECRET="+password), mysqlRoute("app", m, "name=iam"),
				mysqlRoute("sha2", m, "auth=env:SECRET", "name=password"), mysqlRoute("sha2", m, "auth=exec:/bin/echo%20stale-password", "name=stale"))
			for i, addr := range v.addrs {
				_ = mysqlDB(t, addr, "x", "password-of-the-client").PingContext(t.Context())
				err := mysqlDB(t, addr, "x", "", func(c *mysql.Config) { c.DBName = "nowhere" }).PingContext(t.Context())
				if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != []uint16{1044, 1044, 1045}[i] {
					t.Errorf("got %v, want the database's refusal", err)
				}
			}
			v.stop()
			if v.count("session started") != 2 {
				t.Errorf("%d sessions, want 2:\n%s", v.count("session started"), v.output())
			}
			for _, secret := range []string{password, m.SecretAccessKey, m.SessionToken, "X-Amz-Signature", "stale-password", "password-of-the-client"} {
				if strings.Contains(v.output(), secret) {
					t.Errorf("dbvalet wrote the secret %q:\n%s", secret, v.output())
				}
			}
		})
	}
}

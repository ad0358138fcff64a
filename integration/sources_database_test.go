package integration

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// Judges say who may log in with a token, by database user. Tests that share a server share them.
type judges struct {
	mu     sync.Mutex
	byUser map[string]func(token string) error
}

func (j *judges) set(user string, decide func(token string) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.byUser == nil {
		j.byUser = make(map[string]func(string) error)
	}
	j.byUser[user] = decide
}

func (j *judges) decide(user, token string) error {
	j.mu.Lock()
	decide := j.byUser[user]
	j.mu.Unlock()
	if decide == nil {
		return errors.New("nobody knows tokens for this user")
	}
	return decide(token)
}

// pgTokens is a server whose members of rds_iam log in with tokens of any kind. Members of connected
// come from a Cloud SQL connector, which has said who they are.
var (
	startTokens = shared(servers.Options{HBA: []string{"host all +connected 127.0.0.1/32 trust"}})
	pgJudges    judges
	judgePG     sync.Once
)

func pgTokens(t *testing.T) *servers.Postgres {
	t.Helper()
	p := startTokens(t)
	judgePG.Do(func() {
		if err := p.Judge(pgJudges.decide); err != nil {
			t.Fatal(err)
		}
		alter(t, p, "CREATE ROLE rds_iam")
		alter(t, p, "CREATE ROLE connected")
	})
	return p
}

// tokenRole makes a role on pgTokens that logs in with the tokens that decide likes.
func tokenRole(t *testing.T, role string, decide func(token string) error) {
	t.Helper()
	alter(t, pgTokens(t), fmt.Sprintf(`CREATE ROLE "%s" LOGIN IN ROLE rds_iam`, role))
	pgJudges.set(role, decide)
}

// maria is a MariaDB that tests share. Users that ByToken made log in with tokens of any kind.
var (
	startMaria = sync.OnceValues(func() (*servers.MySQL, error) {
		m, err := servers.StartMySQL(context.Background(), servers.MySQLOptions{Version: "mariadb11"})
		if err != nil {
			return nil, err
		}
		keep(m)
		return m, m.Judge(mariaJudges.decide)
	})
	mariaJudges judges
)

func maria(t *testing.T) *servers.MySQL {
	t.Helper()
	m, err := startMaria()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mariaUser makes a user on maria with a password.
func mariaUser(t *testing.T, user, password string) {
	t.Helper()
	alter(t, maria(t), fmt.Sprintf("CREATE USER '%s' IDENTIFIED VIA mysql_native_password USING PASSWORD('%s')", user, password))
	alter(t, maria(t), fmt.Sprintf("GRANT ALL ON %s.* TO '%s'", maria(t).Database, user))
}

// mariaTokenUser makes a user on maria that logs in with the tokens that decide likes.
func mariaTokenUser(t *testing.T, user string, decide func(token string) error) {
	t.Helper()
	m := maria(t)
	alter(t, m, fmt.Sprintf("CREATE USER '%s' %s REQUIRE SSL", user, m.ByToken()))
	alter(t, m, fmt.Sprintf("GRANT ALL ON %s.* TO '%s'", m.Database, user))
	mariaJudges.set(user, decide)
}

// auth is the option of a route that names a secret. A URL in a URL is percent-encoded.
func auth(secret string) string { return "auth=" + url.QueryEscape(secret) }

// hostless is a route that leaves to the secret where the database is, but for the way there.
func hostless(scheme string, s *servers.Server, more ...string) string {
	return scheme + "://?" + strings.Join(append([]string{
		"listen=127.0.0.1:0", "dial=" + s.Addr(), "ca=" + url.QueryEscape(s.CAFile),
	}, more...), "&")
}

// located is a secret that says all that there is to say about a login.
func located(s *servers.Server, user, password string) string {
	return fmt.Sprintf(`{"engine": "any", "username": %q, "password": %q, "host": %q, "port": %d, "dbname": %q}`,
		user, password, s.Endpoint, s.Port, s.Database)
}

// psqlAt runs a statement through the listener addr, as somebody without a password.
func psqlAt(t *testing.T, addr, query string) (stdout, stderr string, err error) {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	stdout, stderr, err = client(t, "18", "psql", "-X", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query,
		"host="+host+" port="+port+" user=whoever dbname=orders")
	return strings.TrimSpace(stdout), stderr, err
}

// mysqlAt runs a statement through the listener addr with MariaDB's own client, as somebody without a
// password.
func mysqlAt(t *testing.T, addr, query string) (stdout, stderr string, err error) {
	t.Helper()
	return mysqlClientAt(t, "mariadb11", addr, query)
}

func mysqlClientAt(t *testing.T, version, addr, query string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := mysqlCommand(t, ctx, version, "", addr, "--batch", "--skip-column-names", "--execute="+query)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return strings.TrimSpace(out.String()), errOut.String(), err
}

// A clientProgram is what a user types in. It logs in through addr, asks who it is, and leaves.
type clientProgram struct {
	name string
	run  func(t *testing.T, addr string) (stdout, stderr string, err error)
}

var (
	psqlProgram    = clientProgram{"psql", func(t *testing.T, addr string) (string, string, error) { return psqlAt(t, addr, "SELECT current_user") }}
	mariadbProgram = clientProgram{"mariadb", func(t *testing.T, addr string) (string, string, error) { return mysqlAt(t, addr, whoami) }}
)

const whoami = "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"

// logsInAs runs the program and wants that the database knows it as user.
func (c clientProgram) logsInAs(t *testing.T, v *valet, i int, user string) {
	t.Helper()
	got, stderr, err := c.run(t, v.addrs[i])
	if err != nil {
		t.Errorf("%s: %v\n%s\ndbvalet said:\n%s", c.name, err, stderr, v.output())
	} else if got != user {
		t.Errorf("%s: logged in as %q, want %q", c.name, got, user)
	}
}

// maxMessage is how much of an error the mysql client shows: https://dev.mysql.com/doc/dev/mysql-server
// calls it MYSQL_ERRMSG_SIZE, and has 512 for old clients.
const maxMessage = 1024 // bytes

// refused runs the program, which must not get in, and wants everything of want in what it printed, in
// this order. It returns what it printed.
func (c clientProgram) refused(t *testing.T, v *valet, i int, want ...string) string {
	t.Helper()
	stdout, stderr, err := c.run(t, v.addrs[i])
	if err == nil {
		t.Fatalf("%s logged in as %q", c.name, stdout)
	}
	rest := stderr
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Errorf("%s printed\n%s\nwant %q in it, after all before it in %q", c.name, stderr, w, want)
			break
		}
		rest = after
	}
	if len(stderr) >= maxMessage {
		t.Errorf("%s printed %d bytes, want less than %d:\n%s", c.name, len(stderr), maxMessage, stderr)
	}
	return stderr
}

// mariaAsk returns the one value of a query of the superuser.
func mariaAsk(t *testing.T, m *servers.MySQL, query string, args ...any) string {
	t.Helper()
	db, err := m.Superuser()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return ask(t, db, query, args...)
}

// openMySQLSession connects through the route i of v until the test ends.
func openMySQLSession(t *testing.T, v *valet, i int) *sql.Conn {
	t.Helper()
	conn, err := mysqlDB(t, v.addrs[i], "whoever", "").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// within returns a context for what must not take longer.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

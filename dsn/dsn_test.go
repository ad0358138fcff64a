package dsn

import (
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dbvalet/tokens"
)

const password = "p@ss:w/rd?#%&' é"

var (
	v4     = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5433}
	v6     = &net.TCPAddr{IP: net.IPv6loopback, Port: 5433}
	pgSock = &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543", Net: "unix"}
	mySock = &net.UnixAddr{Name: "/run/my db/mysql.sock", Net: "unix"}
)

// oddNames are users and databases that mean something where they should not.
var oddNames = []string{
	"app", "o'brien", "a b", "a$HOME`id`\\", `"quoted"`, "a;b&c|d>e<f", "*", "~", "-x", "first.last@example.com", "ä", "!!", "#x", "{a,b}",
	"a/b", "a?b=c", "100%", "%41", "a+b", "a=b", "[::1]", "a\nb", "/a", "a,b", "(a)", "日本",
}

// addrs are those that targets of the tests have.
func addrs(scheme string) []net.Addr {
	if scheme == "postgres" {
		return []net.Addr{v4, v6, pgSock}
	}
	return []net.Addr{v4, v6, mySock}
}

// eachTarget calls f for listeners of all sorts, with users and databases of all sorts.
func eachTarget(scheme string, f func(Target)) {
	for _, addr := range addrs(scheme) {
		for _, secret := range []string{"", password} {
			for _, encrypted := range []bool{false, true} {
				for _, name := range oddNames {
					f(Target{scheme, addr, name, "d" + name, tokens.NewSecret(secret), encrypted})
					f(Target{scheme, addr, "u" + name, name, tokens.NewSecret(secret), encrypted})
				}
			}
		}
	}
}

func hint(err error) string {
	if e, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return e.Hint()
	}
	return ""
}

func mustFor(t *testing.T, target Target, tool string) string {
	t.Helper()
	text, err := target.For(tool)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return text
}

func TestWhatToCopyForEachTool(t *testing.T) {
	onTCP := Target{Scheme: "postgres", Addr: v4, User: "app", Database: "orders"}
	onSocket := Target{Scheme: "postgres", Addr: pgSock, User: "app", Database: "orders"}
	mysqlTCP := Target{Scheme: "mysql", Addr: v4, User: "app", Database: "orders"}
	mysqlSocket := Target{Scheme: "mysql", Addr: mySock, User: "app", Database: "orders"}
	for _, row := range []struct {
		target     Target
		tool, want string
	}{
		{onTCP, "psql", "psql -h 127.0.0.1 -p 5433 -U app -d orders"},
		{onTCP, "url", "postgres://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "go", "postgres://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "jdbc", "jdbc:postgresql://127.0.0.1:5433/orders?user=app&sslmode=disable"},
		{onTCP, "node", "postgres://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "python", "postgres://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "sqlalchemy", "postgresql+psycopg://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "atlas", "postgres://app@127.0.0.1:5433/orders?sslmode=disable"},
		{onTCP, "env", "unset PGSSLMODE\nexport PGHOST=127.0.0.1\nexport PGPORT=5433\nexport PGUSER=app\nexport PGDATABASE=orders\n" +
			"export DATABASE_URL='postgres://app@127.0.0.1:5433/orders?sslmode=disable'"},
		{onSocket, "psql", "psql -h '/run/my db' -p 6543 -U app -d orders"},
		{Target{Scheme: "postgres", Addr: v4, Database: "a=b"}, "psql", "psql -h 127.0.0.1 -p 5433 -d " + tokens.Quote("dbname='a=b'")},
		{Target{Scheme: "postgres", Addr: v4, Database: "postgres://a"}, "psql", "psql -h 127.0.0.1 -p 5433 -d " + tokens.Quote("dbname='postgres://a'")},
		{onSocket, "node", "postgres://app@localhost/orders?host=/run/my%20db&port=6543&sslmode=disable"},
		{onSocket, "url", "postgres://app@/orders?host=/run/my%20db&port=6543&sslmode=disable"},
		{onSocket, "sqlalchemy", "postgresql+psycopg://app@/orders?host=/run/my%20db&port=6543&sslmode=disable"},
		{mysqlTCP, "mysql", "mysql -h 127.0.0.1 -P 5433 -u app -D orders"},
		{mysqlTCP, "url", "mysql://app@127.0.0.1:5433/orders"},
		{mysqlTCP, "go", "app@tcp(127.0.0.1:5433)/orders"},
		{mysqlTCP, "jdbc", "jdbc:mysql://127.0.0.1:5433/orders?user=app&sslMode=DISABLED"},
		{mysqlTCP, "jdbc-mariadb", "jdbc:mariadb://127.0.0.1:5433/orders?user=app&sslMode=DISABLED"},
		{mysqlTCP, "node", "mysql://app@127.0.0.1:5433/orders"},
		{mysqlTCP, "python", `pymysql.connect(host="127.0.0.1", port=5433, user="app", database="orders")`},
		{mysqlTCP, "sqlalchemy", "mysql+pymysql://app@127.0.0.1:5433/orders"},
		{mysqlTCP, "atlas", "mysql://app@127.0.0.1:5433/orders"},
		{mysqlTCP, "env", "export MYSQL_HOST=127.0.0.1\nexport MYSQL_TCP_PORT=5433\nexport DATABASE_URL=mysql://app@127.0.0.1:5433/orders"},
		{mysqlSocket, "mysql", "mysql -S '/run/my db/mysql.sock' -u app -D orders --loose-skip-ssl"},
		{mysqlSocket, "url", "mysql://app@localhost/orders?socket=/run/my%20db/mysql.sock"},
		{mysqlSocket, "go", "app@unix(/run/my db/mysql.sock)/orders"},
		{mysqlSocket, "node", "mysql://app@localhost/orders?socketPath=/run/my%20db/mysql.sock"},
		{mysqlSocket, "python", `pymysql.connect(unix_socket="/run/my db/mysql.sock", user="app", database="orders")`},
		{mysqlSocket, "sqlalchemy", "mysql+pymysql://app@localhost/orders?unix_socket=/run/my%20db/mysql.sock"},
		{mysqlSocket, "atlas", "mysql+unix://app@/run/my%20db/mysql.sock?database=orders"},
		{mysqlSocket, "env", "export MYSQL_HOST=localhost\nexport MYSQL_UNIX_PORT='/run/my db/mysql.sock'\n" +
			"export DATABASE_URL='mysql://app@localhost/orders?socket=/run/my%20db/mysql.sock'"},
	} {
		if got := mustFor(t, row.target, row.tool); got != row.want {
			t.Errorf("%s on %v: got\n%s\nwant\n%s", row.tool, row.target.Addr, got, row.want)
		}
	}
}

// TestNothingIsSaidThatIsNotKnown is about routes where clients choose, and those that are asked for TLS
// and a password.
func TestNothingIsSaidThatIsNotKnown(t *testing.T) {
	full := tokens.NewSecret("s3cret")
	for _, row := range []struct {
		target     Target
		tool, want string
	}{
		{Target{Scheme: "postgres", Addr: v6}, "psql", "psql -h ::1 -p 5433"},
		{Target{Scheme: "postgres", Addr: v6}, "url", "postgres://[::1]:5433/?sslmode=disable"},
		{Target{Scheme: "mysql", Addr: v6}, "go", "tcp([::1]:5433)/"},
		{Target{Scheme: "mysql", Addr: v6}, "jdbc", "jdbc:mysql://[::1]:5433/?sslMode=DISABLED"},
		{Target{Scheme: "postgres", Addr: &net.TCPAddr{Port: 5433}}, "url", "postgres://127.0.0.1:5433/?sslmode=disable"},
		{Target{Scheme: "postgres", Addr: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 5433}}, "url", "postgres://[fe80::1%25eth0]:5433/?sslmode=disable"},
		{Target{"postgres", v4, "app", "", full, true}, "psql", "PGPASSWORD=s3cret PGSSLMODE=require psql -h 127.0.0.1 -p 5433 -U app"},
		{Target{"postgres", v4, "app", "", full, true}, "url", "postgres://app:s3cret@127.0.0.1:5433/?sslmode=require"},
		{Target{"postgres", v4, "app", "", full, true}, "node", "postgres://app:s3cret@127.0.0.1:5433/?sslmode=no-verify"},
		{Target{"postgres", v4, "", "", full, true}, "jdbc", "jdbc:postgresql://127.0.0.1:5433/?password=s3cret&sslmode=require"},
		{Target{"mysql", v4, "app", "", full, true}, "mysql", "MYSQL_PWD=s3cret mysql -h 127.0.0.1 -P 5433 -u app"},
		{Target{"mysql", v4, "app", "", full, false}, "mysql", "MYSQL_PWD=s3cret mysql -h 127.0.0.1 -P 5433 -u app --loose-skip-ssl"},
		{Target{"mysql", v4, "app", "", full, true}, "go", "app:s3cret@tcp(127.0.0.1:5433)/?tls=skip-verify"},
		{Target{"mysql", v4, "app", "", full, true}, "jdbc", "jdbc:mysql://127.0.0.1:5433/?user=app&password=s3cret&sslMode=REQUIRED"},
		{Target{"mysql", v4, "a@b", "ä", full, true}, "jdbc-mariadb", "jdbc:mariadb://127.0.0.1:5433/ä?user=a@b&password=s3cret&sslMode=REQUIRED"},
		{Target{"mysql", v4, "app", "", full, true}, "node", "mysql://app:s3cret@127.0.0.1:5433/?ssl=%7B%22rejectUnauthorized%22%3Afalse%7D"},
	} {
		if got := mustFor(t, row.target, row.tool); got != row.want {
			t.Errorf("%s: got\n%s\nwant\n%s", row.tool, got, row.want)
		}
	}
}

func TestWhatCanNotBeSaidSaysWhatToDo(t *testing.T) {
	for _, row := range []struct {
		target     Target
		tool, hint string
	}{
		{Target{Scheme: "postgres", Addr: pgSock}, "jdbc", "listen=127.0.0.1:PORT"},
		{Target{Scheme: "mysql", Addr: mySock}, "jdbc", "listen=127.0.0.1:PORT"},
		{Target{Scheme: "postgres", Addr: v4}, "mysql", "psql, url, go"},
		{Target{Scheme: "mysql", Addr: v4}, "nonsense", "jdbc-mariadb"},
		{Target{Scheme: "postgres", Addr: &net.UnixAddr{Name: "/run/db/x.sock"}}, "psql", "directory"},
		{Target{Scheme: "mysql", Addr: v4, User: "a:b"}, "go", "Config"},
		{Target{Scheme: "mysql", Addr: v4, User: "a&b"}, "jdbc-mariadb", "Properties"},
		{Target{Scheme: "mysql", Addr: v4, Database: "a?b"}, "jdbc-mariadb", "Properties"},
		{Target{Scheme: "mysql", Addr: v4, Password: tokens.NewSecret("a\nb")}, "jdbc-mariadb", "Properties"},
		{Target{Scheme: "mysql", Addr: &net.UnixAddr{Name: "/run/a@b/mysql.sock"}}, "go", "Config"},
		{Target{Scheme: "postgres", Addr: v4, Database: "a?b"}, "node", "object"},
		{Target{Scheme: "mysql", Addr: v4, Database: "a/b"}, "atlas", "--schema"},
		{Target{Scheme: "mysql", Addr: v4, User: "a:b"}, "atlas", "Config"},
		{Target{Scheme: "mysql", Addr: v4, Password: tokens.NewSecret("é")}, "sqlalchemy", "another password"},
	} {
		if text, err := row.target.For(row.tool); err == nil || text != "" || !strings.Contains(hint(err), row.hint) {
			t.Errorf("%s on %v: got %q, %v (hint: %s), want a hint with %q", row.tool, row.target.Addr, text, err, hint(err), row.hint)
		}
	}
	if got := (Target{Scheme: "postgres", Addr: &net.UnixAddr{Name: "/run/db/x.sock"}}).Environ(); got != nil {
		t.Errorf("got %v for a socket that no client finds", got)
	}
}

// TestCommandsAndVariablesSurviveTheShell has a shell read what people copy into one.
func TestCommandsAndVariablesSurviveTheShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	read := func(script string) []string {
		out, err := exec.Command(shell, "-c", script).Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	for _, name := range oddNames {
		target := Target{Scheme: "postgres", Addr: v4, User: name, Database: name, Password: tokens.NewSecret(password)}
		got := read(`psql() { printf '%s\0' "$PGPASSWORD" "$@"; }; ` + mustFor(t, target, "psql"))
		if want := []string{password, "-h", "127.0.0.1", "-p", "5433", "-U", name, "-d", psqlDatabase(name)}; !slices.Equal(got, want) {
			t.Errorf("psql is given %q, want %q", got, want)
		}
		got = read(mustFor(t, target, "env") + "\n" + `printf '%s\0' "$PGUSER" "$PGDATABASE" "$DATABASE_URL"`)
		if want := []string{name, name, mustFor(t, target, "url")}; !slices.Equal(got, want) {
			t.Errorf("the variables are %q, want %q", got, want)
		}
	}
}

func TestPasswordIsInNoCommand(t *testing.T) {
	for _, target := range []Target{
		{Scheme: "postgres", Addr: v4, User: "app", Password: tokens.NewSecret("s3cret")},
		{Scheme: "mysql", Addr: mySock, User: "app", Password: tokens.NewSecret("s3cret")},
	} {
		command, err := target.Command()
		if err != nil || strings.Contains(strings.Join(command, " "), "s3cret") || !slices.ContainsFunc(target.Environ(), func(v string) bool { return strings.Contains(v, "s3cret") }) {
			t.Errorf("got %q, %v and %q; want the password in the variables only", command, err, target.Environ())
		}
	}
}

package integration

import (
	"context"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"dbvalet/dsn"
	"dbvalet/integration/servers"
)

// autoListening is a route on a port of its own instead of any free one.
func autoListening(route string) string {
	return strings.Replace(route, "listen=127.0.0.1:0", "listen=auto", 1)
}

// inDirectory is a route on a unix socket instead.
func inDirectory(t *testing.T, route string) string {
	t.Helper()
	return strings.Replace(route, "listen=127.0.0.1:0", "name=socket&listen="+shortDir(t), 1)
}

// shortDir is t.TempDir for sockets, whose paths have 107 bytes at most.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// lines prints what to copy for a route.
type lines struct {
	t     *testing.T
	state string // where dbvalet remembers ports
	route string
}

// forTool is what "dbvalet url" prints for a tool.
func (l lines) forTool(tool string, more ...string) string {
	l.t.Helper()
	cmd := exec.Command(program, append([]string{"url", l.route, "--for", tool}, more...)...)
	cmd.Env = []string{"HOME=/var/empty", "XDG_STATE_HOME=" + l.state, "GORACE=atexit_sleep_ms=0"}
	stdout, stderr, err := finish(l.t, cmd)
	if err != nil || stderr != "" {
		l.t.Fatalf("url --for %s: %v\n%s", tool, err, stderr)
	}
	return strings.TrimSuffix(stdout, "\n")
}

// shellWords is what a shell makes of a command: the words behind the program's name.
func shellWords(t *testing.T, name, command string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", name+"() { printf '%s\\0' \"$@\"; }; "+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// exported are the variables that a shell has when it has read lines that export them.
func exported(t *testing.T, script string) []string {
	t.Helper()
	cmd := exec.Command("sh", "-c", script+"\nenv -0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	var variables []string
	for variable := range strings.SplitSeq(string(out), "\x00") {
		if strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "MYSQL_") || strings.HasPrefix(variable, "DATABASE_URL=") {
			variables = append(variables, variable)
		}
	}
	return variables
}

// prints fails the test if cmd does not print want.
func prints(t *testing.T, cmd *exec.Cmd, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, err := finish(t, cmd); err != nil || strings.TrimSpace(strings.ReplaceAll(stdout, "\t", " ")) != want {
		t.Errorf("%v; it printed\n%s%swant %s", err, stdout, stderr, want)
	}
}

func TestPostgresClientsConnectWithWhatURLPrints(t *testing.T) {
	p := pg18(t)
	state := t.TempDir()
	onTCP, onSocket := autoListening(iamRoute(p)), inDirectory(t, iamRoute(p))
	start(t, append(p.AWSEnvironment(), "XDG_STATE_HOME="+state), onTCP, onSocket)
	want := "app " + p.Database
	const query = "SELECT current_user || ' ' || current_database()"
	asked := []string{"-X", "-w", "-A", "-t", "-c", query}
	for name, route := range map[string]string{"TCP": onTCP, "unix socket": onSocket} {
		l := lines{t, state, route}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		t.Run(name+", psql", func(t *testing.T) {
			cmd, err := servers.Client(ctx, "18", "psql", append(asked, shellWords(t, "psql", l.forTool("psql"))...)...)
			prints(t, cmd, err, want)
		})
		for _, tool := range []string{"python", "sqlalchemy"} {
			t.Run(name+", "+tool, func(t *testing.T) {
				cmd, err := servers.Python(ctx, filepath.Join("testdata", "lines_client.py"), l.forTool(tool), query)
				prints(t, cmd, err, want)
			})
		}
		t.Run(name+", variables", func(t *testing.T) {
			cmd, err := servers.Client(ctx, "18", "psql", asked...)
			cmd.Env = append(cmd.Env, exported(t, "export PGSSLMODE=verify-full\n"+l.forTool("env"))...)
			prints(t, cmd, err, want)
		})
		t.Run(name+", pgx", func(t *testing.T) {
			conn, err := pgx.Connect(ctx, l.forTool("go"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			var got string
			if err := conn.QueryRow(ctx, query).Scan(&got); err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
		t.Run(name+", lib/pq", func(t *testing.T) {
			db, err := sql.Open("postgres", l.forTool("go"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if got := ask(t, db, query); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
		t.Run(name+", node-postgres", func(t *testing.T) {
			cmd, err := servers.Node(ctx, filepath.Join("testdata", "lines_client.js"), "pg", l.forTool("node"))
			prints(t, cmd, err, want)
		})
		if route == onTCP {
			t.Run(name+", pgjdbc", func(t *testing.T) {
				cmd, err := servers.Java(ctx, filepath.Join("testdata", "LinesClient.java"), l.forTool("jdbc"), query)
				prints(t, cmd, err, want)
			})
		}
	}
}

func TestPSQLTakesANameForNoConnectionString(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	addr, err := net.ResolveTCPAddr("tcp", v.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a=b", `o'brien \ "x"=`, "postgres://a", "a b"} {
		quoted := pgx.Identifier{name}.Sanitize()
		alter(t, p, "CREATE DATABASE "+quoted)
		t.Cleanup(func() { _ = p.Exec(context.Background(), "DROP DATABASE "+quoted+" WITH (FORCE)") })
		line, err := dsn.Target{Scheme: "postgres", Addr: addr, User: "app", Database: name}.For("psql")
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := servers.Client(t.Context(), "18", "psql", append(shellWords(t, "psql", line), "-X", "-w", "-A", "-t", "-c", "SELECT current_database()")...)
		prints(t, cmd, err, name)
	}
}

func TestMySQLClientsConnectWithWhatURLPrints(t *testing.T) {
	for _, version := range []string{"mysql9", "mariadb11"} {
		m := ordinaryMySQL(t, version)
		state := t.TempDir()
		onTCP, onSocket := autoListening(mysqlRoute("app", m)), inDirectory(t, mysqlRoute("app", m))
		start(t, append(m.AWSEnvironment(), "XDG_STATE_HOME="+state), onTCP, onSocket)
		want := "app@% " + m.Database
		const query = "SELECT CONCAT(CURRENT_USER(), ' ', DATABASE())"
		asked := []string{"--batch", "--skip-column-names"}
		for name, route := range map[string]string{"TCP": onTCP, "unix socket": onSocket} {
			l := lines{t, state, route}
			name = version + ", " + name
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			client := func(t *testing.T, more ...string) (*exec.Cmd, error) {
				return servers.MySQLClient(ctx, version, mysqlProgram(version, ""), append(append(asked, more...), "-e", query)...)
			}
			t.Run(name+", mysql", func(t *testing.T) {
				cmd, err := client(t, shellWords(t, "mysql", l.forTool("mysql"))...)
				prints(t, cmd, err, want)
			})
			t.Run(name+", variables", func(t *testing.T) {
				if version == "mariadb11" {
					t.Skip("MariaDB's client insists on TLS where the address is not on the command line")
				}
				cmd, err := client(t)
				cmd.Env = append(cmd.Env, exported(t, l.forTool("env"))...)
				prints(t, cmd, err, want)
			})
			t.Run(name+", go-sql-driver", func(t *testing.T) {
				db, err := sql.Open("mysql", l.forTool("go"))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if got := ask(t, db, query); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
			t.Run(name+", mysql2", func(t *testing.T) {
				cmd, err := servers.Node(ctx, filepath.Join("testdata", "lines_client.js"), "mysql2", l.forTool("node"))
				prints(t, cmd, err, want)
			})
			for _, tool := range []string{"python", "sqlalchemy"} {
				t.Run(name+", "+tool, func(t *testing.T) {
					cmd, err := servers.Python(ctx, filepath.Join("testdata", "lines_client.py"), l.forTool(tool), query)
					prints(t, cmd, err, want)
				})
			}
			if route == onTCP {
				t.Run(name+", Connector/J of MariaDB", func(t *testing.T) {
					cmd, err := servers.Java(ctx, filepath.Join("testdata", "LinesClient.java"), l.forTool("jdbc-mariadb"), query)
					prints(t, cmd, err, want)
				})
			}
		}
	}
}

// TestRevealedPasswordLetsClientsIn asks for a password that has to be quoted and encoded wherever it goes.
func TestRevealedPasswordLetsClientsIn(t *testing.T) {
	const password = "p@ss:w/rd?#%&' é"
	file := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, m := pg18(t), ordinaryMySQL(t, "mariadb11")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state := t.TempDir()
	pg := lines{t, state, autoListening(iamRoute(p, "local_password=file:"+file))}
	my := lines{t, state, autoListening(mysqlRoute("app", m, "local_password=file:"+file))}
	start(t, append(p.AWSEnvironment(), "XDG_STATE_HOME="+state), pg.route)
	start(t, append(m.AWSEnvironment(), "XDG_STATE_HOME="+state), my.route)

	conn, err := pgx.Connect(ctx, pg.forTool("go", "--reveal"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(ctx)
	db, err := sql.Open("mysql", my.forTool("go", "--reveal"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := ask(t, db, "SELECT CURRENT_USER()"); got != "app@%" {
		t.Errorf("go-sql-driver is %q", got)
	}
	for driver, l := range map[string]lines{"pg": pg, "mysql2": my} {
		cmd, err := servers.Node(ctx, filepath.Join("testdata", "lines_client.js"), driver, l.forTool("node", "--reveal"))
		prints(t, cmd, err, map[string]string{"pg": "app ", "mysql2": "app@% "}[driver]+p.Database)
	}
	for _, tool := range []struct {
		l    lines
		name string
		run  func(ctx context.Context, script string, args ...string) (*exec.Cmd, error)
		user string
	}{
		{pg, "python", servers.Python, "app"},
		{pg, "sqlalchemy", servers.Python, "app"},
		{pg, "jdbc", servers.Java, "app"},
		{my, "python", servers.Python, "app@%"},
	} {
		script := "lines_client.py"
		if strings.HasPrefix(tool.name, "jdbc") {
			script = "LinesClient.java"
		}
		cmd, err := tool.run(ctx, filepath.Join("testdata", script), tool.l.forTool(tool.name, "--reveal"), "SELECT CURRENT_USER")
		prints(t, cmd, err, tool.user)
	}

	command := my.forTool("mysql", "--reveal")
	cmd, err := servers.MySQLClient(ctx, "mariadb11", "mariadb", append(shellWords(t, "mysql", command), "--batch", "--skip-column-names", "-e", "SELECT CURRENT_USER()")...)
	cmd.Env = append(cmd.Env, "MYSQL_PWD="+password)
	prints(t, cmd, err, "app@%")
	if !strings.HasPrefix(command, "MYSQL_PWD=") {
		t.Errorf("the password is not in a variable: %s", command)
	}
}

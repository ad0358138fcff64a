package integration

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/servers"
)

// A bench is where "dbvalet exec" is tried: PATH has the databases' programs, and private directories are
// made in a place that is looked at afterwards.
type bench struct {
	t       *testing.T
	bin     string
	runtime string
	env     []string
	user    int // who runs dbvalet; 0: who runs the tests
}

// newBench returns one that has programs, each as FOLDER/NAME, where the folder is a version of the
// servers' clients.
func newBench(t *testing.T, env []string, programs ...string) *bench {
	t.Helper()
	l := &bench{t: t, bin: t.TempDir(), runtime: shortDir(t)}
	for _, program := range programs {
		version, name, _ := strings.Cut(program, "/")
		l.install(version, name)
	}
	if err := os.Symlink(plainProgram, filepath.Join(l.bin, "dbvalet")); err != nil {
		t.Fatal(err)
	}
	l.env = append([]string{
		"PATH=" + l.bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "RUNTIME_DIRECTORY=" + l.runtime, "GORACE=atexit_sleep_ms=0",
	}, env...)
	return l
}

// install writes a script that runs a program of a root, with what that needs to run outside of it.
func (l *bench) install(version, name string) {
	l.t.Helper()
	cmd, err := servers.Client(l.t.Context(), version, name)
	if strings.HasPrefix(version, "m") {
		cmd, err = servers.MySQLClient(l.t.Context(), version, name)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	script := "#!/bin/sh\n"
	for _, pair := range cmd.Env {
		if key, value, _ := strings.Cut(pair, "="); !slices.Contains([]string{"PATH", "HOME", "TMPDIR"}, key) {
			script += "export " + key + "='" + value + "'\n"
		}
	}
	script += "exec '" + strings.Join(cmd.Args, "' '") + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(l.bin, name), []byte(script), 0o700); err != nil {
		l.t.Fatal(err)
	}
}

// command is dbvalet with args. It has no terminal, wherever the tests run.
func (l *bench) command(args ...string) *exec.Cmd {
	return l.as(exec.Command(program, args...))
}

// as has cmd run in the bench's environment, by its user, and without a terminal.
func (l *bench) as(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = slices.Clone(l.env)
	if l.user != 0 {
		cmd = as(l.user, nil, cmd)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// ownedBy has another user run dbvalet.
func (l *bench) ownedBy(uid int) {
	l.t.Helper()
	l.user = uid
	home := filepath.Join(l.runtime, "home")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, uid, uid), os.Chown(l.runtime, uid, uid)); err != nil {
		l.t.Fatal(err)
	}
	l.env = append(l.env, "HOME="+home)
}

// run runs dbvalet to its end.
func (l *bench) run(args ...string) (status int, stdout, stderr string) {
	l.t.Helper()
	r := l.start(args...)
	rest, _ := io.ReadAll(r.stdout)
	return r.wait(), string(rest), r.stderr.String()
}

// must is run for what has to work, and returns what it printed.
func (l *bench) must(args ...string) string {
	l.t.Helper()
	status, stdout, stderr := l.run(args...)
	if status != 0 || stderr != "" {
		l.t.Errorf("dbvalet %q: status %d\n%s%s", args, status, stdout, stderr)
	}
	return strings.TrimSpace(stdout)
}

// An execution is a dbvalet that runs a command.
type execution struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *bytes.Buffer
}

func (l *bench) start(args ...string) *execution {
	l.t.Helper()
	r := &execution{t: l.t, cmd: l.command(args...), stderr: &bytes.Buffer{}}
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		l.t.Fatal(err)
	}
	// The pipe is the test's own, as that of StdoutPipe is gone when dbvalet is.
	out, in, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { out.Close() })
	const enough = 4 * patience // a command may do several things
	if err := out.SetReadDeadline(time.Now().Add(enough)); err != nil {
		l.t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr, r.stdout = in, r.stderr, bufio.NewReader(out)
	r.cmd.WaitDelay = patience // a command that is left behind has stderr still
	if err := r.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	in.Close()
	timer := time.AfterFunc(enough, func() { r.cmd.Process.Kill() })
	l.t.Cleanup(func() { timer.Stop(); r.cmd.Process.Kill() })
	return r
}

// line is the next that the command prints.
func (r *execution) line() string {
	r.t.Helper()
	line, err := r.stdout.ReadString('\n')
	if err != nil {
		r.t.Fatalf("the command printed no more: %v\n%s", err, r.stderr)
	}
	return strings.TrimSpace(line)
}

// wait returns the exit status of dbvalet.
func (r *execution) wait() int {
	r.t.Helper()
	err := r.cmd.Wait()
	if e, ok := errors.AsType[*exec.ExitError](err); ok && e.Exited() || err == nil {
		if strings.Contains(r.stderr.String(), "DATA RACE") {
			r.t.Errorf("data race in dbvalet:\n%s", r.stderr)
		}
		return r.cmd.ProcessState.ExitCode()
	}
	r.t.Fatalf("dbvalet: %v\n%s", err, r.stderr)
	return -1
}

// tidy fails the test if a private directory is there still.
func (l *bench) tidy() {
	l.t.Helper()
	if left := l.left(); len(left) > 0 {
		l.t.Errorf("%v is left", left)
	}
}

// left are the private directories that there are.
func (l *bench) left() (dirs []string) {
	_ = filepath.WalkDir(l.runtime, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() && filepath.Dir(path) == filepath.Join(l.runtime, "exec") {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

func TestExecServesThePrograms(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql", "18/pg_dump", "18/pg_isready")
	// None of this may come in the way.
	l.env = append(l.env, "PGHOST=nowhere", "PGHOSTADDR=192.0.2.1", "PGPASSWORD=wrong", "PGSERVICE=none", "PGSSLMODE=verify-full", "PGUSER=nobody",
		"PGSSLROOTCERT=/nonexistent", "PGREQUIREAUTH=scram-sha-256", "PGREQUIREPEER=postgres", "PGCHANNELBINDING=require", "DATABASE_URL=postgres://nowhere")
	r := iamRoute(p)
	const who = "SELECT current_user || ' ' || current_database() || ' ' || coalesce(host(inet_client_addr()), 'socket')"
	ask := []string{"--", "psql", "-X", "-w", "-A", "-t", "-c"}
	want := "app " + p.Database + " 127.0.0.1"
	for _, args := range [][]string{
		append([]string{"exec", r}, append(ask, who)...),
		append([]string{"exec", "--tcp", r}, append(ask, who)...),
		append([]string{"exec", "--unix", r}, append(ask, who)...),
		{"psql", r, "--", "-X", "-w", "-A", "-t", "-c", who},
		{"psql", "--tcp", r, "--", "-X", "-w", "-A", "-t", "-c", who},
		{"exec", r, "--", "sh", "-c", `psql -X -w -A -t -c "` + who + `" "$DATABASE_URL"`},
		{"exec", "--unix", r, "--", "sh", "-c", `psql -X -w -A -t -c "` + who + `" "$DATABASE_URL"`},
		{"exec", r, "--", "sh", "-c", `PGSSLMODE=prefer psql -X -w -A -t -h localhost -c "` + who + `"`},
	} {
		if got := l.must(args...); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
	if got := l.must("psql", r, "--", "-X", "-w", "-A", "-t", "-c", "SELECT current_database()", "postgres"); got != "postgres" {
		t.Errorf("psql with a database of its own: got %q, want postgres", got)
	}
	if got := l.must("exec", r, "--", "pg_dump", "--schema-only", "-N", "public"); !strings.Contains(got, "PostgreSQL database dump complete") {
		t.Errorf("pg_dump: got\n%s", got)
	}
	if got := l.must("exec", r, "--", "pg_isready"); !strings.Contains(got, "accepting connections") {
		t.Errorf("pg_isready: got %q", got)
	}
	l.tidy()
}

func TestExecServesTheProgramsOfMySQL(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	l := newBench(t, m.AWSEnvironment(), "mysql9/mysql", "mysql9/mysqldump", "mariadb11/mariadb")
	l.env = append(l.env, "MYSQL_PWD=wrong", "MYSQL_HOST=nowhere", "MYSQL_UNIX_PORT=/nonexistent", "MYSQL_TCP_PORT=1")
	r := mysqlRoute("app", m)
	const who = "SELECT CONCAT(CURRENT_USER(), ' ', DATABASE())"
	want := "app@% " + m.Database
	for _, args := range [][]string{
		{"exec", r, "--", "mysql", "-N", "-B", "-e", who},
		{"exec", "--tcp", r, "--", "mysql", "-N", "-B", "-e", who},
		{"exec", "--unix", r, "--", "mysql", "-N", "-B", "-e", who},
		{"exec", r, "--", "mysql", "-h", "localhost", "-N", "-B", "-e", who},
		{"exec", r, "--", "mariadb", "--skip-ssl", "-N", "-B", "-e", who},
		{"mysql", r, "--", "-N", "-B", "-e", who},
		{"mysql", "--tcp", r, "--", "-N", "-B", "-e", who},
		{"mysql", "--unix", r, "--", "-N", "-B", "-e", who},
	} {
		if got := l.must(args...); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
	if got := l.must("mysql", r, "--", "-N", "-B", "-e", "SELECT DATABASE()", "information_schema"); got != "information_schema" {
		t.Errorf("mysql with a database of its own: got %q", got)
	}
	if status, got, stderr := l.run("exec", r, "--", "mysqldump", "--no-tablespaces", "--no-data", m.Database); status != 0 || !strings.Contains(got, "Dump completed") {
		t.Errorf("mysqldump: got status %d\n%s%s", status, got, stderr)
	}
	if err := os.Remove(filepath.Join(l.bin, "mysql")); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("mysql"); err != nil { // the machine has none of its own
		for _, flag := range []string{"--tcp", "--unix"} {
			if _, got, stderr := l.run("mysql", flag, r, "--", "-N", "-B", "-e", who); strings.TrimSpace(got) != want {
				t.Errorf("mariadb in place of mysql, %s: got %q, want %q\n%s", flag, got, want, stderr)
			}
		}
	}
	if _, got, stderr := l.run("exec", r, "--", "mariadb", "--protocol=TCP", "-N", "-B", "-e", who); strings.TrimSpace(got) != want {
		t.Errorf("mariadb: got %q, want %q\n%s", got, want, stderr)
	}
	l.tidy()
}

// showEnvironment prints the variables and ends with its stdin.
const showEnvironment = `env | grep -E '^(DATABASE_URL|DBVALET_.*_URL|PGHOST|PGPORT)='; echo .; read x`

// variables reads what showEnvironment prints.
func (r *execution) variables() map[string]string {
	r.t.Helper()
	found := map[string]string{}
	for line := r.line(); line != "."; line = r.line() {
		name, value, _ := strings.Cut(line, "=")
		found[name] = value
	}
	return found
}

func TestExecsURLsAreForDrivers(t *testing.T) {
	p, m := pg18(t), mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	l := newBench(t, append(p.AWSEnvironment(), "PW="+m.ClearPassword))
	mysqlURL := strings.Replace(mysqlRoute("clear", m, "auth=env:PW", "name=my-shop"), "listen=127.0.0.1:0&", "", 1)
	r := l.start("exec", iamRoute(p, "name=orders"), mysqlURL, "--", "sh", "-c", showEnvironment)
	found := r.variables()
	if len(found) != 5 || found["DATABASE_URL"] != found["DBVALET_ORDERS_URL"] {
		t.Errorf("got %v, want the first route's URL twice", found)
	}
	conn, err := pgx.Connect(t.Context(), found["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	works(t, conn, "pgx with DATABASE_URL")
	u, err := url.Parse(found["DBVALET_MY_SHOP_URL"])
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, mysqlDB(t, u.Host, u.User.Username(), ""), "SELECT CURRENT_USER()"); got != "clear@%" {
		t.Errorf("go-sql-driver: got %q", got)
	}

	// The end of the command is that of the session that somebody else has.
	r.stdin.Close()
	if status := r.wait(); status != 1 { // of read
		t.Errorf("got status %d, want that of read at the end of its input\n%s", status, r.stderr)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session has outlived the command")
	}
	l.tidy()
}

// TestExecsVariablesAreForDriversWhateverTheUserSaysAboutTLS has drivers take all from the environment.
func TestExecsVariablesAreForDriversWhateverTheUserSaysAboutTLS(t *testing.T) {
	p := pg18(t)
	const libpq, all = "psql psycopg pgx", "psql psycopg pgx lib/pq node-postgres"
	for _, row := range []struct {
		name  string
		user  string
		args  []string
		serve string
	}{
		{"socket", "", nil, all},
		{"socket, verified", "PGSSLMODE=verify-full PGSSLROOTCERT=" + p.CAFile, nil, libpq + " lib/pq"},
		{"socket, the system's roots", "PGSSLROOTCERT=system", nil, libpq + " lib/pq"},
		{"socket, turned off", "PGSSLMODE=disable", nil, all},
		{"port", "", []string{"--tcp"}, all},
		{"port, verified", "PGSSLMODE=verify-full PGSSLROOTCERT=" + p.CAFile, []string{"--tcp"}, libpq + " node-postgres"},
		{"port, turned off", "PGSSLMODE=disable", []string{"--tcp"}, all},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newBench(t, append(p.AWSEnvironment(), strings.Fields(row.user)...))
			r := l.start(append(append([]string{"exec"}, row.args...), iamRoute(p), "--", "sh", "-c", `env | grep -E '^(PG|DATABASE_URL)'; echo .; read x`)...)
			var env []string
			for name, value := range r.variables() {
				t.Setenv(name, value)
				env = append(env, name+"="+value)
			}
			const query = "SELECT current_user || ' ' || current_database()"
			want := "app " + p.Database
			for driver := range strings.FieldsSeq(row.serve) {
				switch driver {
				case "psql":
					cmd, err := servers.Client(t.Context(), "18", "psql", "-X", "-w", "-A", "-t", "-c", query)
					cmd.Env = append(cmd.Env, env...)
					prints(t, cmd, err, want)
				case "psycopg":
					cmd, err := servers.Python(t.Context(), filepath.Join("testdata", "lines_client.py"), "", query)
					cmd.Env = append(cmd.Env, env...)
					prints(t, cmd, err, want)
				case "node-postgres":
					cmd, err := servers.Node(t.Context(), filepath.Join("testdata", "lines_client.js"), "pg", "")
					cmd.Env = append(cmd.Env, env...)
					prints(t, cmd, err, want)
				case "lib/pq":
					for _, dsn := range []string{"", os.Getenv("DATABASE_URL")} {
						db, err := sql.Open("postgres", dsn)
						if err != nil {
							t.Fatal(err)
						}
						defer db.Close()
						if got := ask(t, db, query); got != want {
							t.Errorf("lib/pq with %q: got %q, want %q", dsn, got, want)
						}
					}
				case "pgx":
					for _, dsn := range []string{"", os.Getenv("DATABASE_URL")} {
						conn, err := pgx.Connect(t.Context(), dsn)
						if err != nil {
							t.Errorf("pgx with %q: %v", dsn, err)
							continue
						}
						works(t, conn, "pgx with "+dsn)
					}
				}
			}
			r.stdin.Close()
			r.wait()
			l.tidy()
		})
	}
}

// answers prints each signal that it gets, and ends with TERM. Its reading has an end, as a shell does not
// notice before that what it gets right before it reads.
const answers = `for s in HUP INT QUIT USR1 USR2; do trap "echo $s" $s; done; trap 'echo TERM; exit 7' TERM
echo ready; while :; do read -r -t 0.1 x; done`

func TestSignalsReachTheCommand(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	r := l.start("exec", "--log-level=debug", iamRoute(p), "--", "bash", "-c", answers)
	if got := r.line(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	for _, row := range []struct {
		signal syscall.Signal
		name   string
	}{
		{syscall.SIGINT, "INT"},
		{syscall.SIGHUP, "HUP"},
		{syscall.SIGQUIT, "QUIT"},
		{syscall.SIGUSR1, "USR1"},
		{syscall.SIGUSR2, "USR2"},
		{syscall.SIGINT, "INT"},
		{syscall.SIGTERM, "TERM"},
	} {
		r.cmd.Process.Signal(row.signal)
		if got := r.line(); got != row.name {
			t.Fatalf("got %q, want %q", got, row.name)
		}
	}
	if status := r.wait(); status != 7 {
		t.Errorf("got status %d, want the command's own\n%s", status, r.stderr)
	}
	if got := strings.Count(r.stderr.String(), `"signal passed on"`); got != 7 {
		t.Errorf("got %d signals passed on in the log, want 7\n%s", got, r.stderr)
	}
	l.tidy()
}

// TestCommandInheritsNothingOfHardening compares what the kernel says about a command that exec runs with
// what it says about one that is run without it. What dbvalet gives up, it gives up for itself alone.
func TestCommandInheritsNothingOfHardening(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment())
	if os.Geteuid() == 0 { // whose processes can be looked into in any case
		l.ownedBy(owner)
	}
	const show = `grep -E '^(NoNewPrivs|Seccomp|SigBlk|SigIgn|Cap...|Umask)' /proc/self/status; ulimit -c; ulimit -n; stat -c %u /proc/self/mem; touch "$HOME/made" && echo made; cat /proc/$PPID/comm`
	bare := l.as(exec.Command("sh", "-c", show))
	want, err := bare.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := l.must("exec", iamRoute(p), "--", "sh", "-c", show)
	i, j := strings.LastIndexByte(got, '\n'), strings.LastIndexByte(strings.TrimSpace(string(want)), '\n')
	if got[:i] != string(want[:j]) || !strings.HasPrefix(got[i+1:], "dbvalet") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	r := l.start("exec", iamRoute(p), "--", "sh", "-c", "echo ready; read x")
	r.line()
	waitUntil(t, "dbvalet itself is hardened", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
		return err == nil && strings.Contains(string(status), "\nNoNewPrivs:\t1\n")
	})
	if info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", r.cmd.Process.Pid)); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("dbvalet's memory belongs to %v, %v, want root", info, err)
	}
	r.stdin.Close()
	r.wait()
	l.tidy()
}

func TestExecInsideOfExec(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	outer, second, inner := iamRoute(p, "name=outer"), iamRoute(p, "name=second"), iamRoute(p, "name=inner")
	const show = `echo $PPID; psql -X -w -A -t -c 'SELECT 1'; psql -X -w -A -t -c 'SELECT 2' "$DBVALET_OUTER_URL"; env | grep -c '_URL='`
	got := l.must("exec", outer, second, "--", "dbvalet", "exec", inner, "--", "sh", "-c", show)
	if _, rest, _ := strings.Cut(got, "\n"); rest != "1\n2\n3" {
		t.Errorf("got\n%s\nwant both served", got)
	}
	l.tidy()
}

// sleeping is what the superuser is asked to count a query.
func sleeping(mark string) string {
	return "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%" + mark + "%' AND pid <> pg_backend_pid()"
}

// slumber prints its process and becomes a psql that sleeps.
func slumber(mark string) string {
	return `env | grep ^PG; echo $$; exec psql -X -w -c "SELECT pg_sleep(600), '` + mark + `'"`
}

// sleeps starts slumber, and returns it with its process and where the route is served.
func (l *bench) sleeps(p *servers.Postgres, mark string) (r *execution, pid int, socket, port string) {
	l.t.Helper()
	r = l.start("exec", iamRoute(p), "--", "sh", "-c", slumber(mark))
	for {
		line := r.line()
		name, value, ok := strings.Cut(line, "=")
		switch name {
		case "PGHOST":
			socket = value
		case "PGPORT":
			port = value
		}
		if !ok {
			pid, _ = strconv.Atoi(line)
			break
		}
	}
	waitUntil(l.t, "the query sleeps", func() bool { return superuser(l.t, p, sleeping(mark)) == "1" })
	return r, pid, filepath.Join(socket, ".s.PGSQL."+port), net.JoinHostPort("127.0.0.1", port)
}

// gone waits until there is neither the session nor the process, nor anybody who listens.
func (l *bench) gone(p *servers.Postgres, mark string, pid int, socket, addr string) {
	l.t.Helper()
	waitUntil(l.t, "the session ends", func() bool { return superuser(l.t, p, sleeping(mark)) == "0" })
	waitUntil(l.t, "the command ends", func() bool { return ended(pid) })
	for network, addr := range map[string]string{"unix": socket, "tcp": addr} {
		if conn, err := net.Dial(network, addr); err == nil {
			conn.Close()
			l.t.Errorf("somebody listens on %s still", addr)
		}
	}
}

// ended reports whether a process has ended, though nobody may have asked after it.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestKilledCommandLeavesNothing(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: map[string]string{"client_connection_check_interval": "50ms"}})
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	r, pid, socket, addr := l.sleeps(p, "killed command")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The session may take a second to finish its answer. What was typed to end the command may come then.
	waitUntil(t, "the command ends", func() bool { return ended(pid) })
	r.cmd.Process.Signal(syscall.SIGINT)
	if status := r.wait(); status != 137 || r.stderr.Len() > 0 {
		t.Errorf("got status %d, want 137 and no word\n%s", status, r.stderr)
	}
	l.gone(p, "killed command", pid, socket, addr)
	l.tidy()
}

func TestKilledDbvaletLeavesNothingForLong(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: map[string]string{"client_connection_check_interval": "50ms"}})
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	r, pid, socket, addr := l.sleeps(p, "killed dbvalet")
	r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	l.gone(p, "killed dbvalet", pid, socket, addr)
	if left := l.left(); len(left) != 1 {
		t.Errorf("got %v, want the directory that there was no time to remove", left)
	}

	// A command that has no session, nor looks at its input, is told too.
	r = l.start("exec", iamRoute(p), "--", "sh", "-c", "echo $$; exec sleep 600")
	if pid, _ = strconv.Atoi(r.line()); pid == 0 {
		t.Fatal("the command did not say its process")
	}
	r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	waitUntil(t, "the command ends", func() bool { return ended(pid) })
	l.must("exec", iamRoute(p), "--", "true")
	l.tidy()
}

func TestTerminationUnderLoad(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/pgbench")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("SELECT 'under load' FROM generate_series(1, 50);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := l.start("exec", iamRoute(p), "--", "pgbench", "-n", "-c", "8", "-j", "2", "-T", "600", "-f", script)
	waitUntil(t, "eight clients are at work", func() bool { return superuser(t, p, sleeping("under load")) == "8" })
	r.cmd.Process.Signal(syscall.SIGTERM)
	if status := r.wait(); status != 143 {
		t.Errorf("got status %d, want 143\n%s", status, r.stderr)
	}
	waitUntil(t, "all sessions end", func() bool { return superuser(t, p, sleeping("under load")) == "0" })
	l.tidy()
}

func TestExecsErrorsReachTheClient(t *testing.T) {
	p := pg18(t)
	l := newBench(t, p.AWSEnvironment(), "18/psql")
	r := strings.Replace(iamRoute(p), "dial="+p.Addr(), "dial="+freeAddr(t), 1)
	status, stdout, stderr := l.run("psql", r, "--", "-X", "-w", "-c", "SELECT 1")
	if status != 2 || stdout != "" || !strings.Contains(stderr, "FATAL:") || !strings.Contains(stderr, "connection refused") || !strings.Contains(stderr, "HINT:") {
		t.Errorf("got status %d, %q and\n%swant psql's own, with our words in them", status, stdout, stderr)
	}
	l.tidy()
}

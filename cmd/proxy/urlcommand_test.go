package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const urlRoute = "postgres://app@db.example.com/orders?auth=env:PW&tls=require"

func TestURLIsWhatConnectsToTheRoute(t *testing.T) {
	stateHome(t)
	for _, row := range []struct {
		route, tool, want string
	}{
		{urlRoute, "", "postgres://app@127.0.0.1:5432/orders?sslmode=disable\n"},
		{urlRoute + "&listen=localhost:6000", "psql", "psql -h 127.0.0.1 -p 6000 -U app -d orders\n"},
		{urlRoute + "&listen=[::1]:6000", "jdbc", "jdbc:postgresql://[::1]:6000/orders?user=app&sslmode=disable\n"},
		{urlRoute + "&listen=/run/db", "psql", "psql -h /run/db -p 5432 -U app -d orders\n"},
		// JDBC knows no unix sockets.
		{urlRoute + "&listen=/run/db&listen=127.0.0.1:6000", "jdbc", "jdbc:postgresql://127.0.0.1:6000/orders?user=app&sslmode=disable\n"},
		{urlRoute + "&listen=127.0.0.1:6000&local_tls=auto&local_client_ca=/ca.pem", "go", "postgres://app@127.0.0.1:6000/orders?sslmode=require\n"},
		{"mysql://db.example.com?auth=env:PW&listen=/run/db", "go", "unix(/run/db/mysql.sock)/\n"},
		{"mysql://app@db.example.com?auth=env:PW", "env", "export MYSQL_HOST=127.0.0.1\nexport MYSQL_TCP_PORT=3306\nexport DATABASE_URL=mysql://app@127.0.0.1:3306/\n"},
	} {
		args := []string{"url", row.route}
		if row.tool != "" {
			args = append(args, "--for", row.tool)
		}
		if status, stdout, stderr := runs(t, args...); status != exitOK || stdout != row.want || stderr != "" {
			t.Errorf("%q: status %d, got %q and %q, want %q", args, status, stdout, stderr, row.want)
		}
	}
}

func TestURLThatIsNotKnownSaysWhatToDo(t *testing.T) {
	stateHome(t)
	for _, row := range []struct {
		args          []string
		message, hint string
	}{
		{[]string{urlRoute + "&listen=127.0.0.1:0"}, "port 0 is any free port", "listen=auto"},
		{[]string{urlRoute + "&listen=auto"}, "the route has no port yet", "start it once"},
		{[]string{urlRoute + "&listen=systemd:db"}, "only the service itself", "ready line"},
		{[]string{urlRoute + "&listen=nowhere"}, "missing port", "127.0.0.1:5432"},
		{[]string{urlRoute + "&listen=/run/db", "--for", "jdbc"}, "can't connect to the unix socket", "listen=127.0.0.1:PORT"},
		{[]string{urlRoute, "--for", "cobol"}, `for "cobol"`, "there are psql, url, go"},
		{[]string{urlRoute, urlRoute}, "accepts at most 1 arg", "--help"},
		{nil, "no route is given", "--help"},
		{[]string{urlRoute + "&local_password=file:/nonexistent", "--reveal"}, "/nonexistent", ""},
	} {
		status, stdout, stderr := runs(t, append([]string{"url"}, row.args...)...)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, row.message) || !strings.Contains(stderr, "hint: ") || !strings.Contains(stderr, row.hint) {
			t.Errorf("%q: status %d, got %q and\n%swant %q and a hint with %q", row.args, status, stdout, stderr, row.message, row.hint)
		}
	}
}

func TestURLHasThePortThatListenAutoKeeps(t *testing.T) {
	stateHome(t)
	r := autoRoute(t, "one")
	_, _, _ = opensAuto(t, autoRoute(t, "other"))
	ln, _, _ := opensAuto(t, r)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	if _, stdout, stderr := runs(t, "url", "mysql://app@db.example.com/orders?auth=env:PW&listen=auto&name=one"); stdout != "mysql://app@127.0.0.1:"+port+"/orders\n" {
		t.Errorf("got %q and %q, want port %s", stdout, stderr, port)
	}
}

func TestURLHasThePasswordOnlyIfItIsToBeRevealed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", dir)
	t.Setenv("LOCAL_PW", secret)
	file := filepath.Join(dir, "db.password")
	for _, row := range []struct{ option, where string }{{"env:LOCAL_PW", "env:LOCAL_PW"}, {"auto", file}} {
		route := urlRoute + "&local_password=" + row.option
		status, stdout, stderr := runs(t, "url", route)
		if status != exitOK || stdout != "postgres://app@127.0.0.1:5432/orders?sslmode=disable\n" || !strings.Contains(stderr, "is in "+row.where+";") || strings.Contains(stderr, secret) {
			t.Errorf("%s: status %d, got %q and %q, want where the password is", row.option, status, stdout, stderr)
		}
		if row.option == "auto" { // who asks makes none, which would not be the server's
			if status, _, stderr := runs(t, "url", route, "--reveal"); status != exitUsage || !strings.Contains(stderr, file) {
				t.Errorf("before there is one: status %d, %q", status, stderr)
			}
			if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		status, stdout, stderr = runs(t, "url", route, "--reveal")
		if status != exitOK || stdout != "postgres://app:"+secret+"@127.0.0.1:5432/orders?sslmode=disable\n" || stderr != "" {
			t.Errorf("%s, revealed: status %d, got %q and %q", row.option, status, stdout, stderr)
		}
	}
}

func TestToolsAreCompleted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dbvalet.yaml")
	if err := os.WriteFile(file, []byte("routes:\n- {upstream: 'postgres://app@db.example.com/orders', name: orders}\n- {upstream: 'mysql://app@db.example.com/shop', name: shop}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBVALET_CONFIG", file)
	for _, row := range []struct{ route, has, hasNot string }{{"orders", "psql", "mysql"}, {"shop", "jdbc-mariadb", "psql"}} {
		_, stdout, _ := runs(t, "__complete", "url", row.route, "--for", "")
		if lines := "\n" + stdout; !strings.Contains(lines, "\n"+row.has+"\n") || strings.Contains(lines, "\n"+row.hasNot+"\n") {
			t.Errorf("%s: got\n%s", row.route, stdout)
		}
	}
	if _, stdout, _ := runs(t, "__complete", "url", "--for", ""); !strings.Contains(stdout, "psql\n") || !strings.Contains(stdout, "mysql\n") {
		t.Errorf("without a route: got\n%s", stdout)
	}
	if status, _, stderr := runs(t, "url"); status != exitUsage || !strings.Contains(stderr, "name one of orders, shop") {
		t.Errorf("of several routes: status %d, %q", status, stderr)
	}
}

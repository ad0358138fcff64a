package integration

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/integration/servers"
)

// Users of the machine, besides root. The tests need no names for them.
const (
	owner     = 59433 // who runs dbvalet
	neighbour = 59434
)

// needsUsers leaves a test out where there is but one user to be had.
func needsUsers(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users, as CI is")
	}
}

// as makes cmd a program of another user, in n if that is not nil. The user may read what the tests
// have fetched and built, wherever that is, and nothing else of root's.
func as(uid int, n *namespace, cmd *exec.Cmd) *exec.Cmd {
	words := []string{"setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", uid), "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"}
	if n != nil {
		words = append([]string{"ip", "netns", "exec", n.name}, words...)
	}
	changed := exec.Command(words[0], append(words[1:], append([]string{cmd.Path}, cmd.Args[1:]...)...)...)
	changed.Env = cmd.Env
	return changed
}

// ownersDir is a directory that belongs to owner and that everybody may enter.
func ownersDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dbvalet-door-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, owner, owner); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A knock is a real client of a protocol at one of dbvalet's listeners.
type knock struct {
	name string
	cmd  func(t *testing.T, addr string) *exec.Cmd
	code string // with which it is turned away
}

var knocks = map[string]knock{
	"psql": {"psql", func(t *testing.T, addr string) *exec.Cmd {
		host, port := postgresPlace(addr)
		cmd, err := servers.Client(t.Context(), "18", "psql", "-X", "-w", "-A", "-t", "-c", "SELECT 'served'",
			"host="+host+" port="+port+" user=whoever dbname=orders")
		if err != nil {
			t.Fatal(err)
		}
		return cmd
	}, "FATAL:"},
	"mysql": {"mysql", func(t *testing.T, addr string) *exec.Cmd {
		cmd, err := servers.MySQLClient(t.Context(), "mysql9", "mysql", append([]string{"-u", "whoever", "-N", "-B", "-e", "SELECT 'served'"}, mysqlPlace(addr)...)...)
		if err != nil {
			t.Fatal(err)
		}
		return cmd
	}, "ERROR 1045"},
}

// postgresPlace is how libpq calls addr, a port or a socket.
func postgresPlace(addr string) (host, port string) {
	if filepath.IsAbs(addr) {
		return filepath.Dir(addr), strings.TrimPrefix(filepath.Base(addr), ".s.PGSQL.")
	}
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}

// mysqlPlace are the arguments with which MySQL's programs go to addr.
func mysqlPlace(addr string) []string {
	if filepath.IsAbs(addr) {
		return []string{"-S", addr}
	}
	host, port, _ := net.SplitHostPort(addr)
	return []string{"-h", host, "-P", port, "--protocol=tcp"}
}

// at knocks as the user uid, from n if that is not nil, and returns what the client prints. env is
// added to the client's environment.
func (k knock) at(t *testing.T, uid int, n *namespace, addr string, env ...string) string {
	t.Helper()
	cmd := as(uid, n, k.cmd(t, addr))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "served") != (err == nil) {
		t.Errorf("%s: %v\n%s", k.name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// openDoor runs dbvalet as owner, in n if that is not nil, with routes in which PG and MYSQL stand for
// the two databases with the options that they need.
func openDoor(t *testing.T, dir string, n *namespace, routes ...string) *valet {
	t.Helper()
	p, m := pg18(t), doorMySQL(t)
	pgAddr, myAddr := p.Addr(), m.Addr()
	if n != nil {
		pgAddr, myAddr = forward(t, filepath.Join(dir, "pg.up"), pgAddr), forward(t, filepath.Join(dir, "my.up"), myAddr)
	}
	_, pgPort, _ := net.SplitHostPort(p.Addr())
	pg := fmt.Sprintf("postgres://scram@%s:%s/orders?auth=env:PG_PW&dial=%s&ca=%s", p.Endpoint, pgPort, pgAddr, url.QueryEscape(readable(t, dir, p.CAFile)))
	my := fmt.Sprintf("mysql://app@%s:%d/%s?dial=%s&ca=%s", m.Endpoint, m.Port, m.Database, myAddr, url.QueryEscape(readable(t, dir, m.CAFile)))
	for i, r := range routes {
		r = strings.Replace(strings.Replace(r, "PG", pg, 1), "MYSQL", my, 1)
		routes[i] = fmt.Sprintf("%s&name=r%d", r, i)
	}
	env := append(m.AWSEnvironment(), "PG_PW="+p.SCRAMPassword, "LOCAL_PW="+localPW, "HOME="+dir)
	return startCommand(t, as(owner, n, command(t, program, env, routes...)), len(routes))
}

// localPW is the password that clients need where a route asks for one.
const localPW = "open sesame, please"

// forward passes connections to a socket, which is a file, on to addr, which is of the machine's own
// network.
func forward(t *testing.T, socket, addr string) string {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addr)
			if err != nil {
				from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	return socket
}

// doorMySQL is a server for one test.
func doorMySQL(t *testing.T) *servers.MySQL {
	t.Helper()
	return mysqlServer(t, servers.MySQLOptions{Version: "mariadb11"})
}

// readable is a copy of file in dir that everybody may read.
func readable(t *testing.T, dir, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(filepath.Dir(file))+"-"+filepath.Base(file))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNeighbourIsRefused has real clients of three users at the doors of one of them: who runs dbvalet
// and root are served, and the neighbour is told why not, and what would change that.
func TestNeighbourIsRefused(t *testing.T) {
	needsUsers(t)
	dir := ownersDir(t)
	pgDir, myDir, shut := filepath.Join(dir, "pg"), filepath.Join(dir, "my"), filepath.Join(dir, "shut")
	v := openDoor(t, dir, nil,
		"PG&listen=127.0.0.1:0", "MYSQL&listen=127.0.0.1:0", "PG&listen=[::1]:0",
		"PG&socket_mode=0666&listen="+pgDir, "MYSQL&socket_mode=0666&listen="+myDir, "PG&listen="+shut)
	for i, row := range []struct{ name, client string }{
		{"PostgreSQL, TCP", "psql"}, {"MySQL, TCP", "mysql"}, {"PostgreSQL, IPv6", "psql"},
		{"PostgreSQL, unix socket", "psql"}, {"MySQL, unix socket", "mysql"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, addr := knocks[row.client], v.addrs[i]
			for _, uid := range []int{owner, 0} {
				if got := k.at(t, uid, nil, addr); got != "served" {
					t.Errorf("uid %d got %q", uid, got)
				}
			}
			got := k.at(t, neighbour, nil, addr)
			for _, want := range []string{k.code, fmt.Sprintf("connections of user with uid %d are not allowed here", neighbour), fmt.Sprintf("allow=self,%d", neighbour), fmt.Sprintf("self (uid %d and root)", owner)} {
				if !strings.Contains(got, want) {
					t.Errorf("the neighbour got %q, want %q in it", got, want)
				}
			}
		})
	}
	t.Run("a socket's own mode", func(t *testing.T) {
		if got := knocks["psql"].at(t, neighbour, nil, v.addrs[5]); !strings.Contains(got, "Permission denied") {
			t.Errorf("the neighbour got %q, want the kernel's refusal", got)
		}
		if got := knocks["psql"].at(t, owner, nil, v.addrs[5]); got != "served" {
			t.Errorf("the owner got %q", got)
		}
	})
	if r := v.next("set-up failed", 0); r.str("stage") != "peer" || !strings.Contains(fmt.Sprint(r["peer"]), fmt.Sprint(neighbour)) {
		t.Errorf("the log says %v", r)
	}
	if got := v.next("ready", 0).str("allow"); got != fmt.Sprintf("self (uid %d and root)", owner) {
		t.Errorf("the ready line says %q", got)
	}
}

// TestNeighbourIsLetInWhereTheRouteSaysSo is the other half.
func TestNeighbourIsLetInWhereTheRouteSaysSo(t *testing.T) {
	needsUsers(t)
	dir := ownersDir(t)
	policies := []string{fmt.Sprintf("self,%d", neighbour), fmt.Sprintf("group:%d", neighbour), "pod", "any"}
	var routes []string
	for i, policy := range policies {
		routes = append(routes,
			"PG&listen=127.0.0.1:0&allow="+policy, "MYSQL&listen=127.0.0.1:0&allow="+policy,
			fmt.Sprintf("PG&allow=%s&socket_mode=0666&listen=%s/%d", policy, dir, i))
	}
	v := openDoor(t, dir, nil, routes...)
	for i, addr := range v.addrs {
		policy := policies[i/3]
		k := knocks["psql"]
		if i%3 == 1 {
			k = knocks["mysql"]
		}
		got, served := k.at(t, neighbour, nil, addr), "served"
		if strings.HasPrefix(policy, "group:") && !filepath.IsAbs(addr) {
			served = "are not allowed here" // nothing knows of a group of this user's, but the socket
		}
		if !strings.Contains(got, served) {
			t.Errorf("allow=%s at %s: the neighbour got %q, want %q", policy, addr, got, served)
		}
		if root := k.at(t, 0, nil, addr); strings.HasPrefix(policy, "group:") == (root == "served") {
			t.Errorf("allow=%s at %s: root got %q", policy, addr, root)
		}
	}
}

// TestNeighbourIsRefusedInANamespace does the same where the network is a namespace's own. The
// databases are reached by sockets, for these are files.
func TestNeighbourIsRefusedInANamespace(t *testing.T) {
	needsUsers(t)
	n := newNamespace(t)
	v := openDoor(t, ownersDir(t), n, "PG&listen=127.0.0.1:0", "MYSQL&listen=127.0.0.1:0", "PG&listen=127.0.0.1:0&allow=pod")
	for i, client := range []string{"psql", "mysql", "psql"} {
		k := knocks[client]
		if got := k.at(t, owner, n, v.addrs[i]); got != "served" {
			t.Errorf("%s: the owner got %q", client, got)
		}
		want := "are not allowed here"
		if i == 2 {
			want = "served"
		}
		if got := k.at(t, neighbour, n, v.addrs[i]); !strings.Contains(got, want) {
			t.Errorf("%s: the neighbour got %q, want %q", client, got, want)
		}
	}
}

// TestRemoteClientsShowAPassword has clients of another machine, as a namespace is, at a listener
// that they can reach.
func TestRemoteClientsShowAPassword(t *testing.T) {
	needsUsers(t)
	n := newNamespace(t)
	listen := "&local_password=env:LOCAL_PW&listen=" + n.host + ":0&allow_remote="
	v := openDoor(t, ownersDir(t), nil, "PG"+listen+n.inside, "MYSQL"+listen+n.inside, "PG"+listen+"192.0.2.0/24,"+n.host, "MYSQL"+listen+"192.0.2.0/24")
	for i, row := range []struct{ client, wrong, missing, variable string }{
		{"psql", "password authentication failed", "no password supplied", "PGPASSWORD"},
		{"mysql", "ERROR 1045", "ERROR 1045", "MYSQL_PWD"},
	} {
		k := knocks[row.client]
		for password, want := range map[string]string{localPW: "served", "wrong": row.wrong, "": row.missing} {
			var env []string
			if password != "" {
				env = []string{row.variable + "=" + password}
			}
			if got := k.at(t, neighbour, n, v.addrs[i], env...); !strings.Contains(got, want) {
				t.Errorf("%s with password %q from another machine: got %q, want %q", row.client, password, got, want)
			}
		}
		if got := k.at(t, owner, nil, v.addrs[i], row.variable+"="+localPW); got != "served" {
			t.Errorf("%s of the owner got %q", row.client, got)
		}
		// A neighbour of this machine is none of another one, whatever they know.
		if got := k.at(t, neighbour, nil, v.addrs[i], row.variable+"="+localPW); !strings.Contains(got, "are not allowed here") {
			t.Errorf("%s of the neighbour got %q", row.client, got)
		}
		if got := k.at(t, neighbour, n, v.addrs[i+2], row.variable+"="+localPW); !strings.Contains(got, k.code) || !strings.Contains(got, "connections from "+n.inside) {
			t.Errorf("%s from a network that is not listed got %q", row.client, got)
		}
	}
}

// TestListeningElsewhereNeedsAWord starts dbvalet on an address that others can reach.
func TestListeningElsewhereNeedsAWord(t *testing.T) {
	for more, want := range map[string]string{
		"":                                       "there is no password on this side",
		"&allow_remote=0.0.0.0/0":                "would let in everybody",
		"&allow_remote=0.0.0.0/0&local_tls=auto": "would let in everybody",
		"&allow_remote=everybody&local_password=env:LOCAL_PW":              "is no network",
		"&allow_remote=10.0.0.0/8&local_password=hunter2":                  "put it into a file",
		"&allow_remote=10.0.0.0/8&local_client_ca=/ca.pem":                 "without local_tls=",
		"&allow_remote=10.0.0.0/8&local_tls=auto&local_client_ca=/nowhere": "no such file",
	} {
		cmd := command(t, program, []string{"PW=x", "LOCAL_PW=y"}, "postgres://db.example.com?auth=env:PW&listen=0.0.0.0:0"+more)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%s: got %v and\n%s\nwant %q", more, err, out, want)
		}
	}
}

// A namespace is a network of the test's own, with a cable to the machine's.
type namespace struct {
	name         string
	inside, host string // addresses of the two ends of the cable
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	id := os.Getpid() % 10_000
	n := &namespace{name: fmt.Sprintf("dbvalet-%d", id), inside: "10.213.47.2", host: "10.213.47.1"}
	cable := fmt.Sprintf("dbv%d", id)
	t.Cleanup(func() {
		// It goes with the namespace, but only later, and the next one is to have its name.
		_ = exec.Command("ip", "link", "del", cable+"h").Run()
		if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for _, args := range [][]string{
		{"netns", "add", n.name},
		{"link", "add", cable + "h", "type", "veth", "peer", "name", cable + "i", "netns", n.name},
		{"addr", "add", n.host + "/30", "dev", cable + "h"},
		{"link", "set", cable + "h", "up"},
		{"-n", n.name, "addr", "add", n.inside + "/30", "dev", cable + "i"},
		{"-n", n.name, "link", "set", cable + "i", "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	return n
}

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"dbvalet/integration/servers"
)

// A yard is a network of its own, where dbvalet and its clients are. The databases listen on the
// machine's loopback, which is another one from there: there is no way to them but by the bastion, a
// real sshd at the other end of the cable.
type yard struct {
	t       *testing.T
	network *namespace
	home    string // of who runs dbvalet
	key     string // that the bastion knows, a line of authorized_keys
	bastion *servers.SSH
	env     []string
}

func newYard(t *testing.T, settings ...string) *yard {
	t.Helper()
	needsUsers(t)
	y := &yard{t: t, network: newNamespace(t), home: ownersDir(t)}
	y.key = y.newKey(".ssh/id_ed25519")
	y.bastion = sshServer(t, servers.SSHOptions{Host: y.network.host, AuthorizedKeys: []string{y.key}, Settings: settings})
	y.write(".ssh/known_hosts", y.bastion.KnownHost+"\n")
	return y
}

func sshServer(t *testing.T, o servers.SSHOptions) *servers.SSH {
	t.Helper()
	s, err := servers.StartSSH(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// write writes a file in the home directory.
func (y *yard) write(name, content string) (path string) {
	y.t.Helper()
	path = filepath.Join(y.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		y.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		y.t.Fatal(err)
	}
	return path
}

// newKey writes a private key, and returns the line of authorized_keys for it.
func (y *yard) newKey(name string) (authorized string) {
	y.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		y.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		y.t.Fatal(err)
	}
	if err := os.Chmod(y.write(name, string(pem.EncodeToMemory(block))), 0o600); err != nil { // ssh-add wants that
		y.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		y.t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// hop is a server as via= names it.
func hop(s *servers.SSH) string { return "ssh://" + servers.SSHUser + "@" + s.Addr() }

// postgres is a route to p. The address is the one that it has for the last hop.
func (y *yard) postgres(p *servers.Postgres, more ...string) string {
	y.t.Helper()
	y.env = append(y.env, "PG_PW="+p.SCRAMPassword)
	_, port, _ := net.SplitHostPort(p.Addr())
	options := append([]string{"listen=127.0.0.1:0", "auth=env:PG_PW", "ca=" + url.QueryEscape(p.CAFile)}, more...)
	if !strings.Contains(strings.Join(more, "&"), "dial=") {
		options = append(options, "dial="+p.Addr())
	}
	return fmt.Sprintf("postgres://scram@%s:%s/orders?%s", p.Endpoint, port, strings.Join(options, "&"))
}

// start runs dbvalet in the yard.
func (y *yard) start(routes ...string) *valet {
	y.t.Helper()
	for i := range routes {
		routes[i] += fmt.Sprintf("&name=r%d", i)
	}
	return startCommand(y.t, as(owner, y.network, command(y.t, program, append(y.env, "HOME="+y.home), routes...)), len(routes))
}

// psql is a command of the yard that connects to dbvalet at addr.
func (y *yard) psql(ctx context.Context, addr string, args ...string) *exec.Cmd {
	y.t.Helper()
	return y.psqlTo(ctx, addr, "orders", args...)
}

func (y *yard) psqlTo(ctx context.Context, addr, database string, args ...string) *exec.Cmd {
	y.t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	conninfo := "host=" + host + " port=" + port + " user=whoever dbname=" + database
	cmd, err := servers.Client(ctx, "18", "psql", append([]string{"-X", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", conninfo}, args...)...)
	if err != nil {
		y.t.Fatal(err)
	}
	return as(owner, y.network, cmd)
}

// mustPSQL runs statements and returns what psql prints.
func (y *yard) mustPSQL(addr string, args ...string) string {
	y.t.Helper()
	var stderr bytes.Buffer
	cmd := y.psql(y.t.Context(), addr, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		y.t.Fatalf("psql: %v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// complaint is what psql is told that is not let in.
func (y *yard) complaint(addr string) string {
	y.t.Helper()
	out, err := y.psql(y.t.Context(), addr, "-c", "SELECT 1").CombinedOutput()
	if err == nil {
		y.t.Errorf("psql was served: %s", out)
	}
	return string(out)
}

// startAgent runs a real ssh-agent, which holds the key in a file.
func (y *yard) startAgent(key string) {
	y.t.Helper()
	socket := filepath.Join(y.home, "agent")
	agent, err := servers.SSHClient(context.WithoutCancel(y.t.Context()), "ssh-agent", "-D", "-a", socket)
	if err != nil {
		y.t.Fatal(err)
	}
	agent = as(owner, nil, agent)
	if err := agent.Start(); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		agent.Process.Kill()
		_ = agent.Wait()
	})
	waitUntil(y.t, "the agent listens", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	add, err := servers.SSHClient(y.t.Context(), "ssh-add", key)
	if err != nil {
		y.t.Fatal(err)
	}
	if err := os.Chown(key, owner, owner); err != nil {
		y.t.Fatal(err)
	}
	add = as(owner, nil, add)
	add.Env = append(add.Env, "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		y.t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	y.env = append(y.env, "SSH_AUTH_SOCK="+socket)
}

// The bastion knows the key in the usual file; the one behind it, which only the bastion reaches, one that
// the agent alone has.
func TestDatabasesBehindBastionsAreReached(t *testing.T) {
	y := newYard(t)
	p, m := pg18(t), doorMySQL(t)
	inner := sshServer(t, servers.SSHOptions{AuthorizedKeys: []string{y.newKey("other")}})
	y.startAgent(filepath.Join(y.home, "other"))
	y.write(".ssh/known_hosts", y.bastion.KnownHost+"\n"+inner.KnownHost+"\n")
	y.write(".ssh/config", fmt.Sprintf(`
Host outer
  HostName %s
  Port %d
Host inner
  HostName %s
  Port %d
  ProxyJump outer
Host *
  User %s
`, y.bastion.Host, y.bastion.Port, inner.Host, inner.Port, servers.SSHUser))
	my := func(via string) string {
		return mysqlRoute("app", m) + "&via=" + via
	}
	y.env = append(y.env, m.AWSEnvironment()...)
	both := hop(y.bastion) + "," + hop(inner)
	v := y.start(y.postgres(p, "via="+hop(y.bastion)), my(hop(y.bastion)), y.postgres(p, "via=ssh://inner"), my(both), y.postgres(p))
	for i, client := range []string{"psql", "mysql", "psql", "mysql"} {
		for range 2 {
			if got := knocks[client].at(t, owner, y.network, v.addrs[i]); got != "served" {
				t.Errorf("route %d: %s got %q; dbvalet said\n%s", i, client, got, v.output())
			}
		}
	}
	if got := knocks["psql"].at(t, owner, y.network, v.addrs[4]); !strings.Contains(got, "connection refused") {
		t.Errorf("without via= psql got %q, and the test shows nothing", got)
	}
	v.next("session started", 7) // the last of them
	if got := v.count("SSH connection open"); got != 6 {
		t.Errorf("there were %d SSH connections, want one per bastion of a route", got)
	}
	if got := v.next("ready", 0).str("via"); got != hop(y.bastion) {
		t.Errorf("the ready line says via %q", got)
	}
}

func TestSessionsThroughABastionAreLikeOthers(t *testing.T) {
	y := newYard(t)
	p := pg18(t)
	v := y.start(y.postgres(p, "via="+hop(y.bastion)))
	t.Run("much to load and to read", func(t *testing.T) {
		const rows = 80_000
		file := y.write("rows", strings.Repeat(strings.Repeat("x", 99)+"\n", rows))
		got := y.mustPSQL(v.addrs[0], "-q", "-c", "CREATE TEMP TABLE t (x text)", "-c", `\copy t FROM '`+file+`'`, "-c", "SELECT count(*), sum(length(x)) FROM t")
		if want := fmt.Sprintf("%d|%d", rows, rows*99); got != want {
			t.Errorf("loaded: got %q, want %q", got, want)
		}
		read := y.mustPSQL(v.addrs[0], "-c", fmt.Sprintf("COPY (SELECT repeat('x', 99) FROM generate_series(1, %d)) TO STDOUT", rows))
		if len(read)+1 != rows*100 {
			t.Errorf("read: got %d bytes, want %d", len(read)+1, rows*100)
		}
	})
	t.Run("Control-C", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := y.psql(ctx, v.addrs[0], "-c", "SELECT 'about to sleep'", "-c", "SELECT pg_sleep(601)")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		y.awaitSleep(p, 601)
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "canceling statement due to user request") {
			t.Errorf("psql said %q, %v", &stderr, err)
		}
	})
	t.Run("the database's own words", func(t *testing.T) {
		out, err := y.psqlTo(t.Context(), v.addrs[0], "nope", "-c", "SELECT 1").CombinedOutput()
		if err == nil || !strings.Contains(string(out), `database "nope" does not exist`) {
			t.Errorf("psql said %q, %v", out, err)
		}
	})
	waitUntil(t, "all sessions have ended", func() bool { return v.count("session ended") == v.count("session started") })
	if got := v.count("SSH connection open"); got != 1 {
		t.Errorf("there were %d SSH connections, want one for all", got)
	}
}

// awaitSleep waits until a query sleeps for so many seconds.
func (y *yard) awaitSleep(p *servers.Postgres, seconds int) {
	y.t.Helper()
	waitUntil(y.t, "the query sleeps", func() bool {
		return superuser(y.t, p, fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(%d)' AND wait_event = 'PgSleep'", seconds)) == "1"
	})
}

func TestBastionThatRestartsIsLoggedInToAgain(t *testing.T) {
	y := newYard(t)
	p := pg18(t)
	v := y.start(y.postgres(p, "via="+hop(y.bastion)))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session := y.psql(ctx, v.addrs[0], "-c", "SELECT 'about to sleep'", "-c", "SELECT pg_sleep(602)")
	var said bytes.Buffer
	session.Stderr = &said
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	y.awaitSleep(p, 602)
	if err := y.bastion.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := session.Wait(); err == nil || !strings.Contains(said.String(), "connection") {
		t.Errorf("the session on it: psql said %q, %v", &said, err)
	}
	if r := v.next("SSH connection ended", 0); r.str("level") != "WARN" || r["sessions"] != 1.0 {
		t.Errorf("the log says %v", r)
	}
	if r := v.next("session ended", 0); !strings.Contains(r.str("err"), "via "+hop(y.bastion)+": the SSH connection was lost") {
		t.Errorf("the log says %v", r)
	}
	if got := y.complaint(v.addrs[0]); !strings.Contains(got, "via "+hop(y.bastion)+": connect to it: ") || !strings.Contains(got, "connection refused") || !strings.Contains(got, "HINT:  check that it is up") {
		t.Errorf("without a bastion: psql got %q", got)
	}
	sshServer(t, servers.SSHOptions{Host: y.bastion.Host, Port: y.bastion.Port, HostKey: y.bastion.HostKey, AuthorizedKeys: []string{y.key}})
	if got := y.mustPSQL(v.addrs[0], "-c", "SELECT 'served'"); got != "served" {
		t.Errorf("with the new one: got %q", got)
	}
}

func TestBastionsWhoseHostKeyIsNotKnownAreRefused(t *testing.T) {
	y := newYard(t)
	v := y.start(y.postgres(pg18(t), "via="+hop(y.bastion)))
	known := y.write(".ssh/known_hosts", "")
	got := y.complaint(v.addrs[0])
	for _, want := range []string{"its host key is not known: ssh-ed25519 SHA256:", "HINT:  compare the fingerprint", fmt.Sprintf("ssh-keyscan -p %d %s >>%s", y.bastion.Port, y.bastion.Host, known)} {
		if !strings.Contains(got, want) {
			t.Errorf("unknown: psql got %q, want %q in it", got, want)
		}
	}
	if log := y.bastion.Log(); strings.Contains(log, "Accepted publickey") {
		t.Errorf("it was logged in to:\n%s", log)
	}
	// What the hint says, with a real ssh-keyscan, is what helps.
	scan, err := servers.SSHClient(t.Context(), "ssh-keyscan", "-p", fmt.Sprint(y.bastion.Port), y.bastion.Host)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := as(owner, y.network, scan).Output()
	if err != nil {
		t.Fatal(err)
	}
	y.write(".ssh/known_hosts", string(keys))
	if got := y.mustPSQL(v.addrs[0], "-c", "SELECT 'served'"); got != "served" {
		t.Errorf("known: got %q", got)
	}
	if err := y.bastion.Kill(); err != nil {
		t.Fatal(err)
	}
	v.next("SSH connection ended", 0)
	sshServer(t, servers.SSHOptions{Host: y.bastion.Host, Port: y.bastion.Port, AuthorizedKeys: []string{y.key}})
	got = y.complaint(v.addrs[0])
	for _, want := range []string{"its host key has changed: it is ssh-ed25519 SHA256:", known + ":", "HINT:  somebody may be listening in", "ssh-keygen -R"} {
		if !strings.Contains(got, want) {
			t.Errorf("changed: psql got %q, want %q in it", got, want)
		}
	}
}

// What a real sshd says when it does not connect.
func TestRefusalsOfABastionAreTold(t *testing.T) {
	y := newYard(t, "PermitOpen 127.0.0.1:1 nowhere.invalid:5432")
	p := pg18(t)
	y.newKey("stranger")
	via := "via=" + hop(y.bastion)
	v := y.start(y.postgres(p, via), y.postgres(p, via, "dial=127.0.0.1:1"), y.postgres(p, via, "dial=nowhere.invalid:5432"), y.postgres(p, via, "ssh_key=~/stranger"))
	for i, wants := range [][]string{
		{"administratively prohibited", "HINT:  the sshd_config over there needs AllowTcpForwarding yes"},
		{"connect from there to 127.0.0.1:1: Connection refused", "HINT:  check that the database is up"},
		{"connect from there to nowhere.invalid:5432: ", "HINT:  check"},
		{"user " + servers.SSHUser + " may not log in with the keys that there are: " + y.home + "/stranger", `HINT:  try "ssh -i ~/stranger -p`},
	} {
		got := y.complaint(v.addrs[i])
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("route %d: psql got %q, want %q in it", i, got, want)
			}
		}
	}
}

// ssh -D is a SOCKS5 proxy that we did not write.
func TestDatabaseBehindASOCKSProxyIsReached(t *testing.T) {
	y := newYard(t)
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := servers.SSHClient(context.WithoutCancel(t.Context()), "ssh", "-v", "-N", "-F", "none", "-D", "127.0.0.1:"+port,
		"-o", "UserKnownHostsFile="+y.home+"/.ssh/known_hosts", "-i", y.home+"/.ssh/id_ed25519", "-p", fmt.Sprint(y.bastion.Port), servers.SSHUser+"@"+y.bastion.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := exec.Command("ip", append([]string{"netns", "exec", y.network.name, cmd.Path}, cmd.Args[1:]...)...)
	proxy.Env = cmd.Env
	stderr, err := proxy.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proxy.Process.Kill()
		_ = proxy.Wait()
	})
	up := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Entering interactive session") {
				up <- true
				_, _ = io.Copy(io.Discard, stderr)
			}
		}
		up <- false
	}()
	select {
	case ok := <-up:
		if !ok {
			t.Fatal("the proxy has ended")
		}
	case <-time.After(patience):
		t.Fatal("the proxy does not come up")
	}
	v := y.start(y.postgres(pg18(t), "via=socks5://127.0.0.1:"+port))
	if got := y.mustPSQL(v.addrs[0], "-c", "SELECT 'served'"); got != "served" {
		t.Errorf("got %q", got)
	}
}

// TestWayToAnHTTPSProxyIsVerified has a proxy whose certificate the machine trusts, or does not.
func TestWayToAnHTTPSProxyIsVerified(t *testing.T) {
	p := pg18(t)
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		db, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			t.Errorf("the proxy is asked for %s %s: %v", r.Method, r.Host, err)
			return
		}
		defer db.Close()
		w.WriteHeader(http.StatusOK)
		client, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		go func() {
			_, _ = io.Copy(db, buffered)
			db.Close()
		}()
		_, _ = io.Copy(client, db)
	}))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are to fail
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	via := iamRoute(p, "via="+proxy.URL)
	root := write(t, "root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})), 0o644)

	v := start(t, append(p.AWSEnvironment(), "SSL_CERT_FILE="+root), via)
	if got := mustPSQL(t, v, "SELECT current_user"); got != "app" {
		t.Errorf("logged in as %q", got)
	}
	v = start(t, append(p.AWSEnvironment(), "SSL_CERT_FILE=/dev/null"), via)
	if e := refusal(t, v.conninfo()+" sslmode=disable"); !strings.Contains(e.Message, "via "+proxy.URL+": encrypt the way to it: tls: failed to verify certificate") ||
		!strings.Contains(e.Hint, "a certificate that this machine trusts") {
		t.Errorf("got %v (hint: %s)", e, e.Hint)
	}
}

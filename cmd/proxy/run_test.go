package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// secret is a password that nothing may print.
const secret = "hunter2secret"

// A screen is what a program writes to; tests can wait for it.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next write
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns the first line with text in it, when there is one.
func (s *screen) await(t *testing.T, text string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		for line := range strings.Lines(s.String()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("nothing about %q was written, but\n%s", text, s)
		}
	}
}

// runs runs the program with args, which must come to an end.
func runs(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	if os.Getenv("XDG_CONFIG_HOME") == "" {
		t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // whoever runs the tests may have a configuration
	}
	out, errOut := newScreen(), newScreen()
	ended := make(chan int, 1)
	go func() { ended <- run(args, out, errOut, process{}) }()
	select {
	case status = <-ended:
		return status, out.String(), errOut.String()
	case <-time.After(patience):
		t.Fatalf("dbvalet %q goes on; it wrote\n%s%s", args, out, errOut)
		return 0, "", ""
	}
}

func TestUsageErrorsSayWhatToDo(t *testing.T) {
	const good = "postgres://app@db.example.com/orders?auth=env:PW&tls=require"
	const rds = "postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders"
	file := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name          string
		args          []string
		message, hint string
	}{
		{"nothing", nil, "no route is given", "--help"},
		{"unknown flag", []string{"--listen=x", good}, "unknown flag: --listen", "--help"},
		{"flag with a mistake", []string{"--admn=x", good}, "unknown flag: --admn", "did you mean --admin?"},
		{"command with a mistake", []string{"heath"}, "there is no route called heath", `did you mean "dbvalet health"?`},
		{"flag without its value", []string{"--log-level"}, "needs an argument", "--help"},
		{"unknown level", []string{"--log-level=loud", good}, "--log-level=loud", "--help"},
		{"unknown format", []string{"--log-format=xml", good}, "--log-format=xml", "--help"},
		{"no URL", []string{"orders"}, "there is no route called orders", "postgres://"},
		{"other protocol", []string{"oracle://db.example.com"}, `unknown protocol "oracle"`, "postgres://"},
		{"password", []string{"postgres://app:" + secret + "@db.example.com"}, "a password", "auth=file:PATH"},
		{"unknown option", []string{good + "&host=x"}, `unknown option "host"`, "options are name, listen"},
		{"bad second route", []string{good, "postgres://db2.example.com?auth=env:PW&x=y"}, `route db2.example.com: unknown option "x"`, "options are"},
		{"same name by default", []string{good, "postgres://db.example.org?auth=env:PW&tls=require"}, "route db: two routes have this name", "set name="},
		{"same name by name=", []string{good + "&name=a", "postgres://x.example.org?auth=env:PW&tls=require&name=a"}, "route a: two routes", "set name="},
		{"name= of one, default of the other", []string{good, "postgres://x.example.org?auth=env:PW&tls=require&name=db"}, "route db: two routes", "set name="},
		{"no auth for another host", []string{"postgres://app@db.example.com?tls=require"}, "nothing says where the credential", "auth=env:NAME"},
		{"unknown source", []string{"postgres://app@db.example.com?tls=require&auth=" + secret}, "auth=: unknown source", "env:NAME, file:PATH"},
		{"unknown kind of source", []string{"postgres://app@db.example.com?tls=require&auth=password:" + secret}, "auth=: unknown source", "env:NAME, file:PATH"},
		{"env without a name", []string{"postgres://app@db.example.com?tls=require&auth=env:"}, "auth=env: names nothing", "env:NAME"},
		{"env without a colon", []string{"postgres://app@db.example.com?tls=require&auth=env"}, "auth=env: names nothing", "env:NAME"},
		{"file without a path", []string{"postgres://app@db.example.com?tls=require&auth=file:"}, "auth=file: names nothing", "file:PATH"},
		{"file: without a path", []string{"postgres://app@db.example.com?tls=require&auth=file://"}, "auth=file: names nothing", "file:PATH"},
		{"exec without a program", []string{"postgres://app@db.example.com?tls=require&auth=exec:"}, "auth=exec: names nothing", "exec:COMMAND"},
		{"exec with half a quote", []string{"postgres://app@db.example.com?tls=require&auth=exec:pass%20'x"}, "has no end", "exec:COMMAND"},
		{"aws-iam with more", []string{rds + "?auth=aws-iam:dev"}, "auth=: unknown source", "env:NAME, file:PATH"},
		{"unknown store", []string{"postgres://app@db.example.com?tls=require&auth=etcd://" + secret}, "unknown secret store", "hashivault://"},
		{"unknown option of a secret", []string{"postgres://app@db.example.com?tls=require&auth=awsparamstore://pw?stage=x"}, `unknown option "stage"`, "options are"},
		{"& of a secret's URL that is not encoded", []string{"postgres://app@db.example.com?tls=require&auth=hashivault://secret/pw?kv=1&version=2"}, `unknown option "version"`, `write "%26" for the & before it`},
		{"option of another cloud", []string{"postgres://app@db.example.com?tls=require&auth=env:PW&region=eu-west-1"}, "region= means nothing with auth=env:PW", "leave it out"},
		{"instance without the connector", []string{"postgres://app@db.example.com?tls=require&auth=env:PW&instance=p:r:i"}, "instance= means nothing", "leave it out"},
		{"role that is none", []string{rds + "?role=admin"}, "not the ARN of a role", "arn:aws:iam::"},
		{"DSQL for MySQL", []string{"mysql://app@abc.dsql.us-east-1.on.aws"}, "for PostgreSQL", "postgres://"},
		{"unknown token_reuse", []string{rds + "?token_reuse=sometimes"}, "token_reuse=", "leave it out"},
		{"unknown cloud", []string{"postgres://db.example.com?tls=require&auth=azure-entra&cloud=moon"}, `"moon"`, "cloud="},
		{"connector without an instance", []string{"postgres://app@db.example.com?auth=gcp-connector"}, "instance", "instance="},
		{"aws-iam for an address", []string{"postgres://app@10.0.0.1?auth=aws-iam&tls=require"}, "address", "dial="},
		{"tls=disable", []string{good[:len(good)-7] + "disable"}, "in clear", "tls=verify-full"},
		{"tls=allow", []string{good[:len(good)-7] + "allow"}, "plain text", "tls=verify-full"},
		{"tls=prefer", []string{good[:len(good)-7] + "prefer"}, "plain text", "tls=verify-full"},
		{"sslmode=disable", []string{rds + "?sslmode=disable"}, "in clear", "tls=verify-full"},
		{"unknown tls", []string{rds + "?tls=verify"}, `unknown TLS mode "verify"`, "tls=verify-full"},
		{"verify-ca without ca", []string{"postgres://app@db.example.com?auth=env:PW&tls=verify-ca"}, "verify-ca without a CA", "ca=FILE"},
		{"missing ca file", []string{rds + "?ca=/nonexistent/ca.pem"}, "/nonexistent/ca.pem", "ca=FILE"},
		{"empty ca file", []string{rds + "?ca=" + file}, "no certificate in it", "PEM"},
		{"unknown sslnegotiation", []string{rds + "?sslnegotiation=fast"}, "sslnegotiation=fast", "--help"},
		{"unknown method", []string{rds + "?require_auth=gss"}, `unknown method "gss"`, "--help"},
		{"mixed methods", []string{rds + "?require_auth=md5,!none"}, "mixes", "--help"},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, stdout, stderr := runs(t, append([]string{"--log-level=error"}, row.args...)...)
			if status != exitUsage || stdout != "" {
				t.Errorf("got status %d and %q on stdout, want %d and nothing", status, stdout, exitUsage)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if len(lines) != 2 || !strings.HasPrefix(lines[0], "dbvalet: ") || !strings.HasPrefix(lines[1], "hint: ") {
				t.Fatalf("got\n%swant an error and a hint", stderr)
			}
			if !strings.Contains(lines[0], row.message) || !strings.Contains(lines[1], row.hint) {
				t.Errorf("got\n%swant %q with hint %q", stderr, row.message, row.hint)
			}
			if strings.Contains(stderr, secret) {
				t.Errorf("got\n%swith the password in it", stderr)
			}
		})
	}
}

func TestHelpAndVersionGoToStdout(t *testing.T) {
	status, stdout, stderr := runs(t, "--help")
	if status != exitOK || stderr != "" {
		t.Errorf("--help: got status %d and %q on stderr", status, stderr)
	}
	for _, text := range []string{"--log-level", "--admin", "dbvalet postgres://", "\nCommands that ask a running dbvalet:\n  health", "\nHow it ends:\n", "  routes "} {
		if !strings.Contains(stdout, text) {
			t.Errorf("--help does not mention %q:\n%s", text, stdout)
		}
	}
	_, stdout, _ = runs(t, "help", "routes")
	for _, text := range []string{"listen=127.0.0.1:5432", "aws-iam", "hashivault://", "tls=verify-full", "docs/configuration.md"} {
		if !strings.Contains(stdout, text) {
			t.Errorf("help routes does not mention %q:\n%s", text, stdout)
		}
	}
	if status, stdout, _ := runs(t, "--version"); status != exitOK || !strings.Contains(stdout, version) {
		t.Errorf("--version: got status %d and %q", status, stdout)
	}
}

func TestMistakeInACommandBelowIsGuessed(t *testing.T) {
	status, _, stderr := runs(t, "config", "chek")
	if status != exitUsage || !strings.Contains(stderr, `did you mean "dbvalet config check"?`) {
		t.Errorf("got %d, %s", status, stderr)
	}
}

// TestShellsCompleteNamesOfRoutes asks as the scripts of "dbvalet completion" do.
func TestShellsCompleteNamesOfRoutes(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	file := filepath.Join(home, "dbvalet", "dbvalet.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "routes:\n  - {name: orders, upstream: 'postgres://app@db.example.com/orders', auth: 'env:PW'}\n" +
		"  - {name: shop, upstream: 'mysql://app@shop.example.com/shop', auth: 'env:PW'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ args, want string }{
		{"", "orders\tpostgres://app@db.example.com/orders\nshop\tmysql://app@shop.example.com/shop\n:4\n"},
		{"orders ", "shop\tmysql://app@shop.example.com/shop\n:4\n"},
		{"--log-format ", "auto\ntext\njson\n:4\n"},
	} {
		_, stdout, _ := runs(t, append([]string{cobra.ShellCompRequestCmd}, strings.Split(row.args, " ")...)...)
		if got := stdout[max(0, strings.Index(stdout, row.want[:4])):]; got != row.want {
			t.Errorf("%q: got %q, want %q", row.args, stdout, row.want)
		}
	}
}

func TestListenerFailureIsNoUsageError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	route := "postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen=127.0.0.1:0&listen="
	for name, row := range map[string]struct{ listen, hint string }{
		"taken port":      {taken.Addr().String(), "choose another port"},
		"foreign address": {"0.0.0.0:0", "no password on this side"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, stderr := runs(t, "--log-level=error", route+row.listen)
			if status != exitError || !strings.Contains(stderr, "dbvalet: route db: listen on "+row.listen) || !strings.Contains(stderr, "\nhint: ") || !strings.Contains(stderr, row.hint) {
				t.Errorf("got status %d and\n%swant %d, and the hint %q", status, stderr, exitError, row.hint)
			}
		})
	}
}

func TestSignalEndsProgram(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			stderr := newScreen()
			ended := make(chan int, 1)
			go func() {
				ended <- run([]string{"postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen=127.0.0.1:0"}, newScreen(), stderr, process{})
			}()
			stderr.await(t, `"ready"`)
			if err := syscall.Kill(os.Getpid(), signal); err != nil {
				t.Fatal(err)
			}
			select {
			case status := <-ended:
				if want := 128 + int(signal); status != want {
					t.Errorf("got status %d, want %d; stderr:\n%s", status, want, stderr)
				}
			case <-time.After(patience):
				t.Fatalf("the program goes on; it wrote\n%s", stderr)
			}
			stderr.await(t, "stopped")
		})
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dbvalet/peer"
)

// announced returns what is said when arg's listener is at addr, to people and to programs.
func announced(t *testing.T, arg string, addr net.Addr) (text string, record map[string]any) {
	t.Helper()
	s, _ := builds(t, arg)
	ln := fixed{addr}
	var people, log bytes.Buffer
	display{log: slog.New(slog.DiscardHandler), people: &people}.ready(s, ln)
	display{log: slog.New(slog.NewJSONHandler(&log, nil))}.ready(s, ln)
	if err := json.Unmarshal(log.Bytes(), &record); err != nil {
		t.Fatalf("%q: %v", log.String(), err)
	}
	return people.String(), record
}

// fixed is a listener with an address and nothing else.
type fixed struct{ addr net.Addr }

func (f fixed) Addr() net.Addr          { return f.addr }
func (fixed) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (fixed) Close() error              { return nil }

var (
	v4 = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5433}
	v6 = &net.TCPAddr{IP: net.IPv6loopback, Port: 5433}
)

func TestReadyLineSaysWhatIsServedAndHow(t *testing.T) {
	self := peer.Policy{}.String()
	t.Setenv("LOCAL_PW", secret)
	for _, row := range []struct {
		name, arg string
		addr      net.Addr
		text      string
		record    map[string]string
	}{
		{"RDS", "postgres://app@" + rdsHost + "/orders", v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to " + self + "\n  psql -h 127.0.0.1 -p 5433 -U app -d orders\n",
			map[string]string{"msg": "ready", "level": "INFO", "route": "orders", "listener": "127.0.0.1:5433", "upstream": rdsHost + ":5432",
				"endpoint": rdsHost + ":5432", "security": "TLS verify-full", "auth": "aws-iam", "try": "psql -h 127.0.0.1 -p 5433 -U app -d orders"}},
		{"tunnel", "postgres://" + rdsHost + "?dial=127.0.0.1:15432&name=main&auth=env:PW", v6,
			"ready: main on [::1]:5433 -> " + rdsHost + ":5432 by way of 127.0.0.1:15432 (TLS verify-full, env:PW), open to " + self + "\n  psql -h ::1 -p 5433\n",
			map[string]string{"route": "main", "upstream": "127.0.0.1:15432", "endpoint": rdsHost + ":5432", "auth": "env:PW", "try": "psql -h ::1 -p 5433"}},
		{"unix socket", "postgres://app@" + rdsHost, &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543", Net: "unix"},
			"ready: orders on /run/my db/.s.PGSQL.6543 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to " + self + "\n  psql -h '/run/my db' -p 6543 -U app\n",
			map[string]string{"listener": "/run/my db/.s.PGSQL.6543", "try": "psql -h '/run/my db' -p 6543 -U app"}},
		{"not verified", "postgres://app@db.example.com?tls=require&auth=env:PW", v4,
			"ready: db on 127.0.0.1:5433 -> db.example.com:5432 (TLS require, server not verified, env:PW), open to " + self + "\n  psql -h 127.0.0.1 -p 5433 -U app\n",
			map[string]string{"security": "TLS require, server not verified"}},
		{"others may come in", "postgres://" + rdsHost + "?allow=any&allow_remote=10.1.2.3/8&local_password=env:LOCAL_PW&local_tls=auto", v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to any (everybody, unchecked), and to 10.0.0.0/8, with the password in env:LOCAL_PW\n" +
				"  psql -h 127.0.0.1 -p 5433\n",
			map[string]string{"allow": "any (everybody, unchecked), and to 10.0.0.0/8, with the password in env:LOCAL_PW"}},
		// Arguments of a command may be secret.
		{"command", "postgres://app@" + rdsHost + "?auth=exec:/bin/vault%20-token=" + secret, v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, exec:/bin/vault), open to " + self + "\n  psql -h 127.0.0.1 -p 5433 -U app\n",
			map[string]string{"auth": "exec:/bin/vault"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			text, record := announced(t, row.arg, row.addr)
			if text != row.text {
				t.Errorf("people get\n%swant\n%s", text, row.text)
			}
			for key, want := range row.record {
				if record[key] != want {
					t.Errorf("programs get %s=%q, want %q", key, record[key], want)
				}
			}
		})
	}
}

// TestCommandSurvivesTheShell has a shell read the command that people copy.
func TestCommandSurvivesTheShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"app", "o'brien", "a b", "a$HOME`id`\\", `"quoted"`, "a;b&c|d>e<f", "*", "~", "-x", "first.last@example.com", "ä", "a\nb", "!!", "#", "{a,b}"} {
		s, _ := builds(t, "postgres://"+rdsHost)
		s.route.User, s.route.Database = user, user
		command := clientCommand(s, v4)
		out, err := exec.Command(shell, "-c", "psql() { printf '%s\\0' \"$@\"; }; "+command).Output()
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if want := []string{"-h", "127.0.0.1", "-p", "5433", "-U", user, "-d", user}; !slices.Equal(got, want) {
			t.Errorf("%s\nis read as %q, want %q", command, got, want)
		}
	}
	if got := shellQuote(""); got != "''" {
		t.Errorf("an empty word is quoted as %s, want ''", got)
	}
}

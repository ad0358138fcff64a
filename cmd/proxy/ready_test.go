package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"

	"dbvalet/peer"
)

// announced returns what is said when arg's listener is at addr, to people and to programs.
func announced(t *testing.T, arg string, addr net.Addr) (text string, record map[string]any) {
	t.Helper()
	s, _ := builds(t, arg)
	s.listeners = []net.Listener{fixed{addr}}
	var people, log bytes.Buffer
	display{log: slog.New(slog.DiscardHandler), people: &people}.ready(s, true)
	display{log: slog.New(slog.NewJSONHandler(&log, nil))}.ready(s, true)
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
	const asApp = "  psql  psql -h 127.0.0.1 -p 5433 -U app\n  URL   postgres://app@127.0.0.1:5433/?sslmode=disable\n"
	t.Setenv("LOCAL_PW", secret)
	for _, row := range []struct {
		name, arg string
		addr      net.Addr
		text      string
		record    map[string]string
	}{
		{"RDS", "postgres://app@" + rdsHost + "/orders", v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to " + self + "\n" +
				"  psql  psql -h 127.0.0.1 -p 5433 -U app -d orders\n  URL   postgres://app@127.0.0.1:5433/orders?sslmode=disable\n",
			map[string]string{"msg": "ready", "level": "INFO", "route": "orders", "listener": "127.0.0.1:5433", "upstream": rdsHost + ":5432",
				"endpoint": rdsHost + ":5432", "security": "TLS verify-full", "auth": "aws-iam", "try": "psql -h 127.0.0.1 -p 5433 -U app -d orders", "url": "postgres://app@127.0.0.1:5433/orders?sslmode=disable"}},
		{"tunnel", "postgres://" + rdsHost + "?dial=127.0.0.1:15432&name=main&auth=env:PW", v6,
			"ready: main on [::1]:5433 -> " + rdsHost + ":5432 by way of 127.0.0.1:15432 (TLS verify-full, env:PW), open to " + self + "\n" +
				"  psql  psql -h ::1 -p 5433\n  URL   postgres://[::1]:5433/?sslmode=disable\n",
			map[string]string{"route": "main", "upstream": "127.0.0.1:15432", "endpoint": rdsHost + ":5432", "auth": "env:PW", "try": "psql -h ::1 -p 5433"}},
		{"bastion", "postgres://" + rdsHost + "?via=ssh://app@bastion,ssh://inner:2222&name=main&auth=env:PW", v4,
			"ready: main on 127.0.0.1:5433 -> " + rdsHost + ":5432 by way of ssh://app@bastion,ssh://inner:2222 (TLS verify-full, env:PW), open to " + self + "\n" +
				"  psql  psql -h 127.0.0.1 -p 5433\n  URL   postgres://127.0.0.1:5433/?sslmode=disable\n",
			map[string]string{"via": "ssh://app@bastion,ssh://inner:2222", "upstream": rdsHost + ":5432", "endpoint": rdsHost + ":5432"}},
		{"bastion and another address", "postgres://" + rdsHost + "?via=ssh://bastion&dial=10.0.0.7:5433&name=main&auth=env:PW", v4,
			"ready: main on 127.0.0.1:5433 -> " + rdsHost + ":5432 by way of ssh://bastion and 10.0.0.7:5433 (TLS verify-full, env:PW), open to " + self + "\n" +
				"  psql  psql -h 127.0.0.1 -p 5433\n  URL   postgres://127.0.0.1:5433/?sslmode=disable\n",
			map[string]string{"via": "ssh://bastion", "upstream": "10.0.0.7:5433"}},
		{"unix socket", "postgres://app@" + rdsHost, &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543", Net: "unix"},
			"ready: orders on /run/my db/.s.PGSQL.6543 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to " + self + "\n" +
				"  psql  psql -h '/run/my db' -p 6543 -U app\n  URL   postgres://app@/?host=/run/my%20db&port=6543&sslmode=disable\n",
			map[string]string{"listener": "/run/my db/.s.PGSQL.6543", "try": "psql -h '/run/my db' -p 6543 -U app"}},
		{"not verified", "postgres://app@db.example.com?tls=require&auth=env:PW", v4,
			"ready: db on 127.0.0.1:5433 -> db.example.com:5432 (TLS require, server not verified, env:PW), open to " + self + "\n" + asApp,
			map[string]string{"security": "TLS require, server not verified"}},
		{"others may come in", "postgres://" + rdsHost + "?allow=any&allow_remote=10.1.2.3/8&local_password=env:LOCAL_PW&local_tls=auto", v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, aws-iam), open to any (everybody, unchecked), and to 10.0.0.0/8, with the password in env:LOCAL_PW\n" +
				"  psql  psql -h 127.0.0.1 -p 5433\n  URL   postgres://127.0.0.1:5433/?sslmode=disable\n",
			map[string]string{"allow": "any (everybody, unchecked), and to 10.0.0.0/8, with the password in env:LOCAL_PW"}},
		// Arguments of a command may be secret.
		{"command", "postgres://app@" + rdsHost + "?auth=exec:/bin/vault%20-token=" + secret, v4,
			"ready: orders on 127.0.0.1:5433 -> " + rdsHost + ":5432 (TLS verify-full, exec:/bin/vault), open to " + self + "\n" + asApp,
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

func TestLinesToCopyAreFewAndAligned(t *testing.T) {
	postgres, _ := builds(t, "postgres://app@"+rdsHost+"/orders?auth=env:PW")
	mysql, _ := builds(t, "mysql://app@"+rdsHost+"/shop?auth=env:PW&name=shop")
	say := func(d display, services ...*service) string {
		var people bytes.Buffer
		d.log, d.people = slog.New(slog.DiscardHandler), &people
		d.allReady(services)
		var kept strings.Builder
		for text := range strings.Lines(people.String()) {
			if !strings.HasPrefix(text, "ready:") {
				kept.WriteString(text)
			}
		}
		return kept.String()
	}
	postgres.listeners = []net.Listener{fixed{v4}, fixed{v6}, fixed{&net.UnixAddr{Name: "/run/db/.s.PGSQL.5433", Net: "unix"}}}
	mysql.listeners = []net.Listener{fixed{v4}}
	const onSocket = `  psql        psql -h /run/db -p 5433 -U app -d orders
  Go, Python  postgres://app@/orders?host=/run/db&port=5433&sslmode=disable
  Node        postgres://app@localhost/orders?host=/run/db&port=5433&sslmode=disable
`
	const want = `  psql              psql -h 127.0.0.1 -p 5433 -U app -d orders
  Go, Python, Node  postgres://app@127.0.0.1:5433/orders?sslmode=disable
  JDBC              jdbc:postgresql://127.0.0.1:5433/orders?user=app&sslmode=disable
` + onSocket + `  mysql   mysql -h 127.0.0.1 -P 5433 -u app -D shop
  Go      app@tcp(127.0.0.1:5433)/shop
  Python  pymysql.connect(host="127.0.0.1", port=5433, user="app", database="shop")
  Node    mysql://app@127.0.0.1:5433/shop
  JDBC    jdbc:mysql://127.0.0.1:5433/shop?user=app&sslMode=DISABLED
  more to copy: dbvalet url ROUTE --for url|sqlalchemy|atlas|env|jdbc-mariadb
`
	if got := say(display{}, postgres, mysql); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := say(display{}, mysql, mysql, mysql, mysql); strings.Count(got, "\n") != 9 || strings.Contains(got, "JDBC") || !strings.Contains(got, "|jdbc|") {
		t.Errorf("of many routes: got\n%s", got)
	}
	if got := say(display{colour: true}, mysql); !strings.HasPrefix(got, "  \x1b[2mmysql \x1b[0m  mysql -h ") {
		t.Errorf("in colour: got %q", got)
	}
	postgres.listeners = []net.Listener{fixed{&net.UnixAddr{Name: "/run/db/x.sock", Net: "unix"}}}
	if got := say(display{}, postgres); !strings.Contains(got, "do not find the socket /run/db/x.sock") || !strings.Contains(got, "directory") {
		t.Errorf("of a socket that clients don't find: got\n%s", got)
	}
}

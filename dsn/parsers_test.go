package dsn

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/lib/pq"
)

// wanted is where a client of target should end up, as one that knows nothing of unix sockets' names.
func wanted(t *testing.T, target Target) place {
	t.Helper()
	at, err := target.place()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPgxReadsWhatIsMeant(t *testing.T) {
	eachTarget("postgres", func(target Target) {
		text, at := mustFor(t, target, "go"), wanted(t, target)
		c, err := pgx.ParseConfig(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if c.Host != at.hostOrDir() || strconv.Itoa(int(c.Port)) != at.port || c.User != target.User || c.Database != target.Database || c.Password != target.Password.Reveal() {
			t.Errorf("%s is read as host %q port %d user %q database %q", text, c.Host, c.Port, c.User, c.Database)
		}
		if encrypts := c.TLSConfig != nil; encrypts != target.encrypts(at) || len(c.Fallbacks) != 0 {
			t.Errorf("%s: TLS is %v with %d other tries, want %v", text, encrypts, len(c.Fallbacks), target.encrypts(at))
		}
	})
}

func TestLibPQReadsWhatIsMeant(t *testing.T) {
	eachTarget("postgres", func(target Target) {
		text, at := mustFor(t, target, "go"), wanted(t, target)
		c, err := pq.NewConfig(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if c.Host != at.hostOrDir() || strconv.Itoa(int(c.Port)) != at.port || c.User != target.User || c.Database != target.Database ||
			c.Password != target.Password.Reveal() || string(c.SSLMode) != target.sslmode(at) {
			t.Errorf("%s is read as host %q port %d user %q database %q sslmode %q", text, c.Host, c.Port, c.User, c.Database, c.SSLMode)
		}
	})
}

func TestGoSQLDriverReadsWhatIsMeant(t *testing.T) {
	eachTarget("mysql", func(target Target) {
		if strings.Contains(target.User, ":") {
			return
		}
		text, at := mustFor(t, target, "go"), wanted(t, target)
		c, err := mysql.ParseDSN(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		addr := at.path
		if addr == "" {
			addr = net.JoinHostPort(at.host, at.port)
		}
		if c.Addr != addr || c.Net != target.Addr.Network() || c.User != target.User || c.DBName != target.Database || c.Passwd != target.Password.Reveal() {
			t.Errorf("%s is read as %s %q user %q database %q", text, c.Net, c.Addr, c.User, c.DBName)
		}
		if encrypts := c.TLS != nil; encrypts != target.encrypts(at) {
			t.Errorf("%s: TLS is %v, want %v", text, encrypts, target.encrypts(at))
		}
	})
}

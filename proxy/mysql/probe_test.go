package mysql

import (
	"errors"
	"net"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// probes has an engine probe the database at addr.
func probes(t *testing.T, e *Engine, addr string) (*proxy.Probe, error) {
	t.Helper()
	var up *proxy.Upstream
	serve(t, e, addr, &source{}, func(server *proxy.Server) { up = server.Upstream })
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := &proxy.Probe{}
	return p, e.Probe(t.Context(), conn, up.Endpoint, tokens.Credential{User: "app", Password: tokens.NewSecret(secret)}, p)
}

func TestProbeTellsEachStepAndTheServersClock(t *testing.T) {
	const eof = "\xfe\x00\x00\x02\x00"
	db := newDatabase(t, func(p *peer) {
		r := p.open(mysql.AUTH_CLEAR_PASSWORD)
		if r == nil || r.database != "orders" {
			t.Errorf("got %+v, want the database named", r)
			return
		}
		p.say(3, "\xfe"+mysql.AUTH_CLEAR_PASSWORD+"\x00")
		p.packet()
		p.say(5, okPacket)
		for _, row := range []string{"\x011", "\x111700000000.250000"} {
			p.packet()
			for i, payload := range []string{"\x01", string(column), eof, row, eof} {
				p.say(byte(i+1), payload)
			}
		}
		p.packet()
	})
	p, err := probes(t, &Engine{User: "app", Database: "orders"}, db.addr)
	if err != nil {
		t.Fatal(err)
	}
	if p.TLS == nil || !p.LoggedIn || !p.Answered || p.Method != MethodPassword || p.Database != "orders" || p.Server == "" || p.QueryTook == 0 {
		t.Errorf("got %+v, want all steps done", p)
	}
	if got := p.Clock.UnixMilli(); got != 1_700_000_000_250 {
		t.Errorf("the server's clock is %v", p.Clock)
	}
}

func TestProbeStopsWhereTheDatabaseSaysNo(t *testing.T) {
	full := newDatabase(t, func(p *peer) { p.say(0, "\xff\x10\x04Too many connections") })
	p, err := probes(t, &Engine{User: "app"}, full.addr)
	if e, ok := errors.AsType[*databaseError](err); !ok || e.Code() != "1040" || p.TLS != nil {
		t.Errorf("got %v, %+v, want 1040 before TLS", err, p)
	}
	methods, _ := ParseMethods(MethodPassword)
	other := newDatabase(t, func(p *peer) {
		if p.open(mysql.AUTH_CACHING_SHA2_PASSWORD) == nil {
			return
		}
		p.say(3, "\xfe"+mysql.AUTH_CACHING_SHA2_PASSWORD+"\x0012345678901234567890\x00")
		p.packet()
		p.say(5, "\xff\x15\x04#28000Access denied")
	})
	p, err = probes(t, &Engine{User: "app", RequireAuth: methods}, other.addr)
	if e, ok := errors.AsType[*proxy.MethodError](err); !ok || e.Method != mysql.AUTH_CACHING_SHA2_PASSWORD || p.TLS == nil || p.LoggedIn {
		t.Errorf("got %v, %+v, want the plugin that the server asks for", err, p)
	}
}

func FuzzQueryValue(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x01\x01\x01\x00\x00\x02c\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x011\x05\x00\x00\x05\xfe\x00\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Read(make([]byte, 64))
			_, _ = theirs.Write(said)
			theirs.Close()
		}()
		defer ours.Close()
		if value, err := queryValue(ours, "SELECT 1", 0); err == nil && len(value) > len(said) {
			t.Errorf("got %d bytes of %d", len(value), len(said))
		}
	})
}

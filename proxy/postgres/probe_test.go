package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// probes has an engine probe the database at addr.
func probes(t *testing.T, addr string) (*proxy.Probe, error) {
	t.Helper()
	v := newValet(t, addr)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := &proxy.Probe{}
	return p, v.engine.Probe(ctx, conn, v.upstream.Endpoint, tokens.Credential{User: "app", Password: tokens.NewSecret(secret)}, p)
}

// answers sends one row to whatever is asked.
func (c *dbConn) answers(value string) (asked string) {
	header := c.read(5)
	asked = string(c.read(int(header[4]) - 4))
	c.send(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, ready)
	return asked
}

func TestProbeTellsEachStepAndTheServersClock(t *testing.T) {
	const clock = 1_700_000_000
	asked := make(chan string, 2)
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.send(authOk, &pgproto3.ParameterStatus{Name: "server_version", Value: "18.1"}, ready)
		asked <- c.answers("1")
		asked <- c.answers("1700000000.250000")
		c.wait()
	})
	p, err := probes(t, db.addr)
	if err != nil {
		t.Fatal(err)
	}
	if p.TLS == nil || !p.LoggedIn || !p.Answered || p.Method != "password" || p.Database != pingDatabase || p.Server != "PostgreSQL 18.1" {
		t.Errorf("got %+v, want all steps done", p)
	}
	if p.TLSTook == 0 || p.LoginTook == 0 || p.QueryTook == 0 {
		t.Errorf("got %+v, want a time for each step", p)
	}
	if got := p.Clock.UnixMilli(); got != clock*1000+250 || time.Since(p.ClockAt) > patience {
		t.Errorf("the server's clock is %v at %v", p.Clock, p.ClockAt)
	}
	if got := next(t, asked); got != "SELECT 1\x00" {
		t.Errorf("asked %q first", got)
	}
}

func TestProbeStopsWhereTheDatabaseSaysNo(t *testing.T) {
	for _, row := range []struct {
		name      string
		db        script
		code      string
		encrypted bool
		in        bool // logged in
	}{
		{"no TLS", func(c *dbConn) { c.sslRequest(); c.write('N') }, "", false, false},
		{"refused", takes("another"), "28P01", true, false},
		{"no such database", func(c *dbConn) { c.open(); c.password(); c.send(authOk, refusal("3D000", "no")) }, "3D000", true, false},
		{"no query", func(c *dbConn) { c.open(); c.password(); c.send(authOk, ready); c.send(refusal("57P01", "bye")) }, "57P01", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := probes(t, startDatabase(t, row.db).addr)
			coded, _ := errors.AsType[interface {
				error
				Code() string
			}](err)
			if err == nil || coded == nil && row.code != "" || coded != nil && coded.Code() != row.code {
				t.Errorf("got %v, want code %q", err, row.code)
			}
			if (p.TLS != nil) != row.encrypted || p.LoggedIn != row.in || p.Answered {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestProbeNamesTheMethodThatTheRouteDoesNotAllow(t *testing.T) {
	v := newValet(t, startDatabase(t, func(c *dbConn) {
		c.open()
		c.send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
		c.wait()
	}).addr)
	v.engine.RequireAuth, _ = ParseMethods(MethodPassword)
	conn, err := net.Dial("tcp", v.upstream.Endpoint.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = v.engine.Probe(t.Context(), conn, v.upstream.Endpoint, tokens.Credential{User: "app"}, &proxy.Probe{})
	if e, ok := errors.AsType[*proxy.MethodError](err); !ok || e.Method != "scram-sha-256" || !strings.Contains(err.Error(), "the route allows password") {
		t.Errorf("got %v, want the method", err)
	}
}

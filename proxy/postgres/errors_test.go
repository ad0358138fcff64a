package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// hanging is a source that never answers.
type hanging struct{}

func (hanging) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	<-ctx.Done()
	return tokens.Credential{}, ctx.Err()
}

func TestOurErrorsTellClientWhatToDo(t *testing.T) {
	for _, row := range []struct {
		name, code, stage, message, hint string
		change                           func(t *testing.T, v *valet)
	}{
		{"nobody listens", cannotConnectNow, "dial", "connection refused", "check that the database is up",
			func(t *testing.T, v *valet) { v.upstream.Endpoint.Addr = closedPort(t) }},
		{"no such socket", cannotConnectNow, "dial", "no such file", "can be reached",
			func(_ *testing.T, v *valet) { v.upstream.Endpoint.Addr = "/nonexistent/.s.PGSQL.5432" }},
		{"the source says no", invalidAuthorization, "credential", "env:PW: not set", "set PW",
			func(_ *testing.T, v *valet) {
				v.source.err = &tokens.Error{Source: "env:PW", Err: errors.New("not set"), Advice: "set PW", Denied: true}
			}},
		{"the source can't be reached", cannotConnectNow, "credential", "vault: no route", "wait for it",
			func(_ *testing.T, v *valet) {
				v.source.err = &tokens.Error{Source: "vault", Err: errors.New("no route"), Advice: "wait for it"}
			}},
		{"the source plays tricks", cannotConnectNow, "credential", "exec:x:  [2J   ", "do  that",
			func(_ *testing.T, v *valet) {
				v.source.err = &tokens.Error{Source: "exec:x", Err: errors.New("\x1b[2J\r\n\u202e"), Advice: "do\n\tthat"}
			}},
		{"the source hangs", cannotConnectNow, "credential", "wait for a credential", "connect_timeout=",
			func(_ *testing.T, v *valet) {
				v.upstream.Credentials = &tokens.Cache{Source: hanging{}}
				v.server.HandshakeTimeout = 50 * time.Millisecond
			}},
		{"too many connections", tooManyConnections, "limit", "max_connections is 1", "max_connections",
			func(t *testing.T, v *valet) {
				v.upstream.Conns = []*proxy.Limit{{Max: 1, Name: "max_connections"}}
				first := newValet(t, "") // another door to the same route
				first.server.Upstream = v.upstream
				first.serve(t).dial(t).login()
			}},
		{"the database asks for what the route refuses", invalidAuthorization, "auth", `"password"`, "require_auth=password",
			func(_ *testing.T, v *valet) { v.engine.RequireAuth = mustParse("scram-sha-256,none") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := newValet(t, startDatabase(t, takes(secret)).addr)
			row.change(t, v)
			c := v.serve(t).dial(t)
			c.startup()
			response := c.refused()
			if response.Code != row.code {
				t.Errorf("got SQLSTATE %s, want %s", response.Code, row.code)
			}
			if !strings.HasPrefix(response.Message, "dbvalet: ") || !strings.Contains(response.Message, row.message) {
				t.Errorf("got message %q, want the program's name and %q in it", response.Message, row.message)
			}
			if !strings.Contains(response.Hint, row.hint) {
				t.Errorf("got hint %q, want %q in it", response.Hint, row.hint)
			}
			if !strings.Contains(response.Detail, `stage "`+row.stage+`"`) {
				t.Errorf("got detail %q, want stage %q in it", response.Detail, row.stage)
			}
			if record := v.log.await(t, "set-up failed"); record["stage"] != row.stage || record["hint"] == nil {
				t.Errorf("got log record %v, want stage %q and a hint", record, row.stage)
			}
		})
	}
}

// TestClientsUnderstandOurErrors asks drivers that were not written here what they make of them.
func TestClientsUnderstandOurErrors(t *testing.T) {
	v := newValet(t, "127.0.0.1:1")
	v.source.err = &tokens.Error{Source: "env:PW", Err: errors.New("not set"), Advice: "set PW", Denied: true}
	v.source.then = v.source.err
	host, port, err := net.SplitHostPort(v.serve(t).addr)
	if err != nil {
		t.Fatal(err)
	}
	const message, hint = "dbvalet: env:PW: not set", "set PW"
	conninfo := "host=" + host + " port=" + port + " user=whoever dbname=orders sslmode=disable"

	t.Run("pgx", func(t *testing.T) {
		_, err := pgconn.Connect(t.Context(), conninfo)
		e, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || e.Code != invalidAuthorization || e.Severity != "FATAL" || e.Message != message || e.Hint != hint {
			t.Errorf("got %+v (%v)", e, err)
		}
	})
	t.Run("lib/pq", func(t *testing.T) {
		connector, err := pq.NewConnector(conninfo)
		if err != nil {
			t.Fatal(err)
		}
		_, err = connector.Connect(t.Context())
		e, ok := errors.AsType[*pq.Error](err)
		if !ok || e.Code != invalidAuthorization || e.Severity != "FATAL" || e.Message != message || e.Hint != hint {
			t.Errorf("got %+v (%v)", e, err)
		}
	})
}

func TestErrorsAreCutToWhatLibpqTakes(t *testing.T) {
	encoded := errorResponse(&proxy.SetupError{Err: errors.New(strings.Repeat("ä", 50_000)), Advice: strings.Repeat("x", 50_000)})
	if len(encoded) > 30_000 {
		t.Errorf("got an ErrorResponse of %d bytes, want at most 30000", len(encoded))
	}
}

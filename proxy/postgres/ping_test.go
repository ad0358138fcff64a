package postgres

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

func TestPingLogsInAndLeaves(t *testing.T) {
	left := make(chan []byte, 1)
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		if c.password() != secret {
			t.Error("got another password")
		}
		c.send(authOk, &pgproto3.ParameterStatus{Name: "server_version", Value: "18"}, ready)
		left <- c.read(5)
	})
	v := newValet(t, db.addr)
	if err := v.engine.Ping(t.Context(), v.upstream); err != nil {
		t.Fatal(err)
	}
	if got := next(t, left); !bytes.Equal(got, []byte{'X', 0, 0, 0, 4}) {
		t.Errorf("got %q, want to be told the end", got)
	}
	for _, want := range []string{"user\x00app\x00", "database\x00postgres\x00", "application_name\x00dbvalet health\x00"} {
		if !bytes.Contains(db.all()[0].start, []byte(want)) {
			t.Errorf("got %q, want %q in it", db.all()[0].start, want)
		}
	}
}

func TestPingIsOfWhatTheDatabaseSays(t *testing.T) {
	after := func(messages ...pgproto3.BackendMessage) script {
		return func(c *dbConn) {
			c.open()
			c.password()
			c.send(append([]pgproto3.BackendMessage{authOk}, messages...)...)
		}
	}
	for _, row := range []struct {
		name string
		db   script
		good bool
	}{
		{"wrong password", takes("another one"), false},
		{"too many sessions", after(refusal("53300", "too many clients already")), false},
		{"starting up", after(refusal("57P03", "the database system is starting up")), false},
		{"hangs up after the login", after(), false},
		{"no such database", after(refusal(invalidCatalogName, "no such database")), true},
		{"database for others", after(refusal(insufficientPrivilege, "permission denied")), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newValet(t, startDatabase(t, row.db).addr)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a server that starts is waited for
			defer cancel()
			err := v.engine.Ping(ctx, v.upstream)
			if (err == nil) != row.good {
				t.Errorf("got %v, want it good: %v", err, row.good)
			}
			if _, ok := errors.AsType[*proxy.SetupError](err); err != nil && !ok {
				t.Errorf("got %T, want an error with a stage", err)
			}
		})
	}
}

func TestPingTriesAnotherCredential(t *testing.T) {
	v := newValet(t, startDatabase(t, takes("new "+secret)).addr)
	v.source.passwords = []string{secret, "new " + secret}
	if err := v.engine.Ping(t.Context(), v.upstream); err != nil {
		t.Error(err)
	}
}

// A server that target_session_attrs= rules out is none that clients would be served by.
func TestPingIsOfTheServerThatTheTargetAsksFor(t *testing.T) {
	for state, good := range map[string]bool{"off": true, "on": false} {
		params := []byte(raw('S', fields("default_transaction_read_only", "off")...))
		params = append(params, raw('S', fields("in_hot_standby", state)...)...)
		v := newValet(t, startDatabase(t, speaks(params, nil)).addr)
		v.upstream.Target = proxy.ReadWrite
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // another may take over
		defer cancel()
		if err := v.engine.Ping(ctx, v.upstream); (err == nil) != good || err != nil && !errors.Is(err, proxy.ErrUnfit) {
			t.Errorf("in_hot_standby=%s: got %v, want it good: %v", state, err, good)
		}
	}
}

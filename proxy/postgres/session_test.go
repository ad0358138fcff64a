package postgres

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/lib/pq"
)

func TestClientThatLeavesAfterLoginGetsHintInLog(t *testing.T) {
	for _, row := range []struct {
		name  string
		leave func(c *client)
		hints int
	}{
		{"closes", func(c *client) { c.Close() }, 1},
		{"resets", func(c *client) { reset(c.Conn) }, 1},
		{"closes before it has read much", func(c *client) { c.Close() }, 1},
		{"says goodbye", func(c *client) { c.write(raw('X')); c.Close() }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := serve(t, startDatabase(t, takes(secret)).addr)
			c := v.dial(t)
			c.startup()
			if strings.Contains(row.name, "before") {
				if _, err := io.ReadFull(c.Conn, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			} else {
				c.untilReady()
			}
			row.leave(c)
			v.log.await(t, "session ended")
			hints, _ := v.log.find("client left right after the login")
			if len(hints) != row.hints {
				t.Fatalf("got %d hints, want %d; the log:\n%s", len(hints), row.hints, v.log.text())
			}
			for _, record := range hints {
				for _, setting := range []string{"channel_binding", "require_auth", "sslcertmode"} {
					if hint := fmt.Sprint(record["hint"]); !strings.Contains(hint, setting) {
						t.Errorf("got hint %q, want %s in it", hint, setting)
					}
				}
			}
		})
	}
}

func TestAnswerAfterClientsHalfCloseArrives(t *testing.T) {
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.send(authOk, ready)
		c.wait() // for the client's end, by way of TLS
		c.write(raw('C', []byte("SELECT 1\x00")...)...)
	})
	v := serve(t, db.addr)
	c := v.dial(t)
	c.login()
	c.write(raw('Q', []byte("SELECT 1\x00")...))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, want := c.rest(), raw('C', []byte("SELECT 1\x00")...); !bytes.Equal(got, want) {
		t.Errorf("client got %q, want %q", got, want)
	}
	if got, want := db.received(0), raw('Q', []byte("SELECT 1\x00")...); !bytes.HasSuffix(got, want) {
		t.Errorf("the database got %q, want %q at the end", got, want)
	}
}

func TestEndOfClientOrDatabaseEndsTheOther(t *testing.T) {
	t.Run("client resets", func(t *testing.T) {
		ended := make(chan struct{})
		db := startDatabase(t, func(c *dbConn) {
			c.open()
			c.password()
			c.send(authOk, ready)
			c.read(1)
			c.wait()
			// A server that is busy looks no further than that.
			_, _ = io.Copy(io.Discard, c.bare)
			close(ended)
		})
		c := serve(t, db.addr).dial(t)
		c.login()
		c.write(raw('Q', []byte("SELECT pg_sleep(3600)\x00")...))
		reset(c.Conn)
		select {
		case <-ended:
		case <-time.After(patience / 2):
			t.Error("the connection to the database stays open")
		}
	})
	t.Run("database resets", func(t *testing.T) {
		db := startDatabase(t, func(c *dbConn) {
			c.open()
			c.password()
			c.send(authOk, ready)
			c.read(1)
			reset(c.bare)
		})
		v := serve(t, db.addr)
		c := v.dial(t)
		c.login()
		c.write(raw('Q', []byte("SELECT 1\x00")...))
		c.rest()
		c.Close()
		if record := v.log.await(t, "session ended"); record["err"] != nil {
			t.Errorf("got log record %v, want no error: resets happen every day", record)
		}
	})
}

func TestDatabaseThatLeavesAfterLoginIsNotTheClientsFault(t *testing.T) {
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.send(authOk, ready)
	})
	v := serve(t, db.addr)
	c := v.dial(t)
	c.startup()
	c.rest()
	c.Close()
	v.log.await(t, "session ended")
	if hints, _ := v.log.find("client left right after the login"); len(hints) != 0 {
		t.Errorf("got %v, want no hint", hints)
	}
}

func TestSessionIsLogged(t *testing.T) {
	db := startDatabase(t, takes(secret))
	v := serve(t, db.addr)
	c := v.dial(t)
	c.login()
	c.write(raw('X'))
	c.Close()
	started := v.log.await(t, "session started")
	for key, want := range map[string]string{"user": "app", "database": "orders", "application": "test", "upstream": db.addr, "client": c.LocalAddr().String()} {
		if started[key] != want {
			t.Errorf("got %s=%v, want %s", key, started[key], want)
		}
	}
	ended := v.log.await(t, "session ended")
	if in, out := ended["from_client"], ended["from_upstream"]; in != 5.0 || out != 15.0 {
		t.Errorf("got %v bytes from the client and %v from upstream, want 5 and 15", in, out)
	}
	if ended["err"] != nil {
		t.Errorf("got err=%v, want none", ended["err"])
	}
}

// one is a database that logs in whoever has the password, and answers each query with "1".
func one(c *dbConn) {
	c.open()
	if c.password() != secret {
		return
	}
	c.send(authOk, &pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("key!")}, ready)
	backend := pgproto3.NewBackend(c, c)
	for {
		m, err := backend.Receive()
		c.must(err)
		if _, ok := m.(*pgproto3.Query); ok {
			c.send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("n"), DataTypeOID: 23, DataTypeSize: 4, TypeModifier: -1}}},
				&pgproto3.DataRow{Values: [][]byte{[]byte("1")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, ready)
		}
	}
}

// TestDriversWorkAtOnce has many sessions of drivers that were not written here.
func TestDriversWorkAtOnce(t *testing.T) {
	v := serve(t, startDatabase(t, one).addr)
	host, port, err := net.SplitHostPort(v.addr)
	if err != nil {
		t.Fatal(err)
	}
	conninfo := "host=" + host + " port=" + port + " user=whoever dbname=orders sslmode=disable"
	connector, err := pq.NewConnector(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()

	const each = 50
	var running sync.WaitGroup
	for range each {
		running.Go(func() {
			conn, err := pgconn.Connect(t.Context(), conninfo)
			if err != nil {
				t.Error("pgx:", err)
				return
			}
			defer conn.Close(t.Context())
			results, err := conn.Exec(t.Context(), "SELECT 1").ReadAll()
			if err != nil || len(results) != 1 || string(results[0].Rows[0][0]) != "1" {
				t.Errorf("pgx: got %v, %v", results, err)
			}
		})
		running.Go(func() {
			var n int
			if err := pool.QueryRowContext(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
				t.Errorf("lib/pq: got %d, %v", n, err)
			}
		})
	}
	running.Wait()
}

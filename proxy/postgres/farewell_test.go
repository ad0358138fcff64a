package postgres

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

func TestReplyIsCompleteWhenTheDatabaseIsReady(t *testing.T) {
	row := raw('D', 0, 1, 0, 0, 0, 1, 'x')
	idle, inside, failed := raw('Z', 'I'), raw('Z', 'T'), raw('Z', 'E')
	news := raw('A', []byte("\x00\x00\x00\x01channel\x00payload\x00")...)
	for _, r := range []struct {
		name          string
		before, chunk []byte
		want          proxy.Reply
	}{
		{"row", nil, row, proxy.ReplyUnfinished},
		{"ready", nil, bytes.Join([][]byte{row, idle}, nil), proxy.ReplyComplete},
		{"ready alone", nil, idle, proxy.ReplyComplete},
		{"ready, in two pieces", idle[:4], idle[4:], proxy.ReplyComplete},
		{"ready, in two pieces, in a transaction", inside[:5], inside[5:], proxy.ReplyInTransaction},
		{"failed transaction", row, failed, proxy.ReplyInTransaction},
		{"ready, and more", nil, bytes.Join([][]byte{idle, row}, nil), proxy.ReplyUnfinished},
		{"ready, and a part of more", nil, append(bytes.Clone(idle), 'D'), proxy.ReplyUnfinished},
		{"another state", nil, raw('Z', 'X'), proxy.ReplyUnfinished},
		{"notifications", idle, append(bytes.Clone(news), news...), proxy.NoReply},
		{"part of a notification", idle, news[:12], proxy.ReplyUnfinished},
		{"notice", idle, raw('N', []byte("SNOTICE\x00\x00")...), proxy.ReplyUnfinished},
		{"copy-both data", nil, raw('d', []byte("w...")...), proxy.ReplyUnfinished},
	} {
		if got := replyOf(r.before, r.chunk); got != r.want {
			t.Errorf("%s: got %d, want %d", r.name, got, r.want)
		}
	}
}

func FuzzReplyOf(f *testing.F) {
	f.Add([]byte("Z\x00\x00"), []byte("\x00\x05I"))
	f.Add([]byte{}, []byte("A\x00\x00\x00\x04"))
	f.Add([]byte{}, []byte("A\xff\xff\xff\xff"))
	f.Fuzz(func(_ *testing.T, before, chunk []byte) { replyOf(before, chunk) })
}

// TestDismissedClientIsToldInItsOwnWords has a library that we did not write hear the farewell.
func TestDismissedClientIsToldInItsOwnWords(t *testing.T) {
	left := make(chan []byte, 1)
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.send(authOk, ready)
		left <- c.read(5)
		c.wait()
	})
	v := serve(t, db.addr)
	conn, err := pgconn.Connect(t.Context(), "postgres://whoever@"+v.addr+"/orders?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	dismissed := make(chan error, 1)
	go func() {
		dismissed <- v.server.Dismiss(t.Context(), nil, &proxy.Farewell{Text: "shutting down", Advice: "try again"}, time.Hour)
	}()
	if got := next(t, left); !bytes.Equal(got, terminate) {
		t.Errorf("the database got %q, want Terminate", got)
	}
	_, err = conn.Exec(t.Context(), "SELECT 1").ReadAll()
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != "57P01" || e.Severity != "FATAL" || e.Message != "dbvalet: shutting down" || e.Hint != "try again" {
		t.Errorf("client got %v (%+v)", err, e)
	}
	if err := next(t, dismissed); err != nil {
		t.Error(err)
	}
}

func TestSilentClientIsToldSo(t *testing.T) {
	var got pgproto3.ErrorResponse
	if err := got.Decode(message(farewell(&proxy.Farewell{Text: "idle", Silence: true})).body()); err != nil {
		t.Fatal(err)
	}
	if got.Code != "57P05" || got.Severity != "FATAL" {
		t.Errorf("got %+v", got)
	}
}

func TestFarewellGoesThroughLocalTLS(t *testing.T) {
	v := newValet(t, startDatabase(t, takes(secret)).addr)
	v.server.Door.TLS = localTLS()
	c := v.serve(t).dial(t)
	c.requestTLS()
	c.login()
	dismissed := make(chan error, 1)
	go func() {
		dismissed <- v.server.Dismiss(t.Context(), nil, &proxy.Farewell{Text: "shutting down"}, time.Hour)
	}()
	if got, want := c.rest(), farewell(&proxy.Farewell{Text: "shutting down"}); !bytes.Equal(got, want) {
		t.Errorf("client got %q, want %q", got, want)
	}
	c.Close()
	if err := next(t, dismissed); err != nil {
		t.Error(err)
	}
}

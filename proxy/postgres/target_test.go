package postgres

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// speaks is a database that says after the login what it is, and answers one query where it is asked.
func speaks(params []byte, answer []byte) script {
	return func(c *dbConn) {
		c.open()
		c.password()
		c.send(authOk)
		c.write(params...)
		c.send(ready)
		if answer != nil {
			header := c.read(5)
			c.read(int(header[4]) - 4)
			c.write(answer...)
		}
		c.wait()
	}
}

func TestServerIsWhatTheTargetAsksFor(t *testing.T) {
	param := func(name, value string) []byte { return raw('S', fields(name, value)...) }
	row := func(value string) []byte {
		encoded, err := (&pgproto3.DataRow{Values: [][]byte{[]byte(value)}}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(append(encoded, raw('C', []byte("SHOW\x00")...)...), raw('Z', 'I')...)
	}
	writer := append(param("default_transaction_read_only", "off"), param("in_hot_standby", "off")...)
	standby := append(param("default_transaction_read_only", "off"), param("in_hot_standby", "on")...)
	old := param("server_version", "13.1")
	notice := append(raw('N', []byte("SNOTICE\x00\x00")...), param("TimeZone", "UTC")...)
	for _, r := range []struct {
		name         string
		target       proxy.Target
		first        script
		want         []byte // of the server that did, between AuthenticationOk and ReadyForQuery
		serverOfTwo  int
		queryOfFirst string
	}{
		{"a writer", proxy.ReadWrite, speaks(writer, nil), writer, 1, ""},
		{"a standby", proxy.ReadWrite, speaks(standby, nil), old, 2, ""},
		{"a standby that is wanted", proxy.Standby, speaks(standby, nil), standby, 1, ""},
		{"an old writer", proxy.ReadWrite, speaks(old, row("off")), old, 1, "SHOW transaction_read_only"},
		{"an old standby", proxy.Primary, speaks(old, row("t")), old, 2, "pg_is_in_recovery"},
		{"a notice beside the answer", proxy.Primary, speaks(old, append(bytes.Clone(notice), row("f")...)), append(bytes.Clone(old), notice...), 1, "pg_is_in_recovery"},
		{"a shutdown", proxy.ReadWrite, func(c *dbConn) {
			c.open()
			c.password()
			c.send(authOk, refusal(adminShutdown, "terminating connection due to administrator command"))
		}, old, 2, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			answer := row("off")
			if r.target == proxy.Primary {
				answer = row("f")
			}
			db := startDatabase(t, r.first, speaks(old, answer))
			v := newValet(t, db.addr)
			v.server.Upstream.Target = r.target
			v.serve(t)
			c := v.dial(t)
			c.startup()
			want := append(append(request(0), r.want...), raw('Z', 'I')...)
			if got := c.untilReady(); !bytes.Equal(got, want) {
				t.Errorf("client got\n%q, want\n%q", got, want)
			}
			if n := len(db.all()); n != r.serverOfTwo {
				t.Errorf("%d connections, want %d", n, r.serverOfTwo)
			}
			if !bytes.Contains(db.received(0), []byte(r.queryOfFirst)) {
				t.Errorf("the server got %q, want %q in it", db.received(0), r.queryOfFirst)
			}
			if left := bytes.HasSuffix(db.received(0), raw('X')); r.serverOfTwo == 2 && r.name != "a shutdown" && !left {
				t.Error("the server was not told that it is left")
			}
		})
	}
}

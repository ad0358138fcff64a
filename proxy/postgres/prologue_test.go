package postgres

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// says is a database that logs the client in, says this, and waits.
func says(messages ...[]byte) script {
	return func(c *dbConn) {
		c.open()
		c.password()
		c.write(slices.Concat(messages...)...)
		c.wait()
	}
}

func TestDatabasesWordsReachClientAsTheyAre(t *testing.T) {
	ok, idle := request(0), raw('Z', 'I')
	parameter := func(name, value string) []byte { return raw('S', fields(name, value)...) }
	// An error with fields that nobody knows, in an order of its own, and not in UTF-8.
	failure := raw('E', []byte("C3D000\x00?x\x00VFATAL\x00Mbase de donn\xe9es inconnue\x00SFATAL\x00L1\x00\x00")...)
	for name, messages := range map[string][][]byte{
		"nothing but ReadyForQuery":     {ok, idle},
		"parameters":                    {ok, parameter("server_version", "18.6"), parameter("TimeZone", "Europe/Zürich"), idle},
		"key of 4 bytes":                {ok, raw('K', make([]byte, 4+4)...), idle},
		"key of 32 bytes":               {ok, raw('K', make([]byte, 4+32)...), idle},
		"key of 256 bytes":              {ok, raw('K', make([]byte, 4+256)...), idle},
		"key of 3 bytes":                {ok, raw('K', make([]byte, 4+3)...), idle},
		"key of 257 bytes":              {ok, raw('K', make([]byte, 4+257)...), idle},
		"empty key":                     {ok, raw('K'), idle},
		"two keys":                      {ok, raw('K', make([]byte, 8)...), raw('K', bytes.Repeat([]byte{1}, 8)...), idle},
		"NegotiateProtocolVersion":      {raw('v', slices.Concat([]byte{0, 3, 0, 0, 0, 0, 0, 1}, fields("_pq_.x"))...), ok, idle},
		"NegotiateProtocolVersion, odd": {raw('v', 1, 2, 3), ok, idle},
		"notices":                       {ok, raw('N', []byte("SNOTICE\x00Mhello\x00\x00")...), idle},
		"messages of kinds to come":     {ok, raw('~', 1, 2, 3), raw(0x80), idle},
		"more than a buffer":            {ok, raw('N', bytes.Repeat([]byte("x"), 100_000)...), parameter("a", "b"), idle},
		"the first result as well":      {ok, idle, raw('T', 0, 0), raw('C', []byte("SELECT 0\x00")...), idle},
		"an error after the login":      {ok, failure, idle},
		"an error and then silence":     {ok, failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := slices.Concat(messages...)
			c := serve(t, startDatabase(t, says(messages...)).addr).dial(t)
			c.startup()
			if got := c.read(len(want)); !bytes.Equal(got, want) {
				t.Errorf("client got\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestDatabasesLastWordsReachClientAsTheyAre(t *testing.T) {
	ok := request(0)
	odd := raw('E', []byte("C3D000\x00?x\x00VFATAL\x00Mbase de donn\xe9es inconnue\x00SFATAL\x00L1\x00\x00")...)
	for _, row := range []struct {
		name     string
		password bool // whether it asks for it
		messages [][]byte
	}{
		{"in place of a login", false, [][]byte{odd}},
		{"after the password", true, [][]byte{odd}},
		{"without SQLSTATE", true, [][]byte{raw('E', []byte("SFATAL\x00Mno\x00\x00")...)}},
		{"without anything", true, [][]byte{raw('E', 0)}},
		{"of 60 kB", true, [][]byte{raw('E', []byte("SFATAL\x00C53300\x00M"+strings.Repeat("x", 60_000)+"\x00\x00")...)}},
		{"with escape sequences", true, [][]byte{raw('E', []byte("SFATAL\x00C53300\x00M\x1b[2J\r\n\x00\x00")...)}},
		{"no pg_hba.conf entry", false, [][]byte{raw('E', []byte("SFATAL\x00VFATAL\x00C28000\x00Mno pg_hba.conf entry\x00\x00")...)}},
		{"after AuthenticationOk", true, [][]byte{ok, odd}},
		{"after its parameters", true, [][]byte{ok, raw('S', fields("a", "b")...), odd}},
		{"none, after AuthenticationOk", true, [][]byte{ok}},
		{"in the middle of a message", true, [][]byte{ok, raw('S', fields("a", "b")...)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := slices.Concat(row.messages...)
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				if row.password {
					c.password()
				}
				c.write(want...)
				if row.name == "in the middle of a message" {
					c.write('S', 0, 0, 0, 9, 'x')
				}
			})
			v := serve(t, db.addr)
			c := v.dial(t)
			c.startup()
			if got := c.rest(); !bytes.Equal(got, want) {
				t.Errorf("client got\n%q, want\n%q", got, want)
			}
			if n := len(db.all()); n != 1 {
				t.Errorf("the database saw %d connections, want 1", n)
			}
			c.Close()
			if bytes.HasPrefix(want, ok) {
				if record := v.log.await(t, "session ended"); record["from_upstream"] != float64(len(want)) {
					t.Errorf("got log record %v, want %d bytes from upstream", record, len(want))
				}
			} else if strings.ContainsAny(v.log.await(t, "set-up failed")["err"].(string), "\x1b\r\n") {
				t.Error("the log has a control character in it")
			}
		})
	}
}

func TestHugeMessageEndsPrologue(t *testing.T) {
	ok := request(0)
	v := serve(t, startDatabase(t, says(ok, []byte{'N', 0x7f, 0xff, 0xff, 0xff}, make([]byte, 100))).addr)
	c := v.dial(t)
	c.startup()
	if got := c.rest(); !bytes.Equal(got, ok) {
		t.Errorf("client got %q, want %q", got, ok)
	}
	c.Close()
	if err, _ := v.log.await(t, "session ended")["err"].(string); !strings.Contains(err, "announces") {
		t.Errorf("got error %q in the log, want the reason", err)
	}
}

func TestLongPrologueIsPassedOnBeforeItsEnd(t *testing.T) {
	const size = 20_000
	ended := make(chan struct{})
	defer close(ended)
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.write(append(request(0), raw('N', make([]byte, size)...)...)...)
		<-ended
	})
	v := serve(t, db.addr)
	c := v.dial(t)
	c.startup()
	c.read(len(request(0)) + 5 + size)
}

func TestWordsThatClientSentEarlyReachDatabase(t *testing.T) {
	query := raw('Q', []byte("SELECT 1\x00")...)
	got := make(chan []byte, 1)
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		got <- c.readAfterOk(len(query))
		c.send(ready)
		c.wait()
	})
	c := serve(t, db.addr).dial(t)
	c.write(append(startupPacket(t, map[string]string{"user": "whoever"}), query...))
	if got := next(t, got); !bytes.Equal(got, query) {
		t.Errorf("the database got %q, want %q", got, query)
	}
	c.untilReady()
}

// readAfterOk logs the client in and reads n bytes before it says more.
func (c *dbConn) readAfterOk(n int) []byte {
	c.send(authOk)
	return c.read(n)
}

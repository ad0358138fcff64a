package diagnose

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"time"

	"dbvalet/proxy"
)

// What sniff tells apart.
const (
	postgresServer = "a PostgreSQL server"
	mysqlServer    = "a MySQL server"
	webServer      = "a web server"
	mailServer     = "a mail or file server"
)

// ownServer is what a route of a scheme looks for.
var ownServer = map[string]string{"postgres": postgresServer, "mysql": mysqlServer}

const (
	// bannerTime is how long a server may take that speaks first, and answerTime one that is asked.
	bannerTime, answerTime = 500 * time.Millisecond, time.Second
	// maxBanner is how much is read of what a server says, in bytes.
	maxBanner = 256
)

// sniff finds out what it is that answers and does not speak the route's protocol; empty: nobody knows.
func (v *visit) sniff(ctx context.Context) string {
	const request = 80877103 // SSLRequest
	sslRequest := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), request)
	for _, try := range []struct {
		say  []byte
		wait time.Duration
	}{
		{nil, bannerTime},
		{sslRequest, answerTime},
		{[]byte("GET / HTTP/1.0\r\n\r\n"), answerTime},
	} {
		if what := recognise(try.say, v.hear(ctx, try.say, try.wait)); what != "" {
			return what
		}
	}
	return ""
}

// hear returns what a server says on a new connection, after it has been told say.
func (v *visit) hear(ctx context.Context, say []byte, limit time.Duration) []byte {
	ctx, cancel := context.WithTimeout(ctx, v.Timeout)
	defer cancel()
	conn, err := v.again(ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write(say); err != nil {
		return nil
	}
	heard := make([]byte, maxBanner)
	n, _ := io.ReadAtLeast(conn, heard, 1)
	return heard[:n]
}

// recognise says what answers heard to say.
func recognise(say, heard []byte) string {
	first, _, _ := bytes.Cut(heard, []byte("\r\n"))
	switch {
	case bytes.HasPrefix(heard, []byte("SSH-")):
		return "an SSH server (" + proxy.Printable(string(bytes.TrimSpace(first))) + ")"
	case bytes.HasPrefix(heard, []byte("HTTP/")):
		return webServer
	case bytes.HasPrefix(heard, []byte("220")):
		return mailServer
	case len(say) == 0 && isGreeting(heard):
		return mysqlServer
	case len(say) == 8 && len(heard) == 1 && (heard[0] == 'S' || heard[0] == 'N'):
		return postgresServer
	}
	return ""
}

// isGreeting reports whether heard is the beginning of MySQL's: the length of the packet, its number 0, and
// version 10 of the protocol, or an error in its place.
func isGreeting(heard []byte) bool {
	return len(heard) > 5 && heard[2] == 0 && heard[3] == 0 && (heard[4] == 10 || heard[4] == 0xFF)
}

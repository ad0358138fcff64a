package admin

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A listener of events.
type listening struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

// listens opens a stream, and reads the head and the first event.
func (s *subject) listens(t *testing.T) *listening {
	t.Helper()
	conn := s.dial(t)
	writes(t, conn, head(getEvents, "Host: localhost", "Accept: text/event-stream"))
	return s.hears(t, conn)
}

const getEvents = "GET /events HTTP/1.1"

// hears reads the head and the first event of a stream that conn was asked for.
func (s *subject) hears(t *testing.T, conn net.Conn) *listening {
	t.Helper()
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %v, want a stream", response.Status, response.Header)
	}
	l := &listening{t, conn, bufio.NewReader(response.Body)}
	event, data, _ := strings.Cut(l.next(), "\n")
	var hello struct {
		Run string
		Now time.Time
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &hello); err != nil || event != "event: hello" || hello.Run != s.secrets.get().run || time.Since(hello.Now) > time.Minute {
		t.Fatalf("the first event is %q %q (%v)", event, data, err)
	}
	return l
}

// next returns the next event or comment; "" at the end.
func (l *listening) next() string {
	l.t.Helper()
	var lines []string
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return ""
		}
		if line == "\n" {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// counting has a status that counts up when the test says so.
func counting(n *atomic.Int64) func(*Server) {
	return func(s *Server) {
		s.beat, s.calm = time.Millisecond, time.Hour
		s.Status = func() any { return map[string]int64{"n": n.Load()} }
	}
}

func TestChangesAreTold(t *testing.T) {
	for network, listen := range map[string]func(*testing.T) net.Listener{"tcp": listenTCP, "unix": listenUnix} {
		t.Run(network, func(t *testing.T) {
			var n atomic.Int64
			s := serves(t, listen(t), counting(&n))
			l := s.listens(t)
			for _, want := range []string{`data: {"n":0}`, `data: {"n":1}`, `data: {"n":2}`} {
				if got := l.next(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				n.Add(1)
			}
		})
	}
}

func TestNothingNewIsACommentNowAndThen(t *testing.T) {
	var n atomic.Int64
	s := serves(t, listenTCP(t), counting(&n), func(s *Server) { s.calm = 5 * time.Millisecond })
	l := s.listens(t)
	for _, want := range []string{`data: {"n":0}`, ": nothing new", ": nothing new"} {
		if got := l.next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestStreamOutlivesTheTimeOfAnAnswer(t *testing.T) {
	var n atomic.Int64
	const timeout = 50 * time.Millisecond
	ln := listenTCP(t)
	conn := asksEarly(t, ln, getEvents, "Host: localhost", "Accept: text/event-stream")
	s := serves(t, ln, counting(&n), func(s *Server) { s.Timeout, s.calm = timeout, timeout/5 })
	began := time.Now()
	l := s.hears(t, conn)
	for time.Since(began) < 4*timeout {
		if got := l.next(); got == "" {
			t.Fatalf("the stream ended after %v", time.Since(began))
		}
	}
}

func TestStreamsLeaveRoomForProbes(t *testing.T) {
	var n atomic.Int64
	s := serves(t, listenTCP(t), counting(&n))
	var open []*listening
	for range maxStreams {
		open = append(open, s.listens(t))
	}
	for range 2 * maxConns {
		if a := s.sends(t, head("GET /events HTTP/1.1", "Host: localhost")); a.StatusCode != 503 || !strings.Contains(a.body, "open already") {
			t.Fatalf("got %s and %q beyond the limit, want 503", a.Status, a.body)
		}
	}
	if response, _ := s.asks(t, http.MethodGet, "/status"); response.StatusCode != 200 {
		t.Errorf("got %s beside the streams, want 200", response.Status)
	}
	// Whoever leaves gives the place to another.
	open[0].conn.Close()
	limit := time.Now().Add(patience)
	for s.streams.Load() >= maxStreams {
		if time.Now().After(limit) {
			t.Fatal("the place of a client that has left is taken")
		}
		n.Add(1)
		open[1].next()
	}
	s.listens(t)
}

func TestStreamsEndWithTheProgram(t *testing.T) {
	var n atomic.Int64
	s := serves(t, listenTCP(t), counting(&n), func(s *Server) { s.beat = time.Hour })
	l := s.listens(t)
	if got := l.next(); got != `data: {"n":0}` {
		t.Fatalf("got %q", got)
	}
	if err := s.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	// The end of the body is a regular one: the handler has returned, and nobody has cut it off after the grace.
	if rest, err := io.ReadAll(l.lines); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v, want the end", rest, err)
	}
}

func TestStreamsShareWhatIsAsked(t *testing.T) {
	var asked atomic.Int64
	var s snapshot
	ask := func() any { return asked.Add(1) }
	for range 5 {
		if got := string(s.get(time.Hour, ask)); got != "1" {
			t.Errorf("got %s, want the first", got)
		}
	}
	if got := string(s.get(0, ask)); got != "2" || asked.Load() != 2 {
		t.Errorf("got %s after the beat, want another", got)
	}
	if got := string(s.get(0, func() any { return func() {} })); got != "null" {
		t.Errorf("got %s for what is no JSON, want null", got)
	}
}

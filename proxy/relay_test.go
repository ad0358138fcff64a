package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A joint is a relay at work, seen from its two ends.
type joint struct {
	client, upstream *net.TCPConn
	session          *Session
	end              context.CancelFunc
	done             chan relayed
}

// join relays between two connections. edit, if not nil, changes the session before.
func join(t *testing.T, edit func(s *Session, client net.Conn)) *joint {
	t.Helper()
	client, near := tcpPair(t)
	upstream, far := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s := &Session{Upstream: &UpstreamConn{Conn: fast(far), release: func() {}}}
	if edit != nil {
		edit(s, near)
	}
	j := &joint{client, upstream, s, cancel, make(chan relayed, 1)}
	go func() {
		result := relay(ctx, newTalk(fast(near), s))
		far.Close()
		near.Close()
		j.done <- result
	}()
	return j
}

// ended waits for the relay's end, which must come soon.
func (j *joint) ended(t *testing.T) relayed {
	t.Helper()
	select {
	case result := <-j.done:
		return result
	case <-time.After(lingerTime * 4 / 5):
		t.Fatal("the relay goes on")
		return relayed{}
	}
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

func hearEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("got %d bytes, %v, want the end", n, err)
	}
}

func halfClose(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func TestBytesArePassedOnAndCounted(t *testing.T) {
	for _, size := range []int{1, smallBuffer - 1, smallBuffer, smallBuffer + 1, largeBuffer, 3*largeBuffer + 1, 1 << 20} {
		j := join(t, nil)
		up, down := strings.Repeat("u", size), strings.Repeat("d", size+1)
		go func() { _, _ = io.WriteString(j.client, up) }()
		go func() { _, _ = io.WriteString(j.upstream, down) }()
		hear(t, j.upstream, up)
		hear(t, j.client, down)
		j.client.Close()
		hearEnd(t, j.upstream)
		j.upstream.Close()
		got := j.ended(t)
		if got.fromClient != int64(size) || got.fromUpstream != int64(size+1) || got.silent || got.err != nil {
			t.Errorf("got %+v, want %d bytes from the client and %d from upstream", got, size, size+1)
		}
	}
}

func TestClientsHalfCloseIsPassedOn(t *testing.T) {
	j := join(t, nil)
	say(t, j.client, "last words")
	halfClose(t, j.client)
	hear(t, j.upstream, "last words")
	hearEnd(t, j.upstream)
	say(t, j.upstream, "the answer")
	hear(t, j.client, "the answer")
	j.upstream.Close()
	hearEnd(t, j.client)
	if got := j.ended(t); got.err != nil || got.fromUpstream != 10 {
		t.Errorf("got %+v, want 10 bytes from upstream", got)
	}
}

func TestUpstreamsHalfCloseIsPassedOn(t *testing.T) {
	j := join(t, nil)
	say(t, j.upstream, "last words")
	halfClose(t, j.upstream)
	hear(t, j.client, "last words")
	hearEnd(t, j.client)
	say(t, j.client, "the answer")
	hear(t, j.upstream, "the answer")
	j.client.Close()
	hearEnd(t, j.upstream)
	if got := j.ended(t); got.err != nil || got.fromClient != 10 {
		t.Errorf("got %+v, want 10 bytes from the client", got)
	}
}

func TestClientsResetEndsUpstream(t *testing.T) {
	for _, row := range []struct {
		name   string
		before func(t *testing.T, j *joint)
	}{
		{"idle", func(*testing.T, *joint) {}},
		{"after a request", func(t *testing.T, j *joint) { say(t, j.client, "request"); hear(t, j.upstream, "request") }},
		{"with an answer unread", func(t *testing.T, j *joint) { say(t, j.upstream, strings.Repeat("x", 100_000)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := join(t, nil)
			row.before(t, j)
			_ = j.client.SetLinger(0)
			j.client.Close()
			_, _ = io.Copy(io.Discard, j.upstream) // ends with an end or a reset
			if got := j.ended(t); got.err != nil {
				t.Errorf("got %v, want no error: resets happen every day", got.err)
			}
		})
	}
}

func TestUpstreamsResetEndsClient(t *testing.T) {
	j := join(t, nil)
	say(t, j.client, "request")
	hear(t, j.upstream, "request")
	_ = j.upstream.SetLinger(0)
	j.upstream.Close()
	hearEnd(t, j.client)
	j.client.Close()
	if got := j.ended(t); got.err != nil {
		t.Errorf("got %v, want no error", got.err)
	}
}

func TestClientThatGoesOnTalkingToNobodyIsCutOff(t *testing.T) {
	j := join(t, nil)
	say(t, j.upstream, "goodbye")
	j.upstream.Close()
	hear(t, j.client, "goodbye")
	for {
		if _, err := io.WriteString(j.client, "anybody?"); err != nil {
			break
		}
	}
	j.ended(t)
}

// A net.Pipe has no half-close, so that the client never learns that it is alone.
func TestIdleClientIsGivenUpWhenDatabaseLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		upstream, far := net.Pipe()
		defer client.Close()
		upstream.Close()
		began := time.Now()
		got := relay(t.Context(), newTalk(near, &Session{Upstream: &UpstreamConn{Conn: far}}))
		if took := time.Since(began); took != lingerTime || got.err != nil || got.silent {
			t.Errorf("got %+v after %v, want nothing special after %v", got, took, lingerTime)
		}
	})
}

func TestClientThatNeverReadsHoldsOnlyItself(t *testing.T) {
	j := join(t, nil)
	_ = j.upstream.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	sent, err := io.Copy(j.upstream, endless{})
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Fatalf("upstream could send %d bytes and then got %v, want to be held up", sent, err)
	}
	say(t, j.client, "still here") // the other direction works
	hear(t, j.upstream, "still here")
	j.end()
	j.ended(t)
}

// endless never stops talking.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestContextsEndEndsRelay(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, j *joint){
		"idle":               func(*testing.T, *joint) {},
		"after half a close": func(t *testing.T, j *joint) { halfClose(t, j.client); hearEnd(t, j.upstream) },
		"the other half":     func(t *testing.T, j *joint) { halfClose(t, j.upstream); hearEnd(t, j.client) },
	} {
		t.Run(name, func(t *testing.T) {
			j := join(t, nil)
			before(t, j)
			j.end()
			if got := j.ended(t); got.err != nil {
				t.Errorf("got %v, want no error", got.err)
			}
			_, _ = io.Copy(io.Discard, j.client)
			_, _ = io.Copy(io.Discard, j.upstream)
		})
	}
}

func TestSilentClientIsTold(t *testing.T) {
	for _, row := range []struct {
		name   string
		leave  func(t *testing.T, j *joint)
		silent bool
	}{
		{"client leaves", func(t *testing.T, j *joint) { j.client.Close(); hearEnd(t, j.upstream); j.upstream.Close() }, true},
		{"client resets", func(_ *testing.T, j *joint) { _ = j.client.SetLinger(0); j.client.Close() }, true},
		{"client says something", func(t *testing.T, j *joint) {
			say(t, j.client, "x")
			j.client.Close()
			hear(t, j.upstream, "x")
			j.upstream.Close()
		}, false},
		{"upstream leaves", func(t *testing.T, j *joint) { j.upstream.Close(); hearEnd(t, j.client); j.client.Close() }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			j := join(t, nil)
			row.leave(t, j)
			if got := j.ended(t); got.silent != row.silent {
				t.Errorf("got silent %v, want %v", got.silent, row.silent)
			}
		})
	}
}

func TestPrologueComesFirstAndCounts(t *testing.T) {
	j := join(t, func(s *Session, client net.Conn) {
		s.Prologue = func() (int64, error) {
			n, err := client.Write([]byte("prologue "))
			return int64(n), err
		}
	})
	say(t, j.upstream, "and the rest")
	hear(t, j.client, "prologue and the rest")
	j.client.Close()
	hearEnd(t, j.upstream)
	j.upstream.Close()
	if got := j.ended(t); got.fromUpstream != 21 {
		t.Errorf("got %d bytes from upstream, want 21", got.fromUpstream)
	}
}

func TestFailedPrologueEndsSession(t *testing.T) {
	j := join(t, func(s *Session, _ net.Conn) { s.Prologue = func() (int64, error) { return 7, errTest } })
	hearEnd(t, j.client)
	j.client.Close()
	if got := j.ended(t); !errors.Is(got.err, errTest) || got.fromUpstream != 7 {
		t.Errorf("got %+v, want the prologue's error and 7 bytes", got)
	}
}

func TestPumpCountsPiecesOfAllSizes(t *testing.T) {
	var got bytes.Buffer
	sizes := []int{1, smallBuffer, largeBuffer, smallBuffer, smallBuffer - 1, smallBuffer, 5}
	var want int64
	script := &pieces{sizes: sizes}
	for _, n := range sizes {
		want += int64(n)
	}
	counted := newTalk(nil, &Session{})
	err := pump(&got, script, fromUpstreamSide{counted})
	if n := counted.fromUpstream.Load(); err != io.EOF || n != want || int64(got.Len()) != want {
		t.Errorf("got %d bytes, %v, want %d and EOF", n, err, want)
	}
}

// pieces is read in pieces of these sizes, or of what there is room for.
type pieces struct{ sizes []int }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.sizes) == 0 {
		return 0, io.EOF
	}
	n := min(p.sizes[0], len(b))
	if p.sizes[0] -= n; p.sizes[0] == 0 {
		p.sizes = p.sizes[1:]
	}
	return n, nil
}

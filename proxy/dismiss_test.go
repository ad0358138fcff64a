package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// semicolons is an Engine for a protocol in which an answer ends with ";", and with "," in a transaction.
type semicolons struct{ joins }

func (e semicolons) Handshake(ctx context.Context, c *Client, up *Upstream) (*Session, error) {
	s, err := e.joins.Handshake(ctx, c, up)
	if s != nil {
		s.Reply = func(_, chunk []byte) Reply {
			switch {
			case bytes.HasSuffix(chunk, []byte(";")):
				return ReplyComplete
			case bytes.HasSuffix(chunk, []byte(",")):
				return ReplyInTransaction
			case bytes.HasSuffix(chunk, []byte("!")):
				return NoReply
			}
			return ReplyUnfinished
		}
		s.Farewell = func(why *Farewell) []byte { return []byte("bye: " + why.Text) }
		s.Quit = []byte("quit")
	}
	return s, err
}

// A scene is a Server between a client and a database, both of them the test's.
type scene struct {
	*Server
	ln               net.Listener // of the database
	enter            func() net.Conn
	log              *syncBuffer
	client, database net.Conn
}

func newScene(t *testing.T, edit func(*Server)) *scene {
	t.Helper()
	s := &scene{ln: listen(t)}
	s.Server = newServer(s.ln.Addr())
	clients := listen(t)
	s.enter = func() net.Conn { return dial(t, clients.Addr()) }
	s.begin(t, clients, edit)
	return s
}

// newStillScene is newScene for a bubble of testing/synctest.
func newStillScene(t *testing.T, edit func(*Server)) *scene {
	t.Helper()
	s := &scene{Server: newServer(&net.UnixAddr{Name: "database", Net: "unix"})}
	clients, database := s.onPipes(t)
	s.ln, s.enter = database, func() net.Conn { return clients.enter(t) }
	s.begin(t, clients, edit)
	return s
}

func (s *scene) begin(t *testing.T, clients net.Listener, edit func(*Server)) {
	t.Helper()
	s.log = &syncBuffer{}
	s.Engine, s.Log = semicolons{}, newTextLog(s.log)
	if edit != nil {
		edit(s.Server)
	}
	s.serveOn(t, clients)
	s.client, s.database = s.open(t)
}

// open opens a session.
func (s *scene) open(t *testing.T) (client, database net.Conn) {
	t.Helper()
	before := s.Counts.Open.Load()
	client = s.enter()
	conn, err := s.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	soon(t, "the session", func() bool { return s.Counts.Open.Load() == before+1 })
	return client, conn
}

// exchange is a command and its answer.
func (s *scene) exchange(t *testing.T, command, answer string) {
	t.Helper()
	say(t, s.client, command)
	hear(t, s.database, command)
	say(t, s.database, answer)
	hear(t, s.client, answer)
}

var closing = &Farewell{Text: "closing"}

// dismiss dismisses all, and returns where the error comes.
func (s *scene) dismiss(ctx context.Context, grace time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Dismiss(ctx, nil, closing, grace) }()
	return done
}

// dismissed waits for the end of a Dismiss.
func dismissed(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Dismiss goes on")
	}
}

// toldAndLeft sees both sides take their leave.
func (s *scene) toldAndLeft(t *testing.T, why string) {
	t.Helper()
	hear(t, s.client, "bye: "+why)
	hear(t, s.database, "quit")
	hearEnd(t, s.client)
	hearEnd(t, s.database)
	s.client.Close()
}

func TestIdleClientIsToldAtOnce(t *testing.T) {
	for name, before := range map[string]func(*testing.T, *scene){
		"after the login":     func(*testing.T, *scene) {},
		"after an answer":     func(t *testing.T, s *scene) { s.exchange(t, "select", "row;") },
		"after a long answer": func(t *testing.T, s *scene) { s.exchange(t, "select", strings.Repeat("row ", 50_000)+";") },
		"after a notification": func(t *testing.T, s *scene) {
			s.exchange(t, "listen", "ok;")
			say(t, s.database, "news!")
			hear(t, s.client, "news!")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			before(t, s)
			done := s.dismiss(t.Context(), time.Hour)
			s.toldAndLeft(t, "closing")
			dismissed(t, done)
			if n := s.Counts.Open.Load(); n != 0 {
				t.Errorf("%d sessions are open", n)
			}
			if log := s.log.String(); !strings.Contains(log, "because=closing") || strings.Contains(log, "err=") {
				t.Errorf("got log\n%s, want the reason in it and no error", log)
			}
		})
	}
}

func TestAnswerIsCompletedBeforeTheFarewell(t *testing.T) {
	s := newScene(t, nil)
	say(t, s.client, "select")
	hear(t, s.database, "select")
	say(t, s.database, "row 1 ")
	hear(t, s.client, "row 1 ")
	done := s.dismiss(t.Context(), time.Hour)
	say(t, s.database, "row 2 ")
	hear(t, s.client, "row 2 ")
	say(t, s.database, "row 3;")
	hear(t, s.client, "row 3;")
	s.toldAndLeft(t, "closing")
	dismissed(t, done)
}

// The client of this test never pauses: its next command is there as soon as it has an answer.
func TestClientThatNeverPausesIsToldBetweenTwoAnswers(t *testing.T) {
	s := newScene(t, nil)
	go func() {
		for {
			if _, err := io.ReadFull(s.database, make([]byte, len("command"))); err != nil {
				return
			}
			_, _ = s.database.Write([]byte("answer;"))
		}
	}()
	for range 100 {
		say(t, s.client, "command")
		hear(t, s.client, "answer;")
	}
	done := s.dismiss(t.Context(), time.Hour)
	for {
		say(t, s.client, "command")
		got := make([]byte, len("answer;"))
		if _, err := io.ReadFull(s.client, got); err != nil {
			t.Fatal(err)
		}
		if string(got) == "bye: cl" {
			break
		}
		if string(got) != "answer;" {
			t.Fatalf("got %q", got)
		}
	}
	hear(t, s.client, "osing")
	hearEnd(t, s.client)
	s.client.Close()
	dismissed(t, done)
}

// TestCommandAnsweredWithAFarewellWasNotExecuted lets commands and farewells meet.
func TestCommandAnsweredWithAFarewellWasNotExecuted(t *testing.T) {
	s := newScene(t, nil)
	for i := range 100 {
		if i > 0 {
			s.client, s.database = s.open(t)
		}
		var executed atomic.Bool
		databaseDone := make(chan struct{})
		go func() {
			defer close(databaseDone)
			b := make([]byte, 4)
			if _, err := io.ReadFull(s.database, b); err == nil && string(b) == "DROP" {
				executed.Store(true)
				_, _ = s.database.Write([]byte("done;"))
			}
			_, _ = io.Copy(io.Discard, s.database)
			s.database.Close()
		}()
		done := s.dismiss(t.Context(), time.Hour)
		if i%2 == 0 {
			_ = s.client.SetReadDeadline(time.Now().Add(time.Duration(i) * time.Microsecond))
			_, _ = s.client.Read(nil)
		}
		_, _ = s.client.Write([]byte("DROP"))
		_ = s.client.SetDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(s.client)
		if err != nil {
			t.Fatal(err)
		}
		s.client.Close()
		dismissed(t, done)
		<-databaseDone
		want := "bye: closing"
		if executed.Load() {
			want = "done;bye: closing"
		}
		if string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestTransactionIsLeftAlone(t *testing.T) {
	s := newScene(t, nil)
	s.exchange(t, "begin", "ok,")
	done := s.dismiss(t.Context(), time.Hour)
	s.exchange(t, "insert", "ok,")
	s.exchange(t, "commit", "ok;")
	s.toldAndLeft(t, "closing")
	dismissed(t, done)
}

func TestTransactionIsToldAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStillScene(t, nil)
		s.exchange(t, "begin", "ok,")
		done := s.dismiss(t.Context(), time.Second)
		s.toldAndLeft(t, "closing")
		dismissed(t, done)
	})
}

// Who can't be told at once, because there is something to read first, has a moment for that.
func TestTransactionOfASlowReaderIsToldAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStillScene(t, nil)
		s.exchange(t, "begin", "ok,")
		say(t, s.database, "notice,")
		done := s.dismiss(t.Context(), time.Second)
		<-time.After(1500 * time.Millisecond)
		hear(t, s.client, "notice,")
		s.toldAndLeft(t, "closing")
		dismissed(t, done)
	})
}

func TestBusySessionIsCutAfterTheGrace(t *testing.T) {
	s := newScene(t, nil)
	say(t, s.client, "select")
	hear(t, s.database, "select")
	say(t, s.database, "row")
	hear(t, s.client, "row")
	dismissed(t, s.dismiss(t.Context(), time.Millisecond))
	if got, _ := io.ReadAll(s.client); len(got) > 0 {
		t.Errorf("client got %q, want the end", got)
	}
}

func TestDismissChooses(t *testing.T) {
	s := newScene(t, nil)
	other, otherDatabase := s.open(t)
	mine := s.client.LocalAddr().String()
	if states := s.Sessions(); len(states) != 2 || states[0].Client != mine {
		t.Errorf("got %+v, want the first session first", states)
	}
	var one *Session
	first := func(session *Session) bool {
		if one == nil && session.Upstream.LocalAddr().String() == s.database.RemoteAddr().String() {
			one = session
		}
		return one == session
	}
	done := make(chan error, 1)
	go func() { done <- s.Dismiss(t.Context(), first, closing, time.Hour) }()
	s.toldAndLeft(t, "closing")
	dismissed(t, done)
	say(t, other, "hello")
	hear(t, otherDatabase, "hello")
}

func TestSessionIsFoundByItsID(t *testing.T) {
	s := newScene(t, nil)
	s.open(t)
	for _, state := range s.Sessions() {
		session := s.Session(state.ID)
		if session == nil || session.Upstream.Credential.ID != state.Credential || state.Credential == "" {
			t.Errorf("got %+v for %+v", session, state)
		}
	}
	if a, b := s.Session(s.Sessions()[0].ID), s.Session(s.Sessions()[1].ID); a == b {
		t.Error("two sessions are found by both of their IDs")
	}
	for _, id := range []string{"", "x", uuid.NewString()} {
		if s.Session(id) != nil {
			t.Errorf("there is a session %q", id)
		}
	}
}

func TestSessionThatBeginsDuringADismissIsToldToo(t *testing.T) {
	s := newScene(t, nil)
	say(t, s.client, "select")
	hear(t, s.database, "select")
	done := s.dismiss(t.Context(), time.Hour)
	soon(t, "the wish", func() bool { return s.sessions.all()[0].wish.Load() != nil })
	late := s.enter()
	hear(t, late, "bye: closing")
	late.Close()
	say(t, s.database, "row;")
	hear(t, s.client, "row;")
	s.toldAndLeft(t, "closing")
	dismissed(t, done)
}

func TestDismissEndsWithItsContext(t *testing.T) {
	s := newScene(t, nil)
	say(t, s.client, "select")
	hear(t, s.database, "select")
	ctx, cancel := context.WithCancel(t.Context())
	done := s.dismiss(ctx, time.Hour)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestIdleSessionEndsAtItsTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 800 * time.Millisecond
		s := newStillScene(t, func(s *Server) { s.IdleTimeout = limit })
		<-time.After(limit / 2)
		s.exchange(t, "select", "row;")
		began := time.Now()
		hear(t, s.client, "bye: the session was idle for 800ms")
		if took := time.Since(began); took < limit || took > limit+2*limit/limitParts+knockTime {
			t.Errorf("the session ended after %v, want %v and a little", took, limit)
		}
		hear(t, s.database, "quit")
		hearEnd(t, s.client)
		hearEnd(t, s.database)
	})
}

func TestLongQueryIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStillScene(t, func(s *Server) { s.IdleTimeout = 50 * time.Millisecond })
		say(t, s.client, "select")
		hear(t, s.database, "select")
		_ = s.client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := s.client.Read(make([]byte, 1)); n != 0 || err == io.EOF {
			t.Fatalf("got %d bytes, %v, want nothing", n, err)
		}
		_ = s.client.SetDeadline(time.Now().Add(patience))
		_ = s.database.SetDeadline(time.Now().Add(patience))
		say(t, s.database, "row;")
		hear(t, s.client, "row;")
		s.toldAndLeft(t, "the session was idle for 50ms")
	})
}

func TestOldSessionEndsWhenItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStillScene(t, func(s *Server) { s.MaxSessionAge = 50 * time.Millisecond })
		say(t, s.client, "begin")
		hear(t, s.database, "begin")
		soon(t, "the wish", func() bool { return s.sessions.all()[0].wish.Load() != nil })
		say(t, s.database, "ok,")
		hear(t, s.client, "ok,")
		s.exchange(t, "commit", "ok;")
		s.toldAndLeft(t, "the session is older than 50ms")
	})
}

func TestSessionsSayWhatTheyDo(t *testing.T) {
	s := newScene(t, nil)
	s.exchange(t, "select", "row;")
	soon(t, "the count", func() bool { return s.Sessions()[0].FromUpstream == 4 })
	got := s.Sessions()
	if len(got) != 1 || got[0].FromClient != 6 || !got[0].Idle || got[0].Client != s.client.LocalAddr().String() || got[0].Upstream != s.ln.Addr().String() {
		t.Errorf("got %+v", got)
	}
	say(t, s.client, "select")
	hear(t, s.database, "select")
	if got := s.Sessions(); got[0].Idle || got[0].FromClient != 12 {
		t.Errorf("got %+v, want it busy", got)
	}
	s.client.Close()
	s.database.Close()
	soon(t, "the end", func() bool { return len(s.Sessions()) == 0 })
}

// BenchmarkRelay measures a small question and its answer, and long answers.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{64, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			client, near := benchPair(b)
			upstream, far := benchPair(b)
			done := make(chan struct{})
			go func() {
				defer close(done)
				benchRelay(b, near, &Session{Upstream: &UpstreamConn{Conn: fast(far), release: func() {}}})
			}()
			answer := make([]byte, size)
			go func() {
				question := make([]byte, 32)
				for {
					if _, err := io.ReadFull(upstream, question); err != nil {
						upstream.Close()
						return
					}
					_, _ = upstream.Write(answer)
				}
			}()
			b.SetBytes(int64(size))
			question, got := make([]byte, 32), make([]byte, size)
			for b.Loop() {
				_, _ = client.Write(question)
				if _, err := io.ReadFull(client, got); err != nil {
					b.Fatal(err)
				}
			}
			client.Close()
			<-done
		})
	}
}

func benchPair(b *testing.B) (near, far net.Conn) {
	ln := listen(b)
	defer ln.Close()
	near = dial(b, ln.Addr())
	_ = near.SetDeadline(time.Time{})
	far, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	return near, far
}

func benchRelay(b *testing.B, near net.Conn, s *Session) { relay(b.Context(), newTalk(fast(near), s)) }

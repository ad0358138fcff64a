package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// maxStreams leaves most of a listener's connections to probes and requests.
	maxStreams = 8

	defaultBeat = time.Second
	defaultCalm = 15 * time.Second
)

// serveEvents tells what Status returns: at once, and then when it has changed, at most once a beat. The
// first event, hello, says which run of the program this is and what time it is, as the clock of a browser
// on another machine may be wrong. Where nothing changes, a comment shows now and then that all is well.
//
//	https://html.spec.whatwg.org/multipage/server-sent-events.html
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	defer s.streams.Add(-1)
	if s.streams.Add(1) > maxStreams {
		answer(w, http.StatusServiceUnavailable, fmt.Sprintf("%d streams of events are open already: close a page, or ask for /status", maxStreams))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	stream := &stream{w: w, control: http.NewResponseController(w), timeout: cmp.Or(s.Timeout, DefaultTimeout)}
	hello := fmt.Sprintf(`{"run":%q,"now":%q}`, s.secrets.get().run, time.Now().UTC().Format(time.RFC3339Nano))
	if stream.write("event: hello\ndata: "+hello+"\n\n") != nil {
		return
	}
	beat := cmp.Or(s.beat, defaultBeat)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for stream.tell(s.latest.get(beat, s.Status), cmp.Or(s.calm, defaultCalm)) == nil {
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-endOf(r):
			return
		}
	}
}

// A stream is where events go to.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of a write
	told    []byte        // the last event
	at      time.Time     // when something was written last
}

// tell writes status, if it differs from what was told last, or after calm that all is well.
func (s *stream) tell(status []byte, calm time.Duration) error {
	switch {
	case !bytes.Equal(status, s.told):
		s.told = status
		return s.write("data: " + string(status) + "\n\n")
	case time.Since(s.at) >= calm:
		return s.write(": nothing new\n\n")
	}
	return nil
}

// write writes text at once. The server's own limit is for the whole of an answer.
func (s *stream) write(text string) error {
	s.at = time.Now()
	_ = s.control.SetWriteDeadline(s.at.Add(s.timeout)) // it fails only on what is no connection
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// A snapshot is the status as JSON in one line, that all streams of a beat share.
type snapshot struct {
	mu   sync.Mutex
	at   time.Time
	json []byte
}

// get returns what ask said less than half a beat ago, or says now.
func (s *snapshot) get(beat time.Duration, ask func() any) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json != nil && time.Since(s.at) < beat/2 {
		return s.json
	}
	text, err := json.Marshal(ask())
	if err != nil { // there is nothing in it that can't be
		text = []byte("null")
	}
	s.at, s.json = time.Now(), text
	return text
}

type endKey struct{}

// withEnd returns the context of requests, which go on after ctx has ended. It knows when that is.
func withEnd(ctx context.Context) context.Context {
	return context.WithValue(context.Background(), endKey{}, ctx.Done())
}

// endOf is closed when the server is to end.
func endOf(r *http.Request) <-chan struct{} {
	end, _ := r.Context().Value(endKey{}).(<-chan struct{})
	return end
}

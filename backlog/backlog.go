// Package backlog keeps who writes from waiting for who reads. A log whose reader has stopped, a full
// disk or a syslog that is restarted must not hold up the relay: what can't be written soon waits in a
// queue, and what does not fit there is counted and lost. The package imports nothing of ours.
package backlog

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Size is how many pieces wait in a Writer at most.
const Size = 4096

// flushTime is how long Close waits for what still lies in the queue.
const flushTime = 2 * time.Second

// A Writer passes what is written to it on to another writer, from a goroutine of its own and piece by
// piece: each Write becomes one. It never blocks and never fails. Calls may be concurrent.
type Writer struct {
	out    io.Writer
	told   func(lost int64) // nil: nobody is told
	queue  chan []byte
	closed chan struct{} // there is no more to come
	done   chan struct{} // the goroutine has ended
	close  sync.Once

	lost atomic.Int64 // since the beginning
}

var _ io.WriteCloser = (*Writer)(nil)

// New returns a Writer to out, which the caller closes. told is called when pieces were lost, there is
// room again and one has arrived, with how many those were; it may write to the Writer. Nil: nobody is told.
func New(out io.Writer, told func(lost int64)) *Writer {
	w := &Writer{out: out, told: told, queue: make(chan []byte, Size), closed: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write puts a copy of p into the queue, or loses it where that is full. After Close it is lost too.
func (w *Writer) Write(p []byte) (int, error) {
	piece := append([]byte(nil), p...)
	select {
	case <-w.closed:
		w.lost.Add(1)
		return len(p), nil
	default:
	}
	select {
	case w.queue <- piece:
	default:
		w.lost.Add(1)
	}
	return len(p), nil
}

// Lost returns how many pieces were lost so far: those that found no room, and those that could not be
// written.
func (w *Writer) Lost() int64 { return w.lost.Load() }

// Close writes what is in the queue and returns, after two seconds even if nobody reads it. What is
// written at the same time may be lost.
func (w *Writer) Close() error {
	w.close.Do(func() { close(w.closed) })
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
	return nil
}

func (w *Writer) run() {
	defer close(w.done)
	var told int64
	for {
		select {
		case piece := <-w.queue:
			// Who does not get this piece would not get what told writes either, and so it would go on for ever.
			if lost := w.lost.Load(); w.pass(piece) && lost > told && w.told != nil && len(w.queue) < Size/2 {
				w.told(lost - told)
				told = lost
			}
		case <-w.closed:
			w.flush()
			return
		}
	}
}

// flush writes what is left.
func (w *Writer) flush() {
	for {
		select {
		case piece := <-w.queue:
			w.pass(piece)
		default:
			return
		}
	}
}

// pass writes a piece, and reports whether it arrived.
func (w *Writer) pass(piece []byte) bool {
	_, err := w.out.Write(piece)
	if err != nil {
		w.lost.Add(1)
	}
	return err == nil
}

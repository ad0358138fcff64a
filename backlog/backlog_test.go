package backlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEverythingArrivesInOrder(t *testing.T) {
	var got bytes.Buffer
	w := New(&got, nil)
	var want strings.Builder
	for i := range 1000 {
		fmt.Fprintf(w, "line %d\n", i)
		fmt.Fprintf(&want, "line %d\n", i)
	}
	w.Close()
	if got.String() != want.String() || w.Lost() != 0 {
		t.Errorf("got %d bytes and %d lost, want %d and none", got.Len(), w.Lost(), want.Len())
	}
}

// TestReaderThatStoppedBlocksNobody has a pipe that nobody reads until the queue has overflowed.
func TestReaderThatStoppedBlocksNobody(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	told := make(chan int64, 1)
	w := New(out, func(lost int64) { told <- lost })
	line := bytes.Repeat([]byte("x"), 1000)
	for range Size + 200 { // a pipe holds 64 KiB
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	lost := w.Lost()
	if lost == 0 {
		t.Fatal("nothing was lost")
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	defer r.Close()
	select {
	case got := <-told:
		if got != lost {
			t.Errorf("told of %d that were lost, want %d", got, lost)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told of what was lost")
	}
	w.Close()
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	r, out := io.Pipe()
	defer r.Close()
	w := New(out, nil)
	fmt.Fprint(w, "nobody reads this")
	w.Close()
	fmt.Fprint(w, "nor this")
	if w.Lost() != 1 {
		t.Errorf("%d lost, want what was written after the end", w.Lost())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWhatCanNotBeWrittenIsCounted(t *testing.T) {
	w := New(broken{}, nil)
	fmt.Fprint(w, "one")
	fmt.Fprint(w, "two")
	w.Close()
	if w.Lost() != 2 {
		t.Errorf("%d lost, want 2", w.Lost())
	}
}

// mended fails until it is mended.
type mended struct{ works atomic.Bool }

func (m *mended) Write(p []byte) (int, error) {
	if !m.works.Load() {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

// TestNobodyIsToldWhileNothingArrives has a log whose terminal was closed: what is said about lost lines
// goes there, too, and is lost.
func TestNobodyIsToldWhileNothingArrives(t *testing.T) {
	var out mended
	var w *Writer
	told := make(chan int64, Size)
	ready := make(chan struct{})
	w = New(&out, func(lost int64) {
		<-ready
		told <- lost
		fmt.Fprint(w, "lost")
	})
	close(ready)
	for range 3 {
		fmt.Fprint(w, "one")
	}
	limit := time.Now().Add(10 * time.Second)
	for w.Lost() < 3 && time.Now().Before(limit) {
		runtime.Gosched()
	}
	out.works.Store(true)
	fmt.Fprint(w, "four")
	select {
	case got := <-told:
		if got != 3 {
			t.Errorf("told of %d, want 3", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told when it was mended")
	}
	w.Close()
	if len(told) > 0 || w.Lost() != 3 {
		t.Errorf("told %d times more, %d lost, want 3", len(told), w.Lost())
	}
}

package audit

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// A file is appended to, line by line. It is for one goroutine, but for reopen.
type file struct {
	path  string
	log   *slog.Logger
	now   *os.File
	rest  []byte      // of a line of which only a part found space
	anew  atomic.Bool // it is to be opened anew
	ok    bool        // the last write was
	looks time.Time   // when it was last seen that the path still leads here
}

// lookEvery is how often it is looked whether the file is still there, and complainEvery how often a
// failure is in the log.
const (
	lookEvery     = time.Second
	complainEvery = time.Minute
)

func openFile(path string, log *slog.Logger) (*file, error) {
	now, err := appendTo(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit's file: %w", err)
	}
	return &file{path: path, log: log, now: now, ok: true, looks: time.Now()}, nil
}

func appendTo(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// reopen has the next line go to a file that is opened anew.
func (f *file) reopen() { f.anew.Store(true) }

// Write appends line. Where there is space for a part of it only, the rest is written before the next
// one, so that every line is whole once there is space again.
func (f *file) Write(line []byte) (int, error) {
	f.follow()
	if len(f.rest) > 0 {
		n, err := f.now.Write(f.rest)
		f.rest = f.rest[n:]
		if err != nil {
			return 0, f.failed(err)
		}
	}
	n, err := f.now.Write(line)
	if err != nil {
		if n == 0 {
			return 0, f.failed(err)
		}
		f.rest = append([]byte(nil), line[n:]...)
		_ = f.failed(err)
	}
	if err == nil {
		f.ok = true
	}
	return len(line), nil
}

// failed complains, once for each time that it begins to fail.
func (f *file) failed(err error) error {
	if f.ok {
		f.ok = false
		f.log.Error("the audit's file can't be written", "path", f.path, "err", err, "hint", "make space; records are lost until then")
	}
	return err
}

// follow opens the file anew, where that was asked for or the file is not at its path any more.
func (f *file) follow() {
	asked := f.anew.Swap(false)
	if !asked {
		if time.Since(f.looks) < lookEvery || f.there() {
			return
		}
		f.log.Warn("the audit's file has gone from its path, and another is opened", "path", f.path)
	}
	f.looks = time.Now()
	next, err := appendTo(f.path)
	if err != nil {
		f.looks = f.looks.Add(complainEvery)
		f.log.Error("the audit's file can't be opened anew; the old one is written on", "path", f.path, "err", err)
		return
	}
	_ = f.now.Close()
	f.now, f.rest = next, nil
}

// there reports whether the path still leads to the file that is written.
func (f *file) there() bool {
	f.looks = time.Now()
	at, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	ours, err := f.now.Stat()
	return err == nil && os.SameFile(at, ours)
}

// Close closes the file.
func (f *file) Close() error { return f.now.Close() }

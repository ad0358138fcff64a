package proxy

import (
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A failureLog writes what becomes of set-ups that fail, and not so often that a flood of them fills
// the disk, or keeps the log's reader from anything else.
type failureLog struct {
	limiter    atomic.Pointer[rate.Limiter]
	suppressed atomic.Int64
}

// What a failureLog writes at most: a burst, and then so many lines a second.
const (
	failureBurst = 100
	failureRate  = 10
)

// write logs err, unless there were too many already; their number is told with the next.
func (f *failureLog) write(log *slog.Logger, err error) {
	limiter := f.limiter.Load()
	if limiter == nil {
		f.limiter.CompareAndSwap(nil, rate.NewLimiter(failureRate, failureBurst))
		limiter = f.limiter.Load()
	}
	if !limiter.AllowN(time.Now(), 1) {
		f.suppressed.Add(1)
		return
	}
	attrs := append([]any{"stage", stageOf(err)}, errAttrs(err)...)
	if n := f.suppressed.Swap(0); n > 0 {
		attrs = append(attrs, "not_logged_before", n)
	}
	log.Warn("set-up failed", attrs...)
}

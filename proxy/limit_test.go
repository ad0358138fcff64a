package proxy

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// comers enter l one after the other, each when the one before waits, and tell their number when they
// are let in, or its negative.
func comers(l *Limit, n int) chan int {
	turns := make(chan int, n)
	for i := 1; i <= n; i++ {
		go func() {
			if _, err := l.enter(context.Background()); err != nil {
				turns <- -i
				return
			}
			turns <- i
		}()
		synctest.Wait()
	}
	return turns
}

func TestLimitIsWaitedFor(t *testing.T) {
	for _, row := range []struct {
		name        string
		newestFirst bool
		want        []int
	}{
		{"in turn", false, []int{1, 2, 3}},
		{"the newest first", true, []int{3, 2, 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &Limit{Max: 1, Wait: time.Minute, NewestFirst: row.newestFirst}
				leave, err := l.enter(t.Context())
				if err != nil || l.yield() {
					t.Fatalf("got %v, want a place that nobody waits for", err)
				}
				turns := comers(l, len(row.want))
				for range row.want {
					if !l.yield() {
						t.Error("nobody waits")
					}
				}
				if l.yield() {
					t.Error("more are to make room than wait for it")
				}
				for range row.want {
					l.yielded()
				}
				for _, want := range row.want {
					leave()
					synctest.Wait()
					if got := <-turns; got != want {
						t.Errorf("got %d, want %d", got, want)
					}
				}
				if l.yield() || l.inUse() != 1 {
					t.Errorf("%d places are taken, want 1, and nobody who waits", l.inUse())
				}
				leave()
				if l.inUse() != 0 {
					t.Errorf("%d places are taken after the end", l.inUse())
				}
			})
		})
	}
}

func TestLimitTurnsAwayWhoWaitsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Limit{Name: "max_connections", Max: 2, Wait: 3 * time.Second}
		for range 2 {
			if _, err := l.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		_, err := l.enter(t.Context())
		if stageOf(err) != StageLimit || Final(err) || time.Since(began) != l.Wait ||
			!strings.Contains(err.Error(), "max_connections is 2, and no place came free within 3s") || !strings.Contains(Hint(err), "raise max_connections") {
			t.Errorf("got %v with hint %q after %v", err, Hint(err), time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := l.enter(ctx); stageOf(err) != StageLimit || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want a refusal when the time for all of it is over", err, time.Since(began))
		}
		if l.yield() || l.inUse() != 2 {
			t.Errorf("%d places are taken, want 2, and nobody who waits", l.inUse())
		}
	})
}

// The queue has an end: of more than it takes, those go who have waited the longest.
func TestLimitBoundsItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Limit{Max: 1, Wait: time.Minute, NewestFirst: true}
		leave, err := l.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const more = 3
		turns := comers(l, maxWaiting+more)
		for i := range more {
			if got := <-turns; got != -(i + 1) {
				t.Errorf("got %d, want number %d turned away", got, i+1)
			}
		}
		leave()
		if got := <-turns; got != maxWaiting+more {
			t.Errorf("got %d, want the newest", got)
		}
		synctest.Wait()
		l.mu.Lock()
		waiting := len(l.waiting)
		l.mu.Unlock()
		if waiting != maxWaiting-1 {
			t.Errorf("%d wait, want %d", waiting, maxWaiting-1)
		}
		time.Sleep(2 * time.Minute) // for the rest
	})
}

// Places of several limits are taken all or not at all.
func TestLimitsAreTakenTogether(t *testing.T) {
	route, all := &Limit{Max: 5}, &Limit{Max: 1}
	leave, err := enterAll(t.Context(), []*Limit{route, all})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enterAll(t.Context(), []*Limit{route, all}); stageOf(err) != StageLimit {
		t.Errorf("got %v, want a refusal", err)
	}
	if route.inUse() != 1 || all.inUse() != 1 {
		t.Errorf("%d and %d places are taken, want 1 and 1", route.inUse(), all.inUse())
	}
	leave()
	if route.inUse() != 0 || all.inUse() != 0 {
		t.Errorf("%d and %d places are taken, want none", route.inUse(), all.inUse())
	}
}

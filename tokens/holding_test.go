package tokens

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHoldingsShowNoSecretAndFetchNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := numbered(0, 15*time.Minute)
		c := &Cache{Source: source, Log: quiet()}
		defer c.Close()
		if got := c.Holdings(); len(got) != 0 {
			t.Errorf("got %+v before the first use, want nothing", got)
		}
		before := time.Now()
		get(t, c)
		if _, err := c.Credential(t.Context(), "aaa"); err != nil {
			t.Fatal(err)
		}
		got := c.Holdings()
		if len(got) != 2 || got[0].User != "aaa" || got[1].User != "app" {
			t.Fatalf("got %+v, want those of aaa and app", got)
		}
		h := got[1]
		if h.ID != "v1" || !h.Fetched.Equal(before) || !h.Issued.Equal(before) || !h.Expires.Equal(before.Add(15*time.Minute)) {
			t.Errorf("got %+v, want v1 of %v", h, before)
		}
		if text := fmt.Sprintf("%+v", got); strings.Contains(text, "pw1") {
			t.Errorf("the password is in %s", text)
		}
		source.called(t, 2)
	})
}

func TestHoldingsLeaveOutWhatHasExpired(t *testing.T) {
	for name, row := range map[string]struct {
		life  time.Duration
		after int // that are at hand after a quarter of an hour
	}{
		"token":    {15 * time.Minute, 0},
		"password": {0, 1},
	} {
		c := &Cache{Source: numbered(0, row.life), TTL: time.Hour, Log: quiet()}
		t.Cleanup(c.Close)
		get(t, c)
		if got := c.Holdings(); len(got) != 1 {
			t.Errorf("%s: got %+v while it can be used, want it", name, got)
		}
		c.now = func() time.Time { return time.Now().Add(15*time.Minute + time.Second) }
		if got := c.Holdings(); len(got) != row.after {
			t.Errorf("%s: got %+v after a quarter of an hour, want %d", name, got, row.after)
		}
	}
}

package proxy

import (
	"sync"
	"testing"
)

// TestEitherTheCommandOrTheFarewellIsTheLastWord lets the two meet in all the ways that the scheduler
// has.
func TestEitherTheCommandOrTheFarewellIsTheLastWord(t *testing.T) {
	passed := 0
	for range 20_000 {
		talk := newTalk(nil, &Session{})
		w := &wish{why: closing}
		var command, farewell bool
		var both sync.WaitGroup
		both.Go(func() { command, _ = (&fromClientSide{talk: talk}).read([]byte("DROP")) })
		both.Go(func() { farewell = talk.fulfil(w, nil) })
		both.Wait()
		if command == farewell {
			t.Fatalf("command passed on: %v, farewell said: %v", command, farewell)
		}
		if command {
			passed++
		}
	}
	t.Logf("%d commands were passed on", passed)
}

func TestNothingIsPassedOnAfterTheFarewell(t *testing.T) {
	talk := newTalk(nil, &Session{})
	if !talk.fulfil(&wish{why: closing}, nil) {
		t.Fatal("a session that has just begun is not idle")
	}
	if pass, _ := (&fromClientSide{talk: talk}).read([]byte("DROP")); pass {
		t.Error("the command is passed on")
	}
}

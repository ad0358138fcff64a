package main

import (
	"fmt"
	"sync/atomic"
)

// A phase is what the program is at.
type phase int32

const (
	starting phase = iota
	ready
	reloading
	draining
)

func (p phase) String() string {
	return [...]string{"starting", "ready", "reloading", "draining"}[p]
}

// phases is the program's phase, for those who ask at any time.
type phases struct{ now atomic.Int32 }

func (p *phases) get() phase { return phase(p.now.Load()) }

// tell notes the phase, and tells whoever started the program.
func (v *valet) tell(p phase) {
	v.phase.now.Store(int32(p))
	switch p {
	case ready:
		v.notify.ready(v.summary())
	case reloading:
		v.notify.reloading()
	case draining:
		v.notify.stopping("waiting for sessions to end")
	}
}

// summary is a line for people who ask the service manager.
func (v *valet) summary() string {
	served := v.fleet.served()
	failing := len(v.fleet.failing())
	if failing > 0 {
		return fmt.Sprintf("%d routes served, %d not", len(served)-failing, failing)
	}
	return fmt.Sprintf("%d routes served", len(served))
}

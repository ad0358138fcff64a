package proxy

import (
	"slices"
	"sync/atomic"
)

// Counts is what has become of a Server's clients since it began to serve.
type Counts struct {
	Accepted     atomic.Int64 // connections
	RefusedPeers atomic.Int64 // who may not come in
	Limited      atomic.Int64 // for whom there was no place
	Failed       atomic.Int64 // set-ups that ended in another error
	Served       atomic.Int64 // without a session, such as who asked to cancel a query
	Sessions     atomic.Int64 // that began
	Open         atomic.Int64 // sessions that have not ended yet
	Panics       atomic.Int64 // each ended one connection

	failures [len(setupStages)]atomic.Int64 // by stage
}

// setupStages are those at which a set-up can end.
var setupStages = [...]Stage{StagePeer, StageClient, StageLimit, StageCredential, StageDial, StageTLS, StageAuth}

// Failures returns how many set-ups ended at each stage, refusals and missing places included.
func (c *Counts) Failures() map[Stage]int64 {
	failures := make(map[Stage]int64, len(setupStages))
	for i, stage := range setupStages {
		failures[stage] = c.failures[i].Load()
	}
	return failures
}

// count notes the error of a set-up.
func (c *Counts) count(err error) {
	stage := stageOf(err)
	if i := slices.Index(setupStages[:], stage); i >= 0 {
		c.failures[i].Add(1)
	}
	switch stage {
	case StagePeer:
		c.RefusedPeers.Add(1)
	case StageLimit:
		c.Limited.Add(1)
	default:
		c.Failed.Add(1)
	}
}

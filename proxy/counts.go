package proxy

import "sync/atomic"

// Counts is what has become of a Server's clients since it began to serve.
type Counts struct {
	Accepted     atomic.Int64 // connections
	RefusedPeers atomic.Int64 // who may not come in
	Limited      atomic.Int64 // for whom there was no place
	Failed       atomic.Int64 // set-ups that ended in another error
	Sessions     atomic.Int64 // that began
	Open         atomic.Int64 // sessions that have not ended yet
	Panics       atomic.Int64 // each ended one connection
}

// count notes the error of a set-up.
func (c *Counts) count(err error) {
	switch stageOf(err) {
	case StagePeer:
		c.RefusedPeers.Add(1)
	case StageLimit:
		c.Limited.Add(1)
	default:
		c.Failed.Add(1)
	}
}

package proxy

import (
	"context"
	"fmt"
	"time"
)

// admit returns why client may not come in, and nil if it may. It may wait for its turn.
func (s *Server) admit(ctx context.Context, _ *Client) error {
	return s.pace(ctx)
}

// pace waits until it is the connection's turn under the rates.
func (s *Server) pace(ctx context.Context) error {
	for _, limiter := range s.Rates {
		turn := limiter.Reserve()
		delay := turn.Delay()
		if delay > s.QueueTimeout {
			turn.Cancel()
			return &SetupError{
				Stage:  StageLimit,
				Err:    fmt.Errorf("too many connections: the limit is %v in a second, and the queue is %v long", limiter.Limit(), delay.Round(time.Millisecond)),
				Advice: "let clients keep their connections, or raise accept_rate or queue_timeout",
			}
		}
		if delay > 0 {
			wait(ctx, delay)
		}
	}
	return nil
}

package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"dbvalet/peer"
)

// admit returns why a client may not come in, and nil if it may. It may wait for its turn. The first
// thing that is done with a connection is to ask whose it is, as that can be known only as long as the
// client is there.
func (s *Server) admit(ctx context.Context, conn net.Conn, client *Client) error {
	who, err := s.Door.Allow.Check(conn)
	client.identity = s.identify(who)
	switch {
	case who.Known || s.Door.Remote == nil:
		if err != nil {
			return &SetupError{Stage: StagePeer, Err: err, Permanent: Final(err)}
		}
	case !s.Door.lets(conn.RemoteAddr()):
		return Refusal("connect from one of the networks in allow_remote= on the route, or add this one", "connections from %v are not allowed here", conn.RemoteAddr())
	}
	return s.pace(ctx)
}

// lets reports whether another machine's address is one that may connect.
func (d *Door) lets(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(d.Remote, func(network netip.Prefix) bool { return network.Contains(ip) })
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

// identify finds out what the log says of a client: who it is, and as far as it can be found, which
// program. That takes its time, so that it goes on beside the handshake.
func (s *Server) identify(who peer.Peer) <-chan identity {
	found := make(chan identity, 1)
	if s.Finder == nil || !who.Known {
		found <- identity{peer: who}
		return found
	}
	go s.findProgram(who, found)
	return found
}

func (s *Server) findProgram(who peer.Peer, found chan<- identity) {
	pid, program := s.Finder.Find(who)
	found <- identity{who, pid, program}
}

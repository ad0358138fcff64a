package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// A Follower looks up where a route's hosts are, again and again, so that sessions can be ended that
// are with a server which is no longer meant by their names. After a failover in a cloud, the old
// primary may live on as a reader, with sessions that wonder why they can't write.
type Follower struct {
	// Hosts are the names. A look-up counts if that of each succeeds.
	Hosts []string
	// Every is the time between two look-ups.
	Every time.Duration
	// Resolver asks; nil: net.DefaultResolver.
	Resolver *net.Resolver
	// Moved is called after each look-up from the second on, with a function that says whether an
	// address is gone: it was missing twice in a row.
	Moved func(gone func(net.Addr) bool)
	Log   *slog.Logger

	last map[netip.Addr]bool // nil: nothing was looked up yet
}

// lookupTime is how long a look-up may take.
const lookupTime = 10 * time.Second

// Run looks up until ctx ends. A look-up that fails changes nothing: DNS that is down is no reason to
// end a session. It is called once.
func (f *Follower) Run(ctx context.Context) {
	ticker := time.NewTicker(f.Every)
	defer ticker.Stop()
	for {
		f.look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look looks up once, and reports it.
func (f *Follower) look(ctx context.Context) {
	now, err := f.lookup(ctx)
	if err != nil {
		if ctx.Err() == nil {
			f.Log.Warn("follow_dns: look-up failed, and nothing changes", "err", err)
		}
		return
	}
	before := f.last
	f.last = now
	if before == nil {
		return
	}
	f.Moved(func(addr net.Addr) bool {
		tcp, ok := addr.(*net.TCPAddr)
		if !ok {
			return false
		}
		ip := tcp.AddrPort().Addr().Unmap().WithZone("")
		return ip.IsValid() && !before[ip] && !now[ip]
	})
}

// lookup returns all addresses of all hosts.
func (f *Follower) lookup(ctx context.Context) (map[netip.Addr]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	resolver := f.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found := make(map[netip.Addr]bool)
	for _, host := range f.Hosts {
		addrs, err := resolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			found[addr.Unmap().WithZone("")] = true
		}
	}
	return found, nil
}

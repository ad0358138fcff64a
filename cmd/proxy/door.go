package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"dbvalet/config"
	"dbvalet/peer"
	"dbvalet/proxy"
	dbtls "dbvalet/tls"
)

// Limits where the route says nothing.
const (
	// defaultHandshakes leaves the other half of a server's usual 100 to 151 connections to sessions.
	defaultHandshakes   = 64
	defaultQueueTimeout = 10 * time.Second
)

// newDoor says who may come in to r.
func newDoor(r *config.Route, p protocol) (proxy.Door, error) {
	door := proxy.Door{Users: r.Users, Databases: r.Databases}
	var err error
	if door.Allow, err = peer.ParsePolicy(r.Allow); err != nil {
		return door, err
	}
	if door.Remote, err = remoteNetworks(r); err != nil {
		return door, err
	}
	switch {
	case r.LocalTLS != "":
		cert := r.LocalTLS
		if cert == "auto" {
			cert = ""
		}
		door.TLS, err = dbtls.NewLocal(dbtls.LocalOptions{CertFile: cert, KeyFile: r.LocalTLSKey, ClientCAFile: r.LocalClientCA, NextProtos: p.alpn})
		if err != nil {
			return door, err
		}
		door.TLSRequired = r.LocalClientCA != ""
	case r.LocalTLSKey != "" || r.LocalClientCA != "":
		return door, &config.Error{Route: r.Name, Err: errors.New("local_tls_key= or local_client_ca= without local_tls="), Advice: "add local_tls=auto, or local_tls=FILE with a certificate"}
	}
	return door, nil
}

// remoteNetworks reads allow_remote=. Nobody from there is known to this machine, so they have to show
// something.
func remoteNetworks(r *config.Route) (networks []netip.Prefix, err error) {
	for _, text := range r.AllowRemote {
		network, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, &config.Error{Route: r.Name, Err: fmt.Errorf("allow_remote=%q is no network", text), Advice: "write networks like 172.17.0.0/16 or fd00::/8, with commas between them"}
		}
		networks = append(networks, network.Masked())
	}
	if networks != nil && r.LocalPassword == "" && r.LocalClientCA == "" {
		return nil, &config.Error{
			Route: r.Name, Err: errors.New("allow_remote= without a password or a certificate would let in everybody in these networks"),
			Advice: "add local_password=auto, or local_tls=auto and local_client_ca=FILE",
		}
	}
	return networks, nil
}

// An overall is what all routes have together.
type overall struct {
	conns, setups *proxy.Limit
	rate          *rate.Limiter // nil: none
	finder        peer.Finder
}

// newOverall returns the limits of the flags; 0 is none.
func newOverall(maxConnections, maxHandshakes, acceptRate int) *overall {
	o := &overall{
		conns:  &proxy.Limit{Name: "--max-connections", Max: maxConnections, Wait: defaultQueueTimeout},
		setups: &proxy.Limit{Name: "--max-handshakes", Max: maxHandshakes, Wait: defaultQueueTimeout, NewestFirst: true},
	}
	if acceptRate > 0 {
		o.rate = newRate(acceptRate)
	}
	return o
}

// newRate allows n connections a second, and as many at once.
func newRate(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(n), n) }

// limit limits s to what r says, and to what all routes may take together.
func limit(s *proxy.Server, r *config.Route, all *overall) {
	timeout := cmp.Or(r.ConnectTimeout, proxy.DefaultHandshakeTimeout)
	s.HandshakeTimeout, s.QueueTimeout = r.ConnectTimeout, cmp.Or(r.QueueTimeout, defaultQueueTimeout)
	s.IdleTimeout, s.MaxSessionAge = r.IdleTimeout, r.MaxSessionAge
	s.Upstream.Conns = []*proxy.Limit{{Name: "max_connections", Max: r.MaxConnections, Wait: s.QueueTimeout}, all.conns}
	// A set-up that takes long is one that the database, or a rotation, holds up: who waits behind it
	// has as much time.
	s.Upstream.Setups = []*proxy.Limit{{
		Name: "max_handshakes", Max: cmp.Or(r.MaxHandshakes, defaultHandshakes), Wait: cmp.Or(r.QueueTimeout, timeout), NewestFirst: true,
	}, all.setups}
	if r.AcceptRate > 0 {
		s.Rates = append(s.Rates, newRate(r.AcceptRate))
	}
	s.Finder = &all.finder
	if all.rate != nil {
		s.Rates = append(s.Rates, all.rate)
	}
}

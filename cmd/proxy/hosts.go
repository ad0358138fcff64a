package main

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tokens"
	"dbvalet/tunnel"
)

// newOthers makes the places of the hosts beyond the first. Each is verified by its own name. A token
// of AWS is signed for a host, so that each has its own; anything else is for all.
func newOthers(r *config.Route, p protocol, via *tunnel.Dialer, shared *tokens.Cache, log *slog.Logger) ([]proxy.Place, error) {
	if len(r.Hosts) < 2 {
		return nil, nil
	}
	switch {
	case r.Dial != "":
		return nil, &config.Error{Route: r.Name, Err: errors.New("dial= is one address, and the route has several hosts"), Advice: "leave dial= out, or name one host"}
	case r.Instance != "":
		return nil, &config.Error{Route: r.Name, Err: errors.New("instance= is one database, and the route has several hosts"), Advice: "leave the hosts out"}
	}
	var others []proxy.Place
	for _, host := range r.Hosts[1:] {
		one := *r
		one.Host, one.Port, one.Hosts = host.Host, host.Port, nil
		place := proxy.Place{Credentials: shared}
		if one.Auth == awsIAM || one.Auth == awsDSQL {
			var err error
			if place.Credentials, _, err = newCredentials(&one, log); err != nil {
				return nil, err
			}
		}
		var err error
		if place.Endpoint, place.Locate, err = (&way{route: &one, protocol: p, via: via, log: log}).place(); err != nil {
			return nil, err
		}
		others = append(others, place)
	}
	return others, nil
}

// newTarget reads target_session_attrs=.
func newTarget(r *config.Route) (proxy.Target, error) {
	target, err := proxy.ParseTarget(r.TargetSessionAttrs)
	if err != nil {
		return 0, &config.Error{Route: r.Name, Err: err, Advice: "write one of them, or leave it out: any server will do then"}
	}
	return target, nil
}

// newFollower makes what follows the names of r's hosts, if it is asked for.
func newFollower(r *config.Route, log *slog.Logger) (*proxy.Follower, error) {
	if r.FollowDNS == 0 {
		return nil, nil
	}
	hosts := followed(r)
	if hosts == nil {
		return nil, &config.Error{
			Route: r.Name, Err: errors.New("follow_dns= has no name to look up, as the route has none for what is dialled"),
			Advice: "name the database's host in the route, or leave follow_dns= out",
		}
	}
	return &proxy.Follower{Hosts: hosts, Every: r.FollowDNS, Log: log}, nil
}

// followed returns the names that are dialled, nil if there are none.
func followed(r *config.Route) (names []string) {
	if r.Instance != "" {
		return nil
	}
	hosts := r.Hosts
	if hosts == nil {
		hosts = []config.HostPort{{Host: r.Host, Port: r.Port}}
	}
	if r.Dial != "" {
		host, _, err := net.SplitHostPort(r.Dial)
		if err != nil || filepath.IsAbs(r.Dial) {
			return nil
		}
		hosts = []config.HostPort{{Host: host}}
	}
	named := false
	for _, host := range hosts {
		if host.Host == "" {
			return nil
		}
		named = named || net.ParseIP(host.Host) == nil
		names = append(names, host.Host) // an address is its own, and stays
	}
	if !named {
		return nil
	}
	return names
}

func tcp(r *config.Route) proxy.TCP {
	return proxy.TCP{Keepalive: r.Keepalive, UserTimeout: r.TCPUserTimeout}
}

package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tunnel"
)

// newVia makes what dials by way of r's hops; nil: there are none.
func newVia(r *config.Route, log *slog.Logger) (*tunnel.Dialer, error) {
	fail := func(advice, text string) (*tunnel.Dialer, error) {
		return nil, &config.Error{Route: r.Name, Err: errors.New(text), Advice: advice}
	}
	hops, err := tunnel.ParseHops(r.Via)
	if err != nil {
		return fail(proxy.Hint(err), "via=: "+err.Error())
	}
	switch ssh := slices.ContainsFunc(hops, func(h tunnel.Hop) bool { return h.Kind == tunnel.SSH }); {
	case !ssh && r.SSHKey != "":
		return fail("write via=ssh://USER@HOST, or leave ssh_key= out", "ssh_key= is for bastions, and via= names none")
	case !ssh && r.SSHKnownHosts != "":
		return fail("write via=ssh://USER@HOST, or leave ssh_known_hosts= out", "ssh_known_hosts= is for bastions, and via= names none")
	case len(hops) == 0:
		return nil, nil
	case r.Instance != "":
		return fail("name the database's host in place of instance=, with auth=gcp-iam", "via= does not go with instance=: the connector dials by itself")
	case r.FollowDNS != 0:
		return fail("leave follow_dns= out", "follow_dns= looks up names here, and by way of via= they are looked up elsewhere")
	}
	d, err := tunnel.New(viaOptions(r, surroundingsOfNow(), hops, log))
	if err != nil {
		return fail(proxy.Hint(err), err.Error())
	}
	return d, nil
}

func viaOptions(r *config.Route, s surroundings, hops []tunnel.Hop, log *slog.Logger) tunnel.Options {
	return tunnel.Options{Hops: hops, Key: r.SSHKey, KnownHosts: r.SSHKnownHosts, Home: s.home, Getenv: s.get, Log: log}
}

// sshConfigs are the files of the SSH configuration that r's hops go by.
func sshConfigs(r *config.Route) []string {
	hops, err := tunnel.ParseHops(r.Via)
	if err != nil {
		return nil
	}
	d, err := tunnel.New(viaOptions(r, surroundingsOfNow(), hops, nil))
	if err != nil { // whoever builds the route hears of it
		return nil
	}
	return d.Configs()
}

// viaText is how r's hops are shown; empty: there are none.
func viaText(r *config.Route) string { return strings.Join(r.Via, ",") }

// via adds what the hops of r need. Only the first one is connected to from here.
func (n *needs) via(r *config.Route) {
	hops, err := tunnel.ParseHops(r.Via)
	if err != nil {
		return
	}
	d, err := tunnel.New(viaOptions(r, n.surroundings, hops, nil))
	if err != nil {
		return
	}
	n.mention(d.First(), false)
	for _, file := range d.Files() {
		if dir := n.surroundings.inHome(".ssh"); dir != "" && strings.HasPrefix(file, dir+"/") {
			n.home(".ssh")
			n.follow(file)
			continue
		}
		n.watch(file)
	}
}

package main

import (
	"net"
	"slices"
	"strings"
	"time"

	"dbvalet/dsn"
	"dbvalet/metrics"
	"dbvalet/peer"
	"dbvalet/proxy"
)

// A connectStatus is what to copy to connect to a listener. No password is in it.
type connectStatus struct {
	Listen  string `json:"listen"`
	Command string `json:"command,omitempty"` // of psql or mysql
	URL     string `json:"url,omitempty"`
}

func (s *service) connectStatus(addr net.Addr) connectStatus {
	to := s.target(addr)
	c := connectStatus{Listen: addr.String()}
	// There is nothing to say for a socket that clients can't find.
	c.Command, _ = to.For(dsn.Tools(to.Scheme)[0])
	c.URL, _ = to.For("url")
	return c
}

// A credentialStatus is a credential that is at hand, without its secret. A credential that is fetched
// for each login is never at hand.
type credentialStatus struct {
	User    string    `json:"user,omitempty"`
	ID      string    `json:"id,omitempty"`
	Fetched time.Time `json:"fetched"`          // its age counts from here, or from Issued
	Issued  time.Time `json:"issued,omitzero"`  // when it was made, where that is known
	Expires time.Time `json:"expires,omitzero"` // none: it does not expire by itself
}

// maxCredentials is how many are shown; where clients choose the user, there may be a hundred.
const maxCredentials = 20

func (s *service) credentialStatus() (all []credentialStatus) {
	for _, cache := range s.server.Upstream.Caches() {
		for _, h := range cache.Holdings() {
			if len(all) < maxCredentials {
				all = append(all, credentialStatus(h))
			}
		}
	}
	return all
}

// clients are the sessions that are open, the oldest first.
func (s *service) clients() (all []clientStatus) {
	names := peerNames{}
	for _, session := range s.server.Sessions() {
		all = append(all, clientStatus{
			Session: session.ID, Since: session.Accepted, Client: session.Client, Peer: names.of(session.Peer),
			PID: session.PID, Program: session.Program, Upstream: session.Upstream,
			User: proxy.Printable(session.User), Database: proxy.Printable(session.Database), Application: proxy.Printable(session.Application),
			Credential: session.Credential,
			FromClient: session.FromClient, FromUpstream: session.FromUpstream, Idle: session.Idle,
		})
	}
	return all
}

// peerNames are the names of peers, each looked up once: there may be thousands of sessions of one user.
type peerNames map[peerKey]string

// A peerKey is what the name of a peer depends on.
type peerKey struct {
	known, unmapped bool
	uid             uint32
}

func (names peerNames) of(p peer.Peer) string {
	key := peerKey{p.Known, p.Unmapped, p.UID}
	if names[key] == "" {
		names[key] = p.String()
	}
	return names[key]
}

// addLeaving adds the sessions of a service that is not in force any more: to the route of its name, or
// if that is gone to one that says so.
func (all *status) addLeaving(s *service) {
	clients := s.clients()
	if len(clients) == 0 {
		return
	}
	i := slices.IndexFunc(all.Routes, func(r routeStatus) bool { return r.Name == s.route.Name })
	if i < 0 {
		i = len(all.Routes)
		all.Routes = append(all.Routes, routeStatus{
			Name: s.route.Name, State: "leaving", Scheme: s.route.Scheme, User: s.route.User, Database: s.route.Database,
			Listen: []string{}, Auth: sourceName(s.route.Auth),
		})
	}
	r := &all.Routes[i]
	r.Clients = append(r.Clients, clients...)
	slices.SortFunc(r.Clients, func(a, b clientStatus) int { return strings.Compare(a.Session, b.Session) }) // which begins with the time
}

// count sets the numbers, which are of all services that the route has had.
func (r *routeStatus) count(c metrics.Counts) {
	r.Accepted, r.RefusedPeers, r.Limited, r.Failed = c.Accepted, c.RefusedPeers, c.Limited, c.Failed
	r.Sessions, r.OpenSessions, r.Panics = c.Sessions, c.Open, c.Panics
}

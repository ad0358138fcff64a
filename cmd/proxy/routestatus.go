package main

import (
	"net"
	"time"

	"dbvalet/dsn"
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

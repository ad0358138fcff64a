package awsrds

import (
	"context"
	"errors"
	"fmt"
	"net"

	"dbvalet/tokens/awsconfig"
)

// endpoint returns the name to sign for: the host of the route, or the RDS endpoint that it is a
// CNAME of. It is looked up for each token, because the point of such a name is to be moved.
func (s *Source) endpoint(ctx context.Context) (string, error) {
	if IsEndpoint(s.host) {
		return s.host, nil
	}
	cname, err := s.options.Resolver.LookupCNAME(ctx, s.host)
	if name := awsconfig.Normalize(cname); err == nil && IsEndpoint(name) {
		s.substitute(name)
		return name, nil
	}
	if e, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !e.IsNotFound) {
		return s.lastAlias(fmt.Errorf("look up the RDS endpoint behind the name: %w", err))
	}
	s.warn(err)
	return s.host, nil
}

// substitute remembers the endpoint behind the host, and says so if it is news.
func (s *Source) substitute(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alias == endpoint {
		return
	}
	s.alias = endpoint
	s.options.Log.Info("signing for the RDS endpoint behind the name", "host", s.host, "endpoint", endpoint)
}

// lastAlias returns what the host led to when DNS still answered.
func (s *Source) lastAlias(failure error) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alias == "" {
		return "", failure
	}
	return s.alias, nil
}

// warn says once that the host leads to no RDS endpoint. It is used as it is, because there may be
// endpoints whose names are not known here.
func (s *Source) warn(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned {
		return
	}
	s.warned = true
	s.options.Log.Warn("signing for a name that is not an RDS endpoint, and leads to none; the database will probably refuse it",
		"host", s.host, "err", err, "hint", "name the RDS endpoint in the route, and the name to dial in dial=")
}

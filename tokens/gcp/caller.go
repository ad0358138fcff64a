package gcp

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"

	"dbvalet/tokens"
)

// A caller is who asks Google: whoever the Application Default Credentials say, or the service account
// that is impersonated with them. Calls may be concurrent.
type caller struct {
	impersonate []string // the delegates in order, and the account itself at the end; empty: nobody

	plain  http.RoundTripper              // to metadata servers
	rest   http.RoundTripper              // to everybody else, encrypted
	detect func(ctx context.Context) bool // whether there is a metadata server
	seen   atomic.Bool                    // there is one
}

// newCaller asks nobody.
func newCaller(impersonate []string) *caller {
	c := &caller{impersonate: impersonate, rest: tokens.Encrypted(nil)}
	// No proxy: a metadata server answers only its own machine.
	c.plain = &http.Transport{
		DialContext:     (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		IdleConnTimeout: time.Minute,
	}
	c.detect = func(ctx context.Context) bool {
		return metadata.NewClient(&http.Client{Transport: c, Timeout: 5 * time.Second}).OnGCEWithContext(ctx)
	}
	return c
}

// principal returns the email that tokens are for, and "" where nothing says it: gcloud's file does
// not name the user.
func (c *caller) principal(ctx context.Context, a *adc) (string, error) {
	if n := len(c.impersonate); n > 0 {
		return strings.ToLower(c.impersonate[n-1]), nil
	}
	if a.kind == "" {
		return c.account(ctx)
	}
	return a.principal, nil
}

// RoundTrip sends a request with a secret in it, or one whose answer is a secret: encrypted, or to a
// metadata server. Those have no TLS, but their addresses lead no further than the host.
func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	if isMetadata(r.URL) {
		return c.plain.RoundTrip(r)
	}
	return c.rest.RoundTrip(r)
}

// The metadata servers that have no link-local address.
var (
	googleMetadata = netip.MustParseAddr("fd20:ce::254")
	awsMetadata    = netip.MustParseAddr("fd00:ec2::254") // asked for the identity of workloads on AWS
)

func isMetadata(u *url.URL) bool {
	if u.Hostname() == "metadata.google.internal" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && (addr.IsLinkLocalUnicast() || addr == googleMetadata || addr == awsMetadata)
}

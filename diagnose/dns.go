package diagnose

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"dbvalet/proxy"
	dbtls "dbvalet/tls"
	"dbvalet/tokens/awsrds"
)

// DNSFacts are those of the step dns.
type DNSFacts struct {
	Name      string   `json:"name"`
	CNAME     string   `json:"cname,omitempty"` // where the name's aliases end, if it is one
	Addresses []string `json:"addresses,omitempty"`
}

// dns looks up the name that is dialled. Where that is another's to do, or there is none, it is skipped.
func (v *visit) dns(ctx context.Context) Step {
	skip := func(text string) Step { return Step{Status: Skipped, Text: text} }
	switch {
	case !v.located:
		return skip("only the secret says where the database is")
	case v.to.Tunnel != nil:
		return skip("the connector finds the instance by its name")
	case strings.HasPrefix(v.to.Addr, "/"):
		return skip("a unix socket")
	case v.to.Dialer != nil:
		return skip("looked up at the other end of " + v.Via)
	}
	host, port, err := net.SplitHostPort(v.to.Addr)
	if err != nil {
		return v.failure(err)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		v.addrs, v.private = []string{v.to.Addr}, addr.IsPrivate()
		return skip(host + " is an address" + v.instead(host))
	}
	return v.lookUp(ctx, host, port)
}

// lookUp asks for the addresses, and for the name behind the name.
func (v *visit) lookUp(ctx context.Context, host, port string) Step {
	facts := DNSFacts{Name: host}
	var asking sync.WaitGroup
	asking.Go(func() { facts.CNAME = v.cname(ctx, host) })
	addrs, err := v.resolver().LookupNetIP(ctx, "ip", host)
	asking.Wait()
	if err != nil {
		step := v.unknownName(host, err)
		step.Facts = facts
		return step
	}
	v.private = true
	for _, addr := range addrs {
		addr = addr.Unmap()
		v.private = v.private && addr.IsPrivate()
		facts.Addresses = append(facts.Addresses, addr.String())
		v.addrs = append(v.addrs, net.JoinHostPort(addr.String(), port))
	}
	slices.Sort(facts.Addresses)
	text := host
	if facts.CNAME != "" {
		text += " -> " + facts.CNAME
	}
	text += " -> " + strings.Join(facts.Addresses, ", ")
	if v.private {
		text += " (private)"
	}
	text += v.instead(host)
	step := Step{Status: OK, Text: text, Facts: facts}
	if dbtls.IsRDS(facts.CNAME) && !dbtls.IsRDS(host) && host == v.Host {
		v.alias = facts.CNAME
		if !v.NameGiven {
			step.Status, step.Advice = Warning, []Advice{v.realName()}
		}
	}
	return step
}

// instead says that what is dialled is not what the route names.
func (v *visit) instead(host string) string {
	if v.Host == "" || v.Host == host {
		return ""
	}
	return ", by dial= in place of " + v.Host
}

// cname returns where the aliases of host end, and nothing if it is none.
func (v *visit) cname(ctx context.Context, host string) string {
	name, err := v.resolver().LookupCNAME(ctx, host)
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if err != nil || name == strings.ToLower(strings.TrimSuffix(host, ".")) {
		return ""
	}
	return proxy.Printable(name)
}

// realName is the advice for a route that names an alias of an RDS endpoint.
func (v *visit) realName() Advice {
	return Advice{
		Text: v.Host + " is another name of the RDS endpoint " + v.alias + ": the token must be signed for, and the certificate is made out to, " +
			"that name. Write it in the route, and the other one in dial=, with the route's other options behind",
		Copy: v.corrected(v.alias),
	}
}

// corrected is the route with the endpoint's own name.
func (v *visit) corrected(endpoint string) string {
	u, err := url.Parse(v.Upstream)
	if err != nil {
		return endpoint
	}
	port := u.Port()
	if u.Host = endpoint; port != "" {
		u.Host = net.JoinHostPort(endpoint, port)
	}
	u.RawQuery = "dial=" + v.to.Addr
	return u.String()
}

// unknownName says why a name has no address.
func (v *visit) unknownName(host string, err error) Step {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	step := failed("look up "+host+": "+proxy.Printable(cause(err)), "")
	switch {
	case isDNS && dns.IsNotFound:
		step.Advice = []Advice{{Text: "check the name. Names of a private zone are known only in their network: is the VPN up, " +
			"and does this machine ask its DNS? With via= the name is looked up at the other end"}}
		if awsrds.IsEndpoint(host) {
			step.Advice = append(step.Advice, Advice{Text: "the endpoints that there are", Copy: v.cli(host).List()})
		}
	case timedOut(err):
		step.Advice = []Advice{{Text: "the DNS server does not answer: check the network and the VPN, and the servers in /etc/resolv.conf"}}
	default:
		step.Advice = []Advice{{Text: "the DNS server does not know now: try again, and check the network and the VPN"}}
	}
	return step
}

// cause is what a *net.DNSError says without the names that are said already.
func cause(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	return err.Error()
}

package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// splitHosts returns the URL of a route with the first of its hosts alone, and the others. A URL by
// itself has but one.
func splitHosts(arg string) (first string, others []string) {
	scheme, rest, _ := strings.Cut(arg, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	hosts := authority[strings.LastIndexByte(authority, '@')+1:]
	user := strings.TrimSuffix(authority, hosts)
	if !strings.Contains(hosts, ",") {
		return arg, nil
	}
	all := strings.Split(hosts, ",")
	return scheme + "://" + user + all[0] + path, all[1:]
}

// addHosts adds the further hosts, each with the protocol's own port where it has none.
func (r *Route) addHosts(others []string) error {
	if len(others) == 0 {
		return nil
	}
	if r.Host == "" {
		return &Error{Route: r.where(), Err: errHosts, Advice: hostsAdvice}
	}
	own := "5432"
	if r.Scheme == "mysql" {
		own = "3306"
	}
	r.PortLeftOut = false
	r.Hosts = []HostPort{{r.Host, r.Port}}
	for _, other := range others {
		u, err := url.Parse("//" + other)
		if err != nil || u.Hostname() == "" || u.Host != other {
			return &Error{Route: r.where(), Err: errHosts, Advice: hostsAdvice}
		}
		port := u.Port()
		if port == "" {
			port = own
		}
		if _, err := netip.ParseAddr(u.Hostname()); err != nil && strings.Contains(u.Hostname(), ":") {
			return &Error{Route: r.where(), Err: errHosts, Advice: hostsAdvice}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return &Error{Route: r.where(), Err: errors.New("the port of one of the hosts does not exist"), Advice: "ports are 1 to 65535"}
		}
		r.Hosts = append(r.Hosts, HostPort{u.Hostname(), port})
	}
	return nil
}

var errHosts = errors.New("one of the hosts can't be read")

const hostsAdvice = "write HOST:PORT,HOST:PORT, an address of IPv6 as [2001:db8::1]"

package dbtls

import (
	"net/netip"
	"regexp"
	"strings"
)

// A serverName is what a certificate is compared with and what the server is told with SNI.
type serverName struct {
	verify   string // a DNS name, an IP address, or a Cloud SQL name; empty if there is none
	sni      string // empty if none is sent
	cloudSQL bool   // verify is project:instance, to be compared with the common name
}

// cloudSQLName matches the names in Cloud SQL's older certificates: project:instance, where the
// project of an organisation of before 2014 may have its domain in front (example.com:project:instance).
// Both parts begin with a letter, which keeps host:port out.
var cloudSQLName = regexp.MustCompile(`^([a-z0-9-]+(\.[a-z0-9-]+)+:)?[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$`)

// parseServerName decides what kind of name the server has. Its errors say what to write instead.
func parseServerName(o Options) (serverName, error) {
	name := o.ServerName
	if name == "" {
		name = o.Host
	}
	if cloudSQLName.MatchString(name) {
		// Such a name is no DNS name, so it can't be sent.
		return serverName{verify: name, cloudSQL: true}, nil
	}
	host := canonicalHost(name)
	if addr, err := netip.ParseAddr(host); err == nil {
		// SNI is for DNS names only (RFC 6066, section 3). A zone is this machine's own business.
		return serverName{verify: addr.WithZone("").String()}, nil
	}
	switch parts := strings.Split(host, ":"); {
	case (host == "" || host[0] == '/') && o.Mode == VerifyFull:
		return serverName{}, newError("TLS mode verify-full has no server name to verify: the host is %q", name).
			withHint("set tls_server_name=NAME to the name in the server's certificate")
	case host == "" || host[0] == '/': // a unix socket
		return serverName{}, nil
	case len(parts) == 3:
		return serverName{}, newError("server name %q is neither a host name nor project:instance", name).
			withHint("a Cloud SQL certificate is made out to project:instance, without the region: set tls_server_name=%s:%s", parts[0], parts[2])
	case len(parts) > 1:
		return serverName{}, newError("server name %q is neither a host name nor project:instance", name).
			withHint("set tls_server_name=NAME without a port")
	}
	return serverName{verify: host, sni: host}, nil
}

// IsRDS reports whether host is the name of an Amazon RDS or Aurora endpoint, in any region and
// partition that has public documentation.
func IsRDS(host string) bool {
	host = canonicalHost(host)
	if endsInLabel(host, "rds.amazonaws.com") || endsInLabel(host, "rds.amazonaws.com.cn") {
		return true
	}
	// China has both orders: NAME.REGION.rds.amazonaws.com.cn and NAME.rds.REGION.amazonaws.com.cn.
	before, ok := strings.CutSuffix(host, ".amazonaws.com.cn")
	labels := strings.Split(before, ".")
	return ok && len(labels) >= 3 && labels[0] != "" && labels[len(labels)-2] == "rds"
}

// endsInLabel reports whether host is something in front of domain.
func endsInLabel(host, domain string) bool {
	before, ok := strings.CutSuffix(host, "."+domain)
	return ok && before != ""
}

// canonicalHost brings the ways to write one host to one form: lower case, without the root's dot,
// without the brackets of an IPv6 address.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	return host
}

package admin

import (
	"net/netip"
	"strconv"
	"strings"
)

// isLocal reports whether a Host header names this machine by a name that no resolver is asked about:
// localhost, an address of 127.0.0.0/8, or [::1], with or without a port. Other ways to write these,
// such as 127.1 or [::ffff:127.0.0.1], browsers rewrite before they send them; they are refused.
func isLocal(host string) bool {
	name := host
	// The last colon is the port's, but for one within brackets.
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		if _, err := strconv.ParseUint(host[colon+1:], 10, 16); err != nil {
			return false
		}
		name = host[:colon]
	}
	if name == "[::1]" || strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Is4() && ip.IsLoopback()
}

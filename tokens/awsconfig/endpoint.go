package awsconfig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrAddress says that an endpoint is an IP address, and tokens are for names.
var ErrAddress = errors.New("a token can't be signed for an IP address")

// SplitEndpoint checks and splits the host:port of a database that a token is signed for. The host is
// returned as Normalize makes it.
func SplitEndpoint(endpoint string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(endpoint)
	if err != nil {
		return "", "", errors.New("not a host and a port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || port != strconv.Itoa(n) {
		return "", "", fmt.Errorf("the port %q is not a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", "", ErrAddress
	}
	host = Normalize(host)
	// Anything else would end the host in the URL that is signed, and become a part of its path.
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", "", fmt.Errorf("%q is not the name of a host", host)
	}
	return host, port, nil
}

// Normalize returns host as it must be signed: in lower case, without a dot at the end.
func Normalize(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// IsRegion reports whether s looks like us-east-1 or us-gov-west-1: words, and a number at the end.
func IsRegion(s string) bool {
	words := strings.Split(s, "-")
	if len(words) < 3 {
		return false
	}
	for i, word := range words {
		lowest, highest := 'a', 'z'
		if i == len(words)-1 {
			lowest, highest = '0', '9'
		}
		if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < lowest || r > highest }) {
			return false
		}
	}
	return true
}

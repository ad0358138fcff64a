package awsrds

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Region returns the region that the name of an RDS endpoint contains:
//
//	db.<hash>.<region>.rds.amazonaws.com           instances
//	db.cluster-<hash>.<region>.rds.amazonaws.com   also cluster-ro-, cluster-custom-, proxy-
//	db.<hash>.<region>.rds.amazonaws.com.cn        China
//	db.<hash>.rds.<region>.amazonaws.com.cn        China, older
//
// Aurora global endpoints, db.global-<hash>.global.rds.amazonaws.com, contain none.
func Region(host string) (string, bool) {
	where, ok := place(host)
	if !ok || where == global {
		return "", false
	}
	return where, true
}

// IsEndpoint reports whether host is the name of an RDS endpoint.
func IsEndpoint(host string) bool {
	_, ok := place(host)
	return ok
}

// global stands in the name of an Aurora global endpoint where others have their region.
const global = "global"

// place returns the region in the name of an RDS endpoint, or global.
func place(host string) (string, bool) {
	labels := strings.Split(normalize(host), ".")
	for _, label := range labels {
		if label == "" {
			return "", false
		}
	}
	china := false
	if n := len(labels) - 1; n > 0 && labels[n] == "cn" {
		china, labels = true, labels[:n]
	}
	// name, hash, and two of region and rds, before amazonaws.com
	n := len(labels) - 2
	if n < 4 || labels[n] != "amazonaws" || labels[n+1] != "com" {
		return "", false
	}
	switch first, second := labels[n-2], labels[n-1]; {
	case second == "rds" && isRegion(first):
		return first, true
	case second == "rds" && first == global && !china:
		return global, true
	case first == "rds" && china && isRegion(second):
		return second, true
	}
	return "", false
}

// isRegion reports whether s looks like us-east-1 or us-gov-west-1: words, and a number at the end.
func isRegion(s string) bool {
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

// normalize returns host as it must be signed.
func normalize(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

var errAddress = errors.New("a token can't be signed for an IP address")

// splitEndpoint checks and splits host:port.
func splitEndpoint(endpoint string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(endpoint)
	if err != nil {
		return "", "", errors.New("not a host and a port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || port != strconv.Itoa(n) {
		return "", "", fmt.Errorf("the port %q is not a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", "", errAddress
	}
	host = normalize(host)
	// Anything else would end the host in the URL that is signed, and become a part of its path.
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", "", fmt.Errorf("%q is not the name of a host", host)
	}
	return host, port, nil
}

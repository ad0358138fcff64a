package awsrds

import (
	"slices"
	"strings"

	"dbvalet/tokens/awsconfig"
)

// Region returns the region that the name of an RDS endpoint contains:
//
//	db.<hash>.<region>.rds.amazonaws.com           instances
//	db.cluster-<hash>.<region>.rds.amazonaws.com   also cluster-ro-, cluster-custom-, proxy-, endpoint.proxy-
//	db.<hash>.<region>.rds.amazonaws.com.cn        China; amazonaws.eu: the European Sovereign Cloud
//	db.<hash>.rds.<region>.amazonaws.com.cn        China, older; also GovCloud and the isolated regions
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

// suffixes are the DNS suffixes of the partitions.
var suffixes = []string{"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov"}

// isCluster reports whether host, in lower case, is an endpoint of a cluster.
func isCluster(host string) bool {
	where, _ := place(host)
	return where == global || strings.Contains(host, ".cluster-")
}

// isProxy reports whether host, in lower case, is an endpoint of RDS Proxy.
func isProxy(host string) bool { return strings.Contains(host, ".proxy-") }

// isNamedApart reports whether the name of an endpoint is not that of its cluster or proxy: somebody has made
// it, or it is a global one.
func isNamedApart(host string) bool {
	where, _ := place(host)
	return where == global || strings.Contains(host, ".cluster-custom-") || strings.Contains(host, ".endpoint.proxy-")
}

// place returns the region in the name of an RDS endpoint, or global.
func place(host string) (string, bool) {
	host = awsconfig.Normalize(host)
	for _, suffix := range suffixes {
		if name, ok := strings.CutSuffix(host, "."+suffix); ok {
			return placeIn(strings.Split(name, "."), suffix)
		}
	}
	return "", false
}

// placeIn looks at the labels before the suffix: a name, a hash, and two of region and rds.
func placeIn(labels []string, suffix string) (string, bool) {
	n := len(labels)
	if n < 4 || slices.Contains(labels, "") {
		return "", false
	}
	switch first, second := labels[n-2], labels[n-1]; {
	case second == "rds" && awsconfig.IsRegion(first):
		return first, true
	case second == "rds" && first == global && suffix == "amazonaws.com":
		return global, true
	case first == "rds" && awsconfig.IsRegion(second) && awsconfig.Partition(second) != "aws":
		return second, true
	}
	return "", false
}

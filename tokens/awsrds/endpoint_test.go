package awsrds

import (
	"errors"
	"strings"
	"testing"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

func TestRegionIsFoundInTheEndpointsName(t *testing.T) {
	for _, tt := range []struct {
		host, region string
		endpoint     bool
	}{
		{"db.abc123.eu-west-1.rds.amazonaws.com", "eu-west-1", true},
		{"DB.ABC123.EU-WEST-1.RDS.AMAZONAWS.COM.", "eu-west-1", true},
		{"c.cluster-abc123.us-east-1.rds.amazonaws.com", "us-east-1", true},
		{"c.cluster-ro-abc123.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2", true},
		{"c.cluster-custom-abc123.us-east-2.rds.amazonaws.com", "us-east-2", true},
		{"p.proxy-abc123.ca-central-1.rds.amazonaws.com", "ca-central-1", true},
		{"ro.endpoint.proxy-abc123.ca-central-1.rds.amazonaws.com", "ca-central-1", true},
		{"db.abc123.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1", true},
		{"db.abc123.cn-north-1.rds.amazonaws.com.cn", "cn-north-1", true},
		{"db.abc123.rds.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1", true},
		{"c.cluster-ro-abc123.rds.cn-north-1.amazonaws.com.cn", "cn-north-1", true},
		{"g.global-abc123.global.rds.amazonaws.com", "", true},
		{"db.abc123.rds.us-gov-east-1.amazonaws.com", "us-gov-east-1", true},
		{"c.cluster-abc123.eusc-de-east-1.rds.amazonaws.eu", "eusc-de-east-1", true},
		{"db.abc123.rds.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", true},
		{"db.abc123.rds.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", true},
		{"db.abc123.us-isob-east-1.rds.sc2s.sgov.gov", "us-isob-east-1", true},

		{"", "", false},
		{".", "", false},
		{"localhost", "", false},
		{"amazonaws.com", "", false},
		{"rds.amazonaws.com", "", false},
		{"eu-west-1.rds.amazonaws.com", "", false},
		{"db.eu-west-1.rds.amazonaws.com", "", false},
		{"rds.eu-west-1.amazonaws.com", "", false},
		{"db.abc123.rds.eu-west-1.amazonaws.com", "", false},
		{"db.abc123.eu-west-1.redshift.amazonaws.com", "", false},
		{"db.abc123.eu-west-1.rds.amazonaws.com.example.com", "", false},
		{"db.abc123.eu-west-1.rds.amazonaws.org", "", false},
		{"db.abc123.eu-west-1.rds.amazonaws.com..", "", false},
		{"db..eu-west-1.rds.amazonaws.com", "", false},
		{"db.abc123.eu-west.rds.amazonaws.com", "", false},
		{"db.abc123.west-1.rds.amazonaws.com", "", false},
		{"db.abc123.eu--1.rds.amazonaws.com", "", false},
		{"db.abc123.global.rds.amazonaws.com.cn", "", false},
	} {
		region, ok := Region(tt.host)
		if region != tt.region || ok != (tt.region != "") || IsEndpoint(tt.host) != tt.endpoint {
			t.Errorf("%s: got %q, %v, endpoint %v; want %q, endpoint %v",
				tt.host, region, ok, IsEndpoint(tt.host), tt.region, tt.endpoint)
		}
	}
}

func TestNewRefusesWhatCannotBeSigned(t *testing.T) {
	for endpoint, text := range map[string]string{
		"":                                    "not a host and a port",
		"db.abc.eu-west-1.rds.amazonaws.com":  "not a host and a port",
		"db.abc.eu-west-1.rds.amazonaws.com:": "not a number from 1 to 65535",
		"db.abc.eu-west-1.rds.amazonaws.com:postgresql": "not a number from 1 to 65535",
		"db.abc.eu-west-1.rds.amazonaws.com:0":          "not a number from 1 to 65535",
		"db.abc.eu-west-1.rds.amazonaws.com:65536":      "not a number from 1 to 65535",
		"db.abc.eu-west-1.rds.amazonaws.com:+5432":      "not a number from 1 to 65535",
		"db.abc.eu-west-1.rds.amazonaws.com:05432":      "not a number from 1 to 65535",
		":5432":           "not the name of a host",
		".:5432":          "not the name of a host",
		"a/b:5432":        "not the name of a host",
		"u@h:5432":        "not the name of a host",
		"a?b:5432":        "not the name of a host",
		"10.0.0.5:5432":   "IP address",
		"[::1]:5432":      "IP address",
		"[fe80::1%x]:432": "IP address",
	} {
		_, err := New(Options{Endpoint: endpoint})
		e, ok := errors.AsType[*tokens.Error](err)
		if !ok || !e.Final() || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), "name the RDS endpoint in the route") {
			t.Errorf("%s: got %v, want %q and a hint", endpoint, err, text)
		} else if text == "IP address" && !strings.Contains(e.Hint(), "dial=") {
			t.Errorf("%s: hint is %q, want dial=", endpoint, e.Hint())
		}
	}
}

func FuzzRegion(f *testing.F) {
	for _, seed := range []string{
		"db.abc123.eu-west-1.rds.amazonaws.com", "db.abc123.rds.cn-north-1.amazonaws.com.cn",
		"g.global-abc.global.rds.amazonaws.com", "...", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		region, ok := Region(host)
		if !ok {
			if region != "" {
				t.Fatalf("%q: region %q comes with false", host, region)
			}
			return
		}
		if !awsconfig.IsRegion(region) || !IsEndpoint(host) || !strings.Contains(awsconfig.Normalize(host), "."+region+".") {
			t.Fatalf("%q: got %q", host, region)
		}
		if again, ok := Region(strings.ToUpper(strings.TrimSuffix(host, ".")) + "."); !ok || again != region {
			t.Fatalf("%q: got %q, and %q in capitals", host, region, again)
		}
	})
}

package config

import (
	"reflect"
	"testing"
)

func TestSeveralHosts(t *testing.T) {
	for arg, want := range map[string][]HostPort{
		"postgres://app@a:5432,b:5433/orders?auth=env:A,B": {{"a", "5432"}, {"b", "5433"}},
		"postgres://a,b:1":      {{"a", "5432"}, {"b", "1"}},
		"mysql://app@a:1,b,c/x": {{"a", "1"}, {"b", "3306"}, {"c", "3306"}},
		"postgres://[2001:db8::1],[2001:db8::2]:2?auth=env:PW": {{"2001:db8::1", "5432"}, {"2001:db8::2", "2"}},
		"postgres://a%2Cb@a:1/x,y":                             nil,
	} {
		r, err := ParseRoute(arg)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if !reflect.DeepEqual(r.Hosts, want) || want != nil && (r.Host != want[0].Host || r.Port != want[0].Port) {
			t.Errorf("%s: got %v, first %s:%s, want %v", arg, r.Hosts, r.Host, r.Port, want)
		}
	}
}

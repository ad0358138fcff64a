package diagnose

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/dnsfake"
	"dbvalet/proxy"
)

const instance = "orders.abc123.us-east-1.rds.amazonaws.com"

func TestDNSFollowsANameToItsAddresses(t *testing.T) {
	addr := open(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	w := names(t, walk(t, "db.example.com:"+port, good), dnsfake.Zone{
		Aliases:   map[string]string{"db.example.com.": "primary.example.com."},
		Addresses: map[string][]string{"primary.example.com.": {"127.0.0.1"}},
	})
	step, r := run(t, w, DNS)
	if !r.OK || step.Status != OK || step.Text != "db.example.com -> primary.example.com -> 127.0.0.1" {
		t.Errorf("got %+v", step)
	}
	facts, _ := step.Facts.(DNSFacts)
	if facts.Name != "db.example.com" || facts.CNAME != "primary.example.com" || len(facts.Addresses) != 1 {
		t.Errorf("got %+v", facts)
	}
}

func TestDNSCorrectsARouteThatNamesAnAliasOfAnRDSEndpoint(t *testing.T) {
	addr := open(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	z := dnsfake.Zone{
		Aliases:   map[string]string{"db.example.com.": instance + "."},
		Addresses: map[string][]string{instance + ".": {"127.0.0.1"}},
	}
	w := names(t, walk(t, "db.example.com:"+port, good), z)
	w.Upstream = "postgres://app@db.example.com:" + port + "/orders"
	step, r := run(t, w, DNS)
	want := "postgres://app@" + instance + ":" + port + "/orders?dial=db.example.com:" + port
	if !r.OK || step.Status != Warning || len(step.Advice) != 1 || step.Advice[0].Copy != want {
		t.Errorf("got %+v, want %s", step, want)
	}
	// Whoever says what the certificate is made out to knows that already.
	w = names(t, walk(t, "db.example.com:"+port, good), z)
	w.NameGiven = true
	if step, _ := run(t, w, DNS); step.Status != OK {
		t.Errorf("got %+v", step)
	}
}

func TestDNSThatDoesNotKnowIsToldFromDNSThatDoesNotAnswer(t *testing.T) {
	for _, row := range []struct {
		name   string
		zone   dnsfake.Zone
		advice string
	}{
		{"no such name", dnsfake.Zone{}, "private zone"},
		{"server failure", dnsfake.Zone{Failing: true}, "does not know now"},
		{"silence", dnsfake.Zone{Silent: true}, "does not answer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := names(t, walk(t, instance+":5432", good), row.zone)
			w.Timeout = time.Second
			step, r := run(t, w, DNS)
			if r.Failed != DNS || r.ExitStatus != 12 || !strings.Contains(allOf(step), row.advice) || !strings.HasPrefix(step.Text, "look up "+instance+": ") {
				t.Errorf("got %+v", step)
			}
			if listed := strings.Contains(allOf(step), "aws rds describe-db-instances"); listed != (row.name == "no such name") {
				t.Errorf("got %s", allOf(step))
			}
		})
	}
}

func TestDNSIsSkippedWhereItIsNotOurs(t *testing.T) {
	addr := open(t, "127.0.0.1:0")
	for name, change := range map[string]func(*Walk){
		"an address": func(*Walk) {},
		"at the other end of ssh": func(w *Walk) {
			w.Place.Endpoint.Addr, w.Via = "private.example.com:5432", "ssh://bastion"
			w.Place.Endpoint.Dialer = func(ctx context.Context, network, to string) (net.Conn, error) {
				if to != "private.example.com:5432" {
					t.Errorf("dialled %s", to)
				}
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		},
		"the connector finds": func(w *Walk) {
			w.Place.Endpoint = proxy.Endpoint{Addr: "p:r:i", Tunnel: func(ctx context.Context) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			}}
		},
	} {
		w := walk(t, addr, good)
		change(w)
		step, r := run(t, w, DNS)
		if step.Status != Skipped || !r.OK || !strings.Contains(step.Text, name) {
			t.Errorf("%s: got %+v, %+v", name, step, r.Steps)
		}
	}
}

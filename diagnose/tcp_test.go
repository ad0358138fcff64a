package diagnose

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"dbvalet/integration/dnsfake"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

func TestTCPTriesEveryAddressOfTheName(t *testing.T) {
	addr := open(t, "127.0.0.2:0")
	_, port, _ := net.SplitHostPort(addr)
	used := ""
	w := names(t, walk(t, "db.example.com:"+port, func(conn net.Conn, cred tokens.Credential, p *proxy.Probe) error {
		used = conn.RemoteAddr().String()
		return good(conn, cred, p)
	}), dnsfake.Zone{Addresses: map[string][]string{"db.example.com.": {"127.0.0.2", "127.0.0.3"}}})
	step, r := run(t, w, TCP)
	if !r.OK || step.Status != Warning || used != addr || !strings.Contains(step.Text, "127.0.0.3:"+port+": connect: connection refused") {
		t.Errorf("got %+v, session with %s, want the address that is dead named", step, used)
	}
	facts, _ := step.Facts.(TCPFacts)
	if len(facts.Addresses) != 2 {
		t.Errorf("got %+v", facts)
	}
}

func TestTCPSaysWhatIsUsuallyBehindAFailure(t *testing.T) {
	for _, row := range []struct {
		name    string
		err     error
		private bool
		want    []string
	}{
		{"refused", syscall.ECONNREFUSED, false, []string{"nobody listens on port 5432", "aws rds describe-db-instances --db-instance-identifier orders"}},
		{"dropped", context.DeadlineExceeded, false, []string{"security group", "authorize-security-group-ingress"}},
		{"dropped, private", context.DeadlineExceeded, true, []string{"the address is a private one", "via=ssh://USER@BASTION"}},
		{"no route", syscall.EHOSTUNREACH, false, []string{"there is no route"}},
		{"something else", errors.New("odd"), false, []string{"check that the database can be reached"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := &visit{Walk: walk(t, "10.0.0.1:5432", good), private: row.private}
			v.Host, v.to = instance, v.Place.Endpoint
			step := v.unreachable([]*dialled{{addr: "10.0.0.1:5432", err: &net.OpError{Op: "dial", Err: row.err}}})
			for _, want := range row.want {
				if !strings.Contains(allOf(step), want) {
					t.Errorf("got %s, want %q in it", allOf(step), want)
				}
			}
			if strings.Contains(allOf(step), "via=") && row.name == "dropped" {
				t.Errorf("got %s: a bastion is for private addresses", allOf(step))
			}
		})
	}
}

func TestTCPAdviceIsForTheAccountOfTheRoute(t *testing.T) {
	for _, err := range []error{syscall.ECONNREFUSED, context.DeadlineExceeded} {
		v := &visit{Walk: walk(t, "10.0.0.1:5432", good), who: tokens.Identity{Region: "eu-west-1", Profile: "prod"}}
		v.Host, v.to = "shop.cluster-abc123.us-east-1.rds.amazonaws.com", v.Place.Endpoint
		step := v.unreachable([]*dialled{{addr: "10.0.0.1:5432", err: &net.OpError{Op: "dial", Err: err}}})
		if all := allOf(step); !strings.Contains(all, " --region us-east-1 --profile prod") || strings.Contains(all, "db-instance") {
			t.Errorf("%v: got %s", err, all)
		}
	}
}

// The hint of a tunnel that is broken is its own.
func TestTCPByWayOfATunnelHasItsHint(t *testing.T) {
	w := walk(t, "private.example.com:5432", good)
	w.Via = "ssh://bastion"
	w.Place.Endpoint.Dialer = func(context.Context, string, string) (net.Conn, error) {
		return nil, &proxy.SetupError{Stage: proxy.StageDial, Err: errors.New("the bastion's key has changed"), Advice: "compare known_hosts"}
	}
	step, r := run(t, w, TCP)
	if r.ExitStatus != 13 || !strings.Contains(step.Text, "key has changed") || allOf(step) != "compare known_hosts\n\n" {
		t.Errorf("got %+v", step)
	}
}

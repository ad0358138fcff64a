package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"dbvalet/proxy"
	"dbvalet/tokens/awsrds"
)

// TCPFacts are those of the step tcp: how it went with each address.
type TCPFacts struct {
	Addresses []DialFacts `json:"addresses"`
}

// DialFacts are those of one address.
type DialFacts struct {
	Address      string  `json:"address"`
	Milliseconds float64 `json:"ms"`
	Error        string  `json:"error,omitempty"`
}

// A dialled is how one address was reached, or not.
type dialled struct {
	addr string
	conn net.Conn
	took time.Duration
	err  error
}

// tcp connects to every address, side by side. The first one that answers is that of the session; a client's
// dial would not try the others.
func (v *visit) tcp(ctx context.Context) Step {
	tries := v.dialAll(ctx)
	facts := TCPFacts{}
	var reached, missed []string
	var took time.Duration
	for _, d := range tries {
		one := DialFacts{Address: d.addr, Milliseconds: float64(d.took.Round(10*time.Microsecond)) / float64(time.Millisecond)}
		switch {
		case d.err != nil:
			one.Error = proxy.Printable(short(d.err))
			missed = append(missed, d.addr+": "+one.Error)
		case v.conn == nil:
			v.conn, v.local, took = d.conn, d.conn.LocalAddr(), d.took
			reached = append(reached, d.addr)
		default:
			d.conn.Close()
			reached = append(reached, fmt.Sprintf("%s (%d ms)", d.addr, d.took.Milliseconds()))
		}
		facts.Addresses = append(facts.Addresses, one)
	}
	if v.conn == nil {
		step := v.unreachable(tries)
		step.Text, step.Facts = "dial "+strings.Join(missed, "; "), facts
		return step
	}
	step := Step{Status: OK, Took: took, Text: strings.Join(append(reached, missed...), "; "), Facts: facts}
	if len(missed) > 0 {
		step.Status = Warning
		step.Advice = []Advice{{Text: "an address of the name that can't be reached costs connections time; clients of dbvalet go on to the next one"}}
	}
	return step
}

// dialAll dials, and returns how it went in the order of the addresses.
func (v *visit) dialAll(ctx context.Context) []*dialled {
	dial, addrs := (&net.Dialer{Resolver: v.Resolver}).DialContext, v.addrs
	network := "tcp"
	if strings.HasPrefix(v.to.Addr, "/") {
		network, addrs = "unix", []string{v.to.Addr}
	}
	switch {
	case v.to.Tunnel != nil:
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return v.to.Tunnel(ctx) }
		addrs = []string{v.to.Addr}
	case v.to.Dialer != nil:
		dial, addrs = v.to.Dialer, []string{v.to.Addr}
	}
	tries := make([]*dialled, len(addrs))
	var dialling sync.WaitGroup
	for i, addr := range addrs {
		tries[i] = &dialled{addr: addr}
		dialling.Go(func() {
			defer proxy.Took(&tries[i].took)()
			tries[i].conn, tries[i].err = dial(ctx, network, addr)
		})
	}
	dialling.Wait()
	return tries
}

// again opens another connection where the first one was.
func (v *visit) again(ctx context.Context) (net.Conn, error) {
	for _, d := range v.dialAll(ctx) {
		if d.err == nil {
			return d.conn, nil
		}
	}
	return nil, errors.New("the database can't be reached any more")
}

// unreachable says what is usually behind it when no address answers.
func (v *visit) unreachable(tries []*dialled) Step {
	var last error
	for _, d := range tries {
		last = d.err
	}
	step := failed("", "")
	switch {
	case v.to.Tunnel != nil || v.to.Dialer != nil && v.hint(last) != "":
		step.Advice = []Advice{{Text: v.hint(last)}}
	case errors.Is(last, syscall.ECONNREFUSED):
		step.Advice = v.refused()
	case timedOut(last):
		step.Advice = v.dropped()
	case errors.Is(last, syscall.EHOSTUNREACH), errors.Is(last, syscall.ENETUNREACH):
		step.Advice = []Advice{{Text: "there is no route to the address from here: check the network and the VPN, or go through a bastion with via=ssh://USER@BASTION"}}
	default:
		step.Advice = []Advice{{Text: v.hint(last)}}
	}
	if step.Advice[0].Text == "" {
		step.Advice[0].Text = "check that the database can be reached from here"
	}
	return step
}

// refused is the advice for a machine that answers, and has nobody at that port.
func (v *visit) refused() []Advice {
	_, port, _ := net.SplitHostPort(v.to.Addr)
	advice := []Advice{{Text: "the machine answers, and nobody listens on port " + port +
		": the database is down or starts, or listens on another port; where dial= is a tunnel, that is not up"}}
	return append(advice, v.status()...)
}

// dropped is the advice for silence.
func (v *visit) dropped() []Advice {
	_, port, _ := net.SplitHostPort(v.to.Addr)
	advice := []Advice{{Text: "no answer at all, so that something drops the packets: a security group or firewall that does not let this machine in, " +
		"or an address that can't be reached from here"}}
	if v.private {
		advice = append(advice, Advice{Text: "the address is a private one: connect the VPN, or go through a bastion", Copy: "via=ssh://USER@BASTION"})
	}
	if awsrds.IsEndpoint(v.Host) {
		advice = append(advice, Advice{
			Text: "let this machine into the instance's security group",
			Copy: "aws ec2 authorize-security-group-ingress --group-id GROUP --protocol tcp --port " + port + " --cidr ADDRESS/32" + v.cli(v.Host).Options(),
		})
	}
	return advice
}

// status is how to see what is the matter with an RDS endpoint.
func (v *visit) status() []Advice {
	if !awsrds.IsEndpoint(v.Host) {
		return nil
	}
	return []Advice{{Text: "what AWS says its status and its port are", Copy: v.cli(v.Host).Status()}}
}

// cli makes commands about an RDS endpoint.
func (v *visit) cli(endpoint string) awsrds.CLI {
	return awsrds.CLI{Host: endpoint, Region: v.who.Region, Profile: v.who.Profile}
}

// short leaves out what is said already: operation and address.
func short(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if timedOut(op.Err) {
			return "no answer in time"
		}
		return op.Err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

package awsrds

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// answers is a Resolver without a network.
type answers map[string]string

func (a answers) LookupCNAME(_ context.Context, host string) (string, error) {
	cname, ok := a[host]
	if !ok {
		return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if cname == "" {
		return "", &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	return cname, nil
}

// A nameserver answers over UDP: a CNAME and, for questions about addresses, the CNAME's address.
type nameserver struct {
	conn    net.PacketConn
	mu      sync.Mutex
	aliases map[string]string // lower case, without dots at the end; "" is a failing server
}

func newNameserver(t *testing.T) *nameserver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{conn: conn, aliases: map[string]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return n
}

func (n *nameserver) alias(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.aliases[from] = to
}

func (n *nameserver) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
}

func (n *nameserver) serve() {
	packet := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer := n.answer(packet[:size]); answer != nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

// answer makes the response to one question, after RFC 1035, section 4.
func (n *nameserver) answer(query []byte) []byte {
	const typeA, typeCNAME, header = 1, 5, 12
	if len(query) < header {
		return nil
	}
	var labels []string
	at := header
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end >= len(query) {
			return nil
		}
		labels = append(labels, string(query[at+1:end]))
		at = end
	}
	question := query[header:min(at+5, len(query))] // the name, its zero, type and class
	kind := binary.BigEndian.Uint16(question[len(question)-4:])

	n.mu.Lock()
	target, known := n.aliases[strings.ToLower(strings.Join(labels, "."))]
	n.mu.Unlock()

	response := append([]byte{}, query[:2]...)
	status := byte(0)
	switch {
	case !known:
		status = 3 // NXDOMAIN
	case target == "":
		status = 2 // SERVFAIL
	}
	answered := known && target != ""
	count := byte(0)
	var records []byte
	if answered {
		count++
		name := encodeName(target)
		records = append(records, 0xc0, header, 0, typeCNAME, 0, 1, 0, 0, 0, 5, 0, byte(len(name)))
		records = append(records, name...)
		if kind == typeA {
			count++
			records = append(records, name...)
			records = append(records, 0, typeA, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 5)
		}
	}
	response = append(response, 0x81, 0x80|status, 0, 1, 0, count, 0, 0, 0, 0)
	response = append(response, question...)
	return append(response, records...)
}

func encodeName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

const own = "orders.example.com"

func TestCNAMEOfAnEndpointIsSignedAsTheEndpoint(t *testing.T) {
	for name, target := range map[string]string{
		"instance": "DB.abc123.us-east-2.rds.amazonaws.com",
		"China":    "db.abc123.cn-north-1.rds.amazonaws.com.cn",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t).env()
			n := newNameserver(t)
			n.alias(own, target)
			s := a.source(Options{Endpoint: "Orders.Example.com:5432", Resolver: n.resolver()})
			u, _ := sign(t, s, "app")
			if want := strings.ToLower(target) + ":5432"; u.Host != want {
				t.Errorf("token is for %s, want %s", u.Host, want)
			}
			region, _ := Region(target)
			if got := u.Query().Get("X-Amz-Credential"); !strings.Contains(got, "/"+region+"/") {
				t.Errorf("credential is %s, want region %s", got, region)
			}
			wantSignature(t, u)
		})
	}
}

func TestSubstitutionIsLoggedOnceAndWhenItChanges(t *testing.T) {
	a := newAccount(t).env()
	n := newNameserver(t)
	s := a.source(Options{Endpoint: own + ":5432", Resolver: n.resolver()})
	for i, target := range []string{"db1.abc.eu-west-1.rds.amazonaws.com", "db2.abc.eu-west-1.rds.amazonaws.com"} {
		n.alias(own, target)
		for range 3 {
			if u, _ := sign(t, s, "app"); u.Host != target+":5432" {
				t.Errorf("token is for %s, want %s", u.Host, target)
			}
		}
		if got := strings.Count(a.log.String(), "level=INFO"); got != i+1 {
			t.Errorf("%d lines at info after %d targets: %s", got, i+1, a.log.String())
		}
	}
}

func TestNameThatLeadsNowhereIsSignedWithOneWarning(t *testing.T) {
	for name, target := range map[string]string{"missing": "", "elsewhere": "db.internal.example.com"} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t).env()
			n := newNameserver(t)
			if target != "" {
				n.alias(own, target)
			}
			s := a.source(Options{Endpoint: own + ":5432", Region: "eu-west-1", Resolver: n.resolver()})
			for range 3 {
				if u, _ := sign(t, s, "app"); u.Host != own+":5432" {
					t.Errorf("token is for %s, want the name as given", u.Host)
				}
			}
			if got := strings.Count(a.log.String(), "level=WARN"); got != 1 {
				t.Errorf("%d warnings, want one: %s", got, a.log.String())
			}
		})
	}
}

func TestDNSOutageIsNotFinal(t *testing.T) {
	a := newAccount(t).env()
	n := newNameserver(t)
	n.alias(own, "")
	s := a.source(Options{Endpoint: own + ":5432", Region: "eu-west-1", Resolver: n.resolver()})
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, false, "look up the RDS endpoint behind the name", "DNS")

	n.alias(own, instance)
	sign(t, s, "app")
	n.alias(own, "")
	if u, _ := sign(t, s, "app"); u.Host != instance+":5432" {
		t.Errorf("token is for %s, want the endpoint that was known before the outage", u.Host)
	}
}

func TestEndpointItselfIsNotLookedUp(t *testing.T) {
	sign(t, newAccount(t).env().source(Options{Resolver: answers{instance: ""}}), "app")
}

func TestResolverThatHangsIsGivenUp(t *testing.T) {
	s := newAccount(t).env().source(Options{Endpoint: own + ":5432", Resolver: hanging{}})
	if s.limit != 10*time.Second {
		t.Errorf("the time limit is %v, want 10s", s.limit)
	}
	s.limit = 50 * time.Millisecond
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, false, "deadline exceeded", "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

type hanging struct{}

func (hanging) LookupCNAME(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

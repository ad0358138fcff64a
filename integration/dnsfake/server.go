// Package dnsfake is a name server for tests: for names that are aliases, that are not there, or that nobody
// answers for. Nobody else's programs are needed, and no port of the system.
package dnsfake

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// A Zone is what a Server knows. Names end with a dot.
type Zone struct {
	Aliases   map[string]string   // CNAMEs, which may lead on
	Addresses map[string][]string // of both kinds
	Failing   bool                // it knows nothing, and says so
	Silent    bool                // it says nothing
}

// A Server answers questions over UDP.
type Server struct {
	zone Zone
	conn net.PacketConn
	done chan struct{}
}

// Start answers at addr, such as 127.0.0.1:0. The caller closes it.
func Start(addr string, z Zone) (*Server, error) {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	s := &Server{zone: z, conn: conn, done: make(chan struct{})}
	go s.serve()
	return s, nil
}

// Close ends it.
func (s *Server) Close() {
	_ = s.conn.Close()
	<-s.done
}

// Resolver asks it, and nobody else.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *Server) serve() {
	defer close(s.done)
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := s.zone.answer(buf[:n]); err == nil && !s.zone.Silent {
			_, _ = s.conn.WriteTo(answer, from) // who has gone needs no answer
		}
	}
}

// answer answers the first question of query: the chain of aliases, and the addresses at its end.
func (z Zone) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	name := question.Name.String()
	switch {
	case z.Failing:
		header.RCode = dnsmessage.RCodeServerFailure
	case z.Aliases[name] == "" && z.Addresses[name] == nil:
		header.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, header)
	if err := errors.Join(b.StartQuestions(), b.Question(question), b.StartAnswers()); err != nil {
		return nil, err
	}
	if !z.Failing {
		if err := z.records(&b, name, question.Type); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func (z Zone) records(b *dnsmessage.Builder, text string, kind dnsmessage.Type) error {
	for {
		name, err := dnsmessage.NewName(text)
		if err != nil {
			return err
		}
		header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}
		next := z.Aliases[text]
		if next == "" {
			return addresses(b, header, z.Addresses[text], kind)
		}
		alias, err := dnsmessage.NewName(next)
		if err != nil {
			return err
		}
		if err := b.CNAMEResource(header, dnsmessage.CNAMEResource{CNAME: alias}); err != nil {
			return err
		}
		text = next
	}
}

func addresses(b *dnsmessage.Builder, header dnsmessage.ResourceHeader, list []string, kind dnsmessage.Type) error {
	for _, text := range list {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		switch {
		case addr.Is4() && kind == dnsmessage.TypeA:
			err = b.AResource(header, dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && kind == dnsmessage.TypeAAAA:
			err = b.AAAAResource(header, dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

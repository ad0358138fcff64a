package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"dbvalet/config"
	"dbvalet/proxy"
)

// A place is where a route listens, with what the listener is like.
type place struct {
	own                                  string // the route that the place is for, where port 0 or auto makes a place of its own for each
	addr, socketName, mode, owner, group string
	remote                               bool
}

func placeOf(r *config.Route, p protocol, i int) place {
	addr, own := r.Listen[i], ""
	if strings.HasSuffix(addr, ":0") {
		own = fmt.Sprint(i, " of ", r.Name)
	}
	if addr == autoListen { // wherever it stands in the list
		own = fmt.Sprint(autoKey(r))
	}
	return place{own, addr, p.socketName, r.SocketMode.String(), r.SocketOwner, r.SocketGroup, r.AllowRemote != nil}
}

// openPorts finds the ports of s, and opens those that are not open yet.
func (f *fleet) openPorts(s *service, p *plan) error {
	for i, addr := range s.route.Listen {
		at := placeOf(s.route, s.protocol, i)
		if _, ok := p.ports[at]; ok {
			return givenTwice(addr)
		}
		if ports, ok := p.open[at]; ok {
			p.ports[at] = ports
			continue
		}
		if p.listensOtherwise(at) {
			return &proxy.ListenError{
				Addr: addr, Err: errors.New("it is open, and socket_mode=, socket_owner=, socket_group= and whether there is an allow_remote= can't change there"),
				Advice: "change listen= too, or start dbvalet again",
			}
		}
		listeners, err := f.listen(s.route, at)
		if err != nil {
			return err
		}
		for _, ln := range listeners {
			port, err := proxy.NewPort(ln)
			if err != nil {
				ln.Close()
				return err
			}
			p.ports[at] = append(p.ports[at], port)
			p.opened, p.listeners = append(p.opened, port), append(p.listeners, ln)
		}
	}
	return nil
}

// givenTwice is the error for an address that is in the configuration already.
func givenTwice(addr string) error {
	if addr == autoListen {
		return &proxy.ListenError{Addr: addr, Err: errors.New("it is given twice, and a route has one such port"), Advice: "leave one of them out"}
	}
	return &proxy.ListenError{Addr: addr, Err: errors.New("another route listens there"), Advice: "choose another port in listen="}
}

// listen opens what r has at a place.
func (f *fleet) listen(r *config.Route, at place) ([]net.Listener, error) {
	if at.addr == autoListen {
		ln, err := f.auto.open(r, f.display.log)
		if err != nil {
			return nil, err
		}
		return []net.Listener{ln}, nil
	}
	open := proxy.Listen
	if f.open != nil {
		open = f.open
	}
	listeners, err := open(proxy.ListenOptions{
		Addr: at.addr, Inherited: f.inherited, SocketName: at.socketName, Remote: at.remote,
		SocketMode: r.SocketMode, SocketOwner: r.SocketOwner, SocketGroup: r.SocketGroup,
	})
	if e, ok := errors.AsType[*proxy.ListenError](err); ok && proxy.IsInUse(err) {
		return nil, &proxy.ListenError{Addr: e.Addr, Err: e.Err, Advice: e.Advice + ", or write listen=" + autoListen + ", which takes a free one and keeps it"}
	}
	return listeners, err
}

// listensOtherwise reports whether what is open at the address of at has other settings.
func (p *plan) listensOtherwise(at place) bool {
	for other := range p.open {
		if other.own == at.own && other.addr == at.addr && other.socketName == at.socketName {
			return true
		}
	}
	return false
}

package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"dbvalet/config"
	"dbvalet/dsn"
	"dbvalet/proxy"
)

// A lodging is where routes listen that are for one command alone: on sockets in a private directory, on
// free ports, or on both.
type lodging struct {
	dir   *privateDir             // nil: there are no sockets
	tcp   bool                    // there are ports
	open  map[string]net.Listener // those of ports that no route has taken over yet
	ports map[string]bool         // that are taken, sockets' included
}

// An access is where a command reaches a route.
type access struct {
	route  *config.Route
	tcp    net.Addr // nil: there is no port
	socket net.Addr // nil: there is no socket
}

// target is the first of addrs that there is.
func (a *access) target(addrs ...net.Addr) dsn.Target {
	t := dsn.Target{Scheme: a.route.Scheme, User: a.route.User, Database: a.route.Database}
	for _, addr := range addrs {
		if addr != nil {
			t.Addr = addr
			break
		}
	}
	return t
}

func newLodging(tcpOnly, unixOnly bool) (*lodging, error) {
	l := &lodging{tcp: !unixOnly, open: map[string]net.Listener{}, ports: map[string]bool{}}
	if tcpOnly || !haveSockets && !unixOnly {
		return l, nil
	}
	var err error
	l.dir, err = newPrivateDir()
	return l, err
}

// take has the routes of c listen here, and nowhere else. Nobody but the own user gets in, so that there
// is no need for what else guards a route that others may reach.
func (l *lodging) take(c *config.Config) ([]*access, error) {
	var all []*access
	for i, r := range c.Routes {
		own := *r
		a := &access{route: &own}
		if err := l.place(a); err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
		own.Listen = nil
		for _, addr := range []net.Addr{a.tcp, a.socket} {
			if addr != nil {
				own.Listen = append(own.Listen, addr.String())
			}
		}
		own.Allow, own.AllowRemote = "self", nil
		own.SocketMode, own.SocketOwner, own.SocketGroup = 0, "", ""
		own.LocalPassword, own.LocalTLS, own.LocalTLSKey, own.LocalClientCA = "", "", "", ""
		c.Routes[i] = &own
		all = append(all, a)
	}
	return all, nil
}

// place finds a port and a socket for a. Both have the same number: who names another host than PGHOST
// on the command line then has the right port still.
func (l *lodging) place(a *access) error {
	port := ""
	if l.tcp {
		listeners, err := proxy.Listen(proxy.ListenOptions{Addr: "127.0.0.1:0"})
		if err != nil {
			return err
		}
		a.tcp = listeners[0].Addr()
		l.open[a.tcp.String()] = listeners[0]
		_, port, _ = net.SplitHostPort(a.tcp.String())
	} else {
		port = l.freeNumber(a.route.Port)
	}
	if l.dir != nil {
		name := ".s.PGSQL." + port
		if a.route.Scheme == "mysql" {
			name = "mysql." + port + ".sock"
		}
		a.socket = &net.UnixAddr{Net: "unix", Name: filepath.Join(l.dir.path, name)}
	}
	return nil
}

// freeNumber is the first from port on that no other socket has.
func (l *lodging) freeNumber(port string) string {
	for l.ports[port] {
		n, _ := strconv.Atoi(port)
		port = strconv.Itoa(n%65535 + 1)
	}
	l.ports[port] = true
	return port
}

// listen hands a port out that is open, and opens sockets.
func (l *lodging) listen(o proxy.ListenOptions) ([]net.Listener, error) {
	if ln, ok := l.open[o.Addr]; ok {
		delete(l.open, o.Addr)
		return []net.Listener{ln}, nil
	}
	return proxy.Listen(o)
}

// bases are the directories in which something is removed by close.
func (l *lodging) bases() []string {
	if l.dir == nil {
		return nil
	}
	return []string{filepath.Dir(l.dir.path)}
}

// close removes what is left. The sockets are gone with their listeners.
func (l *lodging) close() {
	for _, ln := range l.open {
		ln.Close()
	}
	if l.dir != nil {
		l.dir.remove()
	}
}

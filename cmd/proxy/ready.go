package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"dbvalet/dsn"
	"dbvalet/proxy"
)

// A display is where the program says what happens: a log, and on a terminal a few lines for people.
type display struct {
	log   *slog.Logger
	level *slog.LevelVar // of the log; nil: it does not change
	// people is where the lines for people go; nil where a program reads the log.
	people   io.Writer
	terminal bool   // somebody sits in front of it
	colour   bool   // of the lines for people
	close    func() // writes what is left; nil where nothing waits
}

// ready says that clients can connect to s, and how. Where there is little to say, all that can be copied
// stands below.
func (d display) ready(s *service, brief bool) {
	auth := sourceName(s.route.Auth)
	addr, endpoint := s.where()
	via := viaText(s.route)
	way := via
	if addr != endpoint {
		way = strings.TrimPrefix(via+" and "+addr, " and ")
	}
	told := map[string]bool{} // the networks for which there are lines to copy
	for _, ln := range s.listeners {
		if d.people == nil {
			try, url := d.copied(s, ln)
			attrs := []any{"route", s.route.Name, "listener", ln.Addr().String(), "upstream", addr, "endpoint", endpoint}
			if via != "" {
				attrs = append(attrs, "via", via)
			}
			d.log.Info("ready", append(attrs, "security", s.security, "auth", auth, "allow", s.allows(), "try", try, "url", url)...)
			continue
		}
		to := endpoint
		if way != "" {
			to += " by way of " + way
		}
		text := fmt.Sprintf("ready: %s on %s -> %s (%s, %s), open to %s\n", s.route.Name, ln.Addr(), to, s.security, auth, s.allows())
		if network := ln.Addr().Network(); !told[network] { // the other half of localhost says nothing new
			told[network] = true
			text += d.lines(s.target(ln.Addr()), brief)
		}
		fmt.Fprint(d.people, text)
	}
}

// copied are a command and a URL, as far as there are any.
func (d display) copied(s *service, ln net.Listener) (try, url string) {
	target := s.target(ln.Addr())
	try, err := target.For(dsn.Tools(target.Scheme)[0])
	if err != nil {
		d.log.Warn("clients will not find the socket", "route", s.route.Name, "err", err, "hint", proxy.Hint(err))
		return "", ""
	}
	url, _ = target.For("url")
	return try, url
}

// target is s as a client at addr sees it.
func (s *service) target(addr net.Addr) dsn.Target {
	return dsn.Target{Scheme: s.route.Scheme, Addr: addr, User: s.route.User, Database: s.route.Database, TLS: s.server.Door.TLSRequired}
}

// allows says who may come in, and what they have to show.
func (s *service) allows() string {
	door := &s.server.Door
	text := door.Allow.String()
	for i, network := range door.Remote {
		separator := ", "
		if i == 0 {
			separator = ", and to "
		}
		text += separator + network.String()
	}
	if s.password != "" {
		text += ", with the password in " + s.password
	}
	if door.TLSRequired {
		text += ", with a certificate"
	}
	return text
}

// where says what is dialled, and the database's own name, as far as they are known at the start.
func (s *service) where() (addr, endpoint string) {
	r := s.route
	addr = s.server.Upstream.Endpoint.Addr
	switch {
	case r.Host != "":
		endpoint = r.Endpoint()
	case r.Instance != "":
		endpoint = r.Instance
	default:
		endpoint = "the secret's host"
	}
	return cmp.Or(addr, r.Dial, endpoint), endpoint
}

// sourceName is auth= without what may be secret: the arguments of a command, and the options of a URL.
func sourceName(auth string) string {
	separators := "?"
	if strings.HasPrefix(auth, "exec:") {
		separators = " \t\n"
	}
	if end := strings.IndexAny(auth, separators); end >= 0 {
		return auth[:end]
	}
	return auth
}

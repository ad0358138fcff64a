package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"dbvalet/config"
)

// A display is where the program says what happens: a log, and on a terminal a few lines for people.
type display struct {
	log   *slog.Logger
	level *slog.LevelVar // of the log; nil: it does not change
	// people is where the lines for people go; nil where a program reads the log.
	people io.Writer
	close  func() // writes what is left; nil where nothing waits
}

// ready says that clients can connect to ln, and how.
func (d display) ready(s *service, ln net.Listener) {
	auth, try := sourceName(s.route.Auth), clientCommand(s, ln.Addr())
	addr, endpoint := s.where()
	if d.people == nil {
		d.log.Info("ready", "route", s.route.Name, "listener", ln.Addr().String(), "upstream", addr,
			"endpoint", endpoint, "security", s.security, "auth", auth, "allow", s.allows(), "try", try)
		return
	}
	to := endpoint
	if addr != to {
		to += " by way of " + addr
	}
	fmt.Fprintf(d.people, "ready: %s on %s -> %s (%s, %s), open to %s\n  %s\n", s.route.Name, ln.Addr(), to, s.security, auth, s.allows(), try)
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

// clientCommand is a command to copy that connects to addr.
func clientCommand(s *service, addr net.Addr) string {
	command := s.protocol.command(s.route, addr)
	for i, word := range command {
		command[i] = shellQuote(word)
	}
	return strings.Join(command, " ")
}

func psqlCommand(r *config.Route, addr net.Addr) []string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil { // a unix socket
		var name string
		host, name = filepath.Split(addr.String())
		host, port = filepath.Clean(host), strings.TrimPrefix(name, ".s.PGSQL.")
	}
	command := []string{"psql", "-h", host, "-p", port}
	if r.User != "" {
		command = append(command, "-U", r.User)
	}
	if r.Database != "" {
		command = append(command, "-d", r.Database)
	}
	return command
}

// mysqlCommand is for the clients of MySQL and MariaDB alike. Both take "localhost" for a socket, and
// MariaDB's from 11.4 on is content without TLS over TCP as long as it is given no password. For more
// there is no option that both know.
func mysqlCommand(r *config.Route, addr net.Addr) []string {
	command := []string{"mysql"}
	if host, port, err := net.SplitHostPort(addr.String()); err == nil {
		command = append(command, "-h", host, "-P", port)
	} else {
		command = append(command, "-S", addr.String())
	}
	if r.User != "" {
		command = append(command, "-u", r.User)
	}
	if r.Database != "" {
		command = append(command, "-D", r.Database) // which may begin with a dash
	}
	return command
}

// shellQuote quotes word for a POSIX shell, where it needs that.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

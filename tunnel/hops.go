package tunnel

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// The kinds of hops.
const (
	SSH    = "ssh"
	SOCKS5 = "socks5"
	HTTP   = "http"
	HTTPS  = "https"
	Unix   = "unix"
)

// maxHops is how many there may be, with those that the SSH configuration adds: a circle of ProxyJumps
// is noticed by it.
const maxHops = 8

// A Hop is one step of a way.
type Hop struct {
	Kind string
	User string // empty: none, or what the SSH configuration says
	Host string // of SSH it may be an alias
	Port string // empty: what the SSH configuration says, or the one of the kind
	Path string // of Unix, all that there is
}

// String is the hop as one writes it.
func (h Hop) String() string {
	if h.Kind == Unix {
		return "unix:" + h.Path
	}
	text := h.Kind + "://"
	if h.User != "" {
		text += h.User + "@"
	}
	switch {
	case h.Port != "":
		return text + net.JoinHostPort(h.Host, h.Port)
	case strings.Contains(h.Host, ":"):
		return text + "[" + h.Host + "]"
	}
	return text + h.Host
}

// A HopError says what is wrong with how a hop is written. It repeats nothing of it, as that may be a
// password.
type HopError struct {
	At     int // its place in the list, from 1
	Err    error
	Advice string
}

func (e *HopError) Error() string { return fmt.Sprintf("hop %d: %v", e.At, e.Err) }
func (e *HopError) Unwrap() error { return e.Err }

// Hint returns the next step.
func (e *HopError) Hint() string { return e.Advice }

// ParseHops reads a list of hops, in the order in which they are passed:
//
//	ssh://USER@HOST:PORT      user and port may be left out
//	socks5://USER@HOST:PORT   the proxy looks up names
//	http://HOST:PORT          a proxy that knows CONNECT; https:// encrypts the way to it
//	unix:/PATH                a socket in place of the database; the last one, alone or behind an SSH hop
func ParseHops(list []string) ([]Hop, error) {
	hops := make([]Hop, 0, len(list))
	for i, text := range list {
		h, err := parseHop(text)
		switch {
		case err != nil:
		case i == maxHops:
			err = &HopError{Err: fmt.Errorf("there may be %d", maxHops), Advice: "leave some out"}
		case h.Kind == Unix && i != len(list)-1:
			err = &HopError{Err: errors.New("unix: stands for the database's own socket"), Advice: "make it the last one"}
		case h.Kind == Unix && i > 0 && hops[i-1].Kind != SSH:
			err = &HopError{Err: errors.New("only ssh:// reaches sockets of another machine"), Advice: "put it behind an ssh:// hop, or leave it out"}
		}
		if err != nil {
			err.At = i + 1
			return nil, err
		}
		hops = append(hops, h)
	}
	return hops, nil
}

const hopAdvice = "write ssh://USER@HOST:PORT, socks5://HOST:PORT, http://HOST:PORT or unix:/PATH"

func parseHop(text string) (Hop, *HopError) {
	fail := func(advice, format string, args ...any) (Hop, *HopError) {
		return Hop{}, &HopError{Err: fmt.Errorf(format, args...), Advice: advice}
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
			return fail("write unix:/PATH", "the path of the socket is not absolute")
		}
		return Hop{Kind: Unix, Path: filepath.Clean(path)}, nil
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return fail(hopAdvice, "not a URL")
	}
	if user, _, ok := cutLast(rest, "@"); ok && strings.Contains(user, ":") {
		return fail("leave it out: SSH logs in with keys, and proxies that want a password are not supported", "a password in the URL, which everybody on this machine can read")
	}
	u, err := url.Parse(text)
	if err != nil {
		return fail(hopAdvice, "not a URL that can be read")
	}
	h := Hop{Kind: u.Scheme, User: u.User.Username(), Host: u.Hostname(), Port: u.Port()}
	switch h.Kind {
	case SSH, SOCKS5:
	case "socks5h": // curl's word for what socks5 is here
		h.Kind = SOCKS5
	case HTTP, HTTPS:
		if h.User != "" {
			return fail("leave it out: proxies that want a password are not supported", "a user for %s://", h.Kind)
		}
	default:
		if !plain(scheme) {
			scheme = "what stands before ://"
		}
		return fail(hopAdvice, "%s is no kind of hop", scheme)
	}
	switch n, err := strconv.ParseUint(h.Port, 10, 16); {
	case h.Port != "" && (err != nil || n == 0):
		return fail("ports are 1 to 65535", "the port does not exist")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return fail(hopAdvice, "something stands behind the host and the port")
	case !plain(h.Host) || h.Host[0] == '-' || h.User != "" && (!plain(strings.ReplaceAll(h.User, "@", "")) || h.User[0] == '-'):
		return fail("write the host as ~/.ssh/config or DNS know it", "a host or a user that can't be")
	}
	return h, nil
}

// plain reports whether text is made of what hosts and users are made of. Hints repeat both in commands
// for a shell.
func plain(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:+%", r)
	}) < 0
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+len(separator):], true
}

package main

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dbvalet/config"
	"dbvalet/harden"
	"dbvalet/proxy"
)

// needs are what a process needs that serves some routes.
type needs struct {
	harden.Needs
	surroundings surroundings

	anyPort string   // why connections may go to any port
	wide    []string // directories that hold more than anybody meant, and are read nonetheless
}

// systemFiles are what the standard library and C's look at for names, addresses and certificates.
// Everything in them may be a symbolic link to elsewhere. Programs of peers are looked up in /proc.
var systemFiles = []string{
	"/etc", "/usr", "/lib", "/lib64", "/lib32", "/proc", "/sys/fs/cgroup", "/dev/null", "/dev/urandom",
	"/run/systemd/resolve", "/run/secrets", "/var/run/secrets",
}

// systemLinks are those that are links to elsewhere on some systems.
var systemLinks = []string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/localtime",
	"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
}

// The ports that are always open: DNS, the metadata services, and the APIs of the clouds.
var commonPorts = []uint16{53, 80, 443}

// The ports of services that no setting need name.
const (
	connectorPort = 3307  // of Cloud SQL's connector
	vaultPort     = 8200  // of Vault, where it is neither named in the address nor in a redirection
	arcPort       = 40342 // of the agent of Azure Arc
	socksPort     = 1080
)

// needs returns what the services need.
func (s surroundings) needs(services []*service) *needs {
	n := &needs{surroundings: s}
	n.Read = slices.Clone(systemFiles)
	for _, path := range systemLinks {
		n.follow(path)
	}
	n.Connect = slices.Clone(commonPorts)
	n.environment()
	for _, service := range services {
		n.route(service.route)
	}
	n.tidy()
	return n
}

// tidy is called when something was added.
func (n *needs) tidy() {
	n.Read = unique(n.Read)
	n.Connect = unique(n.Connect)
	n.wide = unique(n.wide)
	n.AnyPort = n.anyPort != ""
}

// settings adds what concerns the whole program. Routes that may come, or come back, listen and connect
// wherever they say; their files have to be where others are.
func (n *needs) settings(c *config.Config, services []*service) {
	for _, path := range c.Files {
		n.watch(path)
	}
	if len(c.Files) > 0 {
		n.anyPort, n.Listen = "the configuration may change", true
	}
	if i := slices.IndexFunc(services, func(s *service) bool { return s.failure != nil }); i >= 0 {
		n.anyPort, n.Listen = "route "+services[i].route.Name+" is not served yet", true
	}
	for _, dir := range c.Dirs {
		n.readExisting(dir)
	}
	if filepath.IsAbs(c.Audit) || strings.ContainsRune(c.Audit, filepath.Separator) {
		if dir, err := filepath.Abs(filepath.Dir(c.Audit)); err == nil {
			n.Write = append(n.Write, dir)
		}
	}
	if u, err := url.Parse(c.Traces); err == nil && u.Host != "" {
		n.connectURL(u)
	}
	n.tidy()
}

// sockets adds the directories of unix sockets, which are removed at the end.
func (n *needs) sockets(listeners []net.Listener) {
	for _, ln := range listeners {
		if addr, ok := ln.Addr().(*net.UnixAddr); ok && !proxy.IsInherited(ln) {
			n.Sockets = append(n.Sockets, filepath.Dir(addr.Name))
		}
	}
}

func unique[T interface{ ~string | ~uint16 }](list []T) []T {
	slices.Sort(list)
	return slices.Compact(list)
}

// environment adds what the variables name: files, URLs and host:port. Whatever it is for, a library
// may look at it.
func (n *needs) environment() {
	for _, pair := range n.surroundings.environ {
		name, value, _ := strings.Cut(pair, "=")
		if !ofShell(name) {
			n.mention(value, ofLibrary(name))
		}
	}
}

// ofShell reports whether a variable is about the session in which the program was started.
func ofShell(name string) bool {
	switch name {
	case "_", "PATH", "PWD", "OLDPWD", "HOME", "SHELL", "TMPDIR", "TMP", "TEMP", "MAIL", "EDITOR", "VISUAL", "PAGER",
		"BROWSER", "SSH_AUTH_SOCK", "SSH_TTY", "LD_LIBRARY_PATH", "MANPATH", "INFOPATH":
		return true
	}
	return strings.HasPrefix(name, "XDG_")
}

// ofLibrary reports whether a variable is one of the libraries that the sources use. They take relative
// paths, too.
func ofLibrary(name string) bool {
	return slices.ContainsFunc([]string{"AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "SSL_CERT_", "VAULT_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// mention adds what value names, if that is a path, a list of paths, a URL or host:port.
func (n *needs) mention(value string, relative bool) {
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		n.connectURL(u)
		return
	}
	for _, path := range filepath.SplitList(value) {
		if filepath.IsAbs(path) || relative && path != "" {
			n.readExisting(path)
		}
	}
	if host, port, err := net.SplitHostPort(value); err == nil && host != "" {
		n.connect(port)
	}
}

// connectURL adds the port of a URL that a library may open.
func (n *needs) connectURL(u *url.URL) {
	switch port := u.Port(); {
	case u.Scheme == "http", u.Scheme == "https":
		n.connect(port) // without one, those are open
	case strings.HasPrefix(u.Scheme, "socks5"):
		n.Connect = append(n.Connect, socksPort)
		n.connect(port)
	}
}

func (n *needs) connect(port string) {
	if p, err := strconv.ParseUint(port, 10, 16); err == nil && p > 0 {
		n.Connect = append(n.Connect, uint16(p))
	}
}

// readExisting adds a file with its directory, where others replace it, or a directory. But neither the
// home directory nor all there is are read because somebody has put a file there.
func (n *needs) readExisting(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil, n.tooWide(path):
	case info.IsDir():
		n.Read = append(n.Read, path)
	case info.Mode().IsRegular():
		n.Read = append(n.Read, path)
		for _, dir := range directories(path) {
			if !n.tooWide(dir) {
				n.Read = append(n.Read, dir)
			}
		}
	}
}

func (n *needs) tooWide(dir string) bool { return dir == "/" || dir == n.surroundings.home }

// follow adds a file and the directory that it is in at the end of all symbolic links.
func (n *needs) follow(path string) {
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		n.readExisting(target)
	}
}

// watch adds the directories of a file that a route names. It may not be there yet, and whoever writes
// it may replace it, so that its directory is read wherever that is. Where there is no directory yet,
// the next one above is.
func (n *needs) watch(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for _, dir := range directories(path) {
		for dir != "/" && !exists(dir) {
			dir = filepath.Dir(dir)
		}
		if n.tooWide(dir) {
			n.wide = append(n.wide, dir)
		}
		n.Read = append(n.Read, dir)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// maxLinks is how many symbolic links the kernel follows.
const maxLinks = 40

// directories returns the directories in which something may be exchanged so that path, which is
// absolute, leads to another file: its own, and those of what the symbolic links on the way point to.
// What a link of the system points to, such as /var/run, is at the top, and is not exchanged.
func directories(path string) []string {
	path = filepath.Clean(path)
	dirs := []string{filepath.Dir(path)}
	for range maxLinks {
		link, target := firstLink(path)
		if link == "" {
			break
		}
		if dir := filepath.Dir(target); dir != "/" {
			dirs = append(dirs, dir)
		}
		path = filepath.Join(target, strings.TrimPrefix(path, link))
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

// firstLink returns the first symbolic link on the way to path, and where it leads.
func firstLink(path string) (link, target string) {
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != filepath.Separator {
			continue
		}
		target, err := os.Readlink(path[:end])
		if err != nil {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path[:end]), target)
		}
		return path[:end], filepath.Clean(target)
	}
	return "", ""
}

// route adds what r names, and what its source looks at without being told.
func (n *needs) route(r *config.Route) {
	switch {
	case r.Via != nil:
		n.via(r)
	case r.Instance != "":
		n.Connect = append(n.Connect, connectorPort)
	case r.Dial != "":
		n.mention(r.Dial, false)
	case r.HasSecret() && r.PortLeftOut:
		n.anyPort = "route " + r.Name + " leaves the port to its secret"
	default:
		n.connect(r.Port)
	}
	for _, host := range r.Hosts {
		if r.Via == nil {
			n.connect(host.Port)
		}
	}
	n.mention(r.SQLAdmin, false)
	if r.CA != "" {
		n.watch(r.CA)
	}
	if path, ok := strings.CutPrefix(r.Auth, "file:"); ok && !r.HasSecret() {
		n.watch(path)
	}
	if r.HasSecret() {
		n.secret(r.Auth)
	}
	n.libraries(r)
}

// secret adds what the URL of a secret names: a file that is the secret, and files and addresses in its
// options.
func (n *needs) secret(auth string) {
	scheme, rest, _ := strings.Cut(auth, "://")
	name, query, _ := strings.Cut(rest, "?")
	if path, err := url.PathUnescape(name); err == nil && scheme == "file" {
		n.watch(path)
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, encoded, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(encoded)
		if err != nil || value == "" {
			continue
		}
		if strings.HasSuffix(key, "_file") {
			n.watch(value)
		} else {
			n.mention(value, key == "ca")
		}
	}
}

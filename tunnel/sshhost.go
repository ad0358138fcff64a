package tunnel

import (
	"cmp"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// An sshHost is a bastion: the hop as it is written, with what ~/.ssh/config adds.
type sshHost struct {
	hop        Hop
	name, port string // of its host
	user       string
	jumps      []Hop    // that ~/.ssh/config says lead there, of the first hop
	configs    []string // the files of the SSH configuration
	command    string   // what a person would log in with

	keyName    string   // by which known_hosts has it: host:port
	portless   string   // by which it may have it on all ports: that of the usual one
	knownHosts []string // the files that are looked at, as far as they are there
	mustExist  bool     // of knownHosts, because the user has named it
	revoked    string   // the file with host keys that are never trusted; empty: none

	keys       []string // the files of keys that the user has named
	onlyKeys   bool     // none that only the agent has
	mustRead   bool     // of keys, because the route has named it
	usualKeys  []string // the usual files, where the user has named none
	agent      string   // its socket; empty: none
	shellAgent bool     // it is the one that SSH_AUTH_SOCK names
}

// The files that OpenSSH looks at where it is told nothing else.
var (
	usualKeys         = [...]string{"id_ed25519", "id_ecdsa", "id_rsa"}
	globalKnownHosts  = [...]string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	defaultKnownHosts = [...]string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
)

// resolve finds out about h, an SSH hop. What leads there matters only of the first one.
func (o Options) resolve(h Hop, first bool) (*sshHost, error) {
	fail := func(advice string, err error) (*sshHost, error) {
		return nil, &Error{Hop: h.String(), Err: err, Advice: advice, Permanent: true}
	}
	c, err := readSSHConfig(o.Home, h.Host)
	if err != nil {
		return fail("correct ~/.ssh/config, or its modes", fmt.Errorf("read ~/.ssh/config: %w", err))
	}
	s := &sshHost{hop: h, configs: c.files}
	s.name = c.hostName()
	s.port = cmp.Or(h.Port, c.get("port"), "22")
	s.user = cmp.Or(h.User, c.get("user"), localUser(o.Getenv))
	if s.user == "" {
		return fail("write ssh://USER@HOST in via=", fmt.Errorf("it isn't known which user to log in as"))
	}
	s.keyName, s.portless = net.JoinHostPort(strings.ToLower(s.name), s.port), net.JoinHostPort(strings.ToLower(s.name), "22")
	if alias := c.get("hostkeyalias"); alias != "" {
		s.keyName = net.JoinHostPort(strings.ToLower(alias), "22")
		s.portless = s.keyName
	}
	if first {
		if s.jumps, err = c.jumps(); err != nil {
			return fail("name the hosts on the way there in via=, as in via=ssh://jump,"+h.String(), err)
		}
	}
	s.setKnownHosts(o, c)
	if file := c.get("revokedhostkeys"); file != "" && !strings.EqualFold(file, "none") {
		s.revoked = s.expand(o.Home, o.Getenv, file)
	}
	s.setKeys(o, c)
	s.command = o.command(s)
	return s, nil
}

func (s *sshHost) setKnownHosts(o Options, c *sshConfig) {
	if o.KnownHosts != "" {
		s.knownHosts, s.mustExist = []string{inHome(o.Home, o.KnownHosts)}, true
		return
	}
	files := c.values["userknownhostsfile"]
	if files == nil {
		files = defaultKnownHosts[:]
	}
	for _, file := range files {
		if file = s.expand(o.Home, o.Getenv, file); filepath.IsAbs(file) {
			s.knownHosts = append(s.knownHosts, file)
		}
	}
	s.knownHosts = append(s.knownHosts, globalKnownHosts[:]...)
}

func (s *sshHost) setKeys(o Options, c *sshConfig) {
	named := c.values["identityfile"]
	switch {
	case o.Key != "":
		s.keys, s.mustRead = []string{inHome(o.Home, o.Key)}, true
	case named != nil: // "none" is no path
		for _, file := range named {
			if file = s.expand(o.Home, o.Getenv, file); filepath.IsAbs(file) {
				s.keys = append(s.keys, file)
			}
		}
	case o.Home != "":
		for _, name := range usualKeys {
			s.usualKeys = append(s.usualKeys, filepath.Join(o.Home, ".ssh", name))
		}
	}
	s.onlyKeys = s.mustRead || strings.EqualFold(c.get("identitiesonly"), "yes")
	switch agent := c.get("identityagent"); {
	case agent == "", agent == "SSH_AUTH_SOCK":
		s.agent, s.shellAgent = o.Getenv("SSH_AUTH_SOCK"), true
	case strings.EqualFold(agent, "none"):
	case strings.HasPrefix(agent, "$") && !strings.Contains(agent, "/"):
		s.agent = o.Getenv(strings.Trim(agent, "${}"))
	default:
		s.agent = s.expand(o.Home, o.Getenv, agent)
	}
}

// command is what a person would log in with, for hints.
func (o Options) command(s *sshHost) string {
	words := []string{"ssh"}
	if o.KnownHosts != "" {
		words = append(words, "-o", "UserKnownHostsFile="+o.KnownHosts)
	}
	if o.Key != "" {
		words = append(words, "-i", o.Key)
	}
	if s.hop.Port != "" {
		words = append(words, "-p", s.hop.Port)
	}
	target := s.hop.Host
	if s.hop.User != "" {
		target = s.hop.User + "@" + target
	}
	return strings.Join(append(words, target), " ")
}

// files are those that may be read when it is logged in to.
func (s *sshHost) files() []string {
	files := append([]string(nil), s.knownHosts...)
	if s.revoked != "" {
		files = append(files, s.revoked)
	}
	for _, key := range slices.Concat(s.keys, s.usualKeys) {
		files = append(files, key, key+".pub", key+"-cert.pub")
	}
	return files
}

// localUser is who runs the program; empty: it has no name.
func localUser(getenv func(string) string) string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return getenv("USER")
}

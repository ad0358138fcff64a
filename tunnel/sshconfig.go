package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An sshConfig is what ~/.ssh/config says about one host: HostName, User, Port, IdentityFile,
// IdentitiesOnly, IdentityAgent, UserKnownHostsFile, HostKeyAlias, RevokedHostKeys, ProxyJump, and whether
// there is a ProxyCommand. Host and Include are understood, and Match as far as it says all, host or originalhost.
// Blocks with other conditions are left out: to judge them, one would have to run commands.
//
// The first value counts, and of IdentityFile all, as in ssh_config(5).
type sshConfig struct {
	host   string
	home   string
	values map[string][]string // by keyword, in lower case
	files  []string            // that were read
}

const (
	maxConfig   = 1 << 20 // bytes
	maxIncludes = 16      // of one within another
)

// readSSHConfig reads ~/.ssh/config for host. That there is none is no error.
func readSSHConfig(home, host string) (*sshConfig, error) {
	c := &sshConfig{host: host, home: home, values: map[string][]string{}}
	if home == "" {
		return c, nil
	}
	return c, c.read(filepath.Join(home, ".ssh", "config"), true, 0)
}

// read reads a file. Nothing in it applies if active is false.
func (c *sshConfig) read(path string, active bool, depth int) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() { // as a pattern of Include may match
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return err
	}
	c.files = append(c.files, path)
	return c.parse(string(content), active, depth)
}

// parse goes through a file's lines.
func (c *sshConfig) parse(content string, active bool, depth int) error {
	within := active
	for line := range strings.Lines(content) {
		keyword, words := configLine(line)
		switch keyword {
		case "":
		case "host":
			within = active && matchesAny(words, c.host)
		case "match":
			within = active && c.matches(words)
		case "include":
			if err := c.include(words, within, depth+1); err != nil {
				return err
			}
		default:
			if within && len(words) > 0 {
				c.set(keyword, words)
			}
		}
	}
	return nil
}

func (c *sshConfig) set(keyword string, words []string) {
	switch _, is := c.values[keyword]; {
	case keyword == "proxyjump" && c.values["proxycommand"] != nil: // "none" is said too
	case keyword == "identityfile":
		c.values[keyword] = append(c.values[keyword], words[0])
	case !is:
		c.values[keyword] = words
	}
}

// matches judges the conditions of a Match.
func (c *sshConfig) matches(words []string) bool {
	if len(words) == 1 && strings.EqualFold(words[0], "all") {
		return true
	}
	for ; len(words) >= 2; words = words[2:] {
		switch strings.ToLower(words[0]) {
		case "host":
			if !matchesAny(strings.Split(words[1], ","), c.hostName()) {
				return false
			}
		case "originalhost":
			if !matchesAny(strings.Split(words[1], ","), c.host) {
				return false
			}
		default:
			return false
		}
	}
	return len(words) == 0
}

// include reads what patterns name: in ~/.ssh, where they don't say otherwise.
func (c *sshConfig) include(patterns []string, active bool, depth int) error {
	if depth > maxIncludes {
		return errors.New("too many files that include one another")
	}
	for _, pattern := range patterns {
		pattern = inHome(c.home, pattern)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(c.home, ".ssh", pattern)
		}
		paths, _ := filepath.Glob(pattern) // a pattern that is none matches nothing
		for _, path := range paths {
			if err := c.read(path, active, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// get returns the first word of a setting; empty: it isn't set.
func (c *sshConfig) get(keyword string) string {
	if words := c.values[keyword]; words != nil {
		return words[0]
	}
	return ""
}

// hostName is the name of the host, as far as it has been said.
func (c *sshConfig) hostName() string {
	return strings.ReplaceAll(cmp.Or(c.get("hostname"), c.host), "%h", c.host)
}

// configLine splits a line: the keyword in lower case, and the words, which may stand in quotes. The
// keyword may be followed by an equals sign. It is empty where there is nothing.
func configLine(line string) (keyword string, words []string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), nil
	}
	rest := strings.TrimLeft(line[end:], " \t")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	for rest != "" && rest[0] != '#' {
		var word string
		if rest[0] == '"' {
			word, rest, _ = strings.Cut(rest[1:], `"`)
		} else if i := strings.IndexAny(rest, " \t"); i >= 0 {
			word, rest = rest[:i], rest[i:]
		} else {
			word, rest = rest, ""
		}
		words = append(words, word)
		rest = strings.TrimLeft(rest, " \t")
	}
	return strings.ToLower(line[:end]), words
}

// matchesAny reports whether host matches one of the patterns, and none of those with an exclamation
// mark.
func matchesAny(patterns []string, host string) (found bool) {
	for _, pattern := range patterns {
		pattern, not := strings.CutPrefix(pattern, "!")
		if !wildcard(strings.ToLower(pattern), strings.ToLower(host)) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// wildcard reports whether text matches a pattern with * and ?.
func wildcard(pattern, text string) bool {
	// The last star is given one more character each time that what follows it does not match.
	p, t, star, from := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// inHome puts the home directory in place of a tilde.
func inHome(home, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}

// jumps reads ProxyJump: what ssh:// says, or USER@HOST:PORT, between commas.
func (c *sshConfig) jumps() ([]Hop, error) {
	value := strings.Join(c.values["proxyjump"], ",")
	if value == "" || strings.EqualFold(value, "none") {
		if command := c.get("proxycommand"); command != "" && !strings.EqualFold(command, "none") {
			return nil, errors.New("~/.ssh/config has a ProxyCommand for it, which is not run")
		}
		return nil, nil
	}
	list := slices.DeleteFunc(strings.Split(value, ","), func(jump string) bool { return jump == "" })
	for i, jump := range list {
		if !strings.Contains(jump, "://") {
			list[i] = "ssh://" + jump
		}
	}
	hops, err := ParseHops(list)
	if err != nil {
		return nil, fmt.Errorf("ProxyJump in ~/.ssh/config: %w", err)
	}
	return hops, nil
}

// expand replaces the tokens of ssh_config(5) in a path. Of those that there are, these are what paths
// have in them.
func (h *sshHost) expand(home string, getenv func(string) string, path string) string {
	path = inHome(home, path)
	path = os.Expand(path, func(name string) string { return cmp.Or(getenv(name), "${"+name+"}") })
	return strings.NewReplacer("%%", "%", "%d", home, "%h", h.name, "%n", h.hop.Host, "%p", h.port, "%r", h.user, "%u", localUser(getenv)).Replace(path)
}

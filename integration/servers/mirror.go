package servers

import (
	"bufio"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A source is one line of apt's sources: an archive and what is taken from it.
type source struct {
	uri        string
	components []string
}

// debianMirror returns the address of the Debian archive that this machine uses itself, so that
// tests depend on no host that the machine does not depend on anyway.
func debianMirror() (string, error) {
	if mirror := os.Getenv("DBVALET_DEBIAN_MIRROR"); mirror != "" {
		return mirror, nil
	}
	for _, s := range machineSources("/etc/apt") {
		if s.isDebianMain() {
			return s.uri, nil
		}
	}
	return "", errors.New("no Debian archive in the sources of apt\n" +
		"hint: set DBVALET_DEBIAN_MIRROR to the address of one, as it would stand in sources.list")
}

// isDebianMain tells Debian's main archive from its security archive and from other people's
// archives, which also have a component main. By Debian's rules a mirror ends in "/debian"; cloud
// images have a file with a list of mirrors instead, which apt understands itself.
func (s source) isDebianMain() bool {
	u, err := url.Parse(s.uri)
	if err != nil || !slices.Contains(s.components, "main") {
		return false
	}
	name := filepath.Base(strings.TrimSuffix(u.Path, "/"))
	return name == "debian" || strings.HasPrefix(u.Scheme, "mirror") && name == "debian.list"
}

// machineSources reads both forms of apt's sources. A file that can't be read is none: the caller
// says what is missing.
func machineSources(etc string) []source {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		matches, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		files = append(files, matches...)
	}
	var sources []source
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if strings.HasSuffix(file, ".sources") {
			sources = append(sources, parseDeb822(string(b))...)
		} else {
			sources = append(sources, parseOneLine(string(b))...)
		}
	}
	return sources
}

// parseOneLine reads the older form:
//
//	deb [ option=value ... ] uri suite component ...
func parseOneLine(text string) []source {
	var sources []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, "]")
		}
		if f := strings.Fields(line); len(f) >= 3 {
			sources = append(sources, source{uri: f[0], components: f[2:]})
		}
	}
	return sources
}

// parseDeb822 reads the newer form: stanzas of "Field: values", where a value may go on in the next
// line if that begins with a space.
func parseDeb822(text string) []source {
	var sources []source
	stanza := make(map[string][]string)
	finish := func() {
		enabled := !slices.Contains(stanza["enabled"], "no")
		if enabled && slices.Contains(stanza["types"], "deb") {
			for _, uri := range stanza["uris"] {
				sources = append(sources, source{uri: uri, components: stanza["components"]})
			}
		}
		clear(stanza)
	}
	field := ""
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			finish()
		case line[0] == ' ' || line[0] == '\t':
			stanza[field] = append(stanza[field], strings.Fields(line)...)
		default:
			name, value, _ := strings.Cut(line, ":")
			field = strings.ToLower(name)
			stanza[field] = strings.Fields(value)
		}
	}
	finish()
	return sources
}

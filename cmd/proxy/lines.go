package main

import (
	"fmt"
	"slices"
	"strings"

	"dbvalet/dsn"
	"dbvalet/proxy"
)

// A line is something to copy, and whom it is for.
type line struct{ label, text string }

// lines are what a person may want to copy to connect to t, below each other. The same text for several is
// there once.
func (d display) lines(t dsn.Target, brief bool) string {
	client := dsn.Tools(t.Scheme)[0]
	var lines []line
	for _, w := range shownTools(client, brief) {
		text, err := t.For(w.text)
		if err != nil && w.text == client {
			return fmt.Sprintf("  %v: %s\n", err, proxy.Hint(err))
		}
		if err != nil { // such as JDBC, which knows no unix sockets
			continue
		}
		if i := slices.IndexFunc(lines, func(l line) bool { return l.text == text }); i >= 0 {
			lines[i].label += ", " + w.label
		} else {
			lines = append(lines, line{w.label, text})
		}
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l.label))
	}
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "  %s  %s\n", d.dim(fmt.Sprintf("%-*s", width, l.label)), l.text)
	}
	return out.String()
}

// shownTools are those of which there are lines: with client, the database's own, what languages want, or
// if brief only a URL.
func shownTools(client string, brief bool) []line {
	if brief {
		return []line{{client, client}, {"URL", "url"}}
	}
	return []line{{client, client}, {"Go", "go"}, {"Python", "python"}, {"Node", "node"}, {"JDBC", "jdbc"}}
}

// maxInFull is how many routes are described in full.
const maxInFull = 3

// allReady says that services are ready, and how there is more to copy.
func (d display) allReady(services []*service) {
	brief := len(services) > maxInFull
	for _, s := range services {
		d.ready(s, brief)
	}
	if d.people != nil && len(services) > 0 {
		fmt.Fprintln(d.people, d.dim("  more to copy: dbvalet url ROUTE --for "+strings.Join(furtherTools(services, brief), "|")))
	}
}

// furtherTools are those that services know and of which there are no lines.
func furtherTools(services []*service, brief bool) (further []string) {
	for _, s := range services {
		tools := dsn.Tools(s.route.Scheme)
		for _, tool := range tools {
			isShown := slices.ContainsFunc(shownTools(tools[0], brief), func(l line) bool { return l.text == tool })
			if !isShown && !slices.Contains(further, tool) {
				further = append(further, tool)
			}
		}
	}
	return further
}

// dim makes text step back behind what is to be copied.
func (d display) dim(text string) string {
	if !d.colour {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

package config

import (
	"fmt"
	"strings"
)

// Error says what is wrong with the configuration, and what to write instead.
type Error struct {
	Route  string // as far as it is known; empty: it concerns the whole program
	Err    error
	Advice string

	File string // where it stands: a file, or DBVALET_ROUTES; empty: in an argument
	Line int    // in File; 0: in none of its lines
}

func (e *Error) Error() string {
	text := e.Err.Error()
	if e.Route != "" {
		text = fmt.Sprintf("route %s: %s", e.Route, text)
	}
	if e.File != "" {
		text = place{e.File, e.Line}.String() + ": " + text
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next step.
func (e *Error) Hint() string { return e.Advice }

// A place is where something is written.
type place struct {
	file string // or a flag, a variable, an argument
	line int    // 0: there are no lines
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// didYouMean is the advice for an unknown name. It names the one that was probably meant, if there is
// such a one, and all that there are.
func didYouMean(name string, known []string, all string) string {
	advice := all + strings.Join(known, ", ")
	if best := Nearest(name, known); best != "" {
		advice = "did you mean " + best + "? " + advice
	}
	return advice
}

// Nearest returns which of the known names was probably meant by somebody who wrote name; empty: none.
func Nearest(name string, known []string) string {
	best, least := "", 3 // edits that somebody may have made by mistake
	for _, k := range known {
		if len(name) > 2*len(k) {
			continue
		}
		if n := edits(strings.ToLower(strings.ReplaceAll(name, "-", "_")), strings.ToLower(strings.ReplaceAll(k, "-", "_"))); n < least && n*2 < len(k) {
			best, least = k, n
		}
	}
	return best
}

// edits is how many characters of a must be changed, added or left out to make b.
func edits(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(previous[j]+cost, previous[j+1]+1, row[j]+1)
		}
		previous = row
	}
	return previous[len(b)]
}

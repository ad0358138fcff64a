package peer

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An id is the number of a user or a group, and the name if there is one.
type id struct {
	number uint32
	name   string
}

// text returns the name, or the number in its place.
func (i id) text() string { return cmp.Or(i.name, i.digits()) }

// user describes a user: alice (uid 1001), or uid 1001.
func (i id) user() string {
	if i.name == "" {
		return "uid " + i.digits()
	}
	return i.name + " (uid " + i.digits() + ")"
}

// quoted describes a user after the word "user": "alice" (uid 1001), or with uid 1001.
func (i id) quoted() string {
	if i.name == "" {
		return "with uid " + i.digits()
	}
	return strconv.Quote(i.name) + " (uid " + i.digits() + ")"
}

// group describes a group: group dba (gid 20), or gid 20.
func (i id) group() string {
	if i.name == "" {
		return "gid " + i.digits()
	}
	return "group " + i.name + " (gid " + i.digits() + ")"
}

func (i id) digits() string { return strconv.FormatUint(uint64(i.number), 10) }

// has reports whether number is among ids.
func has(ids []id, number uint32) bool {
	return slices.ContainsFunc(ids, func(i id) bool { return i.number == number })
}

// maxName is how much of a name is worth reading, in bytes.
const maxName = 64

// printable replaces what could play tricks on a terminal or a log, and cuts what is too long: a
// program chooses its name.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) <= maxName {
		return s
	}
	end := maxName
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

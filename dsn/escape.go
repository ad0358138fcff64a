package dsn

import "strings"

const (
	letters    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	unreserved = letters + "-._~" // RFC 3986, section 2.3
)

// escape percent-encodes all that could mean something, in whichever part of a URL text stands.
func escape(text string) string { return escapeBut(text, "") }

// escapeBut is escape for a place where more is plain.
func escapeBut(text, plain string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(unreserved, c) >= 0 || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// A query is the part of a URL behind the question mark.
type query []string

// add adds a value, if there is one.
func (q *query) add(key, value string) {
	if value != "" {
		*q = append(*q, key+"="+escapeBut(value, "/"))
	}
}

// String returns the question mark, and what comes after it.
func (q query) String() string {
	if len(q) == 0 {
		return ""
	}
	return "?" + strings.Join(q, "&")
}

// userinfo is what stands before the host of a URL.
func (t Target) userinfo() string {
	text := escape(t.User)
	if !t.Password.Empty() {
		text += ":" + escape(t.Password.Reveal())
	}
	if text == "" {
		return ""
	}
	return text + "@"
}

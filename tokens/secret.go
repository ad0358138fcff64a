package tokens

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a Secret shows of itself, however it is printed and even when it is empty.
const redacted = "[redacted]"

// Secret is a string that does not print: fmt, slog, encoding/json and everything else that asks a
// value for its text get "[redacted]". Reveal is the only way to the string. The zero value is the
// empty secret. Secrets are compared with Equal; == does not compile.
type Secret struct {
	// A pointer, because fmt calls no methods on a value that it reaches through an unexported
	// field of some other struct: it would print a string, but of a pointer prints the address.
	s *string

	// Keeps == from compiling: it would compare the addresses.
	_ [0]func()
}

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{s: &s}
}

// Reveal returns the string itself. Call it where the bytes go to the database, and nowhere else.
func (s Secret) Reveal() string {
	if s.s == nil {
		return ""
	}
	return *s.s
}

// Empty reports whether there is nothing to hide.
func (s Secret) Empty() bool { return s.s == nil }

// Equal reports whether both hold the same string, in a time that depends on the lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb. Without it, verbs such as %d would pass String by and
// print the fields.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

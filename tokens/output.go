package tokens

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// errOutput is in every error about the form of a program's output. The errors of encoding/json
// and time are not: they quote what they read.
var errOutput = errors.New("can't use what it printed")

// parseOutput reads what a program printed: a JSON object, or else the bare password.
func parseOutput(out []byte) (Credential, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(out, " \t\r\n"), []byte("{")) {
		password := trimNewline(string(out))
		return Credential{Password: NewSecret(password)}, checkPassword(password)
	}
	var object struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Expires  string `json:"expires"`
	}
	if err := json.Unmarshal(out, &object); err != nil {
		return Credential{}, fmt.Errorf("%w: not a JSON object with texts for username, password and expires", errOutput)
	}
	if err := checkPassword(object.Password); err != nil {
		return Credential{}, err
	}
	if strings.IndexByte(object.Username, 0) >= 0 {
		return Credential{}, fmt.Errorf("%w: username contains a NUL byte", errOutput)
	}
	cred := Credential{User: object.Username, Password: NewSecret(object.Password)}
	if object.Expires != "" {
		expires, err := time.Parse(time.RFC3339, object.Expires)
		if err != nil {
			return Credential{}, fmt.Errorf("%w: expires is not a time such as %s", errOutput, time.RFC3339)
		}
		cred.Expires = expires
	}
	return cred, nil
}

// A head keeps the first limit bytes that are written to it, and calls full when there are more.
type head struct {
	buf   []byte
	limit int
	full  func()
}

func (h *head) Write(p []byte) (int, error) {
	room := min(len(p), h.limit-len(h.buf))
	h.buf = append(h.buf, p[:room]...)
	if room < len(p) {
		h.full()
	}
	return len(p), nil // an error would keep the program waiting for a reader
}

// A tail keeps the last limit bytes that are written to it.
type tail struct {
	buf   []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p[max(0, len(p)-t.limit):]...)
	t.buf = t.buf[max(0, len(t.buf)-t.limit):]
	return len(p), nil
}

// String returns the bytes as one line that is safe to show on a terminal.
func (t *tail) String() string {
	b := t.buf
	for len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:] // the rest of a character whose beginning was dropped
	}
	printable := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(b))
	return strings.Join(strings.Fields(printable), " ")
}

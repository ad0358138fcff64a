package tokens

import (
	"errors"
	"strings"
)

// maxOutput is the most that a file or a program may give. A token is 2 KiB, and whatever is larger
// than this is something else, such as a core dump or a wrong path.
const maxOutput = 64 << 10 // bytes

var (
	errEmpty = errors.New("the password is empty")
	errNUL   = errors.New("the password contains a NUL byte, which no database accepts")
)

// checkPassword refuses what can't be a password. Both protocols end the password with a NUL byte,
// so that the database would see only a part of one that contains it.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errEmpty
	case strings.IndexByte(password, 0) >= 0:
		return errNUL
	}
	return nil
}

// trimNewline removes the one newline that editors and echo put at the end. Other space may be
// part of the password.
func trimNewline(s string) string {
	if t, ok := strings.CutSuffix(s, "\n"); ok {
		return strings.TrimSuffix(t, "\r")
	}
	return s
}

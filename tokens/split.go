package tokens

import (
	"errors"
	"strings"
)

// SplitCommand splits a command line into the program and its arguments as a shell does, but for
// everything that makes a shell a shell: nothing is expanded, and |, ;, &, <, > and * are ordinary.
//
//	space, tab, newline   end an argument
//	'…'                   everything inside is literal
//	"…"                   everything inside is literal, but \" \\ \$ and \` are the second character
//	\x                    x, whatever it is
func SplitCommand(line string) ([]string, error) {
	var (
		argv []string
		arg  strings.Builder
		in   bool // inside an argument; '' is one, though it is empty
	)
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; ch {
		case ' ', '\t', '\n':
			if in {
				argv = append(argv, arg.String())
				arg.Reset()
				in = false
			}
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a ' has no end")
			}
			arg.WriteString(line[i+1 : i+1+end])
			i += 1 + end
			in = true
		case '"':
			n := quoted(&arg, line[i+1:])
			if n < 0 {
				return nil, errors.New(`a " has no end`)
			}
			i += n
			in = true
		case '\\':
			if i++; i == len(line) {
				return nil, errors.New(`a \ has nothing behind it`)
			}
			arg.WriteByte(line[i])
			in = true
		case 0:
			return nil, errors.New("a NUL byte can't be handed to a program")
		default:
			arg.WriteByte(ch)
			in = true
		}
	}
	if in {
		argv = append(argv, arg.String())
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("no program is named")
	}
	return argv, nil
}

// quoted appends what stands between double quotes to arg. rest begins behind the first quote. It
// returns the length up to and including the second quote, or -1 if there is none.
func quoted(arg *strings.Builder, rest string) int {
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '"':
			return i + 1
		case rest[i] == '\\' && i+1 < len(rest) && strings.IndexByte("\"\\$`", rest[i+1]) >= 0:
			i++
		}
		arg.WriteByte(rest[i])
	}
	return -1
}

// Quote quotes word for a POSIX shell, where it needs that. SplitCommand undoes it.
func Quote(word string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:@"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

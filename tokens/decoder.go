package tokens

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Decoder makes credentials of what secret stores keep: a bare password, where one newline at the
// end does not count, or a JSON object such as those of Amazon RDS:
//
//	{"username": "app", "password": "…", "host": "…", "port": 5432, "dbname": "orders"}
//
// where all but password may be missing. The zero value takes either.
type Decoder struct {
	// Path leads into JSON to the password, or to an object like the above: keys separated by dots,
	// numbers for the elements of arrays. A backslash takes its meaning from a dot or a backslash
	// that follows. Empty is the whole.
	Path string
	// User is the user that the route is for; empty is anyone. A secret that is for somebody else is
	// an error, unless one of the two names is the other with "_clone" at the end, as AWS calls the
	// second of two users that alternate. Where Path leads to a bare password, it is the route's.
	User string
}

// Errors about the form of a secret. None of them quotes it.
var (
	errNotJSON    = errors.New("path= is for JSON, and the secret is none")
	errNoPassword = errors.New(`the secret is a JSON object without a text "password"`)
	errNotText    = errors.New("path= leads to something that is neither a text, nor a number, nor an object with a password")
	errOtherUser  = errors.New("the secret is for another user than the route")
)

// Credential reads payload. The error is an *Error without a Source, for the caller to fill in.
func (d Decoder) Credential(payload []byte) (Credential, error) {
	cred, err := d.decode(payload)
	if err == nil {
		err = checkPassword(cred.Password.Reveal())
	}
	if err != nil {
		return Credential{}, &Error{Err: err, Advice: decoderAdvice(err), Denied: true}
	}
	return cred, nil
}

func (d Decoder) decode(payload []byte) (Credential, error) {
	object, isObject := parseObject(payload)
	switch {
	case d.Path == "" && isObject:
		return d.fromObject(object)
	case d.Path == "":
		return Credential{Password: NewSecret(trimNewline(string(payload)))}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return Credential{}, errNotJSON
	}
	for _, key := range splitPath(d.Path) {
		var ok bool
		if value, ok = step(value, key); !ok {
			return Credential{}, fmt.Errorf("path=%s: %w", d.Path, &missingError{key})
		}
	}
	switch v := value.(type) {
	case string:
		return Credential{Password: NewSecret(v)}, nil
	case json.Number:
		return Credential{Password: NewSecret(v.String())}, nil
	case map[string]any:
		return d.fromObject(v)
	}
	return Credential{}, errNotText
}

// fromObject reads the keys that AWS gives its database secrets, and the shorter ones of others.
func (d Decoder) fromObject(object map[string]any) (Credential, error) {
	text := func(keys ...string) string {
		for _, key := range keys {
			switch v := object[key].(type) {
			case string:
				return v
			case json.Number:
				return v.String()
			}
		}
		return ""
	}
	password, ok := object["password"].(string)
	if !ok {
		return Credential{}, errNoPassword
	}
	cred := Credential{
		User: text("username", "user"), Password: NewSecret(password),
		Host: text("host", "hostname"), Port: text("port"), Database: text("dbname", "database"),
	}
	for _, s := range []string{cred.User, cred.Host, cred.Port, cred.Database} {
		if strings.IndexByte(s, 0) >= 0 {
			return Credential{}, errNUL
		}
	}
	if !alternates(d.User, cred.User) {
		return Credential{}, errOtherUser
	}
	return cred, nil
}

// alternates reports whether a secret for theirs may serve a route for ours.
func alternates(ours, theirs string) bool {
	const clone = "_clone"
	return ours == "" || theirs == "" || ours == theirs || ours+clone == theirs || ours == theirs+clone
}

// parseObject returns payload as a JSON object, if it is one.
func parseObject(payload []byte) (map[string]any, bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var object map[string]any
	err := decoder.Decode(&object)
	return object, err == nil
}

// splitPath splits at the dots that have no backslash before them.
func splitPath(path string) []string {
	var keys []string
	var key strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			key.WriteByte(path[i])
		case path[i] == '.':
			keys = append(keys, key.String())
			key.Reset()
		default:
			key.WriteByte(path[i])
		}
	}
	return append(keys, key.String())
}

// step goes one key further into value.
func step(value any, key string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[key]
		return next, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// missingError is a key of path= that the secret does not have.
type missingError struct{ key string }

func (e *missingError) Error() string { return fmt.Sprintf("the secret has no %q there", e.key) }

func decoderAdvice(err error) string {
	_, missing := errors.AsType[*missingError](err)
	switch {
	case errors.Is(err, errNotJSON):
		return "leave path= out: the whole secret is the password then"
	case errors.Is(err, errNoPassword), errors.Is(err, errNotText):
		return "say where the password is with path=KEY, such as path=db.password"
	case missing:
		return `check path=: keys are separated by dots, arrays are counted from 0, and a dot in a key is written "\."`
	case errors.Is(err, errOtherUser):
		return "leave USER out of the route, to log in as the secret's user; or name the secret that is for the route's"
	}
	return "put a password into the secret"
}

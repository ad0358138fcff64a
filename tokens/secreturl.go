package tokens

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A SecretURL names a secret in a store: SCHEME://NAME?OPTION=VALUE&OPTION=VALUE. The form is that of
// the Go CDK's runtimevar, so that the URLs which people have in their Atlas files work as they are.
// Each source reads the options that it knows and then calls Close, which finds the others.
type SecretURL struct {
	Scheme string
	// Name is what stands between the slashes and the question mark, percent-decoded. It may be an
	// ARN, which as the host of a URL would not be valid.
	Name string

	options map[string]string
	read    []string // the options that somebody asked for, for the advice
	err     error    // the first thing that is wrong
}

// ParseSecretURL splits s. The error is an *Error that quotes no value.
func ParseSecretURL(s string) (*SecretURL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, &Error{Source: "auth=", Err: errors.New("not the URL of a secret"), Advice: "write auth=SCHEME://NAME?OPTION=VALUE", Denied: true}
	}
	u := &SecretURL{Scheme: scheme, options: make(map[string]string)}
	name, query, _ := strings.Cut(rest, "?")
	var err error
	if u.Name, err = url.PathUnescape(name); err != nil {
		return nil, u.fail(errors.New("a percent sign in the name begins nothing"), `write "%25" for it`)
	}
	if strings.IndexByte(u.Name, 0) >= 0 {
		return nil, u.fail(errors.New("a zero byte in the name"), "take the %00 out")
	}
	if query == "" {
		return u, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, encoded, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(encoded)
		if err != nil {
			return nil, u.fail(fmt.Errorf("option %s: a percent sign that begins nothing", key), `write "%25" for it`)
		}
		if _, twice := u.options[key]; twice {
			return nil, u.fail(fmt.Errorf("option %s is given twice", key), "leave one of them out")
		}
		u.options[key] = value
	}
	return u, nil
}

// Option returns the first of keys that is there, and empty where none is.
func (u *SecretURL) Option(keys ...string) string {
	u.read = append(u.read, keys...)
	for _, key := range keys {
		if value, ok := u.options[key]; ok {
			return value
		}
	}
	return ""
}

// Duration returns an option that is a time such as 30s.
func (u *SecretURL) Duration(key string) time.Duration {
	value := u.Option(key)
	if value == "" {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		u.note(fmt.Errorf("option %s is not a time", key), "write it like 30s or 5m")
	}
	return d
}

// Number returns an option that is a whole number from 1, and 0 where it is missing.
func (u *SecretURL) Number(key string) int {
	value := u.Option(key)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		u.note(fmt.Errorf("option %s is not a number from 1", key), "correct it, or leave it out")
	}
	return n
}

// Decoder reads the options that every store has: path, the Go CDK's decoder, which is of no use here
// but for its two plain values, and wait, which is for TTL. user is the route's.
func (u *SecretURL) Decoder(user string) Decoder {
	u.TTL()
	switch decoder := u.Option("decoder"); decoder {
	case "", "string", "bytes":
	default:
		u.note(errors.New("option decoder has another value than string or bytes"), "leave it out; for a part of a JSON secret use path=KEY")
	}
	return Decoder{Path: u.Option("path"), User: user}
}

// TTL returns how long what was read is used before it is read again: the Go CDK's option wait. 0 is
// for whoever caches to decide.
func (u *SecretURL) TTL() time.Duration { return u.Duration("wait") }

// Close returns the first thing that is wrong with the options; one that nobody has asked for is.
func (u *SecretURL) Close() error {
	for key := range u.options {
		if !slices.Contains(u.read, key) {
			known := slices.Compact(slices.Sorted(slices.Values(u.read)))
			u.note(fmt.Errorf("unknown option %q", key), "options are "+strings.Join(known, ", "))
		}
	}
	return u.err
}

// String is the URL without its options.
func (u *SecretURL) String() string { return u.Scheme + "://" + u.Name }

func (u *SecretURL) note(err error, advice string) {
	if u.err == nil {
		u.err = u.fail(err, advice)
	}
}

func (u *SecretURL) fail(err error, advice string) error {
	return &Error{Source: u.Scheme + "://", Err: err, Advice: advice, Denied: true}
}

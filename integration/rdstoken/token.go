package rdstoken

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A Token is the content of an RDS token. Nothing in it is trusted until Verify has returned nil.
type Token struct {
	// Endpoint is the host:port in front of the parameters, as it was signed.
	Endpoint string

	// Date is the time at which the token says it was made.
	Date time.Time

	// Lifetime is how long the token says it is good for.
	Lifetime time.Duration

	// params holds the parameters decoded, by name.
	params map[string]string
}

// The parameters of a token. A token that has any other is refused: what it means is unknown.
const (
	paramAction        = "Action"
	paramUser          = "DBUser"
	paramAlgorithm     = "X-Amz-Algorithm"
	paramCredential    = "X-Amz-Credential"
	paramDate          = "X-Amz-Date"
	paramExpires       = "X-Amz-Expires"
	paramSignedHeaders = "X-Amz-SignedHeaders"
	paramSessionToken  = "X-Amz-Security-Token"
	paramSignature     = "X-Amz-Signature"
)

// required are the parameters without which a token is not one. The session token is missing where
// the credentials are permanent.
var required = []string{
	paramAction, paramUser, paramAlgorithm, paramCredential, paramDate, paramExpires,
	paramSignedHeaders, paramSignature,
}

const (
	maxToken   = 64 << 10           // bytes, as much as PostgreSQL takes for a password
	dateLayout = "20060102T150405Z" // ISO 8601 in its short form, always UTC
)

// Parse takes a token apart. Its errors name the parameter that is wrong and never show its value,
// because they are meant for a log.
func Parse(token string) (*Token, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	endpoint, query, ok := strings.Cut(token, "?")
	if !ok {
		return nil, errors.New("not an RDS token: no question mark")
	}
	params, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	for _, name := range required {
		if params[name] == "" {
			return nil, fmt.Errorf("parameter %s is missing", name)
		}
	}
	date, err := time.Parse(dateLayout, params[paramDate])
	if err != nil || len(params[paramDate]) != len(dateLayout) {
		return nil, fmt.Errorf("parameter %s is not a date", paramDate)
	}
	lifetime, err := parseSeconds(params[paramExpires])
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", paramExpires, err)
	}
	return &Token{
		Endpoint: strings.TrimSuffix(endpoint, "/"),
		Date:     date,
		Lifetime: lifetime,
		params:   params,
	}, nil
}

// parseQuery is stricter than url.ParseQuery: each parameter must be known and stand there once,
// and a plus sign is a plus sign, as it is in Signature Version 4.
func parseQuery(query string) (map[string]string, error) {
	params := make(map[string]string)
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err != nil {
			return nil, errors.New("a parameter's name is not properly escaped")
		}
		if !known(name) {
			return nil, fmt.Errorf("parameter %.40q is unknown", name)
		}
		if _, ok := params[name]; ok {
			return nil, fmt.Errorf("parameter %s is there twice", name)
		}
		if params[name], err = url.PathUnescape(value); err != nil {
			return nil, fmt.Errorf("parameter %s is not properly escaped", name)
		}
	}
	return params, nil
}

func known(name string) bool {
	if name == paramSessionToken {
		return true
	}
	for _, r := range required {
		if name == r {
			return true
		}
	}
	return false
}

// parseSeconds takes plain digits only. Five of them are more than any lifetime that is allowed, and
// can't overflow.
func parseSeconds(s string) (time.Duration, error) {
	if len(s) > 5 {
		return 0, errors.New("too many digits")
	}
	var seconds time.Duration
	for _, digit := range []byte(s) {
		if digit < '0' || digit > '9' {
			return 0, errors.New("not a number of seconds")
		}
		seconds = seconds*10 + time.Duration(digit-'0')
	}
	return seconds * time.Second, nil
}

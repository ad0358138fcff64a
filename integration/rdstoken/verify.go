package rdstoken

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Expect says what a token must have been made for, and with which credentials.
type Expect struct {
	Host   string // the endpoint's name, exactly as the client has to sign it
	Port   int
	Region string
	User   string // the user who is logging in

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty if the credentials are permanent
}

// The limits that RDS sets. A clock may be a little ahead of the database's, not more.
const (
	MaxLifetime = 15 * time.Minute
	MaxAhead    = 5 * time.Minute
)

const (
	service   = "rds-db"
	action    = "connect"
	algorithm = "AWS4-HMAC-SHA256"
	scopeEnd  = "aws4_request"
)

// Verify returns nil if RDS would let the user in with this token at the time now. Otherwise the
// error says which check failed. It contains neither the token nor a key; it is meant for the log
// of a test server, because RDS tells its clients nothing.
func Verify(token string, want Expect, now time.Time) error {
	t, err := Parse(token)
	if err != nil {
		return err
	}
	return t.Verify(want, now)
}

// Verify is like the function Verify for a token that has been parsed already.
func (t *Token) Verify(want Expect, now time.Time) error {
	// The signature would fail in most of these cases too. It comes last because it can't say what
	// was wrong, and a test wants to know.
	checks := []func(Expect) error{
		t.checkEndpoint, t.checkAction, t.checkCredential, t.checkSessionToken,
		func(Expect) error { return t.checkTime(now) },
		t.checkSignature,
	}
	for _, check := range checks {
		if err := check(want); err != nil {
			return err
		}
	}
	return nil
}

func (t *Token) checkEndpoint(want Expect) error {
	host, port, err := net.SplitHostPort(t.Endpoint)
	if err != nil {
		return errors.New("token does not begin with host:port")
	}
	if host != want.Host {
		return fmt.Errorf("host is %.100q, expected %q", host, want.Host)
	}
	if port != strconv.Itoa(want.Port) {
		return fmt.Errorf("port is %.10q, expected %d", port, want.Port)
	}
	return nil
}

func (t *Token) checkAction(want Expect) error {
	if got := t.params[paramAction]; got != action {
		return fmt.Errorf("action is %.40q, expected %q", got, action)
	}
	if got := t.params[paramUser]; got != want.User {
		return fmt.Errorf("token is for user %.100q, login is for %q", got, want.User)
	}
	return nil
}

// checkCredential takes the credential scope apart:
//
//	<access key id>/<yyyymmdd>/<region>/rds-db/aws4_request
func (t *Token) checkCredential(want Expect) error {
	if got := t.params[paramAlgorithm]; got != algorithm {
		return fmt.Errorf("algorithm is %.40q, expected %q", got, algorithm)
	}
	if got := t.params[paramSignedHeaders]; got != "host" {
		return fmt.Errorf("signed headers are %.40q, expected %q", got, "host")
	}
	scope := strings.Split(t.params[paramCredential], "/")
	if len(scope) != 5 || scope[4] != scopeEnd {
		return errors.New("credential has not the form key/date/region/service/" + scopeEnd)
	}
	if scope[0] != want.AccessKeyID {
		return errors.New("access key id is not known")
	}
	if scope[1] != t.params[paramDate][:len("20060102")] {
		return errors.New("credential and date are of different days")
	}
	if scope[2] != want.Region {
		return fmt.Errorf("region is %.40q, expected %q", scope[2], want.Region)
	}
	if scope[3] != service {
		return fmt.Errorf("service is %.40q, expected %q", scope[3], service)
	}
	return nil
}

func (t *Token) checkSessionToken(want Expect) error {
	got := t.params[paramSessionToken]
	switch {
	case got == "" && want.SessionToken != "":
		return errors.New("session token is missing")
	case got != "" && want.SessionToken == "":
		return errors.New("session token is there, but the credentials are permanent")
	case subtle.ConstantTimeCompare([]byte(got), []byte(want.SessionToken)) != 1:
		return errors.New("session token is another one")
	}
	return nil
}

func (t *Token) checkTime(now time.Time) error {
	if t.Lifetime <= 0 || t.Lifetime > MaxLifetime {
		return fmt.Errorf("lifetime is %v, limit %v", t.Lifetime, MaxLifetime)
	}
	age := t.Age(now)
	if age > t.Lifetime {
		return fmt.Errorf("token is %v old, limit %v", age, t.Lifetime)
	}
	if -age > MaxAhead {
		return fmt.Errorf("token is dated %v in the future, limit %v", -age, MaxAhead)
	}
	return nil
}

// Age is how old the token is at the time now, in whole seconds, because a token's date has no
// smaller unit. It is negative if the token is dated in the future.
func (t *Token) Age(now time.Time) time.Duration {
	return now.Truncate(time.Second).Sub(t.Date)
}

func (t *Token) checkSignature(want Expect) error {
	expected := t.signature(want)
	if subtle.ConstantTimeCompare([]byte(t.params[paramSignature]), []byte(expected)) != 1 {
		return errors.New("signature is wrong: another secret key, or a changed token")
	}
	return nil
}

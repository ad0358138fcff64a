package tokens

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSecretURLIsReadAsTheGoCDKDoes(t *testing.T) {
	u, err := ParseSecretURL("awssecretsmanager://db-pass?region=us-east-1&awssdk=v2&profile=x&decoder=string")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"region": "us-east-1", "awssdk": "v2", "profile": "x", "nothing": ""} {
		if got := u.Option(key); got != want {
			t.Errorf("option %s is %q, want %q", key, got, want)
		}
	}
	if u.Scheme != "awssecretsmanager" || u.Name != "db-pass" || u.String() != "awssecretsmanager://db-pass" {
		t.Errorf("got scheme %q, name %q", u.Scheme, u.Name)
	}
	if got := u.Decoder("app"); got != (Decoder{User: "app"}) {
		t.Errorf("got %+v", got)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

func TestSecretURLNames(t *testing.T) {
	for s, want := range map[string]string{
		"awssecretsmanager://prod/db/pass":                                                    "prod/db/pass",
		"awssecretsmanager://arn:aws:secretsmanager:us-east-1:123456789012:secret:a/b-AbCdEf": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a/b-AbCdEf",
		"awssecretsmanager://rds!db-1234":                                                     "rds!db-1234",
		"awsparamstore:///a/b":                                                                "/a/b",
		"awsparamstore://name:3":                                                              "name:3",
		"awsparamstore://with%20space":                                                        "with space",
		"gcpsecretmanager://projects/p/secrets/s/versions/7":                                  "projects/p/secrets/s/versions/7",
		"hashivault://secret/data/database":                                                   "secret/data/database",
		"file:///run/secrets/pw":                                                              "/run/secrets/pw",
		"file:///a+b":                                                                         "/a+b",
		"constant://?val=x":                                                                   "",
	} {
		u, err := ParseSecretURL(s)
		if err != nil || u.Name != want {
			t.Errorf("%s: got %v, %v, want name %q", s, u, err, want)
		}
	}
}

func TestSecretURLOptionsAreTyped(t *testing.T) {
	u, err := ParseSecretURL("x://n?wait=90s&version=3&path=a%5C.b.c&decoder=bytes&empty=&plus=a+b")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.TTL(); got != 90*time.Second {
		t.Errorf("TTL is %v", got)
	}
	if got := u.Number("version"); got != 3 {
		t.Errorf("version is %d", got)
	}
	if got := u.Decoder("").Path; got != `a\.b.c` {
		t.Errorf("path is %q", got)
	}
	if got := u.Option("empty") + u.Option("plus"); got != "a b" {
		t.Errorf("the rest is %q", got)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

func TestSecretURLIsCheckedWhole(t *testing.T) {
	for s, text := range map[string]string{
		"x://n?unknown=" + secretText:       `unknown option "unknown"`,
		"x://n?wait=" + secretText:          "option wait is not a time",
		"x://n?wait=-1s":                    "option wait is not a time",
		"x://n?version=" + secretText:       "option version is not a number",
		"x://n?version=0":                   "option version is not a number",
		"x://n?decoder=jsonmap":             "another value than string or bytes",
		"x://n?a=1&a=2":                     "given twice",
		"x://n%zz":                          "percent sign",
		"x://n?wait=%zz":                    "percent sign",
		"x://n%00":                          "zero byte",
		"no URL, but " + secretText + " is": "not the URL of a secret",
	} {
		u, err := ParseSecretURL(s)
		if err == nil {
			u.TTL()
			u.Number("version")
			u.Decoder("")
			u.Option("a")
			err = u.Close()
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(e.Error(), text) || e.Advice == "" || !e.Denied {
			t.Errorf("%s: got %v, want an *Error with %q and advice", s, err, text)
			continue
		}
		if leaks(e.Error()) || leaks(e.Advice) {
			t.Errorf("%q, %q: the value is shown", e, e.Advice)
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
)

func TestDecidesAndLogsWhy(t *testing.T) {
	for _, test := range []struct{ name, user, clockOffset, log string }{
		{"good token", "app", "", `^accepted user=app token dated \S+Z age [0-5]s\n$`},
		{"other user", "bob", "", `^refused user=bob: token is for user "app", login is for "bob"\n$`},
		{"16 minutes old", "app", "16m", `^refused user=app: token is 16m\ds old, limit 15m0s\n$`},
		{"broken offset", "app", "soon", `^refused user=app: time: invalid duration "soon"\n$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			c := config{
				Host:            "orders.abc123.us-east-1.rds.amazonaws.com",
				Port:            5432,
				Region:          "us-east-1",
				AccessKeyID:     "AKIATESTTESTTESTTEST",
				SecretAccessKey: "secret",
				ClockOffset:     test.clockOffset,
				Log:             filepath.Join(dir, "log"),
			}
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "config.json")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			token, err := auth.BuildAuthToken(t.Context(), fmt.Sprintf("%s:%d", c.Host, c.Port), c.Region, "app",
				credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""))
			if err != nil {
				t.Fatal(err)
			}

			err = run([]string{file}, test.user, strings.NewReader(token))
			if accepted := strings.Contains(test.log, "accepted"); accepted != (err == nil) {
				t.Errorf("got %v, expected accepted: %v", err, accepted)
			}
			log, err := os.ReadFile(c.Log)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(test.log).Match(log) {
				t.Errorf("log is %q, expected %s", log, test.log)
			}
		})
	}
}

func TestTakesPasswordOfUserWhoHasOne(t *testing.T) {
	c := config{Passwords: map[string]string{"clear": "secret"}}
	for password, want := range map[string]string{
		"secret": "accepted user=clear password",
		"other":  "refused user=clear: password is wrong",
		"":       "refused user=clear: password is wrong",
	} {
		got, err := c.decide("clear", password)
		if accepted := password == "secret"; got != want || accepted != (err == nil) {
			t.Errorf("%q: got %q, %v, expected %q", password, got, err, want)
		}
	}
	if got, err := c.decide("app", "secret"); err == nil {
		t.Errorf("another user's password is taken for app's: %q", got)
	}
}

func TestRefusesWithoutConfiguration(t *testing.T) {
	for name, args := range map[string][]string{
		"no argument": nil,
		"no file":     {filepath.Join(t.TempDir(), "none")},
	} {
		t.Run(name, func(t *testing.T) {
			if run(args, "app", strings.NewReader("")) == nil {
				t.Error("accepted")
			}
		})
	}
}

package awsconfig

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
)

// asError returns err as a *tokens.Error, nil if there is none.
func asError(t *testing.T, err error) *tokens.Error {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if err != nil && !ok {
		t.Fatalf("got a %T", err)
	}
	return e
}

func TestIdentifySaysWhoWeAreAndWhatTimeItIsAtAWS(t *testing.T) {
	a := newAccount(t).env()
	sts, _ := a.cloud()
	c := a.config(bothRoles)
	who, err := c.Identify(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if who.Principal != "arn:aws:sts::222222222222:assumed-role/db/orders@laptop" || who.Account != "222222222222" ||
		who.Region != "eu-west-1" || who.From != "the environment variables" || who.Unsaid != nil {
		t.Errorf("got %+v", who)
	}
	if skew := who.Clock.Sub(who.ClockAt).Abs(); who.Clock.IsZero() || skew > 10*time.Second {
		t.Errorf("AWS's clock is %v where ours is %v", who.Clock, who.ClockAt)
	}
	if got := c.Identity(t.Context()); got != who.Principal || sts.Count("GetCallerIdentity") != 1 {
		t.Errorf("got %s, asked %d times: want that it is remembered", got, sts.Count("GetCallerIdentity"))
	}
}

func TestIdentifySaysWhichProfileMakesTheCLIWhoWeAre(t *testing.T) {
	for _, row := range []struct {
		name, option, env string
		keys              bool
		want              string
	}{
		{"the route's", "dev", "other", false, "dev"},
		{"the route's, and keys", "dev", "", true, "dev"},
		{"the environment's", "", "dev", false, "dev"},
		{"the environment's, and keys, which come first", "", "dev", true, ""},
		{"none", "", "", false, ""},
		{"the default one in place of the environment's", "default", "dev", false, "default"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newAccount(t).write("config", "[default]\nregion = eu-west-1\n[profile dev]\nregion = eu-west-1\n").
				write("credentials", "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = x\n[dev]\naws_access_key_id = AKIDDEV\naws_secret_access_key = x\n")
			t.Setenv("AWS_PROFILE", row.env)
			if row.keys {
				a.env()
			}
			t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
			if who, err := a.config(Options{Profile: row.option}).Identify(t.Context(), "test"); who.Profile != row.want {
				t.Errorf("got %q (%v), want %q", who.Profile, err, row.want)
			}
		})
	}
}

func TestIdentifyTellsWhatAWSDoesNotTakeFromWhatItDoesNotAnswer(t *testing.T) {
	refuse := func(code string) *awsfake.Refusal {
		return &awsfake.Refusal{Status: http.StatusForbidden, Code: code, Message: "no"}
	}
	for _, row := range []struct {
		name   string
		fail   *awsfake.Refusal
		final  bool // it is an error
		advice string
	}{
		{"expired", refuse("ExpiredToken"), true, "renew AWS_SESSION_TOKEN"},
		{"unknown key", refuse("InvalidClientTokenId"), true, "it was deleted"},
		{"signature", refuse("SignatureDoesNotMatch"), true, "this machine's clock is wrong: it says 20"},
		{"may not ask", awsfake.Denied, false, "aws sts get-caller-identity"},
		{"down", awsfake.Down, false, "check the network"},
		{"cut", awsfake.Cut, false, "check the network"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newAccount(t).env()
			sts, _ := a.cloud()
			sts.Fail(row.fail)
			who, err := a.config(Options{}).Identify(t.Context(), "test")
			if (err != nil) != row.final || (who.Unsaid != nil) == row.final || who.Principal != "" {
				t.Fatalf("got %+v, %v, want an error: %v", who, err, row.final)
			}
			if !row.final {
				err = who.Unsaid
			}
			if e := asError(t, err); !strings.Contains(e.Hint(), row.advice) {
				t.Errorf("got %v, hint %q, want %q in it", e, e.Hint(), row.advice)
			}
			if row.name != "cut" && who.Clock.IsZero() {
				t.Error("a refusal says the time, too")
			}
		})
	}
}

func TestIdentifyOfAnEndedSSOSessionSaysHowToBeginOne(t *testing.T) {
	a := newAccount(t).write("config", "[profile dev]\nsso_session = corp\nsso_account_id = 111111111111\nsso_role_name = dev\nregion = eu-west-1\n"+
		"[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n").login(time.Now().Add(-time.Hour), false)
	_, err := a.config(Options{Profile: "dev"}).Identify(t.Context(), "test")
	if e := asError(t, err); e == nil || !strings.Contains(e.Hint(), "aws sso login --profile dev") {
		t.Errorf("got %v, want the command", err)
	}
}

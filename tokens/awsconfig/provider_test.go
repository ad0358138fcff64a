package awsconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestCredentialsAreRenewedInTheirLastMinute(t *testing.T) {
	a := newAccount(t)
	a.process(`if [ "$(wc -l <'` + a.dir + `/runs')" -le 1 ]; then echo '` + processOutput(time.Now().Add(50*time.Second)) +
		`'; else echo '` + processOutput(time.Now().Add(time.Hour)) + `'; fi`)
	creds := retrieve(t, a.config(Options{Profile: "dev"}))
	if left := time.Until(creds.Expires); left < 14*time.Minute {
		t.Errorf("credentials live %v, want renewed ones", left)
	}
	a.runs(2)
}

func TestCredentialsInTheirLastMinuteServeIfThereAreNoOthers(t *testing.T) {
	expires := time.Now().Add(50 * time.Second).Truncate(time.Second)
	for name, second := range map[string]string{
		"same again": "echo '" + processOutput(expires) + "'",
		"failure":    "exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			a.process(`if [ "$(wc -l <'` + a.dir + `/runs')" -le 1 ]; then echo '` + processOutput(expires) + `'; else ` + second + `; fi`)
			if creds := retrieve(t, a.config(Options{Profile: "dev"})); !creds.Expires.Equal(expires) {
				t.Errorf("credentials expire %v, want %v", creds.Expires, expires)
			}
			a.runs(2)
		})
	}
}

func TestDeadCredentialsSignNothing(t *testing.T) {
	expired := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	a := newAccount(t).process("echo '" + processOutput(expired) + "'")
	wantError(t, failure(t, a.config(Options{Profile: "dev"})), true,
		`AWS credentials of credential_process of profile "dev" expired at `+expired.Format(time.RFC3339),
		`make the credential_process of profile "dev" renew them`)
	a.runs(2)
}

func TestExportedExpiryOfTheEnvironmentCounts(t *testing.T) {
	a := newAccount(t).env()
	expires := time.Now().Add(5 * time.Minute).UTC().Truncate(time.Second)
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", expires.Format(time.RFC3339))
	c := a.config(Options{})
	if creds := retrieve(t, c); !creds.Expires.Equal(expires) {
		t.Errorf("credentials expire %v, want %v", creds.Expires, expires)
	}
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", "2001-02-03T04:05:06Z")
	wantError(t, failure(t, c), true, "AWS credentials of the environment variables expired at 2001-02-03T04:05:06Z", "renew AWS_SESSION_TOKEN")
}

func TestUntilIsTheEarlierOfTwoEnds(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		creds aws.Credentials
		want  time.Time
	}{
		"permanent":   {aws.Credentials{Expires: now}, now.Add(time.Hour)},
		"longer":      {aws.Credentials{CanExpire: true, Expires: now.Add(2 * time.Hour)}, now.Add(time.Hour)},
		"shorter":     {aws.Credentials{CanExpire: true, Expires: now.Add(time.Minute)}, now.Add(time.Minute)},
		"a time zone": {aws.Credentials{CanExpire: true, Expires: now.Add(time.Minute).UTC()}, now.Add(time.Minute)},
	} {
		if got := Until(now.Add(time.Hour), tt.creds); !got.Equal(tt.want) || strings.Contains(got.String(), "m=") {
			t.Errorf("%s: got %v, want %v without a monotonic reading", name, got, tt.want)
		}
	}
}

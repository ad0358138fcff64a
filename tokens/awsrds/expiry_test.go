package awsrds

import (
	"testing"
	"time"
)

func TestTokenDiesWithTheCredentials(t *testing.T) {
	for _, left := range []time.Duration{5 * time.Minute, 14 * time.Minute, time.Hour} {
		expires := time.Now().Add(left).Truncate(time.Second)
		a := newAccount(t).process("echo '" + processOutput(expires) + "'")
		_, cred := sign(t, a.source(Options{Profile: "dev"}), "app")
		want := expires
		if latest := cred.Issued.Add(15 * time.Minute); expires.After(latest) {
			want = latest
		}
		if !cred.Expires.Equal(want) {
			t.Errorf("credentials with %v left: token expires %v, want %v", left, cred.Expires, want)
		}
		a.runs(1)
	}
}

func TestCredentialsAreRenewedInTheirLastMinute(t *testing.T) {
	a := newAccount(t)
	a.process(`if [ "$(wc -l <'` + a.dir + `/runs')" -le 1 ]; then echo '` + processOutput(time.Now().Add(50*time.Second)) +
		`'; else echo '` + processOutput(time.Now().Add(time.Hour)) + `'; fi`)
	_, cred := sign(t, a.source(Options{Profile: "dev"}), "app")
	if left := time.Until(cred.Expires); left < 14*time.Minute {
		t.Errorf("token lives %v, want the life of renewed credentials", left)
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
			_, cred := sign(t, a.source(Options{Profile: "dev"}), "app")
			if !cred.Expires.Equal(expires) {
				t.Errorf("token expires %v, want %v with the credentials", cred.Expires, expires)
			}
			a.runs(2)
		})
	}
}

func TestDeadCredentialsSignNothing(t *testing.T) {
	expired := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	a := newAccount(t).process("echo '" + processOutput(expired) + "'")
	_, err := a.source(Options{Profile: "dev"}).Credential(t.Context(), "app")
	wantError(t, err, true,
		`AWS credentials of credential_process of profile "dev" expired at `+expired.Format(time.RFC3339),
		`make the credential_process of profile "dev" renew them`)
	a.runs(2)
}

func TestExportedExpiryOfTheEnvironmentCounts(t *testing.T) {
	a := newAccount(t).env()
	expires := time.Now().Add(5 * time.Minute).UTC().Truncate(time.Second)
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", expires.Format(time.RFC3339))
	s := a.source(Options{})
	if _, cred := sign(t, s, "app"); !cred.Expires.Equal(expires) {
		t.Errorf("token expires %v, want %v", cred.Expires, expires)
	}
	t.Setenv("AWS_CREDENTIAL_EXPIRATION", "2001-02-03T04:05:06Z")
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, true, "AWS credentials of the environment variables expired at 2001-02-03T04:05:06Z", "renew AWS_SESSION_TOKEN")
}

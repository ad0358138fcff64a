package awsconfig

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
)

const (
	userARN  = "arn:aws:iam::111111111111:user/app"
	roleOne  = "arn:aws:iam::111111111111:role/team/gateway"
	roleTwo  = "arn:aws:iam::222222222222:role/db"
	external = "7f3e-their-id"
)

// cloud starts an STS that knows the keys of a.env as userARN, and two roles: the user may assume
// the first, which may assume the second with an external id.
func (a *account) cloud() (*awsfake.STS, *awsfake.Keys) {
	a.t.Helper()
	keys := &awsfake.Keys{}
	keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: userARN})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(sts.Close)
	a.t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	sts.SetRole(roleOne, awsfake.Role{Trusts: []string{userARN}})
	sts.SetRole(roleTwo, awsfake.Role{Trusts: []string{Principal("arn:aws:sts::111111111111:assumed-role/gateway/s")}, ExternalID: external})
	return sts, keys
}

var bothRoles = Options{Roles: []string{roleOne, roleTwo}, ExternalID: external, SessionName: "orders@laptop"}

func TestRolesAreAssumedOneAfterTheOther(t *testing.T) {
	a := newAccount(t).env()
	sts, keys := a.cloud()
	c := a.config(bothRoles)
	before := time.Now()
	creds := retrieve(t, c)
	retrieve(t, c)
	if key, _ := keys.Key(creds.AccessKeyID); key.ARN != "arn:aws:sts::222222222222:assumed-role/db/orders@laptop" ||
		key.Secret != creds.SecretAccessKey || key.SessionToken != creds.SessionToken {
		t.Errorf("got credentials of %q", key.ARN)
	}
	if life := creds.Expires.Sub(before).Round(time.Minute); life != time.Hour {
		t.Errorf("the session lives %v, want an hour", life)
	}
	var got []string
	for _, r := range sts.Requests() {
		got = append(got, r.Action+" "+r.Name+" "+r.Region)
	}
	if want := []string{"AssumeRole " + roleOne + " eu-west-1", "AssumeRole " + roleTwo + " eu-west-1"}; !slices.Equal(got, want) {
		t.Errorf("STS was asked %q, want %q", got, want)
	}
}

func TestRolesComeOnTopOfTheProfilesRole(t *testing.T) {
	a := newAccount(t).write("config", strings.Replace(roleProfile, "arn:aws:iam::123456789012:role/db", roleOne, 1)+"role_session_name = s1\n")
	_, keys := a.cloud()
	creds := retrieve(t, a.config(Options{Profile: "dev", Roles: []string{roleTwo}, ExternalID: external}))
	if key, _ := keys.Key(creds.AccessKeyID); key.ARN != "arn:aws:sts::222222222222:assumed-role/db/dbvalet" {
		t.Errorf("got credentials of %q", key.ARN)
	}
}

func TestWebIdentityComesFirst(t *testing.T) {
	a := newAccount(t).write("token", "jwt-of-the-pod")
	sts, keys := a.cloud()
	sts.SetRole(roleOne, awsfake.Role{WebToken: "jwt-of-the-pod"})
	t.Setenv("AWS_ROLE_ARN", roleOne)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", a.dir+"/token")
	creds := retrieve(t, a.config(Options{Roles: []string{roleTwo}, ExternalID: external}))
	if key, _ := keys.Key(creds.AccessKeyID); key.ARN != "arn:aws:sts::222222222222:assumed-role/db/dbvalet" {
		t.Errorf("got credentials of %q", key.ARN)
	}

	a.write("token", "jwt-of-another")
	wantError(t, failure(t, a.config(Options{})), true, "Not authorized to perform sts:AssumeRoleWithWebIdentity", "trust policy")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", a.dir+"/missing")
	wantError(t, failure(t, a.config(Options{})), true, "missing", "AWS_WEB_IDENTITY_TOKEN_FILE")
}

func TestSessionOfARoleIsRenewedInItsLastMinute(t *testing.T) {
	a := newAccount(t).env()
	sts, _ := a.cloud()
	sts.SetRole(roleOne, awsfake.Role{Trusts: []string{userARN}, Life: 50 * time.Second})
	c := a.config(Options{Roles: []string{roleOne}})
	first := retrieve(t, c)
	sts.SetRole(roleOne, awsfake.Role{Trusts: []string{userARN}})
	second := retrieve(t, c)
	if first.AccessKeyID == second.AccessKeyID || time.Until(second.Expires) < 50*time.Minute {
		t.Errorf("got %s until %v, want another session", second.AccessKeyID, second.Expires)
	}
}

func TestRefusedRoleSaysWhoWasRefusedAndWhatIsMissing(t *testing.T) {
	const statement = `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`
	for _, tt := range []struct {
		name    string
		prepare func(*awsfake.STS, *Options)
		text    []string // of the error and the hint
	}{
		{"the first", func(sts *awsfake.STS, _ *Options) { sts.SetRole(roleOne, awsfake.Role{}) },
			[]string{userARN + " is not authorized", statement + roleOne, `"Principal":{"AWS":"` + userARN}},
		{"the last", func(sts *awsfake.STS, _ *Options) { sts.SetRole(roleTwo, awsfake.Role{}) },
			[]string{"assumed-role/gateway/orders@laptop is not authorized", statement + roleTwo, `"Principal":{"AWS":"arn:aws:iam::111111111111:role/gateway"`}},
		{"no external id", func(_ *awsfake.STS, o *Options) { o.ExternalID = "" },
			[]string{"is not authorized", statement + roleTwo, "external_id="}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).env()
			sts, _ := a.cloud()
			o := bothRoles
			tt.prepare(sts, &o)
			e := failure(t, a.config(o))
			for _, text := range tt.text {
				if all := e.Error() + e.Hint(); !strings.Contains(all, text) || len(all) > 450 || !e.Final() {
					t.Errorf("got %q, %q (%d bytes, final %v), want %q", e, e.Hint(), len(all), e.Final(), text)
				}
			}
		})
	}
}

func TestOutageOfSTSIsNotFinal(t *testing.T) {
	for name, failing := range map[string]*awsfake.Refusal{"down": awsfake.Down, "throttled": awsfake.Throttled, "cut": awsfake.Cut} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t).env()
			sts, _ := a.cloud()
			c := a.config(bothRoles)
			sts.Fail(failing)
			wantError(t, failure(t, c), false, "assume role "+roleOne, "check the network")
			sts.Fail(nil)
			retrieve(t, c)
		})
	}
}

func TestExpiredKeysBelowARoleAreNamed(t *testing.T) {
	a := newAccount(t).env()
	_, keys := a.cloud()
	keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: userARN, Expires: time.Now().Add(-time.Minute)})
	wantError(t, failure(t, a.config(bothRoles)), true, "assume role "+roleOne+": ExpiredToken", "renew AWS_SESSION_TOKEN")
}

func TestRoleNeedsARegion(t *testing.T) {
	c := newAccount(t).env().config(bothRoles)
	c.SetDefaultRegion("")
	wantError(t, failure(t, c), true, "", "AWS_REGION")
}

func TestRolesAreCheckedAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"name of a role", Options{Roles: []string{"db"}}, "role=db: not the ARN"},
		{"a user", Options{Roles: []string{userARN}}, "not the ARN"},
		{"a session", Options{Roles: []string{"arn:aws:sts::111111111111:assumed-role/db/s"}}, "not the ARN"},
		{"no account", Options{Roles: []string{"arn:aws:iam::1:role/db"}}, "not the ARN"},
		{"the second of two", Options{Roles: []string{roleOne, ""}}, "not the ARN"},
		{"external id alone", Options{ExternalID: external}, "external_id=: there is no role"},
		{"session name alone", Options{SessionName: "s1"}, "session_name=: there is no role"},
		{"external id with a space", Options{Roles: []string{roleOne}, ExternalID: "a b"}, "external_id=: not an external id"},
		{"session name with a slash", Options{Roles: []string{roleOne}, SessionName: "a/b"}, "session_name=a/b: not the name"},
		{"session name of one letter", Options{Roles: []string{roleOne}, SessionName: "a"}, "not the name"},
		{"long session name", Options{Roles: []string{roleOne}, SessionName: strings.Repeat("a", 65)}, "not the name"},
	} {
		_, err := New(tt.o)
		e, ok := errors.AsType[*tokens.Error](err)
		if !ok || !e.Final() || e.Hint() == "" || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q and a hint", tt.name, err, tt.want)
		}
	}
	for _, role := range []string{roleOne, "arn:aws-cn:iam::111111111111:role/db", "arn:aws-us-gov:iam::111111111111:role/a/b/c"} {
		if _, err := New(Options{Roles: []string{role}, ExternalID: "a:/b=@", SessionName: "ab"}); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func TestSecretKeysDoNotTravelInClear(t *testing.T) {
	for _, tt := range []struct {
		name, variable, config string
		o                      Options
	}{
		{"roles of the route", "AWS_ENDPOINT_URL_STS", "", bothRoles},
		{"roles of the route, general address", "AWS_ENDPOINT_URL", "", bothRoles},
		{"role of the profile", "AWS_ENDPOINT_URL_STS", roleProfile, Options{Profile: "dev"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).env().write("config", tt.config)
			t.Setenv(tt.variable, "http://sts.example.com")
			wantError(t, failure(t, a.config(tt.o)), true, "never sent in clear", "https://")
		})
	}
	t.Run("SSO", func(t *testing.T) {
		a := newAccount(t).write("config", ssoProfile).login(time.Now().Add(time.Hour), false)
		t.Setenv("AWS_ENDPOINT_URL_SSO", "http://sso.example.com")
		wantError(t, failure(t, a.config(Options{Profile: "dev"})), true, "never sent in clear", "https://")
	})
}

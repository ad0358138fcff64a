package awssecrets

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dbvalet/integration/awsfake"
)

// id returns what the credential of a version is called.
func (c *cloud) id(stage string) string {
	_, id := c.secrets.Value("db-pass", stage)
	return stage + " " + id
}

func wantOthers(t *testing.T, s *SecretsManager, want ...string) {
	t.Helper()
	if got := others(t, s); !slices.Equal(got, want) {
		t.Errorf("others: got %q, want %q", got, want)
	}
}

func TestRotationOffersTheNextVersionThenThePrevious(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-0")
	c.secrets.Put("db-pass", "s3cr3t-1")
	s := c.secret("awssecretsmanager://db-pass")
	read(t, s)
	wantOthers(t, s, " s3cr3t-0 "+c.id(awsfake.Previous)) // no rotation

	c.secrets.CreatePending("db-pass", "s3cr3t-2") // createSecret; setSecret and testSecret change nothing here
	wantOthers(t, s, " s3cr3t-2 "+c.id(awsfake.Pending), " s3cr3t-0 "+c.id(awsfake.Previous))

	c.secrets.Finish("db-pass")                          // finishSecret, which nobody has noticed yet:
	wantOthers(t, s, " s3cr3t-2 "+c.id(awsfake.Pending)) // the previous one is what was refused

	if got := read(t, s).Password.Reveal(); got != "s3cr3t-2" {
		t.Errorf("current after the rotation: got %s, want s3cr3t-2", got)
	}
	wantOthers(t, s, " s3cr3t-1 "+c.id(awsfake.Previous)) // AWSPENDING was left on the current version
}

func TestRotationThatWasAbandonedOffersNothing(t *testing.T) {
	const object = `{"username":"app","password":"s3cr3t-1"}`
	for _, tt := range []struct {
		name    string
		prepare func(*cloud)
		logged  string
	}{
		{"no rotation yet", func(*cloud) {}, ""},
		{"version without a value", func(c *cloud) { c.secrets.CreatePending("db-pass", "") }, ""},
		{"version without a password", func(c *cloud) { c.secrets.CreatePending("db-pass", `{"username":"app"}`) }, "without a text"},
		{"version with an empty password", func(c *cloud) { c.secrets.CreatePending("db-pass", `{"password":""}`) }, "empty"},
		{"pending is current", func(c *cloud) {
			c.secrets.CreatePending("db-pass", object)
			c.secrets.Finish("db-pass")
			c.secrets.Unlabel("db-pass", awsfake.Previous)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			c.secrets.Create("us-east-1", "db-pass", object)
			tt.prepare(c)
			s := c.secret("awssecretsmanager://db-pass")
			read(t, s)
			wantOthers(t, s)
			if !strings.Contains(c.log.String(), tt.logged) {
				t.Errorf("log %s, want %q in it", c.log.String(), tt.logged)
			}
		})
	}
}

func TestOneVersionWithTwoLabelsIsOfferedOnce(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	c.secrets.CreatePending("db-pass", "s3cr3t-2")
	c.secrets.Finish("db-pass")
	c.secrets.Put("db-pass", "s3cr3t-3") // so that AWSPREVIOUS joins AWSPENDING
	s := c.secret("awssecretsmanager://db-pass")
	read(t, s)
	wantOthers(t, s, " s3cr3t-2 "+c.id(awsfake.Pending))
}

func TestAlternatingUsersComeWithTheirOwnPasswords(t *testing.T) {
	c := newCloud(t)
	object := func(user, password string) string {
		return fmt.Sprintf(`{"username":%q,"password":%q,"masterarn":"arn:aws:…"}`, user, password)
	}
	c.secrets.Create("us-east-1", "db-pass", object("app", "s3cr3t-app"))
	o := c.options()
	o.User = "app"
	source, err := c.openWith("awssecretsmanager://db-pass", o)
	if err != nil {
		t.Fatal(err)
	}
	s := source.(*SecretsManager)
	read(t, s)
	c.secrets.CreatePending("db-pass", object("app_clone", "s3cr3t-clone"))
	wantOthers(t, s, "app_clone s3cr3t-clone "+c.id(awsfake.Pending))
	c.secrets.Finish("db-pass")
	if cred := read(t, s); cred.User != "app_clone" || cred.Password.Reveal() != "s3cr3t-clone" {
		t.Errorf("after the rotation: got %s with %s", cred.User, cred.Password.Reveal())
	}
	wantOthers(t, s, "app s3cr3t-app "+c.id(awsfake.Previous))
}

func TestOthersOfAStoreThatIsDownIsAnError(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	s := c.secret("awssecretsmanager://db-pass")
	read(t, s)
	c.secrets.Fail(awsfake.Throttled)
	_, err := s.Others(t.Context(), "app")
	wantError(t, err, false, "Rate exceeded")
}

func TestConcurrentCallsDuringARotation(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-0")
	s := c.secret("awssecretsmanager://db-pass")
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 5 {
				if _, err := s.Credential(t.Context(), "app"); err != nil {
					t.Error(err)
				}
				if _, err := s.Others(t.Context(), "app"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 5 {
		c.secrets.CreatePending("db-pass", fmt.Sprintf("s3cr3t-%d", i+1))
		c.secrets.Finish("db-pass")
	}
	callers.Wait()
	if got := read(t, s).Password.Reveal(); got != "s3cr3t-5" {
		t.Errorf("in the end: got %s, want s3cr3t-5", got)
	}
}

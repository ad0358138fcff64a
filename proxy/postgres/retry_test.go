package postgres

import (
	"bytes"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/tokens"
)

// refuses is a database that takes any password and refuses it with code.
func refuses(code string) script {
	return func(c *dbConn) {
		c.open()
		c.password()
		c.send(refusal(code, "password authentication failed"))
	}
}

func TestRefusedCredentialIsReplacedUnseen(t *testing.T) {
	for name, first := range map[string]script{
		"28P01": refuses(invalidPassword),
		"28000": refuses(invalidAuthorization),
		"28P01 in SCRAM": func(c *dbConn) {
			c.open()
			(&verifier{password: "another", mechanisms: []string{"SCRAM-SHA-256"}}).verify(c)
		},
		"28P01 to md5": func(c *dbConn) {
			c.open()
			c.send(&pgproto3.AuthenticationMD5Password{})
			c.answer()
			c.send(refusal(invalidPassword, "no"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := startDatabase(t, first, takes(secret))
			v := newValet(t, db.addr)
			v.source.passwords = []string{"yesterday's", secret}
			c := v.serve(t).dial(t)
			c.startup()
			if got, want := c.untilReady(), append(request(0), raw('Z', 'I')...); !bytes.Equal(got, want) {
				t.Errorf("client got %q, want %q and nothing about the refusal", got, want)
			}
			if logins, calls := len(db.all()), v.source.called(); logins != 2 || calls != 2 {
				t.Errorf("got %d logins and %d requests for a credential, want 2 and 2", logins, calls)
			}
			v.log.await(t, "credential rejected, trying another")
		})
	}
}

func TestOtherUserOfTheSourceIsTried(t *testing.T) {
	db := startDatabase(t, refuses(invalidPassword), takes(secret))
	v := newValet(t, db.addr)
	v.source.users = []string{"app", "app_clone"} // rotation by turns
	v.serve(t).dial(t).login()
	for i, user := range []string{"app", "app_clone"} {
		if got, want := db.all()[i].start, fields("user", user); !bytes.Contains(got, want) {
			t.Errorf("login %d was %q, want user %q", i+1, got, user)
		}
	}
	if record := v.log.await(t, "session started"); record["user"] != "app_clone" {
		t.Errorf("got log record %v, want user app_clone", record)
	}
}

func TestRefusalIsFinalWithoutAnotherCredential(t *testing.T) {
	beforePassword := func(code string) script {
		return func(c *dbConn) {
			c.open()
			c.send(refusal(code, "password authentication failed"))
		}
	}
	for _, row := range []struct {
		name      string
		passwords []string
		code      string
		play      func(code string) script
		logins    int
		calls     int
	}{
		{"the same again", []string{secret}, invalidPassword, refuses, 1, 2},
		{"another, refused as well", []string{secret, "new " + secret}, invalidPassword, refuses, 2, 3},
		{"refused before the password was sent", []string{secret, "new " + secret}, invalidAuthorization, beforePassword, 1, 1},
		{"28P01 before the password was sent", []string{secret, "new " + secret}, invalidPassword, beforePassword, 1, 1},
		{"refused for another reason", []string{secret, "new " + secret}, "53300", refuses, 1, 1},
		{"no such database", []string{secret, "new " + secret}, "3D000", refuses, 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := startDatabase(t, row.play(row.code))
			v := newValet(t, db.addr)
			v.source.passwords = row.passwords
			c := v.serve(t).dial(t)
			c.startup()
			want, err := refusal(row.code, "password authentication failed").Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.rest(); !bytes.Equal(got, want) {
				t.Errorf("client got %q, want the database's own words %q", got, want)
			}
			if logins, calls := len(db.all()), v.source.called(); logins != row.logins || calls != row.calls {
				t.Errorf("got %d logins and %d requests for a credential, want %d and %d", logins, calls, row.logins, row.calls)
			}
		})
	}
}

func TestDatabasesRefusalOutlivesSourcesFailure(t *testing.T) {
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.password()
		c.send(refusal(invalidPassword, "password authentication failed"))
	})
	v := newValet(t, db.addr)
	v.source.then = &tokens.Error{Source: "env:PW", Err: errors.New("gone"), Advice: "put it back"}
	c := v.serve(t).dial(t)
	c.startup()
	want, err := refusal(invalidPassword, "password authentication failed").Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.rest(); !bytes.Equal(got, want) {
		t.Errorf("client got %q, want the database's own words %q", got, want)
	}
	if record := v.log.await(t, "no other credential"); record["hint"] != "put it back" {
		t.Errorf("got log record %v, want the source's hint", record)
	}
}

package postgres

import (
	"bytes"
	"strings"
	"testing"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// TestDoorsUsersAndDatabasesAreKept has a route that serves the users alice and bob, and the databases
// orders and shop.
func TestDoorsUsersAndDatabasesAreKept(t *testing.T) {
	for _, row := range []struct {
		name           string
		user, database string // of the route
		sent           []string
		refused        string // in the message; empty: it is let in
	}{
		{"both of them", "", "", names("user", "bob", "database", "shop"), ""},
		{"another user", "", "", names("user", "mallory", "database", "shop"), `not "mallory"`},
		{"a user in capitals", "", "", names("user", "Bob", "database", "shop"), `not "Bob"`},
		{"a longer user", "", "", names("user", "bob ", "database", "shop"), `not "bob "`},
		{"a user that plays tricks", "", "", names("user", "bob\n\x1b[2J", "database", "shop"), `not "bob  [2J"`},
		{"another user where the route has one", "app", "", names("user", "mallory", "database", "shop"), ""},
		{"the last of two users", "", "", names("user", "mallory", "user", "bob", "database", "shop"), ""},
		{"the first of two users", "", "", names("user", "bob", "user", "mallory", "database", "shop"), `not "mallory"`},
		{"another database", "", "", names("user", "bob", "database", "secrets"), `not "secrets"`},
		{"the first of two databases", "", "", names("user", "bob", "database", "shop", "database", "secrets"), `not "secrets"`},
		{"the route's database", "", "shop", names("user", "bob"), ""},
		{"another database of the route", "", "secrets", names("user", "bob"), `not "secrets"`},
		{"an empty name is the route's", "", "shop", names("user", "bob", "database", "secrets", "database", ""), ""},
		{"no name is the user's", "", "", names("user", "bob"), `not "bob"`},
		{"no name is the route's user's", "orders", "", names("user", "bob"), ""},
		{"no name is not the client's user's", "app", "", names("user", "orders"), `not "app"`},
		{"replication of a database", "", "", names("user", "bob", "database", "shop", "replication", "database"), ""},
		{"replication of another", "", "", names("user", "bob", "database", "secrets", "replication", "database"), `not "secrets"`},
		{"replication is off", "", "", names("user", "bob", "database", "shop", "replication", "FALSE"), ""},
		{"replication is no", "", "", names("user", "bob", "database", "shop", "replication", "n"), ""},
		{"replication is 0", "", "", names("user", "bob", "database", "shop", "replication", "0"), ""},
		{"replication=true", "", "", names("user", "bob", "database", "shop", "replication", "true"), "all databases"},
		{"replication=on", "", "", names("user", "bob", "database", "shop", "replication", "on"), "all databases"},
		{"replication=1", "", "", names("user", "bob", "database", "shop", "replication", "1"), "all databases"},
		{"replication=YES", "", "", names("user", "bob", "database", "shop", "replication", "YES"), "all databases"},
		{"replication=t", "", "", names("user", "bob", "database", "shop", "replication", "t"), "all databases"},
		{"replication is empty", "", "", names("user", "bob", "database", "shop", "replication", ""), "all databases"},
		{"replication=Database", "", "", names("user", "bob", "database", "shop", "replication", "Database"), "all databases"},
		{"replication twice", "", "", names("user", "bob", "database", "shop", "replication", "true", "replication", "database"), "all databases"},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := newValet(t, db.addr)
			v.engine.User, v.engine.Database = row.user, row.database
			v.server.Door = proxy.Door{Users: []string{"alice", "bob"}, Databases: []string{"orders", "shop"}}
			c := v.serve(t).dial(t)
			c.write(packet(version(3, 0), fields(row.sent...), []byte{0}))
			if row.refused == "" {
				c.untilReady()
				if got := db.all()[0].start; bytes.Contains(got, []byte("mallory")) || bytes.Contains(got, []byte("secrets")) {
					t.Errorf("the database got %q, want neither mallory nor secrets in it", got)
				}
				return
			}
			if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Message, row.refused) {
				t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, invalidAuthorization, row.refused)
			}
			if record := v.log.await(t, "set-up failed"); record["stage"] != "peer" {
				t.Errorf("got log record %v, want stage peer", record)
			}
			if n := len(db.all()); n != 0 || v.source.called() != 0 {
				t.Errorf("got %d connections to the database and %d requests for a credential, want none", n, v.source.called())
			}
		})
	}
}

// names are names and values.
func names(s ...string) []string { return s }

func TestReplicationIsPassedOnWhereAllDatabasesAre(t *testing.T) {
	db := startDatabase(t, takes(secret))
	c := serve(t, db.addr).dial(t)
	c.write(packet(version(3, 0), fields("user", "bob", "replication", "true"), []byte{0}))
	c.untilReady()
	if got := db.all()[0].start; !bytes.Contains(got, fields("replication", "true")) {
		t.Errorf("the database got %q, want replication=true in it", got)
	}
}

// Only the credential says then what would be opened.
func TestSecretsDatabaseIsChecked(t *testing.T) {
	for _, row := range []struct {
		name           string
		user, database string // of the secret
		named          string // by the client
		opened         string // empty where it is the user's
		refused        string
	}{
		{"allowed", "", "orders", "", "orders", ""},
		{"not allowed", "", "secrets", "", "", `not "secrets"`},
		{"not allowed, and the client names one that is", "", "secrets", "orders", "orders", ""},
		{"none, and the user's is not allowed", "svc", "", "", "", `not "svc"`},
		{"none, and the user's is allowed", "orders", "", "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := startDatabase(t, takes(secret))
			v := newValet(t, "192.0.2.1:1")
			v.source.users = []string{row.user}
			to := v.upstream.Endpoint
			to.Addr, to.Database = db.addr, row.database
			v.upstream.Locate = func(tokens.Credential) (proxy.Endpoint, error) { return to, nil }
			v.server.Door.Databases = []string{"orders"}
			c := v.serve(t).dial(t)
			c.write(packet(version(3, 0), fields("user", "whoever", "database", row.named), []byte{0}))
			if row.refused == "" {
				c.untilReady()
				if got := db.all()[0].start; !bytes.Contains(got, fields("database", row.opened)) {
					t.Errorf("the database got %q, want database %q in it", got, row.opened)
				}
				return
			}
			if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Message, row.refused) {
				t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, invalidAuthorization, row.refused)
			}
			if db.saw(secret) {
				t.Error("the database got the password")
			}
		})
	}
}

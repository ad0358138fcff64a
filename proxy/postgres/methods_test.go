package postgres

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

func mustParse(list string) proxy.Methods {
	m, err := ParseMethods(list)
	if err != nil {
		panic(err)
	}
	return m
}

// asking are databases that log in by one method each.
var asking = map[string]script{
	MethodPassword: takes(secret),
	methodMD5: func(c *dbConn) {
		c.open()
		c.send(&pgproto3.AuthenticationMD5Password{})
		c.answer()
		c.send(authOk, ready)
		c.wait()
	},
	methodSCRAM: func(c *dbConn) {
		c.open()
		v := &verifier{password: secret, mechanisms: []string{"SCRAM-SHA-256"}}
		c.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(v.verify(c))}, authOk, ready)
		c.wait()
	},
	methodNone: func(c *dbConn) {
		c.open()
		c.send(authOk, ready)
		c.wait()
	},
}

func TestRequireAuthIsKept(t *testing.T) {
	for _, row := range []struct {
		list    string
		allowed []string
	}{
		{"", []string{MethodPassword, methodMD5, methodSCRAM, methodNone}},
		{"password", []string{MethodPassword}},
		{"md5", []string{methodMD5}},
		{"scram-sha-256", []string{methodSCRAM}},
		{"none", []string{methodNone}},
		{"scram-sha-256,md5", []string{methodSCRAM, methodMD5}},
		{"!password", []string{methodMD5, methodSCRAM, methodNone}},
		{"!none", []string{MethodPassword, methodMD5, methodSCRAM}},
		{"!password,!md5", []string{methodSCRAM, methodNone}},
		{"!password,!md5,!scram-sha-256,!none", nil},
	} {
		for method, play := range asking {
			t.Run(row.list+" and a database that asks for "+method, func(t *testing.T) {
				t.Parallel()
				db := startDatabase(t, play)
				v := newValet(t, db.addr)
				v.engine.RequireAuth = mustParse(row.list)
				c := v.serve(t).dial(t)
				if slices.Contains(row.allowed, method) {
					c.login()
					return
				}
				c.startup()
				if response := c.refused(); response.Code != invalidAuthorization || !strings.Contains(response.Hint, "require_auth="+method) {
					t.Errorf("got %s %q, hint %q, want %s and a hint at require_auth=%s",
						response.Code, response.Message, response.Hint, invalidAuthorization, method)
				}
				// Not even a hash of it.
				if got := db.received(0); db.saw(secret) || bytes.Contains(got, []byte("md5")) || bytes.Contains(got, []byte("SCRAM")) {
					t.Errorf("the database got %q, want nothing of the credential", got)
				}
			})
		}
	}
}

func TestParseMethodsRefuses(t *testing.T) {
	for name, list := range map[string]string{
		"an unknown method":       "passwort",
		"capitals":                "MD5",
		"a method of libpq's own": "gss",
		"nothing between commas":  "md5,,none",
		"a comma alone":           ",",
		"a comma at the end":      "md5,",
		"space":                   "md5, none",
		"! alone":                 "!",
		"! twice":                 "!!md5",
		"a mix":                   "md5,!none",
		"a mix, the other way":    "!md5,none",
		"a method twice":          "md5,none,md5",
		"a method twice, with !":  "!md5,!md5",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := ParseMethods(list); err == nil || !strings.Contains(err.Error(), "require_auth") {
				t.Errorf("ParseMethods(%q) = %v, %v, want an error that names the option", list, m, err)
			}
		})
	}
}

package azure

import (
	"strings"
	"testing"
	"unicode/utf8"

	"dbvalet/integration/azurefake"
	"dbvalet/tokens"
)

func TestRefusalIsExplained(t *testing.T) {
	long := strings.Repeat("é", 20) + ".with.a.long.name@contoso.com"
	app := azurefake.Claims{"appid": clientID, "idtyp": "app", "xms_mirid": assigned}
	for _, tt := range []struct {
		name, engine, route string
		claims              azurefake.Claims
		want                []string
	}{
		{"PostgreSQL", "postgres", "", azurefake.Claims{"upn": alice},
			[]string{"for " + alice, `user is "` + alice, "same case", "the group's", "in database postgres: select * from pgaadauth_create_principal('" + alice + "', false, false);"}},
		{"PostgreSQL, identity", "postgres", "orders", app,
			[]string{"for " + clientID, `user is "orders"`, "pgaadauth_create_principal('orders', false, false);"}},
		{"PostgreSQL, quote", "postgres", "O'Brien", azurefake.Claims{"upn": alice}, []string{"('O''Brien', false, false);"}},
		{"MySQL", "mysql", "", azurefake.Claims{"upn": alice}, []string{"CREATE AADUSER '" + alice + "';"}},
		{"MySQL, identity", "mysql", "", app,
			[]string{"SET aad_auth_validate_oids_in_tenant = OFF; CREATE AADUSER 'Orders-Identity' IDENTIFIED BY '" + clientID + "';"}},
		{"MySQL, long", "mysql", "", azurefake.Claims{"upn": "alice.with.a.long.name@contoso.com"},
			[]string{"CREATE AADUSER 'alice.with.a.long.name@contoso.com' AS 'SHORT';", "over 32 characters"}},
		{"too long for all of it", "postgres", strings.Repeat(long, 3), app, []string{"for " + clientID}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newAccount(t)
			c.Identity("", tt.claims)
			s := c.source(Options{Engine: tt.engine, User: tt.route})
			got := s.Explain(t.Context(), "client", c.login(s, "client"))
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if len(got) > 350 || !utf8.ValidString(got) {
				t.Errorf("%d bytes, want at most 350 of UTF-8: %q", len(got), got)
			}
			c.wantNoSecret("explanation", got)
		})
	}
}

func TestTokenThatCanNotBeReadIsExplainedToo(t *testing.T) {
	s := newAccount(t).source(Options{Engine: "postgres"})
	got := s.Explain(t.Context(), "app", tokens.Credential{Password: tokens.NewSecret("opaque")})
	if !strings.Contains(got, `an unknown principal, the user is "app"`) {
		t.Errorf("got %q, want the user", got)
	}
}

package azure

import (
	"testing"

	"dbvalet/integration/azurefake"
)

func TestIdentifySaysPrincipalTenantAndObject(t *testing.T) {
	c := newAccount(t)
	c.app(azurefake.Claims{"appid": clientID, "oid": "object", "tid": azurefake.Tenant, "idtyp": "app"})
	who, err := c.source(Options{}).Identify(t.Context())
	if err != nil || who.Principal != clientID || who.Account != azurefake.Tenant || who.From != "object object" {
		t.Errorf("got %+v, %v", who, err)
	}
}

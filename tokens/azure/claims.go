package azure

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// claims are what a token says about its bearer. Nobody verifies them here: the token has just come
// from Azure, and nothing is granted for what it says.
//
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
type claims struct {
	Issuer            string `json:"iss"`
	IdentityProvider  string `json:"idp"` // other than iss for guests
	TenantID          string `json:"tid"`
	ObjectID          string `json:"oid"`
	UPN               string `json:"upn"`
	UniqueName        string `json:"unique_name"`
	PreferredUsername string `json:"preferred_username"`
	AppID             string `json:"appid"` // azp in tokens of version 2
	AuthorizedParty   string `json:"azp"`
	AppName           string `json:"app_displayname"`
	Type              string `json:"idtyp"`     // "app" or "user"
	ResourceID        string `json:"xms_mirid"` // of a managed identity
}

// parseClaims reads the middle of a JSON Web Token. Of anything else it returns no claims.
func parseClaims(token string) claims {
	var c claims
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(middle, "="))
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// databaseUser returns the name that a database user for the bearer should have, and "" where the
// token does not say it.
func (c claims) databaseUser() string {
	if c.UPN != "" {
		return c.UPN
	}
	// What a guest's token says is the name at home. Here the guest is user_domain#EXT#@tenant.
	if guest := c.IdentityProvider != "" && c.IdentityProvider != c.Issuer; guest && !c.app() {
		return ""
	}
	return cmp.Or(c.UniqueName, c.PreferredUsername, c.resourceName(), c.AppName)
}

// resourceName returns the display name of a managed identity. It is what follows the type of the
// resource in its id, which has this form:
//
//	/subscriptions/<id>/resourcegroups/<name>/providers/<namespace>/<type>/<name>
//	/subscriptions/<id>/resourcegroups/<name>/providers/Microsoft.Web/sites/<name>/slots/<slot>
func (c claims) resourceName() string {
	_, rest, _ := strings.Cut(c.ResourceID, "/providers/")
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// principal names the bearer in logs and hints: somebody's name, or the id of an application.
func (c claims) principal() string {
	name := cmp.Or(c.UPN, c.UniqueName, c.PreferredUsername)
	if name != "" && !c.app() {
		return name
	}
	return cmp.Or(c.clientID(), c.ObjectID)
}

// app reports whether the bearer is an application or a managed identity.
func (c claims) app() bool {
	return c.Type == "app" || c.ResourceID != ""
}

func (c claims) clientID() string { return cmp.Or(c.AppID, c.AuthorizedParty) }

package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"dbvalet/tokens"
)

// IdentityFacts are those of the step identity.
type IdentityFacts struct {
	Principal string `json:"principal,omitempty"` // an ARN, an email, a name
	Account   string `json:"account,omitempty"`   // of AWS, or the tenant of Azure
	Region    string `json:"region,omitempty"`    // of AWS
	From      string `json:"from"`                // where the proof comes from, or the credential itself
}

// CredentialFacts are those of the step credential.
type CredentialFacts struct {
	User    string     `json:"user"`
	ID      string     `json:"id,omitempty"` // as in the log: an access key id, a version, a file
	Expires *time.Time `json:"expires,omitempty"`
}

// identity says who we are to the cloud, or where else the credential comes from.
func (v *visit) identity(ctx context.Context) Step {
	identifier, ok := v.Place.Credentials.Source.(tokens.Identifier)
	if !ok {
		return Step{Status: OK, Text: "the credential is that of " + v.Source, Facts: IdentityFacts{From: v.Source}}
	}
	var err error
	v.who, err = identifier.Identify(ctx)
	if err != nil {
		return v.failure(err)
	}
	who := v.who
	step := Step{Status: OK, Text: v.we(), Facts: IdentityFacts{Principal: who.Principal, Account: who.Account, Region: who.Region, From: who.From}}
	if who.Unsaid != nil {
		step.Status = Warning
		step.Text = fmt.Sprintf("who we are is not known: %v", who.Unsaid)
		if hint := v.hint(who.Unsaid); hint != "" {
			step.Advice = []Advice{{Text: hint}}
		}
	}
	return step
}

// we names who we are, and what that is from.
func (v *visit) we() string {
	text := v.who.Principal
	switch {
	case text == "" && v.who.From != "":
		text = "the one of " + v.who.From
	case v.who.From != "":
		text += ", from " + v.who.From
	}
	text = cmp.Or(text, v.Source)
	if v.who.Region != "" {
		text += ", region " + v.who.Region
	}
	return text
}

// credential gets one. It is kept for the login, and shown by its name only.
func (v *visit) credential(ctx context.Context) Step {
	v.attempt = v.Place.Credentials.Begin(v.User)
	cred, err := v.attempt.Credential(ctx)
	if err != nil {
		return v.failure(err)
	}
	if v.Place.Locate != nil {
		if v.to, err = v.Place.Locate(cred); err != nil {
			return v.failure(err)
		}
		v.located = true
	}
	cred.User = cmp.Or(cred.User, v.User)
	v.cred = cred
	if cred.User == "" {
		return failed("neither the route nor the credential names a database user", "name one in the route, or with --user here")
	}
	return Step{Status: OK, Text: describe(cred), Facts: credentialFacts(cred)}
}

func credentialFacts(cred tokens.Credential) CredentialFacts {
	facts := CredentialFacts{User: cred.User, ID: cred.ID}
	if !cred.Expires.IsZero() {
		expires := cred.Expires.UTC().Truncate(time.Second)
		facts.Expires = &expires
	}
	return facts
}

// describe says in a line what a log would show of cred.
func describe(cred tokens.Credential) string {
	parts := []string{"for " + cred.User}
	if cred.ID != "" && cred.ID != cred.User {
		parts = append(parts, cred.ID)
	}
	if !cred.Expires.IsZero() {
		parts = append(parts, "good for "+time.Until(cred.Expires).Round(time.Second).String())
	}
	return strings.Join(parts, ", ")
}

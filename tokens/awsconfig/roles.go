package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"dbvalet/tokens"
)

// roleLife is how long the credentials of a role live. It is the longest that every role allows, and
// the longest for a role that is assumed by another.
const roleLife = time.Hour

// What STS takes: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
var (
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

func checkRoles(o Options) error {
	for _, role := range o.Roles {
		a, err := arn.Parse(role)
		if err != nil || a.Service != "iam" || !accountID.MatchString(a.AccountID) || !strings.HasPrefix(a.Resource, "role/") {
			return invalid("role="+role, "not the ARN of a role", "write it like arn:aws:iam::123456789012:role/NAME; several, separated by commas, are assumed one after the other")
		}
	}
	switch {
	case o.ExternalID != "" && len(o.Roles) == 0:
		return invalid("external_id=", "there is no role that it is for", "add role=ARN")
	case o.SessionName != "" && len(o.Roles) == 0:
		return invalid("session_name=", "there is no role whose session it could name", "add role=ARN")
	case o.ExternalID != "" && !externalID.MatchString(o.ExternalID):
		return invalid("external_id=", "not an external id", "it has at least 2 letters, digits and characters of _+=,.@:/-")
	case o.SessionName != "" && !sessionName.MatchString(o.SessionName):
		return invalid("session_name="+o.SessionName, "not the name of a session", "it has 2 to 64 letters, digits and characters of _+=,.@-")
	}
	return nil
}

func invalid(source, text, advice string) error {
	return &tokens.Error{Source: source, Err: errors.New(text), Advice: advice, Denied: true}
}

// assume returns the credentials of the last role, or those of sdk where there are no roles.
func (c *Config) assume(sdk aws.Config) aws.CredentialsProvider {
	for i, name := range c.options.Roles {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk), name, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = c.options.SessionName
			o.Duration = roleLife
			if i == len(c.options.Roles)-1 && c.options.ExternalID != "" {
				o.ExternalID = aws.String(c.options.ExternalID)
			}
			if p, ok := sdk.Credentials.(aws.CredentialProviderSource); ok {
				o.CredentialSources = p.ProviderSources()
			}
		})
		sdk.Credentials = aws.NewCredentialsCache(role{provider, name})
	}
	return sdk.Credentials
}

// role says in errors which of several roles it was.
type role struct {
	*stscreds.AssumeRoleProvider
	arn string
}

// Retrieve assumes the role.
func (r role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := r.AssumeRoleProvider.Retrieve(ctx)
	if _, inner := errors.AsType[*roleError](err); err != nil && !inner {
		err = &roleError{r.arn, err}
	}
	return creds, err
}

// roleError says that a role could not be assumed.
type roleError struct {
	arn string
	err error
}

func (e *roleError) Error() string { return fmt.Sprintf("assume role %s: %v", e.arn, e.err) }
func (e *roleError) Unwrap() error { return e.err }

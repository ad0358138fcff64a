package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"

	"dbvalet/tokens"
)

// Describe makes what a client reads of err, which is of Load, of Retrieve, or of a call of a service.
// asked is the context of who asked: where that has ended, nothing is known about AWS. A caller that
// knows better what its service meant describes that itself, unless NoCredentials(err).
func (c *Config) Describe(asked context.Context, source string, err error) *tokens.Error {
	e := c.describe(asked, err)
	e.Source = source
	return e
}

func (c *Config) describe(asked context.Context, err error) *tokens.Error {
	if e, ok := errors.AsType[*loadError](err); ok {
		return c.describeLoad(e)
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		return c.describeCredentials(asked, e.from, e.err)
	}
	c.mu.Lock()
	l := c.loaded
	c.mu.Unlock()
	if l == nil {
		l = &loaded{profile: c.profile(), base: c.profile()}
	}
	api, answered := errors.AsType[smithy.APIError](err)
	if !answered || asked.Err() != nil || isOutage(err) {
		return unreachable(l, err)
	}
	return describeAPI(l, api, unreachable(l, err))
}

// describeLoad says what is wrong with the SDK's configuration. Nothing there mends itself.
func (c *Config) describeLoad(err *loadError) *tokens.Error {
	e := denied(err, "check ~/.aws/config and ~/.aws/credentials")
	if p, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		e.Err = fmt.Errorf("the AWS configuration has no profile %q", p.Profile)
		e.Advice = `see "aws configure list-profiles", and set profile=… or AWS_PROFILE`
	}
	if _, ok := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err); ok {
		e.Err = fmt.Errorf("profile %q wants an MFA code, and there is nobody to ask for it", c.profile())
		e.Advice = "use credentials of a session that has passed MFA, from AWS SSO or a credential_process"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e.Denied = false
	}
	return e
}

// describeCredentials says why there are no credentials.
func (c *Config) describeCredentials(asked context.Context, l *loaded, err error) *tokens.Error {
	if _, ok := errors.AsType[*processcreds.ProviderError](err); ok {
		return describeProcess(l, err) // before all others: its text must go nowhere
	}
	silence := unreachable(l, fmt.Errorf("get AWS credentials: %w", err))
	if asked.Err() != nil {
		return silence
	}
	if e, ok := errors.AsType[*expiredError](err); ok {
		from, advice := renewal(l)
		return denied(fmt.Errorf("AWS credentials of %s %w", from, e), advice)
	}
	service := failedService(err)
	silent := service == "" && errors.Is(err, context.DeadlineExceeded) // then only the configuration tells who it was
	from := func(source aws.CredentialSource) bool { return slices.Contains(l.origin(), source) }
	switch {
	case silent && from(aws.CredentialSourceProcess):
		return describeProcess(l, err)
	case service == "ec2imds", silent && from(aws.CredentialSourceIMDS):
		return c.describeInstance(silence)
	}
	api, answered := errors.AsType[smithy.APIError](err)
	switch sso := from(aws.CredentialSourceSSO) || from(aws.CredentialSourceSSOLegacy); {
	case answered && isOutage(err), !answered && isNetwork(err):
		return silence
	case errors.Is(err, tokens.ErrInClear):
		return denied(silence.Err, "write https:// into AWS_ENDPOINT_URL_STS or where else the address is from")
	case service == "STS" && !answered && l.config.Region == "":
		return denied(silence.Err, "set region=… or AWS_REGION: roles are assumed in a region")
	case sso && (!answered || service == "SSO OIDC"): // the session's file, or its renewal
		_, advice := renewal(l)
		return denied(fmt.Errorf("no AWS SSO session of profile %q: %w", l.base, err), advice)
	case answered:
		return describeAPI(l, api, silence)
	case from(aws.CredentialSourceLogin), webIdentity(l):
		_, advice := renewal(l)
		return denied(silence.Err, advice)
	}
	return silence
}

// describeProcess says what is wrong with a credential_process. Only known texts are passed on: the
// SDK's error quotes what the program printed, which may be the secret key.
func describeProcess(l *loaded, err error) *tokens.Error {
	e := &tokens.Error{Advice: fmt.Sprintf("run the credential_process of profile %q by hand", l.base)}
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = fmt.Errorf("no AWS credentials from credential_process: %w", context.DeadlineExceeded)
	case failed:
		e.Err = fmt.Errorf("no AWS credentials from credential_process: %w", exit)
	default:
		e.Err = errors.New("no AWS credentials from credential_process: it did not print the JSON object " +
			"with Version 1, AccessKeyId and SecretAccessKey")
		e.Denied = true
	}
	return e
}

// describeInstance says that the metadata service has no credentials. It is the last that the SDK
// asks, so it is the one that fails where nobody has configured anything.
func (c *Config) describeInstance(silence *tokens.Error) *tokens.Error {
	if c.worked.Load() { // so it is configured, and out of order
		return silence
	}
	return denied(fmt.Errorf("no AWS credentials found: %w", errors.Unwrap(silence.Err)),
		`run "aws sso login", set AWS_PROFILE or profile=…, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `+
			"or give this instance or container a role")
}

// describeAPI says what an AWS service answered. The SDK's own text has the number of the request and
// other things that leave no room for the advice.
func describeAPI(l *loaded, api smithy.APIError, silence *tokens.Error) *tokens.Error {
	code, message := api.ErrorCode(), api.ErrorMessage()
	did := failedService(silence.Err)
	if r, ok := errors.AsType[*roleError](silence.Err); ok && strings.Contains(message, r.arn) {
		did = "assume role"
	} else if ok {
		did = "assume role " + r.arn
	}
	said := &saidError{strings.TrimPrefix(fmt.Sprintf("%s: %s: %s", did, code, message), ": "), silence.Err}
	if strings.Contains(code, "Expired") || code == "UnauthorizedException" { // the latter is an old SSO session
		_, advice := renewal(l)
		return denied(said, advice)
	}
	if advice := trust(api); advice != "" {
		return denied(said, advice)
	}
	return denied(said, "ask an AWS administrator to allow it, and see who you are: "+
		command("aws sts get-caller-identity", l.profile))
}

// trust says what is missing where STS refuses a role. Its message names both sides:
//
//	User: arn:aws:iam::111111111111:user/app is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/db
//
// It is the same for an external id that is missing or wrong.
func trust(api smithy.APIError) string {
	if strings.Contains(api.ErrorMessage(), "sts:AssumeRoleWithWebIdentity") {
		return "let the role's trust policy allow sts:AssumeRoleWithWebIdentity to the cluster's OIDC provider and this service account"
	}
	user, rest, ok := strings.Cut(api.ErrorMessage(), " is not authorized to perform: sts:AssumeRole on resource: ")
	if !ok || api.ErrorCode() != "AccessDenied" {
		return ""
	}
	arn, _, _ := strings.Cut(rest, " ")
	return fmt.Sprintf(`give it {"Effect":"Allow","Action":"sts:AssumeRole","Resource":%q} `+
		`and the role's trust policy {"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":%q}}; or set external_id=`,
		arn, Principal(strings.TrimPrefix(user, "User: ")))
}

// saidError is a service's answer, short.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.err }

func unreachable(l *loaded, err error) *tokens.Error {
	return &tokens.Error{Err: err, Advice: "check the network, then ask AWS: " + command("aws sts get-caller-identity", l.profile)}
}

// denied makes an error that stays until somebody changes something.
func denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Err: err, Advice: advice, Denied: true}
}

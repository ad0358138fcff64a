package awsrds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"

	"dbvalet/tokens"
)

// expiredError says that the AWS credentials are dead and could not be renewed.
type expiredError struct {
	at time.Time
}

func (e *expiredError) Error() string { return "expired at " + e.at.Format(time.RFC3339) }

// describeLoad says what is wrong with the SDK's configuration. Nothing there mends itself.
func (s *Source) describeLoad(err error) *tokens.Error {
	e := s.denied(fmt.Errorf("load the AWS configuration: %w", err), "check ~/.aws/config and ~/.aws/credentials")
	if p, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		e.Err = fmt.Errorf("the AWS configuration has no profile %q", p.Profile)
		e.Advice = `see "aws configure list-profiles", and set profile=… or AWS_PROFILE`
	}
	if _, ok := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err); ok {
		e.Err = fmt.Errorf("profile %q wants an MFA code, and there is nobody to ask for it", s.profile())
		e.Advice = "use credentials of a session that has passed MFA, from AWS SSO or a credential_process"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e.Denied = false
	}
	return e
}

// describeRetrieve says why there are no AWS credentials. asked is the context of the caller: where
// that has ended, nothing is known about the source.
func (s *Source) describeRetrieve(asked context.Context, l *loaded, err error) *tokens.Error {
	unreachable := &tokens.Error{Source: s.name(), Err: fmt.Errorf("get AWS credentials: %w", err),
		Advice: "check the network, then ask AWS: " + command("aws sts get-caller-identity", l.profile)}
	if _, ok := errors.AsType[*processcreds.ProviderError](err); ok {
		return s.describeProcess(l, err) // before all others: its text must go nowhere
	}
	if asked.Err() != nil {
		return unreachable
	}
	if e, ok := errors.AsType[*expiredError](err); ok {
		from, advice := renewal(l)
		return s.denied(fmt.Errorf("AWS credentials of %s %w", from, e), advice)
	}
	service := failedService(err)
	silent := service == "" && errors.Is(err, context.DeadlineExceeded) // then only the configuration tells who it was
	from := func(source aws.CredentialSource) bool { return slices.Contains(l.origin(), source) }
	switch {
	case silent && from(aws.CredentialSourceProcess):
		return s.describeProcess(l, err)
	case service == "ec2imds", silent && from(aws.CredentialSourceIMDS):
		return s.describeInstance(unreachable)
	}
	api, answered := errors.AsType[smithy.APIError](err)
	switch sso := from(aws.CredentialSourceSSO) || from(aws.CredentialSourceSSOLegacy); {
	case answered && isOutage(api), !answered && isNetwork(err):
		return unreachable
	case sso && (!answered || service == "SSO OIDC"): // the session's file, or its renewal
		_, advice := renewal(l)
		return s.denied(fmt.Errorf("no AWS SSO session of profile %q: %w", l.base, err), advice)
	case answered:
		return s.describeAPI(l, api, unreachable)
	case from(aws.CredentialSourceLogin):
		_, advice := renewal(l)
		return s.denied(unreachable.Err, advice)
	}
	return unreachable
}

// describeProcess says what is wrong with a credential_process. Only known texts are passed on: the
// SDK's error quotes what the program printed, which may be the secret key.
func (s *Source) describeProcess(l *loaded, err error) *tokens.Error {
	e := &tokens.Error{Source: s.name(), Advice: fmt.Sprintf("run the credential_process of profile %q by hand", l.base)}
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
func (s *Source) describeInstance(unreachable *tokens.Error) *tokens.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.worked { // so it is configured, and out of order
		return unreachable
	}
	return s.denied(fmt.Errorf("no AWS credentials found: %w", errors.Unwrap(unreachable.Err)),
		`run "aws sso login", set AWS_PROFILE or profile=…, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `+
			"or give this instance or container a role")
}

// describeAPI says what an AWS service answered.
func (s *Source) describeAPI(l *loaded, api smithy.APIError, unreachable *tokens.Error) *tokens.Error {
	code := api.ErrorCode()
	if strings.Contains(code, "Expired") || code == "UnauthorizedException" { // the latter is an old SSO session
		_, advice := renewal(l)
		return s.denied(unreachable.Err, advice)
	}
	return s.denied(unreachable.Err, "ask an AWS administrator to allow it, and see who you are: "+
		command("aws sts get-caller-identity", l.profile))
}

// renewal names where the credentials come from, and says how to get new ones.
func renewal(l *loaded) (from, advice string) {
	origin := l.origin()
	from = fmt.Sprintf("profile %q", l.base)
	has := func(source aws.CredentialSource) bool { return slices.Contains(origin, source) }
	switch {
	case has(aws.CredentialSourceSSO), has(aws.CredentialSourceSSOLegacy):
		return from, "run " + command("aws sso login", l.base)
	case has(aws.CredentialSourceLogin):
		return from, "run " + command("aws login", l.base)
	case has(aws.CredentialSourceEnvVars):
		return "the environment variables", "renew AWS_SESSION_TOKEN and the keys that belong to it, and restart dbvalet"
	case has(aws.CredentialSourceProcess):
		return "credential_process of " + from, fmt.Sprintf("make the credential_process of profile %q renew them", l.base)
	case has(aws.CredentialSourceHTTP):
		return "the container's role", "check the agent that gives the container its credentials, and this machine's clock"
	case has(aws.CredentialSourceIMDS):
		return "the instance's role", "check the metadata service of the instance, and this machine's clock"
	}
	return from, "renew them, and check with " + command("aws sts get-caller-identity", l.base)
}

// command quotes a command of the AWS CLI for a profile.
func command(text, profile string) string {
	if profile != "default" {
		text += " --profile " + profile
	}
	return `"` + text + `"`
}

// failedService returns the name of the AWS service whose operation failed, or "". It is the
// innermost: AssumeRole fails where the credentials to call it with can't be had.
func failedService(err error) string {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return ""
	}
	return cmp.Or(failedService(op.Err), op.Service())
}

// isOutage reports whether an AWS service may answer differently in a moment.
func isOutage(api smithy.APIError) bool {
	code := api.ErrorCode()
	return api.ErrorFault() == smithy.FaultServer || strings.Contains(code, "Throttl") ||
		slices.Contains([]string{"TooManyRequestsException", "InternalServerException", "InternalFailure",
			"ServiceUnavailable", "IDPCommunicationError"}, code)
}

// isNetwork reports whether AWS was not reached. It does not look for net.Error, because a missing
// file is one: syscall.Errno has all its methods.
func isNetwork(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	_, url := errors.AsType[*url.Error](err)
	_, op := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	return url || op || dns
}

package awssecrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// describe makes what a client reads of err. asked is the context of who asked, and region where.
//
// What AWS answers is short, and names nothing but the caller and the resource. The SDK's own text has
// the number of the request and other things that leave no room for the advice.
func (s *store[Client]) describe(asked context.Context, region string, err error) *tokens.Error {
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return e // where open knew better
	}
	api, answered := errors.AsType[smithy.APIError](err)
	if awsconfig.NoCredentials(err) || answered && aboutCredentials(api) {
		return s.aws.Describe(asked, s.source, err)
	}
	if !answered {
		return s.describeSilence(asked, err)
	}
	switch code := api.ErrorCode(); {
	case isOutage(err, api):
		return &tokens.Error{Source: s.source, Err: said(region, api), Advice: "try again later; to read it less often, set wait=…, such as wait=30m"}
	case code == "AccessDeniedException", strings.Contains(code, "Decryption"), strings.Contains(code, "KeyId"):
		return s.describeDenied(asked, region, api)
	case strings.Contains(code, "NotFound"):
		return s.denied(askedAs(said(region, api), s.aws.Identity(asked)), s.howToFind(region))
	case strings.Contains(api.ErrorMessage(), "marked for deletion"):
		return s.denied(said(region, api), "run "+s.command("aws secretsmanager restore-secret --secret-id "+s.name, region))
	}
	return s.denied(said(region, api), s.howToFind(region))
}

// describeSilence says why AWS did not answer, or not in a way that can be understood.
func (s *store[Client]) describeSilence(asked context.Context, err error) *tokens.Error {
	if errors.Is(err, tokens.ErrInClear) {
		return s.denied(tokens.ErrInClear, "write https:// into AWS_ENDPOINT_URL or where else the address is from")
	}
	e := &tokens.Error{Source: s.source, Err: err, Advice: "check the network: DNS, HTTPS_PROXY, the VPC's endpoints"}
	failed, network := errors.AsType[*url.Error](err)
	_, garbled := errors.AsType[*smithy.DeserializationError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && asked.Err() == nil:
		e.Err = fmt.Errorf("AWS did not answer within %v: %w", s.limit, context.DeadlineExceeded)
	case network:
		e.Err = fmt.Errorf("ask %s: %w", failed.URL, failed.Err)
	case garbled: // its text may quote what was answered
		e.Err = errors.New("what answered is not AWS")
	case asked.Err() == nil:
		e.Advice = "check the options in the URL, and the AWS configuration"
	}
	return e
}

// said is what AWS answered.
func said(region string, api smithy.APIError) error {
	return fmt.Errorf("in %s: %s", region, strings.TrimSuffix(api.ErrorCode()+": "+shorten(api.ErrorMessage(), 200), ": "))
}

// askedAs adds the identity to err, if it is known.
func askedAs(err error, who string) error {
	if who == "" {
		return err
	}
	return fmt.Errorf("%w (asked as %s)", err, awsconfig.Brief(who))
}

// howToFind is the advice where there is no such thing.
func (s *store[Client]) howToFind(region string) string {
	if s.service() == "ssm" {
		advice := "check the name and the region: " + s.command("aws ssm describe-parameters", region)
		if strings.Contains(s.name, "/") && !strings.HasPrefix(s.name, "/") && !strings.HasPrefix(s.name, "arn:") {
			advice = "a name with slashes begins with one: awsparamstore:///" + s.name + "; or " + advice
		}
		return advice
	}
	return "check the name and the region: " + s.command("aws secretsmanager list-secrets", region)
}

// service returns the name of AWS's service, as in ARNs.
func (s *store[Client]) service() string {
	service, _, _ := strings.Cut(s.action, ":")
	return service
}

// command quotes a command of the AWS CLI.
func (s *store[Client]) command(text, region string) string {
	text += " --region " + region
	if s.profile != "" {
		text += " --profile " + s.profile
	}
	return `"` + text + `"`
}

// aboutCredentials reports whether AWS did not look at the request, because of how it was signed.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
func aboutCredentials(api smithy.APIError) bool {
	switch strings.TrimSuffix(api.ErrorCode(), "Exception") {
	case "ExpiredToken", "RequestExpired", "UnrecognizedClient", "InvalidClientTokenId",
		"InvalidSignature", "IncompleteSignature", "MissingAuthenticationToken":
		return true
	}
	return false
}

// isOutage reports whether AWS may answer differently in a moment.
func isOutage(err error, api smithy.APIError) bool {
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled || api.ErrorFault() == smithy.FaultServer {
		return true
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.HTTPStatusCode() >= http.StatusInternalServerError
}

// shorten cuts s, in the middle of which little is told apart, to at most limit bytes.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	half := (limit - len("…")) / 2
	return strings.ToValidUTF8(s[:half], "") + "…" + strings.ToValidUTF8(s[len(s)-half:], "")
}

// gave is how an explanation begins. It has at most 200 bytes.
func (s *store[Client]) gave(user string, refused tokens.Credential) string {
	return fmt.Sprintf("the password of user %s is from %s, %s",
		shorten(strconv.Quote(user), 34), shorten(s.source, 80), shorten(refused.ID, 48))
}

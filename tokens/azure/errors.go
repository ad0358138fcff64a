package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"dbvalet/tokens"
)

// describe says why there is no token. The SDK's errors keep the response, if there was one, and of
// everything else the text only.
func (s *Source) describe(ctx context.Context, err error) *tokens.Error {
	if ctx.Err() != nil {
		return s.unreachable(ctx.Err())
	}
	text := err.Error()
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case strings.Contains(text, errInClear.Error()):
		return s.denied(errInClear, "correct IDENTITY_ENDPOINT or MSI_ENDPOINT")
	case !ok: // a chain in which nobody could even try
		return s.describeUnavailable(text)
	case failed.RawResponse == nil:
		return s.unreachable(errors.New(cmp.Or(unusual(text), oneLine(text))))
	}
	return s.describeResponse(failed.RawResponse)
}

// unreachable makes an error that may be gone the next time.
func (s *Source) unreachable(err error) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: fmt.Errorf("get a token: %w", err),
		Advice: `check the network, and ask by hand: "az account get-access-token --resource-type oss-rdbms"`}
}

// describeUnavailable says what is wrong with a chain of credentials. Most of them are missing
// everywhere, so that only what is unusual counts.
func (s *Source) describeUnavailable(text string) *tokens.Error {
	reason := unusual(text)
	switch {
	case entraCode.MatchString(text):
		return s.describeCode(entraCode.FindString(text), oneLine(text[entraCode.FindStringIndex(text)[0]:]))
	case strings.Contains(reason, "az login"):
		return s.denied(errors.New("the Azure CLI is not logged in, and there is no other identity"), s.login())
	case strings.Contains(reason, "system assigned identity"):
		return s.denied(errors.New("get a token: this machine has no system-assigned managed identity"), assign)
	case reason != "":
		return s.unreachable(errors.New(reason))
	case s.worked:
		return s.unreachable(errors.New("the identity that served before does not answer"))
	}
	return s.denied(errors.New("no Azure identity found"),
		`run "az login", give this machine a managed identity or this pod a workload identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET`)
}

// assign is the advice where the metadata service knows no such identity.
const assign = `assign the identity to this machine ("az vm identity assign", "az webapp identity assign"), and for a user-assigned one set client_id= to its client id`

// describeResponse says what Microsoft Entra, or the endpoint of a managed identity, answered.
func (s *Source) describeResponse(r *http.Response) *tokens.Error {
	body, _ := runtime.Payload(r)
	var answer struct {
		Error       any    `json:"error"` // a text, or an object from Azure Arc
		Description string `json:"error_description"`
		Message     string `json:"message"` // from App Service
	}
	_ = json.Unmarshal(body, &answer)
	text, _ := answer.Error.(string)
	reason := fmt.Sprintf("HTTP status %d", r.StatusCode)
	if text = oneLine(cmp.Or(answer.Description, answer.Message, text)); text != "" {
		reason += ": " + text
	}
	code := entraCode.FindString(answer.Description)
	switch {
	// 404 and 410 are what a metadata service answers while it is being updated.
	case r.StatusCode >= 500, slices.Contains([]int{http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusNotFound, http.StatusGone}, r.StatusCode),
		answer.Error == "temporarily_unavailable":
		return s.unreachable(errors.New(reason))
	case code != "":
		return s.describeCode(code, text)
	}
	return s.denied(fmt.Errorf("get a token: %s", reason), assign)
}

// entraCode is how Microsoft Entra numbers its errors.
var entraCode = regexp.MustCompile(`AADSTS\d+`)

// describeCode says what to do about an error of Microsoft Entra.
//
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func (s *Source) describeCode(code, text string) *tokens.Error {
	advice := "see https://login.microsoftonline.com/error?code=" + strings.TrimPrefix(code, "AADSTS")
	switch strings.TrimPrefix(code, "AADSTS") {
	case "70008", "70043", "700082", "700084", "50173", "50132", "50133", "50089", // the login is too old
		"50076", "50078", "50079", "50158", // another factor is due
		"65001": // there was no consent
		advice = s.login()
	case "90002", "900023", "700016", "50020", "50034", "50059": // nobody of this tenant
		advice = "check tenant= or AZURE_TENANT_ID, AZURE_CLIENT_ID or client_id=, and cloud="
	case "500011", "500014", "650057": // the database service is unknown
		advice = "check cloud= and tenant=; if both are right, an administrator of the tenant runs once: az ad sp create --id 123cd850-d9df-40bd-94d5-c9f07b7fa203"
	case "7000215", "7000222": // wrong, or expired
		advice = `make a new secret with "az ad app credential reset --id $AZURE_CLIENT_ID", and restart dbvalet with it in AZURE_CLIENT_SECRET`
	case "70021", "700211", "700212", "700213", "700024": // a workload identity is not federated like this
		advice = `compare issuer, subject and audience with "az identity federated-credential list --identity-name NAME --resource-group GROUP"`
	case "90033", "90055", "50196": // a passing fault, or too many requests
		return s.unreachable(errors.New(text))
	}
	return s.denied(fmt.Errorf("get a token: %s", text), advice)
}

// login is the command for people. With the scope, it also asks for the consent and the factor that
// this resource wants.
func (s *Source) login() string {
	command := "az login --scope " + s.cloud.scope
	if s.options.Tenant != "" {
		command += " --tenant " + s.options.Tenant
	}
	return `run "` + command + `"`
}

// unusual returns the first line of a chain's error that is none of those which stand there on every
// machine without that kind of identity.
func unusual(text string) string {
	text = strings.ReplaceAll(text, "\n\t\t", " ") // what belongs to the line before
	for line := range strings.SplitSeq(text, "\n\t") {
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || !strings.HasSuffix(name, "Credential") || name == "DefaultAzureCredential" {
			continue
		}
		if !slices.ContainsFunc(usual, func(s string) bool { return strings.Contains(reason, s) }) {
			return oneLine(line)
		}
	}
	return ""
}

var usual = []string{
	"missing environment variable AZURE_", "incomplete environment variable", "no client ID specified", "no token file specified", "no tenant ID specified",
	"managed identity timed out", "169.254.169.254", "executable not found on path", "not logged in, run `azd auth login`",
	"Connect-AzAccount", "Az.Accounts",
}

var (
	afterReason = regexp.MustCompile(`\s+(Trace ID|To troubleshoot, visit|To re-authenticate, please run):?[\s\S]*`)
	request     = regexp.MustCompile(`(Get|Post) "[^"]*": `)
	token       = regexp.MustCompile(`eyJ[\w-]{5,}(\.[\w-]*)*`)
	chain       = regexp.MustCompile(`DefaultAzureCredential: failed to acquire a token\.\s+Attempted credentials:\s+`)
)

// oneLine makes one short line of what the SDK or Azure says. Tokens should not be in it, and if
// they are they go.
func oneLine(text string) string {
	const limit = 200 // bytes
	for _, noise := range []*regexp.Regexp{chain, afterReason, request} {
		text = noise.ReplaceAllString(text, "")
	}
	text = token.ReplaceAllString(text, "[redacted]")
	text = strings.TrimRight(strings.Join(strings.Fields(text), " "), ".")
	return clip(text, limit)
}

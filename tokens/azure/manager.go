package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"dbvalet/tokens"
)

const (
	maxPages    = 1000     // of one list
	maxListPage = 16 << 20 // bytes
)

// A manager asks Azure Resource Manager. It is used by its REST API: the modules of the SDK for it are
// large, and these are three requests.
type manager struct {
	source   *Source
	pipeline runtime.Pipeline
}

func (s *Source) manager() (*manager, error) {
	m := &manager{source: s}
	credential, err := s.newCredential()
	if err != nil {
		return nil, m.denied(fmt.Errorf("set up the Azure SDK: %w", errors.New(oneLine(err.Error()))), "check --tenant and the environment variables that begin with AZURE_")
	}
	bearer := runtime.NewBearerTokenPolicy(described{s, credential}, []string{s.cloud.manager + "/.default"}, nil)
	m.pipeline = runtime.NewPipeline("dbvalet", "", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &policy.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 5 * time.Second, TryTimeout: 30 * time.Second},
		Transport: s.transport,
	})
	return m, nil
}

// described gets tokens, and says why there are none in words of ours.
type described struct {
	source     *Source
	credential azcore.TokenCredential
}

// GetToken gets a token. Its errors are *tokens.Error, and final to the SDK.
func (d described) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	limited, cancel := context.WithTimeout(ctx, d.source.limit)
	defer cancel()
	o.TenantID = d.source.options.Tenant
	token, err := d.credential.GetToken(limited, o)
	if err != nil {
		return token, &tokenError{d.source.describe(limited, err)}
	}
	return token, nil
}

// tokenError is not tried again by the SDK's pipeline.
type tokenError struct{ err *tokens.Error }

func (e *tokenError) Error() string { return e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// NonRetriable makes it one of the SDK's errors that are final.
func (e *tokenError) NonRetriable() {}

// pages calls each with the value of all pages. The token goes to the manager only, whatever a page
// says about the next.
func (m *manager) pages(ctx context.Context, path string, each func(value json.RawMessage) error) error {
	next := m.source.cloud.manager + path
	for range maxPages {
		body, err := m.get(ctx, next)
		if err != nil {
			return m.describe(ctx, err)
		}
		var page struct {
			Value json.RawMessage `json:"value"`
			Next  string          `json:"nextLink"`
		}
		if err := json.Unmarshal(body, &page); err != nil || page.Value == nil {
			return m.passing(errors.New("the answer of Azure Resource Manager is no list"))
		}
		if err := each(page.Value); err != nil {
			return m.passing(errors.New("the answer of Azure Resource Manager is not the list that was asked for"))
		}
		if page.Next == "" {
			return nil
		}
		if !strings.HasPrefix(strings.ToLower(page.Next), m.source.cloud.manager+"/") {
			return m.passing(errors.New("the next page is said to be elsewhere than at Azure Resource Manager"))
		}
		next = page.Next
	}
	return nil
}

func (m *manager) get(ctx context.Context, at string) ([]byte, error) {
	request, err := runtime.NewRequest(ctx, http.MethodGet, at)
	if err != nil {
		return nil, err
	}
	runtime.SkipBodyDownload(request)
	response, err := m.pipeline.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxListPage))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, newAnswerError(response.StatusCode, body)
	}
	return body, nil
}

// An answerError is what Azure Resource Manager refused with.
type answerError struct {
	status        int
	code, message string
}

func newAnswerError(status int, body []byte) *answerError {
	var e struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // what is no JSON has no code
	return &answerError{status, e.Error.Code, e.Error.Message}
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("Azure Resource Manager answered %d", e.status)
	if e.code != "" {
		text += " " + e.code
	}
	if e.message != "" {
		text += ": " + oneLine(e.message)
	}
	return text
}

// notAuthorized takes Azure's words apart.
//
//	The client 'a@contoso.com' with object id 'o' does not have authorization to perform action
//	'Microsoft.DBforPostgreSQL/flexibleServers/read' over scope '/subscriptions/s' or the scope is invalid.
var notAuthorized = regexp.MustCompile(`client '([^']*)' with object id '([^']*)'.* action '([^']*)' over scope '([^']*)'`)

// describe says why there is no list.
func (m *manager) describe(ctx context.Context, err error) *tokens.Error {
	if e, ok := errors.AsType[*tokens.Error](err); ok { // no token
		return &tokens.Error{Source: listName, Err: e.Err, Advice: e.Advice, Denied: e.Denied}
	}
	answer, ok := errors.AsType[*answerError](err)
	switch {
	case ctx.Err() != nil && !ok:
		return m.passing(ctx.Err())
	case !ok:
		if unanswered, ok := errors.AsType[*url.Error](err); ok {
			err = unanswered.Err
		}
		return m.passing(fmt.Errorf("ask Azure Resource Manager: %s", oneLine(err.Error())))
	case answer.status >= 500 || answer.status == http.StatusTooManyRequests:
		return m.passing(answer)
	case answer.status == http.StatusForbidden:
		said := notAuthorized.FindStringSubmatch(answer.message)
		if said == nil {
			return m.denied(answer, "ask for the role Reader on the subscription")
		}
		return m.denied(fmt.Errorf("%s may not %s in %s", said[1], said[3], said[4]),
			fmt.Sprintf("who owns it runs: az role assignment create --assignee %s --role Reader --scope %s", said[2], said[4]))
	case answer.status == http.StatusUnauthorized:
		return m.denied(answer, `run "az login", in the tenant of the subscription: --tenant`)
	case answer.code == "SubscriptionNotFound":
		return m.denied(answer, `check --subscription with "az account list"`)
	}
	return m.denied(answer, `see "az postgres flexible-server list" and "az mysql flexible-server list"`)
}

func (m *manager) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: listName, Err: err, Advice: advice, Denied: true}
}

func (m *manager) passing(err error) *tokens.Error {
	return &tokens.Error{Source: listName, Err: err, Advice: "check the network, and try again"}
}

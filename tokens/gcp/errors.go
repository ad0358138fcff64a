package gcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"dbvalet/tokens"
)

// loginError is that credentials got no token.
type loginError struct {
	adc  *adc
	err  error
	sent bool // somebody was asked
}

func (e *loginError) Error() string { return fmt.Sprintf("get a token as %v: %v", e.adc, e.err) }
func (e *loginError) Unwrap() error { return e.err }

// impersonationError is that there is no token of another service account.
type impersonationError struct {
	who string // who wanted to impersonate; empty: unknown
	impersonation
	err error
}

func (e *impersonationError) Error() string {
	return fmt.Sprintf("impersonate %s: %v", e.target, e.err)
}
func (e *impersonationError) Unwrap() error { return e.err }

// describe says why there is no token. scope is the one that it was for.
func describe(source, scope string, err error) *tokens.Error {
	e := &tokens.Error{Source: source, Err: err, Advice: "check the network, and try again"}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return e
	}
	if errors.Is(err, tokens.ErrInClear) {
		e.Denied, e.Advice = true, "use https:// in the credentials' file and in the environment"
		return e
	}
	if errors.Is(err, errNone) {
		e.Denied = true
		e.Advice = `run "gcloud auth application-default login", or set ` + fileVariable +
			" to a file with credentials, or give this machine a service account"
		return e
	}
	if file, ok := errors.AsType[*fileError](err); ok {
		// A file that is missing may be mounted a moment later.
		e.Denied = !errors.Is(err, fs.ErrNotExist)
		e.Advice = fmt.Sprintf(`check %s and the file %s, or run "gcloud auth application-default login"`, fileVariable, file.path)
		return e
	}
	if _, ok := errors.AsType[*dyingError](err); ok {
		e.Advice = "check this machine's clock, and try again in a minute"
		return e
	}
	answer, answered := errors.AsType[*refusal](err)
	if answered && answer.passing() {
		e.Advice = "try again in a moment: https://status.cloud.google.com"
		return e
	}
	if _, ok := errors.AsType[*unreachable](err); ok {
		return e
	}
	if i, ok := errors.AsType[*impersonationError](err); ok {
		e.Denied = answered
		e.Advice = i.advice(answer)
		return e
	}
	if login, ok := errors.AsType[*loginError](err); ok {
		e.Denied = answered || !login.sent && login.adc.kind == kindServiceAccount // a key that can't be read
		if login.adc.runs && !answered {
			// The library quotes what the program printed, which may be its token.
			e.Err = &loginError{adc: login.adc, err: errors.New("the executable of its credential_source did not give a token")}
		}
		e.Advice = login.advice(scope, answer)
	}
	return e
}

// advice says how the credentials get a token again. answer is nil where nobody refused it.
func (e *loginError) advice(scope string, answer *refusal) string {
	switch {
	case e.adc.kind == "" && answer != nil && answer.status == http.StatusNotFound:
		return "give this machine a service account: gcloud compute instances set-service-account VM --service-account=EMAIL --scopes=cloud-platform"
	case e.adc.kind == "":
		return "check the machine's service account; on GKE, that it has roles/iam.workloadIdentityUser for the pod's account"
	case e.adc.kind == kindUser && answer != nil && answer.code == "invalid_scope":
		return `run "gcloud auth application-default login --scopes=openid,` +
			"https://www.googleapis.com/auth/userinfo.email," + cloudPlatform + "," + scope + `"`
	case e.adc.kind == kindUser:
		return `run "gcloud auth application-default login"`
	case e.adc.kind == kindServiceAccount:
		return fmt.Sprintf(`check this machine's clock, and the key: "gcloud iam service-accounts keys list --iam-account=%s"`, e.adc.principal)
	case answer != nil && strings.HasSuffix(answer.path, ":generateAccessToken"):
		if advice := answer.advice(iamAPI); advice != "" {
			return advice
		}
		return `let the pool's identity impersonate it: "gcloud iam service-accounts add-iam-policy-binding ` + e.adc.principal +
			` --role=roles/iam.workloadIdentityUser --member=principalSet://…"`
	}
	return "check the credential_source in the file, and the provider of the workload identity pool"
}

// advice says what allows the impersonation.
func (e *impersonationError) advice(answer *refusal) string {
	if answer == nil {
		return "try again in a moment"
	}
	if advice := answer.advice(iamAPI); advice != "" {
		return advice
	}
	if answer.status == http.StatusNotFound {
		return fmt.Sprintf(`check the name: "gcloud iam service-accounts describe %s"`, e.target)
	}
	next := e.target
	if len(e.delegates) > 0 {
		next = e.delegates[0]
	}
	advice := fmt.Sprintf(`run "gcloud iam service-accounts add-iam-policy-binding %s --member=%s --role=roles/iam.serviceAccountTokenCreator"`,
		next, member(e.who))
	if len(e.delegates) > 0 {
		advice += ", and so on to the end of the chain"
	}
	return advice
}

// advice says what to do about refusals that any API may give; empty for others.
func (e *refusal) advice(api string) string {
	switch {
	case e.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		return "give the machine all scopes: gcloud compute instances set-service-account VM --service-account=EMAIL --scopes=cloud-platform"
	case e.uncounted, e.reason == "USER_PROJECT_DENIED":
		return `run "gcloud auth application-default set-quota-project PROJECT", with a project that you may use`
	case e.reason == "SERVICE_DISABLED":
		return `run "gcloud services enable ` + api + `"`
	case e.reason == "SECURITY_POLICY_VIOLATED":
		return "ask whoever administers VPC Service Controls in the organization"
	case e.status == http.StatusUnauthorized:
		return `run "gcloud auth application-default login"`
	}
	return ""
}

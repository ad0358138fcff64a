package gcpconnector

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cloud.google.com/go/cloudsqlconn/errtype"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"dbvalet/tokens"
)

// describe says why there is no connection. asked is the context of the call: where that has ended,
// nothing is known about the instance.
func (c *Connector) describe(asked context.Context, err error) error {
	if asked.Err() != nil {
		return c.passing(fmt.Errorf("connect: %w", asked.Err()), tryAgain)
	}
	if _, ok := errors.AsType[*tokens.Error](err); ok { // from package gcp, about the login token
		return c.ours(err)
	}
	if identity, ok := errors.AsType[*identityError](err); ok {
		return c.describeIdentity(asked, identity)
	}
	if api, ok := errors.AsType[*googleapi.Error](err); ok {
		return c.describeAPI(asked, api)
	}
	if config, ok := errors.AsType[*errtype.ConfigError](err); ok {
		return c.describeConfig(strings.TrimPrefix(config.Message, "config error: "))
	}
	if dial, ok := errors.AsType[*errtype.DialError](err); ok {
		return c.describeDial(dial)
	}
	if unanswered, ok := errors.AsType[*url.Error](err); ok {
		return c.passing(fmt.Errorf("ask the Cloud SQL Admin API: %s", short(unanswered.Err.Error())), tryAgain)
	}
	switch {
	case errors.Is(err, errVerbose):
		return c.denied(err, "unset it, or set it to info")
	case strings.Contains(err.Error(), "does not support Auto IAM"):
		return c.denied(err, "IAM logins are for PostgreSQL and MySQL")
	}
	return c.passing(errors.New(short(err.Error())), tryAgain)
}

const tryAgain = "check the network, and try again"

// passing makes an error that may be gone the next time.
func (c *Connector) passing(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: c.name(), Err: err, Advice: advice}
}

// describeIdentity says why there is no token for the Admin API. Package gcp knows better words, so
// it is asked for a token too. The error's own text is not repeated: it may quote what was sent.
func (c *Connector) describeIdentity(ctx context.Context, e *identityError) error {
	if _, err := c.login.Credential(ctx, "unknown"); err != nil {
		return c.ours(err)
	}
	text := e.Error()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](e.err); ok && refused.Response != nil {
		text += fmt.Sprintf(": HTTP status %d", refused.Response.StatusCode)
	} else if api, ok := errors.AsType[*googleapi.Error](e.err); ok {
		text += fmt.Sprintf(": HTTP status %d", api.Code)
	}
	return c.passing(errors.New(text), `check the credentials with "gcloud auth application-default print-access-token"`)
}

// describeAPI says what the Admin API answered.
// https://cloud.google.com/sql/docs/postgres/admin-api/errors
func (c *Connector) describeAPI(ctx context.Context, api *googleapi.Error) error {
	project, _, name := c.parts()
	if e := describeGeneral(c.name(), project, api); e != nil {
		return e
	}
	err := answered(api)
	switch api.Code {
	case http.StatusNotFound:
		return c.denied(err, fmt.Sprintf(`see "gcloud sql instances list --project=%s", and correct instance=`, project))
	case http.StatusForbidden:
		who := c.who(ctx)
		return c.denied(fmt.Errorf("%s may not connect to the instance %s, or there is none", cmp.Or(who, "this identity"), name),
			fmt.Sprintf(`run "gcloud projects add-iam-policy-binding %s --member=%s --role=roles/cloudsql.client"`, project, member(who)))
	}
	return c.denied(err, `see "gcloud sql instances describe `+name+" --project="+project+`"`)
}

// answered is what the Admin API answered.
func answered(api *googleapi.Error) error {
	return fmt.Errorf("the Cloud SQL Admin API answered %d: %s", api.Code, short(cmp.Or(api.Message, http.StatusText(api.Code))))
}

// describeGeneral describes answers that have nothing to do with an instance, and is nil for others.
func describeGeneral(source, project string, api *googleapi.Error) *tokens.Error {
	reason := ""
	if len(api.Errors) > 0 {
		reason = api.Errors[0].Reason
	}
	e := &tokens.Error{Source: source, Err: answered(api), Denied: true}
	switch {
	case api.Code >= 500, api.Code == http.StatusTooManyRequests, api.Code == http.StatusRequestTimeout,
		reason == "rateLimitExceeded", reason == "quotaExceeded":
		e.Denied, e.Advice = false, "try again in a moment: https://status.cloud.google.com"
	case reason == "accessNotConfigured", strings.Contains(api.Message, "it is disabled"):
		e.Err = errors.New("the Cloud SQL Admin API is disabled")
		e.Advice = fmt.Sprintf(`run "gcloud services enable sqladmin.googleapis.com --project=%s"`, project)
	case strings.Contains(api.Message, "authentication scopes"):
		e.Advice = "give the machine all scopes: gcloud compute instances set-service-account VM --service-account=EMAIL --scopes=cloud-platform"
	case strings.Contains(api.Message, "quota project"):
		e.Advice = `run "gcloud auth application-default set-quota-project ` + project + `"`
	case api.Code == http.StatusUnauthorized:
		e.Advice = `run "gcloud auth application-default login"`
	default:
		return nil
	}
	return e
}

// describeConfig says what does not fit between the instance and the route.
func (c *Connector) describeConfig(text string) error {
	project, _, name := c.parts()
	describe := fmt.Sprintf("gcloud sql instances describe %s --project=%s", name, project)
	if _, region, ok := strings.Cut(text, "want "); ok && strings.Contains(text, "region") {
		return c.denied(fmt.Errorf("the instance is in %s", region), fmt.Sprintf("write instance=%s:%s:%s", project, region, name))
	}
	if strings.Contains(text, "IP") {
		return c.denied(errors.New(text), fmt.Sprintf(`see which addresses it has with "%s --format='value(ipAddresses,pscServiceAttachmentLink)'", and write ip_type=public, private or psc`, describe))
	}
	return c.denied(errors.New(text), `see "`+describe+`"`)
}

// describeDial says why the instance itself was not reached.
func (c *Connector) describeDial(dial *errtype.DialError) error {
	text := dial.Message
	if dial.Err != nil {
		text = dial.Err.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](dial.Err); ok || strings.Contains(text, "certificate had CN") {
		return c.passing(fmt.Errorf("the certificate is not the instance's: %s", short(text)),
			"find out who answers at port 3307 in its place; if its CA was replaced, the next connection knows the new one")
	}
	return c.passing(errors.New(short(text)),
		"let this machine reach port 3307 of that address; an instance in a VPC is reached from there, with ip_type=private or psc")
}

// parts splits the name of the instance.
func (c *Connector) parts() (project, region, name string) {
	parts := strings.Split(c.options.Instance, ":")
	n := len(parts)
	return strings.Join(parts[:n-2], ":"), parts[n-2], parts[n-1]
}

// who returns whom login tokens are for, and "" where nobody says it. The Admin API may have refused
// before there was one.
func (c *Connector) who(ctx context.Context) string {
	cred, _ := c.login.Credential(ctx, "unknown")
	return cred.ID
}

// member returns principal as IAM policies write it.
func member(principal string) string {
	switch {
	case principal == "":
		return "user:EMAIL"
	case strings.HasSuffix(principal, ".gserviceaccount.com"):
		return "serviceAccount:" + principal
	}
	return "user:" + principal
}

// short returns text on one line, and not all of a long one.
func short(text string) string {
	const limit = 160 // bytes
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

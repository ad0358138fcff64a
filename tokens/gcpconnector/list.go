package gcpconnector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/sqladmin/v1beta4"

	"dbvalet/tokens"
	"dbvalet/tokens/gcp"
)

// listLimit is how long a list may take, all its pages together.
const listLimit = time.Minute

// ListOptions say what to list, and as whom.
type ListOptions struct {
	Project     string   // empty: GOOGLE_CLOUD_PROJECT, or that of the credentials
	Impersonate []string // as in Options
	Endpoint    string   // as in Options
}

// An Instance is one of Cloud SQL with PostgreSQL or MySQL.
type Instance struct {
	Project, Region, Name string
	Engine                string // postgres or mysql
	Version               string // such as POSTGRES_17
	State                 string // such as RUNNABLE
	Replica               bool
	IAM                   bool              // IAM database authentication is on
	Flags                 map[string]string // of the database, as they are set
	IPTypes               []string          // of its addresses: public, private, psc
}

// ConnectionName is how the connector calls it.
func (i Instance) ConnectionName() string { return i.Project + ":" + i.Region + ":" + i.Name }

// IAMFlag is the flag that turns IAM database authentication on.
func (i Instance) IAMFlag() string {
	if i.Engine == "mysql" {
		return "cloudsql_iam_authentication"
	}
	return "cloudsql.iam_authentication"
}

// projectID is the name of a project, with a domain before it in some organizations.
var projectID = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9-]+$`)

// List returns the instances of a project, in the order of their names. The error is a *tokens.Error.
//
// It needs cloudsql.instances.list, in roles/cloudsql.viewer.
func List(ctx context.Context, o ListOptions) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	login, err := gcp.New(gcp.Options{Engine: "postgres", Impersonate: o.Impersonate})
	if err != nil {
		return nil, err
	}
	l := lister{o, login}
	if o.Project, err = l.project(ctx); err != nil {
		return nil, err
	}
	l.options.Project = o.Project
	var list []Instance
	err = l.pages(ctx, func(page *sqladmin.InstancesListResponse) error {
		for _, i := range page.Items {
			if one, ok := instanceOf(i); ok {
				list = append(list, one)
			}
		}
		return nil
	})
	if err != nil {
		return nil, l.describe(ctx, err)
	}
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// A lister lists, and knows what to say when it can't.
type lister struct {
	options ListOptions
	login   *gcp.Source
}

const listName = "discover gcp"

// project returns the project to list.
func (l lister) project(ctx context.Context) (string, error) {
	project := cmp.Or(l.options.Project, os.Getenv("GOOGLE_CLOUD_PROJECT"), os.Getenv("CLOUDSDK_CORE_PROJECT"))
	if project == "" {
		credentials, err := find(ctx, adminScope)
		if err != nil {
			return "", l.describe(ctx, &identityError{err})
		}
		project = cmp.Or(credentials.ProjectID, quotaProject(credentials))
	}
	switch {
	case project == "":
		return "", &tokens.Error{Source: listName, Err: errors.New("nothing says the project"), Advice: "add --project, or set GOOGLE_CLOUD_PROJECT", Denied: true}
	case !projectID.MatchString(project):
		return "", &tokens.Error{Source: listName, Err: fmt.Errorf("%q is no project", project), Advice: `write its id, as "gcloud projects list" shows it`, Denied: true}
	}
	return project, nil
}

// pages calls each with all pages of the answer.
func (l lister) pages(ctx context.Context, each func(*sqladmin.InstancesListResponse) error) error {
	source := apiTokens{l.options.Impersonate}
	token, err := source.Token(ctx)
	if err != nil {
		return err
	}
	transport := bearer{token: token.Value, next: encrypted{tokens.Encrypted(nil)}}
	if transport.quota, err = source.quotaProject(ctx); err != nil {
		return err
	}
	options := []option.ClientOption{option.WithHTTPClient(&http.Client{Transport: transport}), option.WithLogger(quiet), option.WithUserAgent("dbvalet")}
	if endpoint := cmp.Or(l.options.Endpoint, os.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL")); endpoint != "" { // gcloud's, for private endpoints
		options = append(options, option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/"))
	}
	api, err := sqladmin.NewService(ctx, options...)
	if err != nil {
		return err
	}
	return api.Instances.List(l.options.Project).Pages(ctx, each)
}

// bearer shows the token of a list's requests.
type bearer struct {
	token, quota string
	next         http.RoundTripper
}

// RoundTrip sends r with the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	if b.quota != "" {
		r.Header.Set("X-Goog-User-Project", b.quota)
	}
	return b.next.RoundTrip(r)
}

// instanceOf takes what is of use. There is none in SQL Server.
func instanceOf(i *sqladmin.DatabaseInstance) (Instance, bool) {
	one := Instance{
		Project: i.Project, Region: i.Region, Name: i.Name, Version: i.DatabaseVersion, State: i.State,
		Replica: i.InstanceType == "READ_REPLICA_INSTANCE", Flags: map[string]string{},
	}
	switch {
	case strings.HasPrefix(i.DatabaseVersion, "POSTGRES_"):
		one.Engine = "postgres"
	case strings.HasPrefix(i.DatabaseVersion, "MYSQL_"):
		one.Engine = "mysql"
	default:
		return Instance{}, false
	}
	if i.Settings != nil {
		for _, flag := range i.Settings.DatabaseFlags {
			one.Flags[flag.Name] = flag.Value
		}
		if c := i.Settings.IpConfiguration; c != nil && c.PscConfig != nil && c.PscConfig.PscEnabled {
			one.IPTypes = append(one.IPTypes, "psc")
		}
	}
	one.IAM = strings.EqualFold(one.Flags[one.IAMFlag()], "on")
	for _, address := range i.IpAddresses {
		switch address.Type {
		case "PRIMARY":
			one.IPTypes = append(one.IPTypes, "public")
		case "PRIVATE":
			one.IPTypes = append(one.IPTypes, "private")
		}
	}
	slices.Sort(one.IPTypes)
	return one, true
}

// describe says why there is no list.
func (l lister) describe(ctx context.Context, err error) *tokens.Error {
	e := &tokens.Error{Source: listName, Err: err, Advice: tryAgain}
	if ctx.Err() != nil {
		e.Err = ctx.Err()
		return e
	}
	if _, ok := errors.AsType[*identityError](err); ok {
		// Package gcp knows better words, so it is asked for a token too.
		if _, err := l.login.Credential(ctx, "unknown"); err != nil {
			if known, ok := errors.AsType[*tokens.Error](err); ok {
				e.Err, e.Advice, e.Denied = known.Err, known.Advice, known.Denied
				return e
			}
		}
		e.Err, e.Advice = errors.New("get a token for the Cloud SQL Admin API"), `check the credentials with "gcloud auth application-default print-access-token"`
		return e
	}
	if errors.Is(err, tokens.ErrInClear) {
		e.Err, e.Advice, e.Denied = errors.New("the endpoint of the Admin API is no https:// URL, and a token goes there"), "correct CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL", true
		return e
	}
	api, ok := errors.AsType[*googleapi.Error](err)
	if !ok {
		if unanswered, ok := errors.AsType[*url.Error](err); ok {
			err = unanswered.Err
		}
		e.Err = fmt.Errorf("ask the Cloud SQL Admin API: %s", short(err.Error()))
		return e
	}
	if general := describeGeneral(listName, l.options.Project, api); general != nil {
		return general
	}
	e.Err, e.Denied, e.Advice = answered(api), true, `see "gcloud sql instances list --project=`+l.options.Project+`"`
	switch api.Code {
	case http.StatusForbidden:
		cred, _ := l.login.Credential(ctx, "unknown")
		e.Err = fmt.Errorf("%s may not cloudsql.instances.list in project %s, or there is none", cmp.Or(cred.ID, "this identity"), l.options.Project)
		e.Advice = fmt.Sprintf(`run "gcloud projects add-iam-policy-binding %s --member=%s --role=roles/cloudsql.viewer"`, l.options.Project, member(cred.ID))
	case http.StatusNotFound:
		e.Advice = `check --project with "gcloud projects list"`
	}
	return e
}

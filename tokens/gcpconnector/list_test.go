package gcpconnector

import (
	"errors"
	"reflect"
	"testing"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

// fillList has instances of all kinds, and one of another project.
func (c *cloud) fillList() {
	c.List(gcpfake.Listing{Name: "proj:europe-west1:shop", Version: "MYSQL_8_4", Addresses: []string{"PRIMARY", "PRIVATE"},
		Flags: map[string]string{"cloudsql_iam_authentication": "on", "slow_query_log": "on"}})
	c.List(gcpfake.Listing{Name: "proj:europe-west1:orders", Version: "POSTGRES_17", Addresses: []string{"PRIVATE"},
		Flags: map[string]string{"cloudsql_iam_authentication": "on"}}) // which is MySQL's flag
	c.List(gcpfake.Listing{Name: "proj:us-east1:orders-replica", Version: "POSTGRES_17", Addresses: []string{"PSC"}, Replica: true, State: "SUSPENDED"})
	c.List(gcpfake.Listing{Name: "proj:us-east1:ledger", Version: "SQLSERVER_2022_WEB", Addresses: []string{"PRIMARY"}})
	c.List(gcpfake.Listing{Name: "other:us-east1:else", Version: "POSTGRES_17"})
}

func TestListHasTheInstancesThatSpeakPostgreSQLOrMySQL(t *testing.T) {
	c := newCloud(t)
	c.fillList()
	c.AllowList(app, 2) // so that there are several pages
	want := []Instance{
		{Project: "proj", Region: "europe-west1", Name: "orders", Engine: "postgres", Version: "POSTGRES_17", State: "RUNNABLE", IPTypes: []string{"private"},
			Flags: map[string]string{"cloudsql_iam_authentication": "on"}},
		{Project: "proj", Region: "us-east1", Name: "orders-replica", Engine: "postgres", Version: "POSTGRES_17", State: "SUSPENDED", Replica: true,
			IPTypes: []string{"psc"}, Flags: map[string]string{}},
		{Project: "proj", Region: "europe-west1", Name: "shop", Engine: "mysql", Version: "MYSQL_8_4", State: "RUNNABLE", IAM: true,
			IPTypes: []string{"private", "public"}, Flags: map[string]string{"cloudsql_iam_authentication": "on", "slow_query_log": "on"}},
	}
	for name, set := range map[string]func(*ListOptions){
		"--project":       func(o *ListOptions) { o.Project = "proj" },
		"the environment": func(*ListOptions) { t.Setenv("GOOGLE_CLOUD_PROJECT", "proj") },
		"the credentials": func(*ListOptions) { t.Setenv("GOOGLE_CLOUD_PROJECT", "") },
	} {
		o := ListOptions{Endpoint: c.URL}
		set(&o)
		before := c.Count(gcpfake.OpListInstances)
		got, err := List(t.Context(), o)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("project from %s: got\n%+v, %v\nwant\n%+v", name, got, err, want)
		}
		if n := c.Count(gcpfake.OpListInstances) - before; n != 2 {
			t.Errorf("%d requests, want one for each of 2 pages", n)
		}
	}
}

func TestListIsThatOfTheImpersonatedAccount(t *testing.T) {
	const target = "viewer@proj.iam.gserviceaccount.com"
	c := newCloud(t)
	c.fillList()
	c.AllowImpersonation(app, target)
	c.AllowList(target, 100)
	t.Setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL", c.URL)
	if got, err := List(t.Context(), ListOptions{Project: "other", Impersonate: []string{target}}); err != nil || len(got) != 1 {
		t.Errorf("got %+v, %v, want the instance of the other project", got, err)
	}
}

func TestListThatIsRefusedSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name       string
		arrange    func(*cloud, *ListOptions)
		final      bool
		text, hint string
	}{
		{"role missing", func(*cloud, *ListOptions) {}, true, app + " may not cloudsql.instances.list in project proj",
			"gcloud projects add-iam-policy-binding proj --member=serviceAccount:" + app + " --role=roles/cloudsql.viewer"},
		{"API disabled", func(c *cloud, _ *ListOptions) { c.Disable() }, true, "Admin API is disabled", "gcloud services enable sqladmin.googleapis.com --project=proj"},
		{"throttled", func(c *cloud, _ *ListOptions) { c.Fail(gcpfake.OpListInstances, gcpfake.Throttled) }, false, "429", "try again"},
		{"cut", func(c *cloud, _ *ListOptions) { c.Fail(gcpfake.OpListInstances, gcpfake.Down) }, false, "EOF", "check the network"},
		{"login over", func(c *cloud, _ *ListOptions) { c.use(c.User(kai)); c.EndSessions() }, true, "get a token", "gcloud auth application-default login"},
		{"no credentials", func(c *cloud, _ *ListOptions) { t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/adc.json") }, false, "/nonexistent/adc.json", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"no project", func(_ *cloud, o *ListOptions) { o.Project = "a/b" }, true, "is no project", "gcloud projects list"},
		{"in clear", func(_ *cloud, o *ListOptions) { o.Endpoint = "http://sqladmin.example.com" }, true, "no https:// URL", "CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			o := ListOptions{Project: "proj", Endpoint: c.URL}
			tt.arrange(c, &o)
			_, err := List(t.Context(), o)
			if e, ok := errors.AsType[*tokens.Error](err); ok && e.Source != listName {
				t.Errorf("the source is %q, want %q", e.Source, listName)
			}
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

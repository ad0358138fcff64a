package gcpfake

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// OpListInstances is instances.list, for Count and Fail.
const OpListInstances = "listInstances"

// A Listing is what instances.list says of an instance. It need not be one that is served.
type Listing struct {
	Name      string // project:region:name
	Version   string // such as POSTGRES_17
	State     string // empty: RUNNABLE
	Replica   bool
	Flags     map[string]string // of the database
	Addresses []string          // their kinds: PRIMARY, PRIVATE, PSC
}

// listings are what instances.list knows, and the caller's rights to it.
type listings struct {
	all     []Listing
	viewers map[string]bool // who has roles/cloudsql.viewer
	page    int
}

// List adds an instance to what instances.list says.
func (a *SQLAdmin) List(l Listing) {
	a.state.Lock()
	defer a.state.Unlock()
	a.listings.all = append(a.listings.all, l)
}

// AllowList gives principal roles/cloudsql.viewer, and makes a page have so many instances.
func (a *SQLAdmin) AllowList(principal string, page int) {
	a.state.Lock()
	defer a.state.Unlock()
	if a.listings.viewers == nil {
		a.listings.viewers = map[string]bool{}
	}
	a.listings.viewers[principal], a.listings.page = true, page
}

// listInstances serves GET /sql/v1beta4/projects/P/instances.
// https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1beta4/instances/list
func (a *SQLAdmin) listInstances(w http.ResponseWriter, r *http.Request) {
	t, alive := a.Token(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	project := r.PathValue("project")
	a.state.Lock()
	defer a.state.Unlock()
	switch {
	case !alive:
		refuseSQL(w, http.StatusUnauthorized, "authError", "Request had invalid authentication credentials.")
		return
	case !slices.Contains(t.Scopes, CloudPlatform) && !slices.Contains(t.Scopes, SQLAdminScope):
		refuseSQL(w, http.StatusForbidden, "insufficientPermissions", "Request had insufficient authentication scopes.")
		return
	case a.disabled:
		refuseSQL(w, http.StatusForbidden, "accessNotConfigured", "Cloud SQL Admin API has not been used in project 123456789012 before or it is disabled.")
		return
	case !a.listings.viewers[t.Principal]:
		refuseSQL(w, http.StatusForbidden, "notAuthorized", "The client is not authorized to make this request.")
		return
	}
	items := []any{}
	for _, l := range a.listings.all {
		if strings.HasPrefix(l.Name, project+":") {
			items = append(items, l.resource())
		}
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	to := min(max(from, 0)+a.listings.page, len(items))
	body := map[string]any{"kind": "sql#instancesList", "items": items[min(from, to):to]}
	if to < len(items) {
		body["nextPageToken"] = strconv.Itoa(to)
	}
	answer(w, http.StatusOK, body)
}

// resource is l as the API has it.
func (l Listing) resource() map[string]any {
	parts := strings.Split(l.Name, ":")
	n := len(parts)
	flags, addresses, network := []any{}, []any{}, map[string]any{"ipv4Enabled": slices.Contains(l.Addresses, "PRIMARY")}
	for name, value := range l.Flags {
		flags = append(flags, map[string]string{"name": name, "value": value})
	}
	for _, kind := range l.Addresses {
		if kind == "PSC" {
			network["pscConfig"] = map[string]any{"pscEnabled": true}
			continue
		}
		addresses = append(addresses, map[string]string{"type": kind, "ipAddress": "192.0.2.1"})
	}
	kind, state := "CLOUD_SQL_INSTANCE", l.State
	if l.Replica {
		kind = "READ_REPLICA_INSTANCE"
	}
	if state == "" {
		state = "RUNNABLE"
	}
	return map[string]any{
		"kind": "sql#instance", "project": strings.Join(parts[:n-2], ":"), "region": parts[n-2], "name": parts[n-1], "connectionName": l.Name,
		"databaseVersion": l.Version, "state": state, "instanceType": kind, "ipAddresses": addresses,
		"settings": map[string]any{"kind": "sql#settings", "databaseFlags": flags, "ipConfiguration": network},
	}
}

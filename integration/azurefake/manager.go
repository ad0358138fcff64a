package azurefake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Two subscriptions.
const (
	Production = "11111111-aaaa-4000-8000-000000000001"
	Testing    = "22222222-aaaa-4000-8000-000000000002"
)

// A FlexibleServer is what Azure Resource Manager says of a server.
type FlexibleServer struct {
	Subscription, Group, Name string
	Engine                    string // PostgreSQL or MySQL
	Version                   string
	State                     string // empty: Ready
	Entra                     bool   // PostgreSQL: it is enabled; MySQL: there is an administrator
	Public                    bool
}

// manager is Azure Resource Manager.
type manager struct {
	servers []FlexibleServer
	readers map[string][]string // subscriptions by the object id of who may read them
	page    int                 // servers in one; 0: all
	next    string              // where the next page is said to be; empty: here
}

// AddServer makes a server.
func (s *Server) AddServer(f FlexibleServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manager.servers = append(s.manager.servers, f)
}

// AllowRead lets the principal with an object id see subscriptions, and gives it the role Reader there.
func (s *Server) AllowRead(object string, subscriptions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.manager.readers == nil {
		s.manager.readers = map[string][]string{}
	}
	s.manager.readers[object] = subscriptions
}

// SetPages sets how many servers a page has, and the host where the next is said to be; empty: here.
func (s *Server) SetPages(servers int, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manager.page, s.manager.next = servers, next
}

// manages adds the endpoints of Azure Resource Manager, with the versions of 2024.
//
// https://learn.microsoft.com/rest/api/resources/subscriptions/list
// https://learn.microsoft.com/rest/api/postgresql/servers/list-by-subscription
// https://learn.microsoft.com/rest/api/mysql/flexibleserver/azure-ad-administrators/list-by-server
func (s *Server) manages(mux *http.ServeMux) {
	mux.HandleFunc("GET /subscriptions", s.authorized("2022-12-01", func(w http.ResponseWriter, r *http.Request, object string) {
		list := []any{}
		for _, id := range s.manager.readers[object] {
			list = append(list, map[string]string{"id": "/subscriptions/" + id, "subscriptionId": id, "displayName": "one", "state": "Enabled"})
		}
		list = append(list, map[string]string{"subscriptionId": "33333333-aaaa-4000-8000-000000000003", "state": "Disabled"})
		s.answerPage(w, r, list, 0)
	}))
	for engine, version := range map[string]string{"PostgreSQL": "2024-08-01", "MySQL": "2023-12-30"} {
		mux.HandleFunc("GET /subscriptions/{id}/providers/Microsoft.DBfor"+engine+"/flexibleServers", s.authorized(version, func(w http.ResponseWriter, r *http.Request, object string) {
			s.listServers(w, r, object, engine)
		}))
	}
	mux.HandleFunc("GET /subscriptions/{id}/resourceGroups/{group}/providers/Microsoft.DBforMySQL/flexibleServers/{name}/administrators",
		s.authorized("2023-12-30", func(w http.ResponseWriter, r *http.Request, object string) {
			list := []any{}
			for _, f := range s.manager.servers {
				if f.Subscription == r.PathValue("id") && f.Name == r.PathValue("name") && f.Entra {
					list = append(list, map[string]any{"name": "ActiveDirectory", "properties": map[string]string{"administratorType": "ActiveDirectory", "login": "dba"}})
				}
			}
			s.answerPage(w, r, list, 0)
		}))
}

// authorized lets serve answer who shows a token for Azure Resource Manager, and holds s.mu meanwhile.
func (s *Server) authorized(version string, serve func(w http.ResponseWriter, r *http.Request, object string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		claims, err := s.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), func(resource string) bool { return resource == Manager })
		switch {
		case r.Host != "management.azure.com":
			http.NotFound(w, r)
		case err != nil:
			refuseManager(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
		case r.URL.Query().Get("api-version") != version:
			refuseManager(w, http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version is invalid.")
		default:
			object, _ := claims["oid"].(string)
			s.mu.Lock()
			defer s.mu.Unlock()
			serve(w, r, object)
		}
	}
}

func (s *Server) listServers(w http.ResponseWriter, r *http.Request, object, engine string) {
	subscription := r.PathValue("id")
	if !slices.Contains(s.manager.readers[object], subscription) {
		scope := "/subscriptions/" + subscription
		refuseManager(w, http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf("The client 'app' with object id '%s' does not have authorization to perform action "+
			"'Microsoft.DBfor%s/flexibleServers/read' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.", object, engine, scope))
		return
	}
	list := []any{}
	for _, f := range s.manager.servers {
		if f.Subscription == subscription && f.Engine == engine {
			list = append(list, f.resource())
		}
	}
	s.answerPage(w, r, list, s.manager.page)
}

// resource is f as the API has it.
func (f FlexibleServer) resource() map[string]any {
	enabled := map[bool]string{true: "Enabled", false: "Disabled"}
	state := f.State
	if state == "" {
		state = "Ready"
	}
	properties := map[string]any{
		"version": f.Version, "state": state, "fullyQualifiedDomainName": f.Name + "." + strings.ReplaceAll(strings.ToLower(f.Engine), "postgresql", "postgres") + ".database.azure.com",
		"network": map[string]string{"publicNetworkAccess": enabled[f.Public]},
	}
	if f.Engine == "PostgreSQL" {
		properties["authConfig"] = map[string]string{"activeDirectoryAuth": enabled[f.Entra], "passwordAuth": "Enabled"}
	}
	return map[string]any{
		"id":       "/subscriptions/" + f.Subscription + "/resourceGroups/" + f.Group + "/providers/Microsoft.DBfor" + f.Engine + "/flexibleServers/" + f.Name,
		"name":     f.Name,
		"type":     "Microsoft.DBfor" + f.Engine + "/flexibleServers",
		"location": "westeurope", "properties": properties,
	}
}

// answerPage answers with one page of list; 0 is all in one.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, list []any, page int) {
	if page == 0 {
		page = len(list)
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	from = min(max(from, 0), len(list))
	to := min(from+page, len(list))
	body := map[string]any{"value": list[from:to]}
	if to < len(list) {
		query := r.URL.Query()
		query.Set("$skiptoken", strconv.Itoa(to))
		next := Manager
		if s.manager.next != "" {
			next = s.manager.next
		}
		body["nextLink"] = next + r.URL.Path + "?" + query.Encode()
	}
	text, _ := json.Marshal(body)
	answer(w, http.StatusOK, string(text))
}

func refuseManager(w http.ResponseWriter, status int, code, message string) {
	text, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
	answer(w, status, string(text))
}

package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The versions of the APIs that are asked, which say what an answer looks like.
//
// https://learn.microsoft.com/rest/api/resources/subscriptions/list
// https://learn.microsoft.com/rest/api/postgresql/servers/list-by-subscription
// https://learn.microsoft.com/rest/api/mysql/flexibleserver/servers/list
const (
	subscriptionsVersion = "2022-12-01"
	postgresVersion      = "2024-08-01"
	mysqlVersion         = "2023-12-30"
)

const (
	listLimit  = 2 * time.Minute // for all requests together
	listAtOnce = 8               // requests
)

// A Server is a flexible server for PostgreSQL or MySQL.
type Server struct {
	ID           string // that az takes for --ids
	Name         string
	Group        string
	Subscription string // id
	Location     string
	Engine       string // postgres or mysql
	Version      string
	Host         string
	State        string // such as Ready
	Entra        bool   // Microsoft Entra authentication is on
	EntraUnknown bool   // whether it is could not be found out
	Public       bool   // it has an address of the internet, which a firewall rule may still close
}

// List returns the flexible servers of subscriptions, or of all that the identity sees, in the order of
// their names. o says who asks, and where. The error is a *tokens.Error.
//
// It needs read permission for the servers, as the role Reader has it.
func List(ctx context.Context, o Options, subscriptions []string) ([]Server, error) {
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	return s.list(ctx, subscriptions)
}

const listName = "discover azure"

func (s *Source) list(ctx context.Context, subscriptions []string) ([]Server, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	m, err := s.manager()
	if err != nil {
		return nil, err
	}
	if len(subscriptions) == 0 {
		if subscriptions, err = m.subscriptions(ctx); err != nil {
			return nil, err
		}
	}
	for _, id := range subscriptions {
		if !subscriptionID.MatchString(id) {
			return nil, m.denied(fmt.Errorf("%q is no id of a subscription", id), `write its id, as "az account list --query [].id" shows it`)
		}
	}
	// For each subscription and each engine there is a list, and what MySQL's leaves out is asked for
	// each server.
	var mu sync.Mutex
	var servers []Server
	err = inParallel(ctx, len(subscriptions)*len(kinds), func(ctx context.Context, i int) error {
		found, err := m.servers(ctx, subscriptions[i/len(kinds)], kinds[i%len(kinds)])
		mu.Lock()
		defer mu.Unlock()
		servers = append(servers, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	_ = inParallel(ctx, len(servers), func(ctx context.Context, i int) error {
		m.administrators(ctx, &servers[i])
		return nil
	})
	slices.SortFunc(servers, func(a, b Server) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return servers, nil
}

var subscriptionID = regexp.MustCompile(`^[0-9A-Fa-f-]{36}$`)

// inParallel calls do for 0 to n-1, a few at once, and returns the first error. The others are then
// told to end.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan bool, listAtOnce)
	var running sync.WaitGroup
	for i := range n {
		places <- true
		running.Go(func() {
			defer func() { <-places }()
			if ctx.Err() != nil {
				return
			}
			if err := do(ctx, i); err != nil {
				cancel(err) // the first counts
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// A kind is what is listed.
type kind struct{ engine, provider, version string }

var kinds = []kind{
	{"postgres", "Microsoft.DBforPostgreSQL", postgresVersion},
	{"mysql", "Microsoft.DBforMySQL", mysqlVersion},
}

// subscriptions returns those that the identity sees.
func (m *manager) subscriptions(ctx context.Context) (ids []string, err error) {
	err = m.pages(ctx, "/subscriptions?api-version="+subscriptionsVersion, func(value json.RawMessage) error {
		var list []struct {
			ID    string `json:"subscriptionId"`
			State string `json:"state"`
		}
		err := json.Unmarshal(value, &list)
		for _, one := range list {
			if one.State == "" || one.State == "Enabled" || one.State == "Warned" || one.State == "PastDue" {
				ids = append(ids, one.ID)
			}
		}
		return err
	})
	if err == nil && len(ids) == 0 {
		err = m.denied(errors.New("the identity sees no subscription"),
			`see "az account list --all"; who owns one runs: az role assignment create --assignee IDENTITY --role Reader --scope /subscriptions/ID`)
	}
	return ids, err
}

// resource is a server as the API has it. Of what differs between the engines, the other's is empty.
type resource struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Location   string `json:"location"`
	Properties struct {
		Version string `json:"version"`
		State   string `json:"state"`
		Host    string `json:"fullyQualifiedDomainName"`
		Network struct {
			Public string `json:"publicNetworkAccess"`
		} `json:"network"`
		Auth struct {
			Entra string `json:"activeDirectoryAuth"`
		} `json:"authConfig"`
	} `json:"properties"`
}

// servers returns those of a kind in a subscription.
func (m *manager) servers(ctx context.Context, subscription string, k kind) (servers []Server, err error) {
	path := "/subscriptions/" + subscription + "/providers/" + k.provider + "/flexibleServers?api-version=" + k.version
	err = m.pages(ctx, path, func(value json.RawMessage) error {
		var list []resource
		err := json.Unmarshal(value, &list)
		for _, r := range list {
			servers = append(servers, Server{
				ID: r.ID, Name: r.Name, Group: part(r.ID, "resourceGroups"), Subscription: subscription, Location: r.Location,
				Engine: k.engine, Version: r.Properties.Version, Host: r.Properties.Host, State: r.Properties.State,
				Entra: strings.EqualFold(r.Properties.Auth.Entra, "Enabled"), Public: strings.EqualFold(r.Properties.Network.Public, "Enabled"),
			})
		}
		return err
	})
	return servers, err
}

// administrators finds out whether a server of MySQL takes tokens: where it has an administrator of
// Microsoft Entra.
//
// https://learn.microsoft.com/rest/api/mysql/flexibleserver/azure-ad-administrators/list-by-server
func (m *manager) administrators(ctx context.Context, s *Server) {
	if s.Engine != "mysql" {
		return
	}
	err := m.pages(ctx, s.ID+"/administrators?api-version="+mysqlVersion, func(value json.RawMessage) error {
		var list []json.RawMessage
		err := json.Unmarshal(value, &list)
		s.Entra = s.Entra || len(list) > 0
		return err
	})
	s.EntraUnknown = err != nil
}

// part returns the segment of a resource's id that follows name.
func part(id, name string) string {
	segments := strings.Split(id, "/")
	for i, segment := range segments[:len(segments)-1] {
		if strings.EqualFold(segment, name) {
			return segments[i+1]
		}
	}
	return ""
}

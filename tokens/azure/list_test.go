package azure

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"dbvalet/integration/azurefake"
	"dbvalet/tokens"
)

const lister = "object-of-the-lister"

// newLister gives an identity that may read both subscriptions, and some servers.
func newLister(t *testing.T) (*account, *Source) {
	t.Helper()
	c := newAccount(t)
	c.app(azurefake.Claims{"oid": lister, "appid": clientID})
	c.AllowRead(lister, azurefake.Production, azurefake.Testing)
	for _, f := range []azurefake.FlexibleServer{
		{Subscription: azurefake.Production, Group: "shop", Name: "orders", Engine: "PostgreSQL", Version: "17", Entra: true},
		{Subscription: azurefake.Production, Group: "shop", Name: "billing", Engine: "PostgreSQL", Version: "16", Public: true},
		{Subscription: azurefake.Production, Group: "shop", Name: "cart", Engine: "MySQL", Version: "8.0.21", Entra: true},
		{Subscription: azurefake.Testing, Group: "play", Name: "toys", Engine: "MySQL", Version: "8.4", State: "Stopped"},
	} {
		c.AddServer(f)
	}
	return c, c.source(Options{})
}

func TestListHasTheServersOfAllSubscriptions(t *testing.T) {
	c, s := newLister(t)
	c.SetPages(1, "") // so that there are several
	id := func(subscription, group, engine, name string) string {
		return "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.DBfor" + engine + "/flexibleServers/" + name
	}
	want := []Server{
		{ID: id(azurefake.Production, "shop", "PostgreSQL", "billing"), Name: "billing", Group: "shop", Subscription: azurefake.Production, Location: "westeurope",
			Engine: "postgres", Version: "16", Host: "billing.postgres.database.azure.com", State: "Ready", Public: true},
		{ID: id(azurefake.Production, "shop", "MySQL", "cart"), Name: "cart", Group: "shop", Subscription: azurefake.Production, Location: "westeurope",
			Engine: "mysql", Version: "8.0.21", Host: "cart.mysql.database.azure.com", State: "Ready", Entra: true},
		{ID: id(azurefake.Production, "shop", "PostgreSQL", "orders"), Name: "orders", Group: "shop", Subscription: azurefake.Production, Location: "westeurope",
			Engine: "postgres", Version: "17", Host: "orders.postgres.database.azure.com", State: "Ready", Entra: true},
		{ID: id(azurefake.Testing, "play", "MySQL", "toys"), Name: "toys", Group: "play", Subscription: azurefake.Testing, Location: "westeurope",
			Engine: "mysql", Version: "8.4", Host: "toys.mysql.database.azure.com", State: "Stopped"},
	}
	if got, err := s.list(t.Context(), nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, %v\nwant\n%+v", got, err, want)
	}
	if got, err := s.list(t.Context(), []string{azurefake.Testing}); err != nil || !reflect.DeepEqual(got, want[3:]) {
		t.Errorf("one subscription: got\n%+v, %v\nwant\n%+v", got, err, want[3:])
	}
}

// TestTokenOfListGoesToAzureOnly has a page say that the next is elsewhere.
func TestTokenOfListGoesToAzureOnly(t *testing.T) {
	c, s := newLister(t)
	c.SetPages(1, "https://management.azure.com.evil.example.com")
	_, err := s.list(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("got %v, want that the next page is elsewhere", err)
	}
	for _, host := range c.Hosts() {
		if strings.Contains(host, "evil") {
			t.Errorf("%s was asked", host)
		}
	}
}

func TestListThatIsRefusedSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name          string
		arrange       func(*account)
		subscriptions []string
		denied        bool
		text, hint    string
	}{
		{"role missing", func(c *account) { c.AllowRead(lister, azurefake.Testing) }, []string{azurefake.Production}, true, "app may not Microsoft.DBfor",
			"az role assignment create --assignee " + lister + " --role Reader --scope /subscriptions/" + azurefake.Production},
		{"no subscription", func(c *account) { c.AllowRead(lister) }, nil, true, "sees no subscription", "--role Reader"},
		{"name of a subscription", func(*account) {}, []string{"Production"}, true, "is no id of a subscription", "az account list"},
		{"no identity", func(c *account) { c.setenv("AZURE_CLIENT_SECRET=", "AZURE_TENANT_ID=", "AZURE_TOKEN_CREDENTIALS=dev") }, nil, true, "no Azure identity found", `run "az login"`},
		{"wrong secret", func(c *account) { c.setenv("AZURE_CLIENT_SECRET=wrong") }, nil, true, "AADSTS7000215", "az ad app credential reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := newLister(t)
			tt.arrange(c)
			_, err := s.list(t.Context(), tt.subscriptions)
			e, ok := errors.AsType[*tokens.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *tokens.Error", err)
			}
			if e.Source != listName || e.Denied != tt.denied || !strings.Contains(e.Error(), tt.text) || !strings.Contains(e.Advice, tt.hint) {
				t.Errorf("got %v, denied %v, hint %s; want %q, %v, %q", e, e.Denied, e.Advice, tt.text, tt.denied, tt.hint)
			}
			c.wantNoSecret("error", e.Error()+e.Advice)
		})
	}
}

func TestAnswersOfTheManagerAreDescribed(t *testing.T) {
	m := &manager{source: &Source{}}
	for _, tt := range []struct {
		status     int
		body       string
		denied     bool
		text, hint string
	}{
		{http.StatusServiceUnavailable, "busy", false, "answered 503", "try again"},
		{http.StatusTooManyRequests, `{"error":{"code":"TooManyRequests","message":"slow down"}}`, false, "429 TooManyRequests: slow down", "try again"},
		{http.StatusUnauthorized, `{"error":{"code":"ExpiredAuthenticationToken"}}`, true, "401 ExpiredAuthenticationToken", "az login"},
		{http.StatusForbidden, `{"error":{"code":"Other"}}`, true, "403 Other", "Reader"},
		{http.StatusNotFound, `{"error":{"code":"SubscriptionNotFound"}}`, true, "404", "az account list"},
		{http.StatusBadRequest, `[]`, true, "answered 400", "az postgres"},
	} {
		e := m.describe(t.Context(), newAnswerError(tt.status, []byte(tt.body)))
		if e.Denied != tt.denied || !strings.Contains(e.Error(), tt.text) || !strings.Contains(e.Advice, tt.hint) {
			t.Errorf("got %v, denied %v, hint %s; want %q, %v, %q", e, e.Denied, e.Advice, tt.text, tt.denied, tt.hint)
		}
	}
}

package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/azurefake"
	"dbvalet/tokens"
)

// wantError checks an error: final or not, its text and its hint, its length, and that it shows no
// secret.
func (c *account) wantError(err error, final bool, text, hint string) {
	c.t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		c.t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		c.t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
	if whole := e.Error() + e.Hint(); len(whole) > 450 || strings.ContainsAny(whole, "\n\t") {
		c.t.Errorf("%d bytes, want one line of at most 450: %q", len(whole), whole)
	}
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		c.wantNoSecret("error", fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestNoIdentityAnywhere(t *testing.T) {
	c := newAccount(t)
	s := c.source(Options{})
	s.transport = unroutable
	_, err := s.Credential(t.Context(), "app")
	for _, way := range []string{"az login", "managed identity", "workload identity", "AZURE_CLIENT_SECRET"} {
		c.wantError(err, true, "no Azure identity found", way)
	}
}

func TestMetadataServiceThatIsMissingIsGivenUp(t *testing.T) {
	c := newAccount(t)
	s := c.source(Options{ClientID: clientID})
	s.transport = unroutable
	_, err := s.Credential(t.Context(), "app")
	c.wantError(err, false, "no route to host", "az account get-access-token")
}

func TestAnswersOfTheIdentityEndpoint(t *testing.T) {
	for _, tt := range []struct {
		name       string
		arrange    func(*account)
		final      bool
		text, hint string
	}{
		{"no such identity", func(*account) {}, true, "No User Assigned", "az webapp identity assign"},
		{"other header", func(c *account) { c.setenv("IDENTITY_HEADER=other") }, true, "401", "client_id="},
		{"denied", func(c *account) { c.Fail(403, "") }, true, "403", "client_id="},
		{"throttled", func(c *account) { c.Fail(429, `{"error":"too many requests"}`) }, false, "429: too many requests", "check the network"},
		{"internal failure", func(c *account) { c.Fail(500, "oops") }, false, "500", "check the network"},
		{"being updated", func(c *account) { c.Fail(404, "") }, false, "404", "check the network"},
		{"error of Entra", func(c *account) { c.Deny(700016, "Application not found.") }, true, "AADSTS700016: Application not found", "client_id="},
		{"down", (*account).Down, false, "EOF", "check the network"},
		{"no token", func(c *account) { c.Fail(200, "<html>") }, false, "error parsing", "check the network"},
		{"token in an error", func(c *account) { c.Fail(403, `{"message":"eyJhbGciOi.eyJ1cG4iOiJh.c2ln is no good"}`) }, true, "[redacted] is no good", "client_id="},
		{"on another machine", func(c *account) { c.setenv("IDENTITY_ENDPOINT=http://192.0.2.1/msi/token") }, true, "never sent in clear", "IDENTITY_ENDPOINT"},
	} {
		for _, id := range []string{"", clientID} {
			t.Run(tt.name+" "+id, func(t *testing.T) {
				c := newAccount(t)
				c.setenv(c.Env()...)
				tt.arrange(c)
				_, err := c.source(Options{ClientID: id}).Credential(t.Context(), "app")
				c.wantError(err, tt.final, tt.text, tt.hint)
			})
		}
	}
}

func TestMachineWithoutTheIdentityIsExplained(t *testing.T) {
	for id, text := range map[string]string{"": "no system-assigned managed identity", clientID: "Identity not found"} {
		c := newAccount(t)
		_, err := c.source(Options{ClientID: id}).Credential(t.Context(), "app")
		c.wantError(err, true, text, "az vm identity assign")
	}
}

func TestErrorsOfEntraNameTheRemedy(t *testing.T) {
	const command = "az login --scope https://ossrdbms-aad.database.windows.net/.default"
	for _, tt := range []struct {
		code  int
		final bool
		hint  string
	}{
		{700082, true, command},
		{70043, true, command},
		{50076, true, command},
		{65001, true, command},
		{90002, true, "tenant="},
		{50020, true, "tenant="},
		{500011, true, "az ad sp create"},
		{7000215, true, "az ad app credential reset"},
		{700213, true, "federated-credential list"},
		{90033, false, "check the network"},
		{53003, true, "https://login.microsoftonline.com/error?code=53003"},
	} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			c := newAccount(t).app(nil)
			c.Deny(tt.code, strings.Repeat("Words of Entra. ", 20))
			_, err := c.source(Options{}).Credential(t.Context(), "app")
			c.wantError(err, tt.final, fmt.Sprintf("AADSTS%d: Words of Entra. W", tt.code), tt.hint)

			// The same from the Azure CLI, which says it in words only.
			c = newAccount(t).az(fmt.Sprintf(`echo "ERROR: AADSTS%d: Words of Entra. Words. Trace ID: x" >&2; exit 1`, tt.code))
			s := c.source(Options{})
			s.transport = unroutable
			_, err = s.Credential(t.Context(), "app")
			c.wantError(err, tt.final, fmt.Sprintf("AADSTS%d: Words of Entra. Words", tt.code), tt.hint)
			if strings.Contains(err.Error(), "Trace") {
				t.Errorf("%v: the trace id is of no use", err)
			}
		})
	}
}

func TestRefusedServicePrincipalIsExplained(t *testing.T) {
	for _, tt := range []struct{ name, env, text, hint string }{
		{"secret", "AZURE_CLIENT_SECRET=other", "AADSTS7000215: Invalid client secret", "az ad app credential reset"},
		{"tenant", "AZURE_TENANT_ID=other.example.com", "AADSTS90002: Tenant 'other.example.com' not found", "AZURE_TENANT_ID"},
		{"client", "AZURE_CLIENT_ID=other", "AADSTS700016", "AZURE_CLIENT_ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newAccount(t).app(nil).setenv(tt.env)
			_, err := c.source(Options{}).Credential(t.Context(), "app")
			c.wantError(err, true, tt.text, tt.hint)
		})
	}
}

func TestEntraThatIsDownIsNotFinal(t *testing.T) {
	c := newAccount(t).app(nil)
	c.Down()
	_, err := c.source(Options{}).Credential(t.Context(), "app")
	c.wantError(err, false, "EOF", "check the network")
}

func TestAzureCLIThatIsLoggedOutIsExplained(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		final        bool
		text, hint   string
	}{
		{"logged out", `echo "ERROR: Please run 'az login' to setup account." >&2; exit 1`, true, "not logged in", "az login --scope https://ossrdbms-aad.database.windows.net/.default --tenant contoso.com"},
		{"no network", `echo "ERROR: HTTPSConnectionPool: Max retries exceeded" >&2; exit 1`, false, "Max retries exceeded", "check the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newAccount(t).az(tt.script)
			s := c.source(Options{Tenant: "contoso.com"})
			s.transport = unroutable
			_, err := s.Credential(t.Context(), "app")
			c.wantError(err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestIdentityThatWorkedBeforeIsOnlyOutOfOrder(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"xms_mirid": vm})
	s := c.source(Options{})
	c.login(s, "")
	c.Fail(http.StatusServiceUnavailable, "")
	_, err := s.Credential(t.Context(), "")
	c.wantError(err, false, "503", "check the network")
	c.Up()
	c.login(s, "")
}

func TestEndpointThatHangsIsGivenUp(t *testing.T) {
	c := newAccount(t)
	c.setenv(c.Env()...).Hang()
	s := c.source(Options{})
	if s.limit != 20*time.Second {
		t.Errorf("the time limit is %v, want 20s", s.limit)
	}
	s.limit = 50 * time.Millisecond
	_, err := s.Credential(t.Context(), "app")
	c.wantError(err, false, "deadline exceeded", "check the network")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestCallerThatGoesAwayDoesNotWaitForItsTurn(t *testing.T) {
	c := newAccount(t)
	s := c.source(Options{})
	s.turn <- struct{}{} // somebody else asks, and takes its time
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Credential(ctx, "app")
	c.wantError(err, false, "canceled", "check the network")
}

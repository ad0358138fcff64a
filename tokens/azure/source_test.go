package azure

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/azurefake"
	"dbvalet/tokens"
)

const (
	alice     = "Alice.Smith@contoso.com"
	clientID  = "11111111-2222-4333-8444-555555555555"
	appSecret = "secret-of-the-service-principal"
	vm        = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/Orders-VM"
	assigned  = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Orders-Identity"
)

// An account is Azure as one test sees it. Nothing of the machine's own is seen, and nothing of what
// other tests got: the SDK keeps tokens of managed identities for the whole process, if they live for
// more than five minutes.
type account struct {
	*azurefake.Server
	t   *testing.T
	dir string // which PATH consists of
	log bytes.Buffer
}

func newAccount(t *testing.T) *account {
	c := &account{Server: azurefake.New(), t: t, dir: t.TempDir()}
	t.Cleanup(c.Close)
	c.Life(4 * time.Minute)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"AZURE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "") // so that it is restored
				os.Unsetenv(name)
			}
		}
	}
	t.Setenv("HOME", c.dir)
	t.Setenv("PATH", c.dir)
	return c
}

// setenv sets variables of the form NAME=value.
func (c *account) setenv(variables ...string) *account {
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		c.t.Setenv(name, value)
	}
	return c
}

// az makes a script the Azure CLI.
func (c *account) az(script string) *account {
	if err := os.WriteFile(filepath.Join(c.dir, "az"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// app gives a service principal with a client secret.
func (c *account) app(claims azurefake.Claims) *account {
	c.SecretApp(clientID, appSecret, claims)
	return c.setenv("AZURE_TENANT_ID="+azurefake.Tenant, "AZURE_CLIENT_ID="+clientID, "AZURE_CLIENT_SECRET="+appSecret)
}

// source returns a source for which the fake is the whole network.
func (c *account) source(o Options) *Source {
	c.t.Helper()
	o.Log = slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	s.transport = c.Client()
	c.t.Cleanup(func() { c.wantNoSecret("log", c.log.String()) })
	return s
}

func (c *account) wantNoSecret(where, text string) {
	c.t.Helper()
	if strings.Contains(text, "eyJ") || strings.Contains(text, appSecret) {
		c.t.Errorf("the %s shows a secret: %s", where, text)
	}
}

// login asks for a token, and checks it as the database does.
func (c *account) login(s *Source, user string) tokens.Credential {
	c.t.Helper()
	cred, err := s.Credential(c.t.Context(), user)
	if err != nil {
		e, _ := errors.AsType[*tokens.Error](err)
		c.t.Fatalf("credential: %v (hint: %v)", err, e.Hint())
	}
	if _, err := c.Verify(cred.Password.Reveal()); err != nil {
		c.t.Errorf("the database refuses the token: %v", err)
	}
	return cred
}

func TestManagedIdentityLogsIn(t *testing.T) {
	c := newAccount(t)
	c.setenv(c.Env()...).Identity("", azurefake.Claims{"appid": clientID, "oid": "o", "xms_mirid": vm})
	s := c.source(Options{})
	s.transport = nil // the SDK's own reaches an App Service
	before := time.Now()
	cred := c.login(s, "client")
	if cred.User != "Orders-VM" || cred.ID != clientID || !cred.Issued.IsZero() {
		t.Errorf("got %+v, want the name of the machine, the client id and no date of issue", cred)
	}
	if left := cred.Expires.Sub(before); left < 4*time.Minute-2*time.Second || left > 4*time.Minute+2*time.Second {
		t.Errorf("the token expires after %v, want 4 minutes", left)
	}
	if strings.Contains(cred.Expires.String(), "m=") {
		t.Errorf("%v has a monotonic reading", cred.Expires)
	}
}

func TestVirtualMachineLogsIn(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"appid": clientID, "xms_mirid": vm})
	if cred := c.login(c.source(Options{}), ""); cred.User != "Orders-VM" {
		t.Errorf("user is %q, want the name of the machine", cred.User)
	}
}

func TestClientIDChoosesTheManagedIdentity(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"xms_mirid": vm})
	c.Identity(clientID, azurefake.Claims{"appid": clientID, "xms_mirid": assigned})
	for name, env := range map[string][]string{"App Service": c.Env(), "virtual machine": nil} {
		t.Run(name, func(t *testing.T) {
			// Credentials of the environment are somebody else's.
			c.setenv(env...).setenv("AZURE_TENANT_ID="+azurefake.Tenant, "AZURE_CLIENT_ID=other", "AZURE_CLIENT_SECRET="+appSecret)
			if cred := c.login(c.source(Options{ClientID: clientID}), ""); cred.User != "Orders-Identity" || cred.ID != clientID {
				t.Errorf("got %+v, want the user-assigned identity", cred)
			}
		})
	}
}

func TestEnvironmentChoosesTheManagedIdentity(t *testing.T) {
	c := newAccount(t)
	c.setenv(c.Env()...).setenv("AZURE_CLIENT_ID=from-the-environment")
	c.Identity("from-the-environment", azurefake.Claims{"xms_mirid": assigned})
	if cred := c.login(c.source(Options{}), ""); cred.User != "Orders-Identity" {
		t.Errorf("user is %q, want the identity of AZURE_CLIENT_ID", cred.User)
	}
}

func TestClientSecretLogsInToEachCloud(t *testing.T) {
	for _, tt := range []struct{ cloud, authority, audience string }{
		{"", "login.microsoftonline.com", azurefake.Public},
		{"public", "login.microsoftonline.com", azurefake.Public},
		{"usgovernment", "login.microsoftonline.us", azurefake.USGovernment},
		{"china", "login.chinacloudapi.cn", azurefake.China},
	} {
		t.Run(tt.cloud, func(t *testing.T) {
			c := newAccount(t).app(azurefake.Claims{"appid": clientID, "idtyp": "app"})
			cred := c.login(c.source(Options{Cloud: tt.cloud, User: "Orders App"}), "")
			if cred.User != "Orders App" || cred.ID != clientID {
				t.Errorf("got %+v, want the route's user and the client id", cred)
			}
			if claims, _ := c.Verify(cred.Password.Reveal()); claims["aud"] != tt.audience {
				t.Errorf("the token is for %v, want %s", claims["aud"], tt.audience)
			}
			for _, host := range c.Hosts() {
				if host != tt.authority {
					t.Errorf("%s was asked, want %s", host, tt.authority)
				}
			}
		})
	}
}

func TestAuthorityHostOfTheEnvironmentServes(t *testing.T) {
	c := newAccount(t).app(nil).setenv("AZURE_AUTHORITY_HOST=https://login.microsoftonline.us/")
	c.login(c.source(Options{User: "app"}), "")
	if host := c.Hosts()[0]; host != "login.microsoftonline.us" {
		t.Errorf("%s was asked, want that of AZURE_AUTHORITY_HOST", host)
	}
}

func TestWorkloadIdentityLogsIn(t *testing.T) {
	for name, o := range map[string]Options{
		"environment": {},
		"route":       {ClientID: clientID, Tenant: azurefake.Tenant},
	} {
		t.Run(name, func(t *testing.T) {
			c := newAccount(t)
			file := filepath.Join(c.dir, "token")
			if err := os.WriteFile(file, []byte("token-of-kubernetes"), 0o600); err != nil {
				t.Fatal(err)
			}
			c.setenv("AZURE_FEDERATED_TOKEN_FILE=" + file)
			if o.ClientID == "" {
				c.setenv("AZURE_CLIENT_ID="+clientID, "AZURE_TENANT_ID="+azurefake.Tenant)
			} else {
				c.setenv("AZURE_CLIENT_ID=other", "AZURE_TENANT_ID=other.example.com")
			}
			c.FederatedApp(clientID, "token-of-kubernetes", azurefake.Claims{"appid": clientID, "app_displayname": "Orders"})
			if cred := c.login(c.source(o), ""); cred.User != "Orders" {
				t.Errorf("user is %q, want the name of the application", cred.User)
			}
		})
	}
}

func TestTenantOfTheRouteWins(t *testing.T) {
	c := newAccount(t).app(nil).setenv("AZURE_TENANT_ID=other.example.com")
	c.login(c.source(Options{Tenant: azurefake.Tenant, User: "app"}), "")
}

func TestAzureCLILogsIn(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"upn": alice, "idtyp": "user"})
	c.setenv(c.Env()...)
	token := c.login(c.source(Options{}), "").Password.Reveal() // as the CLI would have it
	os.Unsetenv("IDENTITY_ENDPOINT")
	expires := time.Now().Add(time.Hour).Unix()
	c.az(fmt.Sprintf(`case "$*" in *"--resource https://ossrdbms-aad.database.windows.net --tenant contoso.com"*) ;; *) exit 1;; esac
echo '{"accessToken":"%s","expires_on":%d}'`, token, expires))
	s := c.source(Options{Tenant: "contoso.com"})
	s.transport = unroutable
	if cred := c.login(s, ""); cred.User != alice || cred.ID != alice || cred.Expires.Unix() != expires {
		t.Errorf("got %+v, want %s until %d", cred, alice, expires)
	}
}

func TestDatabaseUserIsTheNameOfThePrincipal(t *testing.T) {
	for _, tt := range []struct {
		name        string
		claims      azurefake.Claims
		route, want string
	}{
		{"user", azurefake.Claims{"upn": alice, "unique_name": "x"}, "", alice},
		{"user without UPN", azurefake.Claims{"unique_name": alice}, "", alice},
		{"user, version 2", azurefake.Claims{"preferred_username": alice}, "", alice},
		{"guest", azurefake.Claims{"unique_name": alice, "idp": "https://sts.windows.net/home/"}, "", "client"},
		{"guest with a UPN", azurefake.Claims{"upn": "alice_x.com#EXT#@contoso.com", "idp": "live.com"}, "", "alice_x.com#EXT#@contoso.com"},
		{"route", azurefake.Claims{"upn": alice}, "DB Admins", "DB Admins"},
		{"identity of its own", azurefake.Claims{"xms_mirid": assigned, "idp": "x"}, "", "Orders-Identity"},
		{"slot", azurefake.Claims{"xms_mirid": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.Web/sites/app/slots/next"}, "", "app/slots/next"},
		{"application", azurefake.Claims{"app_displayname": "Orders", "idtyp": "app", "appid": clientID}, "", "Orders"},
		{"no name", azurefake.Claims{"appid": clientID, "idtyp": "app"}, "", "client"},
		{"strange resource", azurefake.Claims{"xms_mirid": "/x/providers/y"}, "", "client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newAccount(t)
			c.Identity("", tt.claims)
			if cred := c.login(c.source(Options{User: tt.route}), "client"); cred.User != tt.want {
				t.Errorf("user is %q, want %q", cred.User, tt.want)
			}
		})
	}
}

func TestUserWhomNobodyNamesIsAskedFor(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"unique_name": alice, "idp": "live.com"})
	_, err := c.source(Options{}).Credential(t.Context(), "")
	c.wantError(err, true, alice, "name the user in the route")
}

func TestTokenThatIsNoJWTIsUsedAsItIs(t *testing.T) {
	for _, token := range []string{"opaque", "a.b.c", "a.bm8gSlNPTg.c", ""} {
		if got := parseClaims(token); got != (claims{}) {
			t.Errorf("%q has the claims %+v", token, got)
		}
	}
}

func TestSDKIsSetUpOnceAndOnlyWhenUsed(t *testing.T) {
	c := newAccount(t)
	id := rand.Text()                                       // which no other test uses, nor this one with -count
	c.Identity(id, azurefake.Claims{"xms_mirid": assigned}) // and the SDK keeps the token
	c.Life(time.Hour)
	s := c.source(Options{ClientID: id})
	if s.credential != nil || len(c.Hosts()) != 0 {
		t.Error("the SDK is set up before it is used")
	}
	first := c.login(s, "")
	credential := s.credential
	if second := c.login(s, ""); s.credential != credential || !second.Password.Equal(first.Password) || c.Requests() != 1 {
		t.Errorf("%d requests, want one", c.Requests())
	}
}

func TestSetUpThatFailsIsTriedAgain(t *testing.T) {
	c := newAccount(t).setenv("AZURE_TOKEN_CREDENTIALS=nonsense")
	s := c.source(Options{})
	_, err := s.Credential(t.Context(), "")
	c.wantError(err, true, "AZURE_TOKEN_CREDENTIALS", "AZURE_")

	c.setenv("AZURE_TOKEN_CREDENTIALS=prod", "AZURE_TENANT_ID="+azurefake.Tenant, "AZURE_CLIENT_ID="+clientID)
	file := filepath.Join(c.dir, "certificate")
	c.setenv("AZURE_CLIENT_CERTIFICATE_PATH=" + file)
	s.transport = unroutable
	_, err = s.Credential(t.Context(), "")
	c.wantError(err, false, "EnvironmentCredential", "check the network")

	c.setenv("AZURE_CLIENT_CERTIFICATE_PATH=").app(nil)
	s.transport = c.Client()
	s.options.User = "app"
	c.login(s, "")
}

func TestConcurrentCallersLogIn(t *testing.T) {
	c := newAccount(t)
	c.Identity("", azurefake.Claims{"xms_mirid": vm})
	s := c.source(Options{})
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := s.Credential(context.WithoutCancel(t.Context()), ""); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestUnknownCloudIsRefused(t *testing.T) {
	_, err := New(Options{Cloud: "germany"})
	newAccount(t).wantError(err, true, `no Azure cloud "germany"`, "cloud=usgovernment")
}

// unroutable is a network without Azure's metadata service.
var unroutable = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
	return nil, errors.New("connect: no route to host")
})}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

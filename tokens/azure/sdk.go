package azure

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"dbvalet/tokens"
)

// An environment is one of Azure's clouds.
type environment struct {
	cloud cloud.Configuration // the zero value leaves it to AZURE_AUTHORITY_HOST
	scope string              // what "az cloud show --query endpoints.ossrdbmsResourceId" says, and /.default
	// manager is Azure Resource Manager, endpoints.resourceManager there.
	manager string
}

const (
	publicScope   = "https://ossrdbms-aad.database.windows.net/.default"
	publicManager = "https://management.azure.com"
)

var environments = map[string]environment{
	"":             {scope: publicScope, manager: publicManager},
	"public":       {cloud.AzurePublic, publicScope, publicManager},
	"usgovernment": {cloud.AzureGovernment, "https://ossrdbms-aad.database.usgovcloudapi.net/.default", "https://management.usgovcloudapi.net"},
	"china":        {cloud.AzureChina, "https://ossrdbms-aad.database.chinacloudapi.cn/.default", "https://management.chinacloudapi.cn"},
}

// newCredential sets the SDK up. It asks no network.
func (s *Source) newCredential() (azcore.TokenCredential, error) {
	client := azcore.ClientOptions{
		Cloud: s.cloud.cloud,
		// Less patient than the SDK, which would try a metadata service that does not exist for
		// minutes. Whoever wants the token tries again anyway.
		Retry: policy.RetryOptions{
			MaxRetries: 1, RetryDelay: 300 * time.Millisecond, MaxRetryDelay: 2 * time.Second, TryTimeout: 5 * time.Second,
		},
		PerCallPolicies: []policy.Policy{encrypted{}},
		Transport:       s.transport,
	}
	tenants := []string{s.options.Tenant} // without it, the SDK takes no tenant but AZURE_TENANT_ID
	if s.options.Tenant == "" {
		tenants = nil
	}
	switch {
	case s.options.ClientID == "":
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: client, TenantID: s.options.Tenant, AdditionallyAllowedTenants: tenants,
		})
	case os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: client, ClientID: s.options.ClientID, TenantID: s.options.Tenant, AdditionallyAllowedTenants: tenants,
		})
	}
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: client, ID: azidentity.ClientID(s.options.ClientID),
	})
}

// encrypted refuses what tokens.Encrypted refuses, but for the addresses of the link, where the
// metadata services are. It is a policy because the SDK takes no RoundTripper on Service Fabric.
type encrypted struct{}

var errInClear = errors.New("the endpoint of the managed identity is http:// on another machine, and a token is never sent in clear")

// Do lets a request pass whose answer nobody can read on the way.
func (encrypted) Do(r *policy.Request) (*http.Response, error) {
	u := r.Raw().URL
	addr, err := netip.ParseAddr(u.Hostname())
	if linkLocal := err == nil && net.IP(addr.AsSlice()).IsLinkLocalUnicast(); !linkLocal && !tokens.Private(u) {
		return nil, errInClear
	}
	return r.Next()
}

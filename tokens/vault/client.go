package vault

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// A server is where Vault is, and how it is known to be Vault. What is empty is as VAULT_ADDR,
// VAULT_CACERT, VAULT_NAMESPACE and the other variables of the vault command say.
type server struct {
	address   string // never empty
	ca        string // a file or a directory
	namespace string
}

// newServer reads the options of the server, and refuses what would show secrets to others.
func (s *Source) newServer(u *tokens.SecretURL) (server, error) {
	at := server{
		// The last two are the Go CDK's and the client's own default.
		address: cmp.Or(u.Option("address"), os.Getenv(api.EnvVaultAgentAddr), os.Getenv(api.EnvVaultAddress),
			os.Getenv("VAULT_SERVER_URL"), api.DefaultAddress),
		ca:        u.Option("ca"),
		namespace: u.Option("namespace"),
	}
	address, err := url.Parse(at.address)
	const example = "write address= or VAULT_ADDR like https://vault.example.com:8200"
	switch {
	case err != nil:
		return at, s.denied(errors.New("the address of Vault is not a URL"), example)
	case address.Scheme == "unix":
	case address.Scheme != "https" && address.Scheme != "http", address.Host == "":
		return at, s.denied(fmt.Errorf("the address of Vault is %s, which is neither https://HOST nor http://HOST", address.Redacted()), example)
	case !tokens.Private(address):
		return at, s.denied(tokens.ErrInClear, example)
	}
	if skip, _ := strconv.ParseBool(os.Getenv(api.EnvVaultSkipVerify)); skip {
		return at, s.denied(errors.New("VAULT_SKIP_VERIFY is set, and dbvalet gives no token to a server that it can't tell is Vault"),
			"unset VAULT_SKIP_VERIFY, and name the CA of Vault's certificate with ca=/path/ca.pem or VAULT_CACERT")
	}
	return at, nil
}

// connect makes the client, which has no token and sends nothing yet.
func (at server) connect() (*api.Client, error) {
	config := api.DefaultConfig() // with what the environment says
	if config.Error != nil {
		return nil, withoutURL(config.Error)
	}
	config.Address, config.AgentAddress = at.address, ""
	config.MaxRetries = 0 // the Cache asks again; here, a second request may make a second database user
	if at.ca != "" {
		ca := api.TLSConfig{CACert: at.ca}
		if info, err := os.Stat(at.ca); err == nil && info.IsDir() {
			ca = api.TLSConfig{CAPath: at.ca}
		}
		if err := config.ConfigureTLS(&ca); err != nil {
			return nil, fmt.Errorf("ca=%s: %w", at.ca, err)
		}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, withoutURL(err)
	}
	client.ClearToken() // of VAULT_TOKEN: each session has its own
	if at.namespace != "" {
		client.SetNamespace(at.namespace)
	}
	client.SetWrappingLookupFunc(func(string, string) string { return "" }) // whatever VAULT_WRAP_TTL is for

	transport, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("the client of Vault has another transport than expected")
	}
	if proxy := transport.Proxy; proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" {
				return nil, nil // in clear, it must not leave this machine
			}
			return proxy(r)
		}
	}
	config.HttpClient.Transport = tokens.Encrypted(transport)
	return client, nil
}

// withoutURL takes the URL out of an error about one: that of a proxy may hold a password.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

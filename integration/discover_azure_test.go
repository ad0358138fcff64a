package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/azurefake"
)

// asAzure makes az what is reached by the name of Azure Resource Manager, and returns the environment for
// that: a proxy of the network's, and a CA. Only that name is passed on.
func asAzure(t *testing.T, az *azurefake.Server) []string {
	t.Helper()
	const name = "management.azure.com"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := url.Parse(az.URL)
	if err != nil {
		t.Fatal(err)
	}
	azure := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: plain.Host})
		r.Out.Host = r.In.Host
	}})
	azure.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	azure.StartTLS()
	t.Cleanup(azure.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != name+":443" {
			http.Error(w, "not through here", http.StatusForbidden)
			return
		}
		upstream, err := net.Dial("tcp", azure.Listener.Addr().String())
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer upstream.Close()
		w.WriteHeader(http.StatusOK)
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		go func() {
			_, _ = io.Copy(upstream, client)
			upstream.Close()
		}()
		_, _ = io.Copy(client, upstream)
	}))
	t.Cleanup(proxy.Close)
	return append(az.Env(), "HTTPS_PROXY="+proxy.URL, "SSL_CERT_FILE="+ca)
}

func TestServersOfAzureAreDiscovered(t *testing.T) {
	az := azurefake.New()
	t.Cleanup(az.Close)
	az.Identity("", azurefake.Claims{"oid": "reader", "appid": "app-0", "idtyp": "app", "xms_mirid": resource("reader")})
	az.AddServer(azurefake.FlexibleServer{Subscription: azurefake.Production, Group: "shop", Name: "orders", Engine: "PostgreSQL", Version: "17", Entra: true})
	az.AddServer(azurefake.FlexibleServer{Subscription: azurefake.Testing, Group: "shop", Name: "billing", Engine: "PostgreSQL", Version: "16"})
	az.AddServer(azurefake.FlexibleServer{Subscription: azurefake.Production, Group: "shop", Name: "cart", Engine: "MySQL", Version: "8.4", Entra: true})
	az.SetPages(1, "")
	env := asAzure(t, az)

	_, stderr, status := toItsEnd(t, env, "", "discover", "azure")
	if status != 1 || !strings.Contains(stderr, "sees no subscription") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("got status %d\n%s", status, stderr)
	}
	az.AllowRead("reader", azurefake.Production, azurefake.Testing)
	stdout, stderr, status := toItsEnd(t, env, "", "discover", "azure", "--routes", "--user=app")
	const want = "mysql://app@cart.mysql.database.azure.com:3306?auth=azure-entra\n" +
		"postgres://app@orders.postgres.database.azure.com:5432/postgres?auth=azure-entra\n"
	if status != 0 || stdout != want || !strings.Contains(stderr, "1 without a route") {
		t.Errorf("got status %d\n%s%s\nwant\n%s", status, stdout, stderr, want)
	}
	az.AllowRead("reader", azurefake.Testing)
	_, stderr, status = toItsEnd(t, env, "", "discover", "azure", "--subscription", azurefake.Production)
	if status != 1 || !strings.Contains(stderr, "may not Microsoft.DBfor") || !strings.Contains(stderr, "--role Reader --scope /subscriptions/"+azurefake.Production) {
		t.Errorf("got status %d\n%s", status, stderr)
	}
}

package awssecrets

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens/awsconfig"
)

// page starts a server that gives one answer.
func page(t *testing.T, status int, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestURLsOfTheGoCDKWorkVerbatim(t *testing.T) {
	for _, url := range []string{
		"awssecretsmanager://db-pass?region=us-east-1&awssdk=v2&profile=x&decoder=string",
		"awssecretsmanager://db-pass?region=us-east-1&profile=x&decoder=bytes&wait=30s&timeout=5s&awssdk=v1&hostname_immutable=true",
		"awsparamstore://name?region=us-east-1&decoder=string&profile=x",
		"awsparamstore:///a/b?region=us-east-1&decoder=string&profile=x&fips=false&dualstack=false",
	} {
		t.Run(url, func(t *testing.T) {
			c := newCloud(t)
			t.Setenv("AWS_REGION", "eu-west-1") // the URL's counts
			c.keys.Add("AKIDOFX", awsfake.Key{Secret: secretKey + "-x", ARN: caller})
			c.write("config", "[profile x]\nregion = eu-north-1\naws_access_key_id = AKIDOFX\naws_secret_access_key = "+secretKey+"-x\n")
			c.secrets.Create("us-east-1", "db-pass", "s3cr3t-v")
			c.parameters.Put("us-east-1", "name", "s3cr3t-v")
			c.parameters.Put("us-east-1", "/a/b", "s3cr3t-v")
			if got := read(t, c.source(url)).Password.Reveal(); got != "s3cr3t-v" {
				t.Errorf("got password %q", got)
			}
			for _, r := range append(c.secrets.Requests(), c.parameters.Requests()...) {
				if r.Region != "us-east-1" || r.KeyID != "AKIDOFX" {
					t.Errorf("asked in %s with key %s, want the URL's region and profile", r.Region, r.KeyID)
				}
			}
		})
	}
}

func TestBadURLsAreRefusedAtOnce(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-pass-a1B2c3"
	for _, tt := range []struct{ url, text string }{
		{"awssecretsmanager://", "no name"},
		{"awssecretsmanager://?region=us-east-1", "no name"},
		{"awsparamstore://", "no name"},
		{"awssecretsmanager://db-pass?anonymous=true", `unknown option "anonymous"`},
		{"awssecretsmanager://db-pass?key=password", `unknown option "key"`},
		{"awsparamstore://name?version_id=1", `unknown option "version_id"`},
		{"awssecretsmanager://db-pass?decoder=jsonmap", "decoder"},
		{"awssecretsmanager://db-pass?wait=soon", "option wait"},
		{"awssecretsmanager://db-pass?timeout=soon", "option timeout"},
		{"awssecretsmanager://db-pass?fips=maybe", "option fips"},
		{"awssecretsmanager://db-pass?dualstack=maybe", "option dualstack"},
		{"awssecretsmanager://db-pass?endpoint=http://secrets.example.com", "https://"},
		{"awsparamstore://name?endpoint=http://10.0.0.1:8080", "https://"},
		{"awssecretsmanager://db-pass?endpoint=secrets.example.com", "not an https:// address"},
		{"awssecretsmanager://db-pass?endpoint=ftp://secrets.example.com", "not an https:// address"},
		{"awssecretsmanager://" + arn + "?region=us-east-1", "in eu-west-1, and region=us-east-1"},
		{"awsparamstore://" + arn, "not an ARN of the service ssm"},
		{"awssecretsmanager://arn:aws:secretsmanager", "not an ARN"},
		{"awssecretsmanager://db-pass?role=admin", "not the ARN of a role"},
		{"awssecretsmanager://db-pass?external_id=abc", "external_id"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			s, err := newCloud(t).open(tt.url)
			if err == nil {
				t.Fatalf("got %v, want an error", s)
			}
			wantError(t, err, true, tt.text)
		})
	}
}

func TestRegionOfAnARNWins(t *testing.T) {
	c := newCloud(t)
	t.Setenv("AWS_REGION", "us-east-1")
	arn := c.secrets.Create("eu-west-1", "db-pass", "s3cr3t-1")
	c.parameters.Put("eu-west-1", "name", "s3cr3t-1")
	for _, url := range []string{
		"awssecretsmanager://" + arn,
		"awssecretsmanager://" + arn + "?region=eu-west-1",
		"awsparamstore://arn:aws:ssm:eu-west-1:123456789012:parameter/name",
	} {
		read(t, c.source(url))
	}
	o := c.options()
	o.AWS.Region = "us-east-1"
	_, err := c.openWith("awssecretsmanager://"+arn, o)
	wantError(t, err, true, "in eu-west-1, and region=us-east-1", "leave region= out")
}

func TestRegionMustBeKnown(t *testing.T) {
	c := newCloud(t)
	t.Setenv("AWS_REGION", "")
	c.secrets.Create("us-west-2", "db-pass", "s3cr3t-1")
	_, err := c.source("awssecretsmanager://db-pass").Credential(t.Context(), "app")
	wantError(t, err, true, "region is not known", "set region=")
	o := c.options()
	o.AWS.DefaultRegion = "us-west-2"
	s, err := c.openWith("awssecretsmanager://db-pass", o)
	if err != nil {
		t.Fatal(err)
	}
	read(t, s)
}

func TestOptionsOfTheURLWinOverTheRoutes(t *testing.T) {
	const first, last = "arn:aws:iam::123456789012:role/first", "arn:aws:iam::210987654321:role/last"
	c := newCloud(t)
	c.sts.SetRole(first, awsfake.Role{Trusts: []string{caller}})
	c.sts.SetRole(last, awsfake.Role{Trusts: []string{first}, ExternalID: "urls"})
	c.secrets.Create("us-west-2", "db-pass", "s3cr3t-1")
	o := c.options()
	o.AWS = awsconfig.Options{Region: "us-east-1", Profile: "none", Roles: []string{"arn:aws:iam::123456789012:role/none"},
		ExternalID: "routes", SessionName: "route"}
	c.write("config", "[profile x]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+secretKey+"\n")
	s, err := c.openWith("awssecretsmanager://db-pass?region=us-west-2&profile=x&role="+first+","+last+"&external_id=urls&session_name=url", o)
	if err != nil {
		t.Fatal(err)
	}
	read(t, s)
	r := c.secrets.Requests()[0]
	key, _ := c.keys.Key(r.KeyID)
	if want := "arn:aws:sts::210987654321:assumed-role/last/url"; key.ARN != want || r.Region != "us-west-2" {
		t.Errorf("asked in %s as %s, want %s", r.Region, key.ARN, want)
	}
}

func TestOptionsOfTheRouteServeWhereTheURLIsSilent(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/reader"
	c := newCloud(t)
	c.sts.SetRole(role, awsfake.Role{Trusts: []string{caller}, ExternalID: "routes"})
	c.parameters.Put("us-west-2", "name", "s3cr3t-1")
	o := c.options()
	o.AWS = awsconfig.Options{Region: "us-west-2", Roles: []string{role}, ExternalID: "routes"}
	s, err := c.openWith("awsparamstore://name", o)
	if err != nil {
		t.Fatal(err)
	}
	read(t, s)
	if key, _ := c.keys.Key(c.parameters.Requests()[0].KeyID); !strings.Contains(key.ARN, "assumed-role/reader/") {
		t.Errorf("asked as %s, want the route's role", key.ARN)
	}
}

func TestEndpointOfTheURLWinsOverTheVariable(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "name", "s3cr3t-1")
	c.parameters.Put("us-east-1", "name", "s3cr3t-2")
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", page(t, 500, ""))
	t.Setenv("AWS_ENDPOINT_URL_SSM", page(t, 500, ""))
	read(t, c.source("awssecretsmanager://name?endpoint="+c.secrets.URL))
	read(t, c.source("awsparamstore://name?endpoint="+c.parameters.URL))
}

// The SDK knows that nobody has a FIPS endpoint at an address of one's own, so its refusal shows that
// the options arrive without a request to AWS.
func TestFIPSAndDualStackReachTheSDK(t *testing.T) {
	c := newCloud(t)
	for _, scheme := range []string{"awssecretsmanager", "awsparamstore"} {
		_, err := c.source(scheme+"://name?fips=true").Credential(t.Context(), "app")
		wantError(t, err, false, "FIPS and custom endpoint", "check the options")
		_, err = c.source(scheme+"://name?dualstack=1").Credential(t.Context(), "app")
		wantError(t, err, false, "Dualstack and custom endpoint", "check the options")
	}
}

func TestSecretNeverTravelsInClear(t *testing.T) {
	for _, address := range []string{"http://192.0.2.1", "http://secrets.example.com:8080", "http://169.254.170.2"} {
		c := newCloud(t)
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", address)
		t.Setenv("AWS_ENDPOINT_URL_SSM", address)
		for _, url := range []string{"awssecretsmanager://db-pass", "awsparamstore://name"} {
			_, err := c.source(url).Credential(t.Context(), "app")
			wantError(t, err, true, "never sent in clear", "https://")
		}
	}
}

func TestStoreBehindACertificateOfOnesOwn(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	server := httptest.NewUnstartedServer(c.secrets)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	url := "awssecretsmanager://db-pass?endpoint=" + server.URL
	_, err := c.source(url).Credential(t.Context(), "app")
	wantError(t, err, false, "certificate")
	c.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	t.Setenv("AWS_CA_BUNDLE", c.dir+"/ca.pem")
	read(t, c.source(url))
}

func TestRedirectIsNotFollowed(t *testing.T) {
	c := newCloud(t)
	var followed atomic.Bool
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	defer target.Close()
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
		server := httptest.NewServer(http.RedirectHandler(target.URL, status))
		defer server.Close()
		_, err := c.source("awssecretsmanager://db-pass?endpoint="+server.URL).Credential(t.Context(), "app")
		wantError(t, err, true)
	}
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

func TestKeysAreReadAnewWhenTheirFileChanges(t *testing.T) {
	c := newCloud(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	s := c.source("awssecretsmanager://db-pass")
	for _, id := range []string{"AKIDONE", "AKIDTHREE"} { // of different lengths, for files that are written at once
		c.keys.Add(id, awsfake.Key{Secret: secretKey, ARN: caller})
		c.write("credentials", fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secretKey))
		read(t, s)
		read(t, s)
	}
	var ids []string
	for _, r := range c.secrets.Requests() {
		ids = append(ids, r.KeyID)
	}
	if got, want := strings.Join(ids, " "), "AKIDONE AKIDONE AKIDTHREE AKIDTHREE"; got != want {
		t.Errorf("asked with keys %s, want %s", got, want)
	}
}

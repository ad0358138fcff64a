package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dbvalet/config"
)

// routed are services with these routes, which listen nowhere.
func routed(t *testing.T, urls ...string) []*service {
	t.Helper()
	var services []*service
	for _, u := range urls {
		r, err := config.ParseRoute(u)
		if err != nil {
			t.Fatal(err)
		}
		if err := inferAuth(r); err != nil {
			t.Fatal(err)
		}
		services = append(services, &service{route: r})
	}
	return services
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// tempDir is a directory whose own path has no symbolic links.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	rdsRoute = "postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders"
	plain    = "postgres://app@db.example.com/orders?auth=env:PW"
)

func TestConnectionsGoToWhatRoutesAndEnvironmentName(t *testing.T) {
	home := tempDir(t)
	adc := write(t, filepath.Join(home, "adc.json"), `{"type": "authorized_user", "token_uri": "http://localhost:9001/token"}`)
	write(t, filepath.Join(home, ".ssh/config"), "Host known\n ProxyJump b:2224\n")
	config := write(t, filepath.Join(home, "aws"), "[profile x]\nendpoint_url = http://localhost:4566\n")
	for _, row := range []struct {
		name  string
		route string
		env   string
		more  []uint16
	}{
		{"port by default", plain, "", []uint16{5432}},
		{"port of the route", "mysql://app@db.example.com:3307/orders?auth=env:PW", "", []uint16{3307}},
		{"dial", plain + "&dial=[::1]:15432", "", []uint16{15432}},
		{"dial of a socket", plain + "&dial=/run/db/.s.PGSQL.5432", "", nil},
		{"bastion", plain + "&via=ssh://b,ssh://c:2223", "", []uint16{22}},
		{"bastion at another port", plain + "&via=ssh://b:2222&dial=10.0.0.1:15432", "", []uint16{2222}},
		{"bastion that ~/.ssh/config knows", plain + "&via=ssh://known", "", []uint16{2224}},
		{"proxies", "postgres://a,b:6432/o?auth=env:PW&via=socks5://p", "", []uint16{1080}},
		{"port of a secret behind a proxy", "postgres://?auth=file:///x&via=http://p:3128", "", []uint16{3128}},
		{"connector", "postgres://?instance=p:r:i&sqladmin_endpoint=https://localhost:8443", "", []uint16{3307, 8443}},
		{"secret with a host only", "postgres://app@db.example.com:6432/o?auth=awssecretsmanager://x", "", []uint16{6432}},
		{"Vault", "postgres://app@h:5432/o?auth=hashivault://secret/data/x?address=https://vault:8201%26token_file=/x", "", []uint16{5432, 8200, 8201}},
		{"Azure Arc", "postgres://db.example.com/o?auth=azure-entra&client_id=x", "", []uint16{5432, 40342}},
		{"proxy with a URL", plain, "HTTPS_PROXY=http://u:p@proxy.example.com:3128", []uint16{3128, 5432}},
		{"proxy without a URL", plain, "HTTPS_PROXY=proxy.example.com:3128", []uint16{3128, 5432}},
		{"proxy of SOCKS", plain, "ALL_PROXY=socks5://proxy.example.com", []uint16{1080, 5432}},
		{"endpoint of AWS", rdsRoute, "AWS_ENDPOINT_URL_STS=http://127.0.0.1:4566", []uint16{4566, 5432}},
		{"endpoint in AWS's configuration", rdsRoute, "AWS_CONFIG_FILE=" + config, []uint16{4566, 5432}},
		{"metadata server", plain, "GCE_METADATA_HOST=127.0.0.1:8080", []uint16{5432, 8080}},
		{"file of Google Cloud", "postgres://h/o?auth=gcp-iam", "GOOGLE_APPLICATION_CREDENTIALS=" + adc, []uint16{5432, 9001}},
		{"services of Kubernetes", plain, "REDIS_PORT=tcp://10.0.0.1:6379", []uint16{5432}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := surroundings{environ: []string{row.env}, home: home}
			n := s.needs(routed(t, row.route))
			want := append([]uint16{53, 80, 443}, row.more...)
			slices.Sort(want)
			if !slices.Equal(n.Connect, want) || n.AnyPort {
				t.Errorf("got %v (any: %v), want %v", n.Connect, n.AnyPort, want)
			}
		})
	}
}

func TestPortThatOnlyTheSecretKnowsIsNotRestricted(t *testing.T) {
	n := surroundings{}.needs(routed(t, plain, "postgres://?auth=awssecretsmanager://prod/orders"))
	if attrs := fmt.Sprint(n.attrs("x")); !n.AnyPort || !strings.Contains(attrs, "route orders leaves the port to its secret") {
		t.Errorf("got any port: %v, and %s", n.AnyPort, attrs)
	}
	n = surroundings{}.needs(routed(t, "postgres://?auth=awssecretsmanager://prod/orders&dial=127.0.0.1:15432"))
	if n.AnyPort || !slices.Contains(n.Connect, 15432) {
		t.Errorf("with dial=: got any port: %v, ports %v", n.AnyPort, n.Connect)
	}
}

// TestFilesAreReadWhereverTheyAre has what is named on the left and the directories that must be
// read on the right, in a directory of the test's own.
func TestFilesAreReadWhereverTheyAre(t *testing.T) {
	root := tempDir(t)
	in := func(path string) string { return filepath.Join(root, path) }
	home := in("home")
	for _, path := range []string{
		"a/pw", "b/pw", "home/.ssh/config", "keys/id", "known/hosts", "volume/..2026/pw", "v1/pw", "home/.aws/config", "home/.config/gcloud/x", "home/pw", "home/desk/x", "list/x", "token/jwt", "ca/ca.pem",
	} {
		write(t, in(path), "x")
	}
	link(t, "..2026", in("volume/..data"))
	link(t, "..data/pw", in("volume/pw"))
	link(t, in("v1"), in("current"))
	link(t, in("b/pw"), in("a/link"))
	route := func(auth string) string { return "postgres://app@h:5432/o?auth=" + auth }
	for _, row := range []struct {
		name  string
		route string
		env   string
		read  []string
		not   []string
	}{
		{"file", route("file:" + in("a/pw")), "", []string{"a"}, []string{"b", "home", ""}},
		{"file as a URL", route("file://" + in("a/pw")), "", []string{"a"}, nil},
		{"file that is still to come", route("file:" + in("a/later")), "", []string{"a"}, []string{""}},
		{"directory that is still to come", route("file:" + in("a/later/pw")), "", []string{"a"}, []string{""}},
		{"link to elsewhere", route("file:" + in("a/link")), "", []string{"a", "b"}, []string{""}},
		{"volume of Kubernetes", route("file:" + in("volume/pw")), "", []string{"volume"}, []string{""}},
		{"directory that is exchanged", route("file:" + in("current/pw")), "", []string{"", "v1"}, nil},
		{"file in the home directory", route("file:" + in("home/pw")), "", []string{"home"}, []string{""}},
		{"ca", plain + "&ca=" + in("ca/ca.pem"), "", []string{"ca"}, nil},
		{"files of Vault", route("hashivault://secret/x?login=jwt%26jwt_file=" + in("token/jwt") + "%26ca=" + in("ca/ca.pem")), "", []string{"token", "ca"}, []string{"home"}},
		{"token of vault login", route("hashivault://secret/x"), "", []string{"home"}, nil},
		{"token of Vault in a variable", route("hashivault://secret/x"), "VAULT_TOKEN=x", nil, []string{"home"}},
		{"~/.ssh", plain + "&via=ssh://b", "", []string{"home/.ssh"}, []string{"home"}},
		{"files of a bastion", plain + "&via=ssh://b&ssh_key=" + in("keys/id") + "&ssh_known_hosts=" + in("known/hosts"), "", []string{"keys", "known", "home/.ssh"}, []string{"home", ""}},
		{"no bastion", plain + "&via=socks5://p", "", nil, []string{"home/.ssh"}},
		{"~/.aws", rdsRoute, "", []string{"home/.aws"}, []string{"home"}},
		{"~/.config/gcloud", route("gcp-iam"), "", []string{"home/.config/gcloud"}, []string{"home", "home/.aws"}},
		{"nothing of a cloud", plain, "", nil, []string{"home", "home/.aws", "home/.config/gcloud"}},
		{"file of a variable", plain, "AWS_WEB_IDENTITY_TOKEN_FILE=" + in("token/jwt"), []string{"token"}, nil},
		{"directory of a variable", plain, "SSL_CERT_DIR=" + in("ca") + ":" + in("list"), []string{"ca", "list"}, nil},
		{"file of a variable in the home directory", plain, "SSL_CERT_FILE=" + in("home/pw"), []string{"home/pw"}, []string{"home"}},
		{"home directory in a variable", plain, "DATA=" + in("home"), nil, []string{"home"}},
		{"root directory in a variable", plain, "DATA=/", nil, []string{"/"}},
		{"the shell's variables", plain, "PWD=" + in("home/desk"), nil, []string{"home/desk"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := surroundings{environ: []string{row.env}, home: home}.needs(routed(t, row.route))
			for _, path := range row.read {
				if !slices.Contains(n.Read, in(path)) {
					t.Errorf("%s is not read, of %q", in(path), n.Read)
				}
			}
			for _, path := range row.not {
				if path != "/" {
					path = in(path)
				}
				if slices.Contains(n.Read, path) {
					t.Errorf("%s is read", path)
				}
			}
			if got, want := strings.Contains(fmt.Sprint(n.attrs("x")), "reads_all_of"), slices.Contains(n.Read, home); got != want {
				t.Errorf("got word about the home directory: %v, want %v", got, want)
			}
		})
	}
}

func TestSocketsAreRemovedAndCachesAreWritten(t *testing.T) {
	dir := tempDir(t)
	ln, err := net.Listen("unix", filepath.Join(dir, "x.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	services := routed(t, rdsRoute)
	n := surroundings{home: "/home/x"}.needs(services)
	n.sockets([]net.Listener{ln})
	if !slices.Equal(n.Sockets, []string{dir}) {
		t.Errorf("got sockets in %q, want them in %s", n.Sockets, dir)
	}
	if want := []string{"/home/x/.aws/sso/cache", "/home/x/.aws/login/cache"}; !slices.Equal(n.Write, want) {
		t.Errorf("got %q written, want %q", n.Write, want)
	}
	if n := (surroundings{home: "/home/x"}).needs(routed(t, plain)); len(n.Write)+len(n.Sockets) > 0 {
		t.Errorf("without either: got %q and %q", n.Write, n.Sockets)
	}
}

func TestLandlockIsOffWhereProgramsMayBeRun(t *testing.T) {
	home := tempDir(t)
	write(t, filepath.Join(home, ".aws/config"), "[default]\nregion = x\n\n[profile y]\ncredential_process = /bin/x\n")
	other := write(t, filepath.Join(home, "other"), "[default]\n# credential_process = /bin/x\n")
	const azure = "postgres://db.example.com/o?auth=azure-entra"
	const google = "postgres://h/o?auth=gcp-iam"
	for _, row := range []struct {
		name  string
		route string
		env   string // variables and spaces
		want  string // empty: none are run
	}{
		{"env", plain, "", ""},
		{"exec", "postgres://app@h/o?auth=exec:pass%20x", "", "auth=exec: runs a program"},
		{"exec as a URL", "postgres://app@h/o?auth=exec://pass", "", "auth=exec: runs a program"},
		{"credential_process", rdsRoute, "", "credential_process"},
		{"credential_process, by way of Vault", "postgres://app@h/o?auth=hashivault://a/b?login=aws", "", "credential_process"},
		{"no credential_process", rdsRoute, "AWS_CONFIG_FILE=" + other, ""},
		{"credential_process, but not AWS", google, "", ""},
		{"executable of Google Cloud", google, "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"},
		{"certificate of Google Cloud", google, "GOOGLE_API_USE_CLIENT_CERTIFICATE=true", "GOOGLE_API_USE_CLIENT_CERTIFICATE"},
		{"az", azure, "", "az command"},
		{"az, asked for", azure, "AZURE_TOKEN_CREDENTIALS=AzureCLICredential IDENTITY_ENDPOINT=x", "az command"},
		{"identity of the route", azure + "&client_id=x", "", ""},
		{"no tools", azure, "AZURE_TOKEN_CREDENTIALS=prod", ""},
		{"managed identity", azure, "IDENTITY_ENDPOINT=http://127.0.0.1:1", ""},
		{"workload identity", azure, "AZURE_CLIENT_ID=x AZURE_FEDERATED_TOKEN_FILE=/x", ""},
		{"half of a service principal", azure, "AZURE_CLIENT_ID=x", "az command"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := surroundings{environ: strings.Fields(row.env), home: home}
			got := s.programs(routed(t, plain, row.route))
			if row.want == "" && got != "" || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// TestZeroProcessIsLeftAlone guards the tests: what Landlock does can't be undone.
func TestZeroProcessIsLeftAlone(t *testing.T) {
	log := newScreen()
	process{}.limit(&config.Config{}, routed(t, plain), nil, slog.New(slog.NewTextHandler(log, nil)))
	if log.String() != "" {
		t.Errorf("got %q", log)
	}
	write(t, filepath.Join(t.TempDir(), "x"), "still written")
	for mode, want := range map[string]bool{"auto": true, "off": false} {
		if p, err := (process{confine: true}).withLandlock(mode); err != nil || p.confine != want {
			t.Errorf("--landlock=%s: got %v, %v; want %v", mode, p.confine, err, want)
		}
	}
}

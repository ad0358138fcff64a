package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// secret is a password that no error may repeat.
const secret = "hunter2secret"

// mustParse returns the route of arg.
func mustParse(t *testing.T, arg string) *Route {
	t.Helper()
	r, err := ParseRoute(arg)
	if err != nil {
		t.Fatalf("ParseRoute(%q): %v", arg, err)
	}
	return r
}

// refuses returns the error of arg, which must say what to do.
func refuses(t *testing.T, arg string) *Error {
	t.Helper()
	r, err := ParseRoute(arg)
	e, ok := errors.AsType[*Error](err)
	if !ok || r != nil {
		t.Fatalf("ParseRoute(%q) = %+v, %v, want an *Error", arg, r, err)
	}
	if e.Route == "" || e.Hint() == "" || !strings.HasPrefix(e.Error(), "route "+e.Route+": ") {
		t.Errorf("ParseRoute(%q): got %q of route %q with hint %q, want all three to say something", arg, e, e.Route, e.Hint())
	}
	return e
}

func TestRouteIsRead(t *testing.T) {
	// defaults is what every route has if it says nothing else.
	defaults := Route{Name: "db", Scheme: "postgres", Host: "db.example.com", Port: "5432", PortLeftOut: true, Listen: []string{"127.0.0.1:5432"}}
	for _, row := range []struct {
		arg  string
		edit func(r *Route)
	}{
		{"postgres://db.example.com", func(*Route) {}},
		{"postgresql://db.example.com", func(*Route) {}},
		{"POSTGRES://db.example.com", func(*Route) {}},
		{"postgres://db.example.com/", func(*Route) {}},
		{"postgres://db.example.com:5432", func(r *Route) { r.PortLeftOut = false }},
		{"postgres://db.example.com:", func(*Route) {}},
		{"postgres://db.example.com?", func(*Route) {}},
		{"postgres://@db.example.com", func(*Route) {}},
		{"postgres://db.example.com:6543", func(r *Route) {
			r.Port, r.PortLeftOut, r.Listen = "6543", false, []string{"127.0.0.1:6543"}
		}},
		{"postgres://app@db.example.com/orders", func(r *Route) { r.User, r.Database = "app", "orders" }},
		{"postgres://first.last%40example.com@db.example.com/my%20orders%2F1", func(r *Route) {
			r.User, r.Database = "first.last@example.com", "my orders/1"
		}},
		{"postgres://db.example.com/a/b", func(r *Route) { r.Database = "a/b" }},
		{"postgres://a+b@db.example.com/c+d", func(r *Route) { r.User, r.Database = "a+b", "c+d" }},

		{"postgres://db.example.com?name=main", func(r *Route) { r.Name = "main" }},
		{"postgres://db.example.com?listen=localhost:5433", func(r *Route) { r.Listen = []string{"localhost:5433"} }},
		{"postgres://db.example.com?listen=127.0.0.1:0&listen=/run/db", func(r *Route) { r.Listen = []string{"127.0.0.1:0", "/run/db"} }},
		{"postgres://db.example.com?listen=[::1]:5432", func(r *Route) { r.Listen = []string{"[::1]:5432"} }},
		{"postgres://db.example.com?auth=env:PGPASSWORD", func(r *Route) { r.Auth = "env:PGPASSWORD" }},
		{"postgres://db.example.com?auth=file:///run/secrets/pw", func(r *Route) { r.Auth = "file:///run/secrets/pw" }},
		{"postgres://db.example.com?auth=exec:vault%20read%20-field=password%20db/app", func(r *Route) {
			r.Auth = "exec:vault read -field=password db/app"
		}},
		{"postgres://db.example.com?region=eu-west-1&profile=dev", func(r *Route) { r.Region, r.Profile = "eu-west-1", "dev" }},
		{"postgres://db.example.com?dial=127.0.0.1:15432", func(r *Route) { r.Dial = "127.0.0.1:15432" }},
		{"postgres://db.example.com?via=ssh://app@bastion:2222,unix:/run/db&ssh_key=~/k&ssh_known_hosts=/h", func(r *Route) {
			r.Via, r.SSHKey, r.SSHKnownHosts = []string{"ssh://app@bastion:2222", "unix:/run/db"}, "~/k", "/h"
		}},
		{"postgres://db.example.com?tls=verify-ca", func(r *Route) { r.TLS = "verify-ca" }},
		{"postgres://db.example.com?sslmode=require", func(r *Route) { r.TLS = "require" }},
		{"postgres://db.example.com?ca=/etc/a+b.pem", func(r *Route) { r.CA = "/etc/a+b.pem" }},
		{"postgres://db.example.com?ca=/etc/a%2Bb%20%26%25%23.pem", func(r *Route) { r.CA = "/etc/a+b &%#.pem" }},
		{"postgres://db.example.com?sslrootcert=system", func(r *Route) { r.CA = "system" }},
		{"postgres://db.example.com?tls_server_name=project:instance", func(r *Route) { r.TLSServerName = "project:instance" }},
		{"postgres://db.example.com?sslnegotiation=direct", func(r *Route) { r.SSLNegotiation = "direct" }},
		{"postgres://db.example.com?require_auth=!md5,!none", func(r *Route) { r.RequireAuth = "!md5,!none" }},
		{"postgres://db.example.com?max_connections=1", func(r *Route) { r.MaxConnections = 1 }},
		{"postgres://db.example.com?connect_timeout=10", func(r *Route) { r.ConnectTimeout = 10 * time.Second }},
		{"postgres://db.example.com?connect_timeout=1m30s", func(r *Route) { r.ConnectTimeout = 90 * time.Second }},

		{"postgres://db.example.com?token_reuse=never&rotation_timeout=30", func(r *Route) {
			r.TokenReuse, r.RotationTimeout = "never", 30*time.Second
		}},
		{"postgres://db.example.com?role=arn:aws:iam::1:role/a,arn:aws:iam::2:role/b&external_id=x&session_name=y", func(r *Route) {
			r.Roles, r.ExternalID, r.SessionName = []string{"arn:aws:iam::1:role/a", "arn:aws:iam::2:role/b"}, "x", "y"
		}},
		{"postgres://app@/orders?auth=gcp-connector&instance=project:region:main&ip_type=private&impersonate_service_account=a@b,c@d", func(r *Route) {
			r.Name, r.Host, r.User, r.Database, r.Auth = "main", "", "app", "orders", "gcp-connector"
			r.Instance, r.IPType, r.Impersonate = "project:region:main", "private", []string{"a@b", "c@d"}
		}},
		{"postgres://db.example.com?auth=azure-entra&cloud=china&tenant=t&client_id=c", func(r *Route) {
			r.Auth, r.Cloud, r.Tenant, r.ClientID = "azure-entra", "china", "t", "c"
		}},
		{"postgres://db.example.com?allow=alice,group:dev&allow_remote=10.0.0.0/8,fd00::/8&local_password=auto&local_tls=/c&local_tls_key=/k&local_client_ca=/a" +
			"&users=a,b&databases=x,y&max_handshakes=3&accept_rate=5&queue_timeout=250ms", func(r *Route) {
			r.Allow, r.AllowRemote, r.LocalPassword = "alice,group:dev", []string{"10.0.0.0/8", "fd00::/8"}, "auto"
			r.LocalTLS, r.LocalTLSKey, r.LocalClientCA = "/c", "/k", "/a"
			r.Users, r.Databases = []string{"a", "b"}, []string{"x", "y"}
			r.MaxHandshakes, r.AcceptRate, r.QueueTimeout = 3, 5, 250*time.Millisecond
		}},
		{"postgres://db.example.com?listen=/run/db&socket_mode=0660&socket_owner=app&socket_group=1000", func(r *Route) {
			r.Listen, r.SocketMode, r.SocketOwner, r.SocketGroup = []string{"/run/db"}, 0o660, "app", "1000"
		}},
		{"postgres://?auth=awssecretsmanager://prod/db-pass?region=us-east-1%26path=a.b", func(r *Route) {
			r.Name, r.Host, r.Auth = "db-pass", "", "awssecretsmanager://prod/db-pass?region=us-east-1&path=a.b"
		}},
		{"postgres:///orders?auth=hashivault://secret/data/database", func(r *Route) {
			r.Name, r.Host, r.Database, r.Auth = "database", "", "orders", "hashivault://secret/data/database"
		}},

		{"postgres://10.0.0.1", func(r *Route) { r.Name, r.Host = "10.0.0.1", "10.0.0.1" }},
		{"postgres://localhost", func(r *Route) { r.Name, r.Host = "localhost", "localhost" }},
		{"postgres://[2001:db8::1]", func(r *Route) { r.Name, r.Host = "2001:db8::1", "2001:db8::1" }},
		{"postgres://app@[2001:db8::1]:6543/orders", func(r *Route) {
			r.Name, r.Host, r.Port, r.User, r.Database = "2001:db8::1", "2001:db8::1", "6543", "app", "orders"
			r.PortLeftOut = false
			r.Listen = []string{"127.0.0.1:6543"}
		}},
		{"postgres://[fe80::1%25eth0]", func(r *Route) { r.Name, r.Host = "fe80::1%eth0", "fe80::1%eth0" }},
		{"postgres://orders.abc123.us-east-1.rds.amazonaws.com", func(r *Route) {
			r.Name, r.Host = "orders", "orders.abc123.us-east-1.rds.amazonaws.com"
		}},
	} {
		t.Run(row.arg, func(t *testing.T) {
			want := defaults
			row.edit(&want)
			want.Upstream, _, _ = strings.Cut(row.arg, "?")
			if got := mustParse(t, row.arg); !reflect.DeepEqual(*got, want) {
				t.Errorf("got\n%+v, want\n%+v", *got, want)
			}
		})
	}
}

func TestEveryOptionSetsAField(t *testing.T) {
	values := map[string]string{
		"max_connections": "7", "max_handshakes": "7", "accept_rate": "7", "queue_timeout": "7",
		"connect_timeout": "7", "rotation_timeout": "7", "socket_mode": "0660",
		"idle_timeout": "7", "max_session_age": "7", "keepalive": "7", "tcp_user_timeout": "7", "follow_dns": "7",
	}
	for _, key := range optionNames() {
		value := values[key]
		if value == "" {
			value = "value"
		}
		plain, set := mustParse(t, "postgres://db.example.com"), mustParse(t, "postgres://db.example.com?"+key+"="+value)
		if reflect.DeepEqual(plain, set) {
			t.Errorf("%s changes nothing", key)
		}
	}
}

func TestOptionsAreGivenOnce(t *testing.T) {
	for _, pair := range []string{
		"name=a&name=b", "auth=env:A&auth=env:B", "region=a&region=b", "profile=a&profile=b", "dial=a:1&dial=b:1",
		"tls=require&tls=verify-full", "tls=verify-full&tls=verify-full", "sslmode=require&tls=verify-full", "tls=verify-full&sslmode=require",
		"ca=/a&ca=/b", "ca=/a&sslrootcert=/b", "sslrootcert=/a&ca=/a", "tls_server_name=a&tls_server_name=b",
		"sslnegotiation=direct&sslnegotiation=postgres", "require_auth=md5&require_auth=none",
		"max_connections=1&max_connections=2", "accept_rate=1&accept_rate=1", "socket_mode=0660&socket_mode=0600",
		"users=a&users=b", "allow=any&allow=self", "connect_timeout=1&connect_timeout=2",
	} {
		e := refuses(t, "postgres://db.example.com?"+pair)
		_, second, _ := strings.Cut(pair, "&")
		key, _, _ := strings.Cut(second, "=")
		if !strings.Contains(e.Error(), "route db.example.com: "+key+" is given twice") {
			t.Errorf("%s: got %v", pair, e)
		}
	}
}

func TestBadRouteIsRefused(t *testing.T) {
	for _, row := range []struct{ name, arg, message, hint string }{
		{"nothing", "", "not a URL", "postgres://"},
		{"a host", "db.example.com", "not a URL", "postgres://"},
		{"a flag in the wrong place", "listen=127.0.0.1:5432", "not a URL", "postgres://"},
		{"libpq's other form", "host=db.example.com user=app", "not a URL", "postgres://"},
		{"space", "postgres://db example com", "not a URL", "percent-encode"},
		{"bad percent", "postgres://db.example.com/%zz", "not a URL", "percent-encode"},
		{"control character", "postgres://db.example.com/\x7f", "not a URL", ""},
		{"port that is no number", "postgres://db.example.com:54a32", "not a URL", ""},
		{"port 0", "postgres://db.example.com:0", "the port", "65535"},
		{"password and @ in the database", "postgres://db.example.com:5432/a@b", "a password", "auth=file:PATH"},
		{"port 65536", "postgres://db.example.com:65536", "the port", "65535"},
		{"another database", "oracle://db.example.com", `unknown protocol "oracle"`, "postgres://"},
		{"user and users", "postgres://app@db.example.com?users=a,b", "a user, and users=", "leave one"},
		{"socket mode in words", "postgres://db.example.com?socket_mode=rw", "0660", ""},
		{"socket mode with more than permissions", "postgres://db.example.com?socket_mode=4755", "0660", ""},
		{"no user between commas", "postgres://db.example.com?users=a,,b", "an empty value", ""},
		{"http", "http://db.example.com", `unknown protocol "http"`, "postgres://"},
		{"no host", "postgres:///orders", "no host", "dial="},
		{"colon in the host", "postgres://db:example:", "a colon in the host", "[2001:db8::1]"},
		{"colon in brackets", "postgres://[db:example]", "", ""},
		{"no host but a port", "postgres://:5432/orders", "no host", "dial="},
		{"no host but a user", "postgres://app@/orders", "no host", "dial="},
		{"password of a proxy", "postgres://db.example.com?via=socks5://app:" + secret + "@proxy", "a password in via=", "leave it out"},
		{"password of a bastion", "postgres://db.example.com?via=ssh://a,ssh://app:%40" + secret + "@b", "a password in via=", "leave it out"},
		{"password", "postgres://app:" + secret + "@db.example.com", "a password", "auth=file:PATH"},
		{"empty password", "postgres://app:@db.example.com", "a password", "auth=env:NAME"},
		{"zero byte in the user", "postgres://a%00b@db.example.com", "zero byte", "%00"},
		{"zero byte in the database", "postgres://db.example.com/a%00b", "zero byte", "%00"},
		{"host of other bytes than UTF-8", "postgres://db%80.example.com", "not UTF-8", "as DNS has it"},
		{"second host of other bytes than UTF-8", "postgres://a,b%80/orders", "one of the hosts can't be read", "HOST:PORT"},
		{"option of other bytes than UTF-8", "postgres://db.example.com?ca=/%E4.pem", "option ca is not UTF-8", "percent-encode"},
		{"zero byte in an option", "postgres://db.example.com?auth=env:a%00b", "zero byte", "%00"},
		{"fragment", "postgres://db.example.com?auth=file:/run/a#b", "#", "%23"},
		{"several hosts, one without a name", "postgres://a:5432,:5433", "one of the hosts", "HOST:PORT"},
		{"several hosts, one without its brackets", "postgres://a,2001:db8::1", "one of the hosts", "[2001"},
		{"several hosts, one without its port", "postgres://a,b:70000", "the port of one", "1 to 65535"},
		{"unknown option", "postgres://db.example.com?host=x", `unknown option "host"`, "listen, auth"},
		{"capitals", "postgres://db.example.com?Listen=x", `unknown option "Listen"`, "listen, auth"},
		{"encoded key", "postgres://db.example.com?list%65n=x", `unknown option "list%65n"`, "listen, auth"},
		{"password option", "postgres://db.example.com?password=" + secret, `unknown option "password"`, "auth=file:PATH"},
		{"key's password", "postgres://db.example.com?sslpassword=" + secret, `unknown option "sslpassword"`, "auth=file:PATH"},
		{"client's option", "postgres://db.example.com?application_name=x", `unknown option "application_name"`, "client's own"},
		{"no option between two", "postgres://db.example.com?name=a&&tls=require", `unknown option ""`, "listen, auth"},
		{"empty option", "postgres://db.example.com?listen=", "listen is empty", "leave it out"},
		{"option without a value", "postgres://db.example.com?listen", "listen is empty", "leave it out"},
		{"bad percent in an option", "postgres://db.example.com?ca=/a%zz", "option ca", "%25"},
		{"half a percent in an option", "postgres://db.example.com?ca=/100%", "option ca", "%25"},
		{"max_connections of none", "postgres://db.example.com?max_connections=0", "max_connections", ""},
		{"max_connections of less", "postgres://db.example.com?max_connections=-1", "max_connections", ""},
		{"max_connections of many", "postgres://db.example.com?max_connections=99999999999999999999", "max_connections", ""},
		{"max_connections of words", "postgres://db.example.com?max_connections=ten", "max_connections", ""},
		{"connect_timeout of none", "postgres://db.example.com?connect_timeout=0", "connect_timeout", ""},
		{"connect_timeout of less", "postgres://db.example.com?connect_timeout=-5", "connect_timeout", ""},
		{"connect_timeout of for ever", "postgres://db.example.com?connect_timeout=99999999999999", "connect_timeout", ""},
		{"connect_timeout of words", "postgres://db.example.com?connect_timeout=soon", "connect_timeout", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := refuses(t, row.arg)
			if !strings.Contains(e.Error(), row.message) || !strings.Contains(e.Hint(), row.hint) {
				t.Errorf("got %q with hint %q, want %q with hint %q", e, e.Hint(), row.message, row.hint)
			}
		})
	}
}

// Wherever a password stands, and whatever in it is not percent-encoded, no error repeats a part of it.
func TestPasswordIsNeverRepeated(t *testing.T) {
	for _, arg := range []string{
		"postgres://app:" + secret + "@db.example.com/orders",
		"postgres://app:" + secret + "@db.example.com:54a32/orders",
		"postgres://app:" + secret + "@/orders",
		"postgres://app:" + secret + "@db example com/orders",
		"postgres://app:" + secret + "@db.example.com/%zz",
		"postgres://app:" + secret + "@[::1/orders",
		"postgres://app:" + secret + "@" + secret + "/x@db.example.com/orders", // an @ and a / in it
		"postgres://app:" + secret + "/x@db.example.com/orders",
		"postgres://app:" + secret + "?x@db.example.com/orders",
		"postgres://app:1234/" + secret + "@db.example.com/orders",
		"postgres://app:" + secret + "#x@db.example.com/orders",
		"postgres://app:" + secret + "%@db.example.com/orders",
		"postgres://app:%zz" + secret + "@db.example.com/orders",
		"postgres://app:" + secret + " @db.example.com/orders",
		"postgres://app:" + secret + ":" + secret + "@db.example.com/orders",
		"postgres://app:x@" + secret + "@db.example.com/orders",
		"postgres:app:" + secret + "@db.example.com/orders",
		"postgres:/app:" + secret + "@db.example.com://orders",
		"mysql://app:" + secret + "@db.example.com/orders",
		"app:" + secret + "@db.example.com/orders",
		secret,
		secret + "://db.example.com:x/orders",
		"postgres:///orders?password=" + secret,
		"postgres://db.example.com/orders?password=" + secret,
		"postgres://db.example.com/orders?password=%zz" + secret,
		"postgres://db.example.com/orders?password=%" + secret[:2] + secret,
		"postgres://db.example.com/orders?sslpassword=" + secret,
		"postgres://db.example.com/orders?user=app&password=" + secret,
	} {
		// Even two characters of it are too many.
		text := refuses(t, arg)
		for _, s := range []string{text.Error(), text.Hint()} {
			for _, part := range []string{secret, secret[:7], "hun", "%hu", "%zz", "/x@", "x@"} {
				if strings.Contains(s, part) && (part != "hun" || !strings.Contains(arg, secret+"://")) {
					t.Errorf("ParseRoute(%q): got %q, which repeats %q", arg, s, part)
				}
			}
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, arg := range []string{
		"postgres://app@db.example.com:5432/orders?listen=127.0.0.1:5432&auth=env:PW",
		"postgres://app:" + secret + "@db.example.com/orders",
		"postgres://app:%x" + secret + "/@?#[::1]:1/orders",
		"postgres:///x?password=" + secret,
		"postgresql://[::1]:5432/?sslmode=require&sslrootcert=/a%20b&max_connections=1&connect_timeout=1s",
		"://", "postgres://%00@h/%00", "a://", "mysql://:0", "postgres://?auth=x://", "mysql:///%00?instance=a:b:",
	} {
		f.Add(arg)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		r, err := ParseRoute(arg)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || r != nil || e.Route == "" || e.Hint() == "" {
				t.Fatalf("got %+v, %v, want an *Error with a route and a hint", r, err)
			}
			// What stands behind the user in a URL that is meant well.
			if _, rest, ok := strings.Cut(arg, "://app:"); ok && strings.HasPrefix(rest, secret) && strings.Contains(e.Error()+e.Hint(), secret) {
				t.Errorf("got %q with hint %q, which repeats the password", e, e.Hint())
			}
			return
		}
		if r.Host == "" && !r.HasSecret() && r.Instance == "" || r.Port == "" || r.Name == "" || r.Scheme == "" || len(r.Listen) == 0 {
			t.Errorf("%q is %+v, which lacks something", arg, r)
		}
		if strings.ContainsRune(r.User+r.Database, 0) {
			t.Errorf("%q has a zero byte in %q or %q", arg, r.User, r.Database)
		}
	})
}

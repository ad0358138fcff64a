package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Route is one database and the place where it is served. Each option of its URL is a field.
type Route struct {
	// Upstream is the URL without its options.
	Upstream string

	Name     string // in logs: name=, else the first label of the host, or what else there is
	Scheme   string // the protocol: "postgres" or "mysql"
	User     string // database user; empty: the client's choice
	Host     string // the endpoint: what is signed and verified; empty: as the secret says, or Instance
	Port     string
	Database string // for clients that name none; empty: as the secret says, or none

	// Hosts are all hosts, where several are named; Host and Port are the first of them. Nil: there is one.
	Hosts []HostPort

	// PortLeftOut says that Port is the protocol's own, and that a secret may know better.
	PortLeftOut bool

	Listen         []string      // listen=, may be repeated; never empty
	Auth           string        // auth=; empty: to be inferred from the host
	Dial           string        // dial=, host:port or a unix socket; empty: the endpoint
	Via            []string      // via=, the hops of the way to what is dialled; nil: directly
	SSHKey         string        // ssh_key=, a file; empty: the agent's keys and the usual files
	SSHKnownHosts  string        // ssh_known_hosts=, a file; empty: the user's and the system's
	TLS            string        // tls= or sslmode=; empty: verify-full
	CA             string        // ca= or sslrootcert=, a file
	TLSServerName  string        // tls_server_name=; empty: the host
	SSLNegotiation string        // sslnegotiation=, postgres or direct; empty: postgres; not for MySQL
	RequireAuth    string        // require_auth=; empty: what suits the credential
	ConnectTimeout time.Duration // connect_timeout=; 0: the default

	// Who may come in, and to what.
	Allow         string      // allow=, processes of this machine; empty: self
	AllowRemote   []string    // allow_remote=, networks of other machines; nil: none
	SocketMode    fs.FileMode // socket_mode=, of unix sockets; 0: the default
	SocketOwner   string      // socket_owner=, a name or a number; empty: who runs dbvalet
	SocketGroup   string      // socket_group=, a name or a number
	LocalPassword string      // local_password=, auto or where it is kept; empty: there is none
	LocalTLS      string      // local_tls=, auto or a file with a certificate; empty: there is none
	LocalTLSKey   string      // local_tls_key=, a file; empty: the one of LocalTLS
	LocalClientCA string      // local_client_ca=, a file; clients must have certificates then
	Users         []string    // users=, that clients may name; nil: any
	Databases     []string    // databases=, that clients may open; nil: any

	// How many at once. 0 is the default.
	MaxConnections int           // max_connections=; 0: no limit
	MaxHandshakes  int           // max_handshakes=, connections that are being set up
	AcceptRate     int           // accept_rate=, connections in a second; 0: no limit
	QueueTimeout   time.Duration // queue_timeout=, how long clients wait for a place

	// How a session lasts. 0 is the default.
	IdleTimeout    time.Duration // idle_timeout=, until a session that says nothing is ended; 0: never
	MaxSessionAge  time.Duration // max_session_age=, until a session is ended when it is idle; 0: never
	Keepalive      time.Duration // keepalive=, of silence until TCP asks whether the other end is there
	TCPUserTimeout time.Duration // tcp_user_timeout=, for which sent data may stay unacknowledged
	FollowDNS      time.Duration // follow_dns=, how often sessions are compared with the host's addresses; 0: never

	TargetSessionAttrs string // target_session_attrs=, which of several servers will do; empty: any

	TokenReuse      string        // token_reuse=, always or never; empty: always
	RotationTimeout time.Duration // rotation_timeout=; 0: the default

	Region      string   // region=, of AWS
	Profile     string   // profile=, of the AWS configuration
	Roles       []string // role=, ARNs, one after the other
	ExternalID  string   // external_id=, for the last role
	SessionName string   // session_name=, of the roles

	Instance    string   // instance=, project:region:name of Cloud SQL, for its connector
	IPType      string   // ip_type=, of the instance
	Impersonate []string // impersonate_service_account=, of Google Cloud, the target last
	Service     string   // service=, cloudsql or alloydb
	SQLAdmin    string   // sqladmin_endpoint=, of the Cloud SQL Admin API, for private access

	Cloud    string // cloud=, of Azure
	Tenant   string // tenant=, of Azure
	ClientID string // client_id=, of Azure
}

// A HostPort is one of a route's hosts.
type HostPort struct{ Host, Port string }

// Endpoint returns host:port of the database itself. It is for routes that have a host.
func (r *Route) Endpoint() string { return net.JoinHostPort(r.Host, r.Port) }

// HasSecret reports whether auth= is the URL of a secret, which may say where the database is.
func (r *Route) HasSecret() bool { return strings.Contains(r.Auth, "://") }

// ParseRoute reads a route's URL:
//
//	postgres://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE
//	mysql://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE
//
// There may be several hosts, as in HOST:PORT,HOST:PORT, each of which may leave out its port.
// mariadb:// is mysql://. Everything but the host may be left out, and the host too where something
// else says where the database is: the secret of auth=, or instance=. Values are percent-encoded where
// they contain "&", "#" or "%"; "+" is itself.
func ParseRoute(arg string) (*Route, error) {
	return parseRoute(arg, func(*Route) error { return nil })
}

// parseRoute is ParseRoute with more, which sets what the URL does not say.
func parseRoute(arg string, more func(r *Route) error) (*Route, error) {
	fail := func(name, advice, format string, args ...any) (*Route, error) {
		return nil, &Error{Route: name, Err: fmt.Errorf(format, args...), Advice: advice}
	}
	// Until the URL is understood, it may hold a password: nothing of it is repeated, nor what
	// url.Parse says about it.
	const unread = "argument"
	_, rest, isURL := strings.Cut(arg, "://")
	if !isURL {
		return fail(unread, "write a URL like postgres://app@db.example.com:5432/orders?listen=127.0.0.1:5432", "not a URL")
	}
	if strings.Contains(arg, "#") {
		return fail(unread, `write "%23" for it`, "a # in the route's URL")
	}
	if hasPassword(rest) {
		return fail(unread, "everybody on this machine can read it there: put it into a file or an environment variable, and write auth=file:PATH or auth=env:NAME",
			"a password in the route's URL")
	}
	first, others := splitHosts(arg)
	u, err := url.Parse(first)
	if err != nil {
		return fail(unread, "write a URL like postgres://app@db.example.com:5432/orders?listen=127.0.0.1:5432, and percent-encode what is special in a name",
			"not a URL that can be read")
	}
	r := &Route{
		Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/"),
		PortLeftOut: u.Port() == "",
	}
	r.Upstream, _, _ = strings.Cut(arg, "?")
	if _, err := netip.ParseAddr(r.Host); err != nil && strings.Contains(r.Host, ":") {
		return fail(unread, "write one host: a name, or an address, that of IPv6 as [2001:db8::1]", "a colon in the host")
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		r.Scheme, r.Port = "postgres", cmp.Or(r.Port, "5432")
	case "mysql", "mariadb":
		r.Scheme, r.Port = "mysql", cmp.Or(r.Port, "3306")
	default:
		return fail(r.where(), "a route begins with postgres:// or mysql://", "unknown protocol %q", u.Scheme)
	}
	if port, err := strconv.ParseUint(r.Port, 10, 16); err != nil || port == 0 {
		return fail(r.where(), "ports are 1 to 65535", "the port does not exist")
	}
	if err := r.addHosts(others); err != nil {
		return nil, err
	}
	if !utf8.ValidString(r.Host) {
		return fail(unread, "write the name as DNS has it", "a host that is not UTF-8")
	}
	if strings.ContainsRune(r.User+r.Database, 0) {
		return fail(r.where(), "take the %00 out", "a zero byte in the user or the database")
	}
	if err := r.setOptions(u.RawQuery); err != nil {
		return nil, err
	}
	if err := more(r); err != nil {
		return nil, err
	}
	if r.User != "" && r.Users != nil {
		return fail(r.where(), "leave one of them out: users= is for routes where clients choose", "the route has a user, and users= as well")
	}
	for _, hop := range r.Via {
		if _, rest, _ := strings.Cut(hop, "://"); hasPassword(rest) { // which is not to be shown either
			return fail(r.where(), "leave it out: SSH logs in with keys, and proxies that want a password are not supported", "a password in via=")
		}
	}
	if r.Host == "" && !r.HasSecret() && r.Instance == "" {
		return fail(unread, "write the database's endpoint; another address to dial goes into dial=", "no host")
	}
	r.Name = cmp.Or(r.Name, firstLabel(r.Host), r.Host, lastPart(r.Instance, ":"), lastPart(r.Auth, "/"), r.Scheme)
	if len(r.Listen) == 0 {
		r.Listen = []string{net.JoinHostPort("127.0.0.1", r.Port)}
	}
	return r, nil
}

// hasPassword reports whether there is a colon in front of an @, before the options of a URL. Such a
// password may have characters in it that should have been encoded, so that url.Parse would take a
// part of it for something else.
func hasPassword(rest string) bool {
	rest, _, _ = strings.Cut(rest, "?")
	at := strings.LastIndexByte(rest, '@')
	return at >= 0 && strings.Contains(rest[:at], ":")
}

// setOptions reads the part of a URL behind the question mark.
func (r *Route) setOptions(query string) error {
	if query == "" {
		return nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, encoded, _ := strings.Cut(pair, "=")
		o, ok := findOption(key)
		if !ok { // its value may be a password
			return &Error{Route: r.where(), Err: fmt.Errorf("unknown option %q", key), Advice: r.unknownAdvice(key)}
		}
		value, err := url.PathUnescape(encoded) // not QueryUnescape: a path may have a plus in it
		switch {
		case err != nil:
			return &Error{Route: r.where(), Err: fmt.Errorf("option %s: %w", key, err), Advice: `write "%25" for a percent sign`}
		case value == "":
			return &Error{Route: r.where(), Err: fmt.Errorf("option %s is empty", key), Advice: "give it a value, or leave it out"}
		case strings.ContainsRune(value, 0):
			return &Error{Route: r.where(), Err: fmt.Errorf("a zero byte in option %s", key), Advice: "take the %00 out"}
		case !utf8.ValidString(value):
			return &Error{Route: r.where(), Err: fmt.Errorf("option %s is not UTF-8", key), Advice: "percent-encode its letters as UTF-8 has them"}
		}
		if err := r.set(o, key, value); err != nil {
			return &Error{Route: r.where(), Err: err, Advice: "correct it, or leave it out"}
		}
	}
	return nil
}

// set sets an option, which was called key. Only listen may be repeated.
func (r *Route) set(o option, key, value string) error {
	field := o.field(r)
	if isSet(field) && o.Name != "listen" {
		return fmt.Errorf("%s is given twice, or by both of its names", key)
	}
	return o.put(field, key, value)
}

// where names the route in errors as long as it has no name.
func (r *Route) where() string { return cmp.Or(r.Host, "argument") }

// unknownAdvice lists what there is.
func (r *Route) unknownAdvice(key string) string {
	if r.HasSecret() {
		return fmt.Sprintf(`if %s is an option of the secret, write "%%26" for the & before it: the & ends the value of auth=`, key)
	}
	if advice := clientAdvice(key); advice != "" {
		return advice
	}
	return didYouMean(key, optionNames(), "options are ")
}

// clientAdvice is for options of other programs' URLs; it is empty for all else.
func clientAdvice(key string) string {
	switch key {
	case "password", "sslpassword":
		return "put the password into a file or an environment variable, and write auth=file:PATH or auth=env:NAME"
	case "application_name", "options", "client_encoding", "channel_binding", "gssencmode",
		"charset", "characterEncoding", "parseTime", "loc", "allowPublicKeyRetrieval", "useSSL", "local_infile":
		return "this belongs to the client's own connection"
	}
	return ""
}

// firstLabel names a route after its host: orders.abc123.us-east-1.rds.amazonaws.com is orders.
func firstLabel(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	label, _, _ := strings.Cut(host, ".")
	return label
}

// lastPart names a route after a secret or an instance: what stands behind the last separator, and
// before the options.
func lastPart(name, separator string) string {
	name, _, _ = strings.Cut(name, "?")
	return name[strings.LastIndex(name, separator)+1:]
}

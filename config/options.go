package config

// The headings of the reference, in its order.
const (
	groupRoute      = "The route"
	groupClients    = "Who may come in"
	groupCredential = "Where the credential comes from"
	groupAWS        = "AWS"
	groupGoogle     = "Google Cloud"
	groupAzure      = "Azure"
	groupDatabase   = "The way to the database"
	groupLimits     = "How many"
	groupTimes      = "How long"
)

var groups = []string{groupRoute, groupClients, groupCredential, groupAWS, groupGoogle, groupAzure, groupDatabase, groupLimits, groupTimes}

// options are all keys of a route. sslmode and sslrootcert are libpq's names, so that a URL can be pasted.
var options = []option{
	{Key{
		Name: "name", Kind: Text, Group: groupRoute, Default: "the first label of the host", Example: "orders",
		Doc: "What the route is called in logs, metrics and errors. No two routes have the same name.",
	}, func(r *Route) any { return &r.Name }},
	{Key{
		Name: "listen", Kind: List, Group: groupRoute, Default: "127.0.0.1 and the database's port", Example: "127.0.0.1:5432",
		Doc: "Where clients connect: `127.0.0.1:PORT`, `[::1]:PORT`, `localhost:PORT` (both), another name for such addresses, " +
			"the absolute path of a directory for a unix socket (`.s.PGSQL.PORT` there for PostgreSQL, `mysql.sock` for MySQL), " +
			"or `systemd:NAME` for the socket that systemd passes under that name. Port 0 takes a free one; `auto` takes the protocol's own on 127.0.0.1, or the next free one, " +
			"and the route keeps that from run to run (in `~/.local/state/dbvalet/ports.json`). In a URL it may be repeated.",
	}, func(r *Route) any { return &r.Listen }},
	{Key{
		Name: "auth", Kind: Text, Group: groupCredential, Default: "for endpoints of RDS, Aurora and DSQL their IAM tokens; with `instance` the connector", Example: "aws-iam",
		Doc: "Where the credential comes from: tokens of `aws-iam`, `aws-dsql`, `gcp-iam`, `gcp-connector` or `azure-entra`; " +
			"the URL of a secret, `awssecretsmanager://NAME`, `awsparamstore://NAME`, `gcpsecretmanager://projects/P/secrets/S`, `hashivault://PATH` or `file:///PATH`; " +
			"or `env:NAME`, `file:PATH` or `exec:COMMAND`, a variable, a file, or what a command prints. See [credentials](credentials.md).",
	}, func(r *Route) any { return &r.Auth }},
	{Key{
		Name: "dial", Kind: Text, Group: groupDatabase, Default: "the endpoint", Example: "127.0.0.1:15432",
		Doc: "`HOST:PORT`, or a unix socket, to connect to where it isn't the endpoint that is signed and verified, as with a tunnel.",
	}, func(r *Route) any { return &r.Dial }},
	{Key{
		Name: "via", Kind: List, Group: groupDatabase, Default: "none: directly", Example: "ssh://app@bastion.example.com",
		Doc: "The way to what is dialled, in hops: `ssh://USER@HOST:PORT`, a bastion; `socks5://HOST:PORT`; `http://HOST:PORT`, a proxy that knows CONNECT " +
			"(`https://` too); `unix:/PATH`, a socket in place of the database. Names are looked up there. What is signed and verified stays the endpoint. " +
			"Of `~/.ssh/config`, the settings for the host count that say where it is and how one logs in.",
	}, func(r *Route) any { return &r.Via }},
	{Key{
		Name: "ssh_key", Kind: Text, Group: groupDatabase, Default: "the keys of the SSH agent, and `~/.ssh/id_ed25519`, `id_ecdsa` and `id_rsa`", Example: "~/.ssh/id_bastion",
		Doc: "The file of the key to log in with at the bastions of `via`. Where it has a passphrase, the agent must hold it.",
	}, func(r *Route) any { return &r.SSHKey }},
	{Key{
		Name: "ssh_known_hosts", Kind: Text, Group: groupDatabase, Default: "`~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`", Example: "/etc/dbvalet/known_hosts",
		Doc: "The file with the host keys of the bastions of `via`. One that isn't known is never accepted.",
	}, func(r *Route) any { return &r.SSHKnownHosts }},
	{Key{
		Name: "tls", Alias: "sslmode", Kind: Text, Group: groupDatabase, Default: "verify-full", Example: "verify-ca",
		Values: []string{"verify-full", "verify-ca", "require", "zero-config"},
		Doc: "How the database is verified. `verify-ca` needs `ca`; `require` verifies nothing without `ca`; " +
			"`zero-config` lets MariaDB from 11.4 on prove itself by the password, after the login.",
	}, func(r *Route) any { return &r.TLS }},
	{Key{
		Name: "ca", Alias: "sslrootcert", Kind: Text, Group: groupDatabase, Default: "the system's, and for RDS the built-in ones", Example: "/etc/ssl/rds.pem",
		Doc: "A PEM file with the certificates to trust.",
	}, func(r *Route) any { return &r.CA }},
	{Key{
		Name: "tls_server_name", Kind: Text, Group: groupDatabase, Default: "the host", Example: "project:instance",
		Doc: "The name in the database's certificate; `project:instance` for Cloud SQL's older ones.",
	}, func(r *Route) any { return &r.TLSServerName }},
	{Key{
		Name: "sslnegotiation", Kind: Text, Group: groupDatabase, Default: "postgres", Values: []string{"postgres", "direct"}, Example: "direct",
		Doc: "How TLS begins: `direct` is from the first byte, which PostgreSQL 17 knows. Not for MySQL.",
	}, func(r *Route) any { return &r.SSLNegotiation }},
	{Key{
		Name: "require_auth", Kind: Parts, Group: groupDatabase, Default: "`password` for tokens, else anything", Example: "scram-sha-256",
		Doc: "How the database may ask for the credential: a list, or a list of what it may not, each with `!`. " +
			"PostgreSQL has `password`, `md5`, `scram-sha-256` and `none`; MySQL `password` (the plugin `mysql_clear_password`), `dialog`, " +
			"`caching_sha2_password`, `sha256_password`, `mysql_native_password`, `client_ed25519` and `parsec`.",
	}, func(r *Route) any { return &r.RequireAuth }},
	{Key{
		Name: "allow", Kind: Parts, Group: groupClients, Default: "self", Example: "self,www-data,group:dev",
		Doc: "Which processes of this machine may connect: `self` (of the user that runs dbvalet, and root), `pod` (any of the same network namespace), " +
			"`any` (no check), or users, uids, `group:NAME` and `self` between commas.",
	}, func(r *Route) any { return &r.Allow }},
	{Key{
		Name: "allow_remote", Kind: List, Group: groupClients, Default: "none", Example: "172.17.0.0/16",
		Doc: "Networks of other machines that may connect. Only with `local_password` or `local_client_ca`, and a `listen` that they reach.",
	}, func(r *Route) any { return &r.AllowRemote }},
	{Key{
		Name: "socket_mode", Kind: Mode, Group: groupClients, Default: "0600", Example: "0660",
		Doc: "The octal mode of unix sockets.",
	}, func(r *Route) any { return &r.SocketMode }},
	{Key{
		Name: "socket_owner", Kind: Text, Group: groupClients, Default: "who runs dbvalet", Example: "app",
		Doc: "Whose the unix sockets are: a name or a number.",
	}, func(r *Route) any { return &r.SocketOwner }},
	{Key{
		Name: "socket_group", Kind: Text, Group: groupClients, Default: "the group that runs dbvalet", Example: "app",
		Doc: "The group of unix sockets: a name or a number.",
	}, func(r *Route) any { return &r.SocketGroup }},
	{Key{
		Name: "local_password", Kind: Text, Group: groupClients, Default: "none is asked for", Example: "auto",
		Doc: "Clients need a password: `auto` (made once, in a file with mode 0600 that the ready line names), `file:PATH` or `env:NAME`.",
	}, func(r *Route) any { return &r.LocalPassword }},
	{Key{
		Name: "local_tls", Kind: Text, Group: groupClients, Default: "there is none", Example: "auto",
		Doc: "TLS for clients that ask for it: `auto` makes a certificate at the start, else a PEM file with one.",
	}, func(r *Route) any { return &r.LocalTLS }},
	{Key{
		Name: "local_tls_key", Kind: Text, Group: groupClients, Default: "the file of `local_tls`", Example: "/etc/dbvalet/server.key",
		Doc: "A PEM file with the key of the certificate in `local_tls`.",
	}, func(r *Route) any { return &r.LocalTLSKey }},
	{Key{
		Name: "local_client_ca", Kind: Text, Group: groupClients, Default: "none is asked for", Example: "/etc/dbvalet/clients.pem",
		Doc: "Clients need TLS, and a certificate of the CA in this file.",
	}, func(r *Route) any { return &r.LocalClientCA }},
	{Key{
		Name: "users", Kind: List, Group: groupClients, Default: "any", Example: "app,reports",
		Doc: "The database users that clients may name, where the route's URL has no user.",
	}, func(r *Route) any { return &r.Users }},
	{Key{
		Name: "databases", Kind: List, Group: groupClients, Default: "any", Example: "orders",
		Doc: "The databases that clients may open.",
	}, func(r *Route) any { return &r.Databases }},
	{Key{
		Name: "max_connections", Kind: Number, Group: groupLimits, Default: "no limit", Example: "50",
		Doc: "At most so many connections at once.",
	}, func(r *Route) any { return &r.MaxConnections }},
	{Key{
		Name: "max_handshakes", Kind: Number, Group: groupLimits, Default: "64", Example: "16",
		Doc: "Of these, at most so many that are being set up.",
	}, func(r *Route) any { return &r.MaxHandshakes }},
	{Key{
		Name: "accept_rate", Kind: Number, Group: groupLimits, Default: "no limit", Example: "20",
		Doc: "At most so many new connections in a second.",
	}, func(r *Route) any { return &r.AcceptRate }},
	{Key{
		Name: "queue_timeout", Kind: Duration, Group: groupLimits, Default: "10s; `connect_timeout` for `max_handshakes`", Example: "5s",
		Doc: "How long clients wait for a place, before they are told that there is none.",
	}, func(r *Route) any { return &r.QueueTimeout }},
	{Key{
		Name: "connect_timeout", Kind: Duration, Group: groupTimes, Default: "30s", Example: "10s",
		Doc: "How long the whole set-up of a connection may take, with everything that is tried again within it.",
	}, func(r *Route) any { return &r.ConnectTimeout }},
	{Key{
		Name: "idle_timeout", Kind: Duration, Group: groupTimes, Default: "never", Example: "8h",
		Doc: "After how long a session is ended in which neither side says anything.",
	}, func(r *Route) any { return &r.IdleTimeout }},
	{Key{
		Name: "max_session_age", Kind: Duration, Group: groupTimes, Default: "never", Example: "12h",
		Doc: "After how long a session is ended. That is when it is idle next, or at most a grace later.",
	}, func(r *Route) any { return &r.MaxSessionAge }},
	{Key{
		Name: "keepalive", Kind: Duration, Group: groupTimes, Default: "30s", Example: "1m",
		Doc: "After how long a silence TCP asks the other end whether it is there, toward clients and database alike.",
	}, func(r *Route) any { return &r.Keepalive }},
	{Key{
		Name: "tcp_user_timeout", Kind: Duration, Group: groupTimes, Default: "60s", Example: "20s",
		Doc: "How long what was sent may stay unacknowledged until the connection is given up, toward clients and database alike. Only on Linux.",
	}, func(r *Route) any { return &r.TCPUserTimeout }},
	{Key{
		Name: "follow_dns", Kind: Duration, Group: groupTimes, Default: "never", Example: "5s",
		Doc: "How often the addresses of sessions are compared with those that the host's name has now. Sessions whose address is gone are closed, as after a failover.",
	}, func(r *Route) any { return &r.FollowDNS }},
	{Key{
		Name: "target_session_attrs", Kind: Text, Group: groupDatabase, Default: "any", Example: "read-write",
		Values: []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
		Doc:    "Which of several servers will do, as in libpq: one that takes writes, one that doesn't, the primary, a standby, or a standby if there is one.",
	}, func(r *Route) any { return &r.TargetSessionAttrs }},
	{Key{
		Name: "token_reuse", Kind: Text, Group: groupCredential, Default: "always", Values: []string{"always", "never"}, Example: "never",
		Doc: "Whether a token serves many connections, until it is about to expire, or `never` more than one.",
	}, func(r *Route) any { return &r.TokenReuse }},
	{Key{
		Name: "rotation_timeout", Kind: Duration, Group: groupCredential, Default: "10s", Example: "30s",
		Doc: "How long clients wait for a rotation of the password that is under way.",
	}, func(r *Route) any { return &r.RotationTimeout }},
	{Key{
		Name: "region", Kind: Text, Group: groupAWS, Default: "from the endpoint's name, or the SDK's configuration", Example: "eu-west-1",
		Doc: "The region of the database or the secret.",
	}, func(r *Route) any { return &r.Region }},
	{Key{
		Name: "profile", Kind: Text, Group: groupAWS, Default: "from the SDK's configuration", Example: "dev",
		Doc: "A profile of the AWS configuration.",
	}, func(r *Route) any { return &r.Profile }},
	{Key{
		Name: "role", Kind: List, Group: groupAWS, Default: "none", Example: "arn:aws:iam::123456789012:role/app",
		Doc: "The ARN of the role to assume, or several, which are assumed one after the other.",
	}, func(r *Route) any { return &r.Roles }},
	{Key{
		Name: "external_id", Kind: Text, Group: groupAWS, Default: "none", Example: "partner-1",
		Doc: "The external id that the last role asks for.",
	}, func(r *Route) any { return &r.ExternalID }},
	{Key{
		Name: "session_name", Kind: Text, Group: groupAWS, Default: "dbvalet", Example: "orders-batch",
		Doc: "The name of the roles' sessions, as CloudTrail shows it.",
	}, func(r *Route) any { return &r.SessionName }},
	{Key{
		Name: "instance", Kind: Text, Group: groupGoogle, Default: "none", Example: "project:region:name",
		Doc: "The instance of Cloud SQL that the connector connects to. The route's URL has no host then.",
	}, func(r *Route) any { return &r.Instance }},
	{Key{
		Name: "ip_type", Kind: Text, Group: groupGoogle, Default: "public", Values: []string{"public", "private", "psc", "auto"}, Example: "private",
		Doc: "Which address of the instance: `psc` is Private Service Connect, `auto` is public, else private.",
	}, func(r *Route) any { return &r.IPType }},
	{Key{
		Name: "impersonate_service_account", Kind: List, Group: groupGoogle, Default: "none", Example: "app@project.iam.gserviceaccount.com",
		Doc: "The service account to be; before it the delegates on the way there.",
	}, func(r *Route) any { return &r.Impersonate }},
	{Key{
		Name: "service", Kind: Text, Group: groupGoogle, Default: "cloudsql", Values: []string{"cloudsql", "alloydb"}, Example: "alloydb",
		Doc: "What the tokens of `gcp-iam` are for.",
	}, func(r *Route) any { return &r.Service }},
	{Key{
		Name: "sqladmin_endpoint", Kind: Text, Group: groupGoogle, Default: "https://sqladmin.googleapis.com", Example: "https://sqladmin.example.com",
		Doc: "Another address of the Cloud SQL Admin API, for private access.",
	}, func(r *Route) any { return &r.SQLAdmin }},
	{Key{
		Name: "cloud", Kind: Text, Group: groupAzure, Default: "public", Values: []string{"public", "usgovernment", "china"}, Example: "china",
		Doc: "Which of Azure's clouds.",
	}, func(r *Route) any { return &r.Cloud }},
	{Key{
		Name: "tenant", Kind: Text, Group: groupAzure, Default: "from the environment", Example: "00000000-0000-0000-0000-000000000000",
		Doc: "The tenant in which to log in.",
	}, func(r *Route) any { return &r.Tenant }},
	{Key{
		Name: "client_id", Kind: Text, Group: groupAzure, Default: "from the environment", Example: "00000000-0000-0000-0000-000000000000",
		Doc: "The workload identity, or the managed identity, to be.",
	}, func(r *Route) any { return &r.ClientID }},
}

package servers

import (
	"net"
	"net/url"
	"strconv"
)

// Addr is where the server listens, as host:port.
func (p *Postgres) Addr() string {
	return net.JoinHostPort(p.Host, strconv.Itoa(p.Port))
}

// URL is for a client that connects directly, not through a proxy, and verifies the server's
// certificate as strictly as it can.
func (p *Postgres) URL(user, password string) string {
	query := url.Values{"sslmode": {"disable"}}
	if !p.options.NoTLS {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {p.CAFile}}
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(user, password),
		Host:     p.Addr(),
		Path:     "/" + p.Database,
		RawQuery: query.Encode(),
	}
	return u.String()
}

// AWSEnvironment is for a program that shall sign tokens for this server: the credentials and the
// region, and nothing of AWS's configuration from the user's home or from the machine.
func (p *Postgres) AWSEnvironment() []string {
	env := []string{
		"AWS_ACCESS_KEY_ID=" + p.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + p.SecretAccessKey,
		"AWS_REGION=" + p.Region,
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true",
	}
	if p.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+p.SessionToken)
	}
	return env
}

package servers

import (
	"net"
	"strconv"
)

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string {
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// AWSEnvironment is for a program that shall sign tokens for this server: the credentials and the
// region, and nothing of AWS's configuration from the user's home or from the machine.
func (s *Server) AWSEnvironment() []string {
	env := []string{
		"AWS_ACCESS_KEY_ID=" + s.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + s.SecretAccessKey,
		"AWS_REGION=" + s.Region,
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true",
	}
	if s.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+s.SessionToken)
	}
	return env
}

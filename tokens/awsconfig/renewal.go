package awsconfig

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	"dbvalet/tokens"
)

// renewal names where the credentials come from, and says how to get new ones.
func renewal(l *loaded) (from, advice string) {
	origin := l.origin()
	from = fmt.Sprintf("profile %q", l.base)
	has := func(source aws.CredentialSource) bool { return slices.Contains(origin, source) }
	switch {
	case has(aws.CredentialSourceSSO), has(aws.CredentialSourceSSOLegacy):
		return from, "run " + command("aws sso login", l.base)
	case has(aws.CredentialSourceLogin):
		return from, "run " + command("aws login", l.base)
	case has(aws.CredentialSourceEnvVars):
		return "the environment variables", "renew AWS_SESSION_TOKEN and the keys that belong to it, and restart dbvalet"
	case webIdentity(l):
		return "the web identity's role", "check the file that AWS_WEB_IDENTITY_TOKEN_FILE names, and this machine's clock"
	case has(aws.CredentialSourceProcess):
		return "credential_process of " + from, fmt.Sprintf("make the credential_process of profile %q renew them", l.base)
	case has(aws.CredentialSourceHTTP):
		return "the container's role", "check the agent that gives the container its credentials, and this machine's clock"
	case has(aws.CredentialSourceIMDS):
		return "the instance's role", "check the metadata service of the instance, and this machine's clock"
	}
	return from, "renew them, and check with " + command("aws sts get-caller-identity", l.base)
}

// webIdentity reports whether the credentials are those of a pod's service account, or the like.
func webIdentity(l *loaded) bool {
	return slices.Contains(l.origin(), aws.CredentialSourceEnvVarsSTSWebIDToken) ||
		slices.Contains(l.origin(), aws.CredentialSourceProfileSTSWebIDToken)
}

// command quotes a command of the AWS CLI for a profile.
func command(text, profile string) string {
	if profile != "default" {
		text += " --profile " + tokens.Quote(profile)
	}
	return `"` + text + `"`
}

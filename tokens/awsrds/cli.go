package awsrds

import (
	"cmp"
	"fmt"
	"strings"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// A CLI makes commands of the AWS CLI about what is behind an endpoint, for people to copy.
type CLI struct {
	Host    string // the endpoint
	Region  string // where the endpoint's name says none; empty: the CLI's own
	Profile string // empty: the CLI's own
}

// Status is the command that shows the status, and the port if there is one to choose.
func (c CLI) Status() string { return c.describe(c.kind().status) }

// List is the command that shows the endpoints that there are of this kind.
func (c CLI) List() string {
	k := c.kind()
	return fmt.Sprintf("aws rds describe-%s%s --query '%s[].%s'", k.plural, c.Options(), k.member, k.hosts)
}

// Options are those that each command takes which is about the same region and account, with a space in front.
func (c CLI) Options() string {
	options := ""
	region, _ := Region(c.Host)
	if region = cmp.Or(region, c.Region); region != "" {
		options += " --region " + tokens.Quote(region)
	}
	if c.Profile != "" {
		options += " --profile " + tokens.Quote(c.Profile)
	}
	return options
}

// describe is the command that shows one thing about what is behind the endpoint.
func (c CLI) describe(what string) string {
	k := c.kind()
	return fmt.Sprintf("aws rds describe-%s --%s %s%s --query '%s[0].%s'", k.plural, k.identifier, c.name(), c.Options(), k.member, what)
}

// askIAM is the command that makes the database ask IAM.
func (c CLI) askIAM() string { return c.kind().askIAM(c.name(), c.Options()) }

func (c CLI) kind() kind { return kindOf(awsconfig.Normalize(c.Host)) }

// name is that of the instance, the cluster or the proxy, or a word to put it in place of.
func (c CLI) name() string {
	host := awsconfig.Normalize(c.Host)
	if isNamedApart(host) {
		return strings.ToUpper(c.kind().noun)
	}
	name, _, _ := strings.Cut(host, ".")
	return tokens.Quote(name)
}

// AskIAM is the command that makes d ask IAM. The profile may be empty, which is that of the CLI itself.
func (d Database) AskIAM(profile string) string {
	k := instances
	if d.Cluster {
		k = clusters
	}
	return k.askIAM(tokens.Quote(d.Name), CLI{Region: d.Region, Profile: profile}.Options())
}

// A kind is what may be behind an endpoint, in the words of the CLI.
type kind struct {
	noun, plural, identifier string
	member                   string // of an answer
	status, hosts            string // of a member
}

var (
	instances = kind{"instance", "db-instances", "db-instance-identifier", "DBInstances", "[DBInstanceStatus,Endpoint.Port]", "Endpoint.Address"}
	clusters  = kind{"cluster", "db-clusters", "db-cluster-identifier", "DBClusters", "[Status,Port]", "[Endpoint,ReaderEndpoint]"}
	proxies   = kind{"proxy", "db-proxies", "db-proxy-name", "DBProxies", "Status", "Endpoint"}
)

// kindOf is the kind of host, which is in lower case.
func kindOf(host string) kind {
	switch {
	case isProxy(host):
		return proxies
	case isCluster(host):
		return clusters
	}
	return instances
}

// askIAM is the command for one of an instance and a cluster.
func (k kind) askIAM(name, options string) string {
	return fmt.Sprintf("aws rds modify-db-%s --%s %s%s --enable-iam-database-authentication --apply-immediately", k.noun, k.identifier, name, options)
}

package awsrds

import (
	"context"
	"encoding/json"
	"fmt"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

var (
	_ tokens.Identifier = (*Source)(nil)
	_ tokens.Remedier   = (*Source)(nil)
)

// Identify says who signs, and for which region.
func (s *Source) Identify(ctx context.Context) (tokens.Identity, error) {
	host, err := s.endpoint(ctx)
	if err != nil {
		host = s.host // DNS is another's step
	}
	region, err := s.region(ctx, host)
	if err != nil {
		return tokens.Identity{}, s.describe(ctx, err)
	}
	who, err := s.options.AWS.Identify(ctx, s.name())
	who.Region = region
	return who, err
}

// Remedies says what RDS does not. A database that asks for something else than the token as it is does not
// know the user as one of IAM, and IAM was not asked; a token that was refused was seen by IAM.
//
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
func (s *Source) Remedies(ctx context.Context, r tokens.Refusal) []tokens.Remedy {
	s.mu.Lock()
	was := s.signed
	s.mu.Unlock()
	if was.host == "" {
		was = signed{s.host, s.options.Region}
	}
	if r.Method != "" {
		return s.makeKnown(r.User, was)
	}
	var list []tokens.Remedy
	if region, ok := Region(was.host); ok && region != was.region {
		list = append(list, tokens.Remedy{Text: fmt.Sprintf("the token is signed for %s, and the endpoint is in %s: leave region=%s out of the route", was.region, region, was.region)})
	}
	if !IsEndpoint(was.host) {
		list = append(list, tokens.Remedy{Text: fmt.Sprintf("the token is signed for %s, which is no RDS endpoint: name the endpoint in the route, and %[1]s in dial=", was.host)})
	}
	caller := s.options.AWS.Identity(ctx)
	found := finding{}
	if IsEndpoint(was.host) && !isProxy(was.host) {
		found = s.inspect(ctx, was)
	}
	switch {
	case found.answered && !found.there:
		list = append(list, tokens.Remedy{Text: fmt.Sprintf("account %s, which we are in, has no database at this endpoint: take credentials of the database's account, or a role there with role=ARN", awsconfig.Account(caller))})
	case found.answered && !found.iam:
		return append(list, tokens.Remedy{Text: "IAM authentication is off: turn it on", Copy: s.cli(was).askIAM()})
	}
	list = append(list, tokens.Remedy{
		Text: fmt.Sprintf("%s needs this policy, in the account of the database", identity(caller)),
		Copy: policy(was.region, awsconfig.Account(caller), r.User),
	})
	if found.answered {
		return list
	}
	return append(list, s.switchOn(was, caller)...)
}

// makeKnown is for the database's administrator.
func (s *Source) makeKnown(user string, was signed) []tokens.Remedy {
	const as = "the database does not know the user as one that logs in with tokens; as its administrator"
	switch {
	case isProxy(was.host):
		return []tokens.Remedy{{Text: "set IAM authentication of the RDS Proxy to required, and give it a secret with the password of " + user}}
	case s.options.Engine == "mysql":
		return []tokens.Remedy{
			{Text: as + ", if there is such a user", Copy: "ALTER USER " + quote(user, "'") + "@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';"},
			{Text: "if there is none", Copy: "CREATE USER " + quote(user, "'") + "@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';"},
		}
	}
	return []tokens.Remedy{
		{Text: as + ", if there is such a role", Copy: "GRANT rds_iam TO " + quote(user, `"`) + ";"},
		{Text: "if there is none", Copy: "CREATE ROLE " + quote(user, `"`) + " LOGIN; GRANT rds_iam TO " + quote(user, `"`) + ";"},
	}
}

// switchOn is about what RDS would not tell us: whether the database asks IAM at all, and whose it is.
func (s *Source) switchOn(was signed, caller string) []tokens.Remedy {
	if isProxy(was.host) || !IsEndpoint(was.host) {
		return nil
	}
	cli, account := s.cli(was), ""
	if a := awsconfig.Account(caller); a != "*" {
		account = ", and is not found if it is not in account " + a
	}
	return []tokens.Remedy{
		{
			Text: fmt.Sprintf("IAM authentication must be on; the %s says so here%s", cli.kind().noun, account),
			Copy: cli.describe("IAMDatabaseAuthenticationEnabled"),
		},
		{Text: "where it says false", Copy: cli.askIAM()},
	}
}

// cli makes commands about the database that was logged in to.
func (s *Source) cli(was signed) CLI {
	return CLI{Host: was.host, Region: was.region, Profile: s.options.AWS.CLIProfile()}
}

// identity names caller in a sentence.
func identity(caller string) string {
	if caller == "" {
		return "the AWS identity"
	}
	return awsconfig.Principal(caller)
}

// policy is what lets an identity log in as user. The resource id of the database is not its name, so that a
// star stands for it.
//
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
func policy(region, account, user string) string {
	type statement struct{ Effect, Action, Resource string }
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{{
		"Allow", "rds-db:connect", fmt.Sprintf("arn:%s:rds-db:%s:%s:dbuser:*/%s", awsconfig.Partition(region), region, account, user),
	}}})
	if err != nil { // not of texts
		return ""
	}
	return string(text)
}

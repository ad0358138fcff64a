package awssecrets

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/smithy-go"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

const kmsDecrypt = "kms:Decrypt"

// notAuthorized takes AWS's words apart. The resource is an ARN, or for a secret what was asked for.
//
//	User: arn:aws:iam::123456789012:user/app is not authorized to perform: ssm:GetParameter on resource:
//	    arn:aws:ssm:us-east-1:123456789012:parameter/db because no identity-based policy allows the …
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
var notAuthorized = regexp.MustCompile(`^User: (\S+) is not authorized to perform: (\S+)(?: on resource: (\S+))?`)

// describeDenied says who must be allowed to do what. Where it is about the key that encrypts the
// secret, AWS often says neither:
//
//	AccessDeniedException: Access to KMS is not allowed
//	AccessDeniedException: The ciphertext refers to a customer master key that does not exist, …
//	DecryptionFailure, InvalidKeyId
func (s *store[Client]) describeDenied(ctx context.Context, region string, api smithy.APIError) *tokens.Error {
	message := api.ErrorMessage()
	m := notAuthorized.FindStringSubmatch(message)
	if m == nil {
		action := s.action
		if api.ErrorCode() != "AccessDeniedException" || strings.Contains(message, "KMS") || strings.Contains(message, " key ") {
			action = kmsDecrypt
		}
		who := s.aws.Identity(ctx)
		return s.denied(askedAs(said(region, api), who), s.policy(action, "", region, who))
	}
	who, action, resource := m[1], m[2], m[3]
	err := fmt.Errorf("%s may not %s in %s", awsconfig.Brief(who), action, region)
	if _, where, explicit := strings.Cut(message, " with an explicit deny"); explicit {
		return s.denied(fmt.Errorf("%w: there is an explicit deny%s", err, shorten(where, 100)),
			"another permission is of no use: change the policy that denies it")
	}
	return s.denied(err, s.policy(action, resource, region, who))
}

// policy is the advice to allow who an action. resource is empty where AWS does not name it.
func (s *store[Client]) policy(action, resource, region, who string) string {
	about := ""
	switch {
	case action == kmsDecrypt:
		about = ", and so in the policy of the KMS key, which must be enabled"
		resource = cmp.Or(resource, "KEY-ARN")
	case !arn.IsARN(resource):
		resource = s.resource(region, who)
	}
	return fmt.Sprintf(`allow it: {"Effect":"Allow","Action":%q,"Resource":%q}%s`, action, resource, about)
}

// complete is how the ARN of a secret ends: a hyphen and six characters follow its name.
var complete = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// resource returns the ARN for a policy. What was not named by an ARN belongs to who asked.
func (s *store[Client]) resource(region, who string) string {
	where := fmt.Sprintf("arn:%s:%s:%s:%s:", awsconfig.Partition(region), s.service(), region, awsconfig.Account(who))
	switch named := strings.HasPrefix(s.name, "arn:"); {
	case s.service() == "ssm":
		name := s.name
		if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
			name = name[:colon] // of the version or the label
		}
		if named {
			return name
		}
		return where + "parameter/" + strings.TrimPrefix(name, "/")
	case !named:
		return where + "secret:" + s.name + "-??????"
	case !complete.MatchString(s.name):
		return s.name + "-??????"
	}
	return s.name
}

package awsconfig

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Principal returns what stands in a policy for the identity that caller is the ARN of: for the
// session of a role, the role. Where it has a path, that is lost, because the session does not say
// it. What is no ARN is returned as it is.
//
//	arn:aws:sts::123456789012:assumed-role/app/i-0abc   arn:aws:iam::123456789012:role/app
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
func Principal(caller string) string {
	a, err := arn.Parse(caller)
	if err != nil || a.Service != "sts" {
		return caller
	}
	kind, rest, _ := strings.Cut(a.Resource, "/")
	if kind != "assumed-role" {
		return caller
	}
	name, _, _ := strings.Cut(rest, "/")
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", a.Partition, a.AccountID, name)
}

// maxBrief is how long an ARN may be in a hint, which has no room for more.
const maxBrief = 100 // bytes

// Brief returns caller for a hint: of the session of a role, where that is long, the role. It is what
// permissions are given to.
func Brief(caller string) string {
	if len(caller) > maxBrief {
		return Principal(caller)
	}
	return caller
}

// Account returns the account of the ARN caller, or "*" where it is none: any account, in a policy.
func Account(caller string) string {
	if a, err := arn.Parse(caller); err == nil && a.AccountID != "" {
		return a.AccountID
	}
	return "*"
}

// Partition returns the partition that a region belongs to, as ARNs name it.
//
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
func Partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"eusc-", "aws-eusc"},
		{"us-iso-", "aws-iso"},
		{"us-isob-", "aws-iso-b"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

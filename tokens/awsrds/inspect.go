package awsrds

import (
	"context"

	"dbvalet/tokens/awsconfig"
)

// A finding is what RDS says of the database behind an endpoint, to whoever may ask.
type finding struct {
	answered bool // RDS did, and so the rest is known
	there    bool // in our account
	iam      bool // IAM authentication is on
}

// inspect asks RDS for was. It takes rds:DescribeDBInstances or rds:DescribeDBClusters, which a login does
// not: without them nothing is known, and that is no error.
func (s *Source) inspect(ctx context.Context, was signed) (f finding) {
	q, err := newQuery(ctx, s.options.AWS, was.region)
	if err != nil {
		return finding{}
	}
	note := func(host string, iam bool) {
		if awsconfig.Normalize(host) == was.host {
			f.there, f.iam = true, iam
		}
	}
	if q.action = describeInstances; isCluster(was.host) {
		q.action = describeClusters
	}
	err = q.pages(ctx, func(page *answer) {
		for _, i := range page.Instances {
			note(i.Host, i.IAM)
		}
		for _, c := range page.Clusters {
			note(c.Writer, c.IAM)
			note(c.Reader, c.IAM)
		}
	})
	if err != nil || !f.there && isNamedApart(was.host) { // which is in no list
		return finding{}
	}
	f.answered = true
	return f
}

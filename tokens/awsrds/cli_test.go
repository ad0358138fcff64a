package awsrds

import "testing"

func TestCommandsAreAboutWhatIsBehindTheEndpointAndInItsAccount(t *testing.T) {
	for _, row := range []struct{ name, host, status, list string }{
		{
			"instance", "db.abc123.us-east-1.rds.amazonaws.com",
			"aws rds describe-db-instances --db-instance-identifier db --region us-east-1 --profile prod --query 'DBInstances[0].[DBInstanceStatus,Endpoint.Port]'",
			"aws rds describe-db-instances --region us-east-1 --profile prod --query 'DBInstances[].Endpoint.Address'",
		},
		{
			"cluster", "Shop.Cluster-abc123.us-east-1.rds.amazonaws.com.",
			"aws rds describe-db-clusters --db-cluster-identifier shop --region us-east-1 --profile prod --query 'DBClusters[0].[Status,Port]'",
			"aws rds describe-db-clusters --region us-east-1 --profile prod --query 'DBClusters[].[Endpoint,ReaderEndpoint]'",
		},
		{
			"cluster's own endpoint", "reports.cluster-custom-abc123.us-east-1.rds.amazonaws.com",
			"aws rds describe-db-clusters --db-cluster-identifier CLUSTER --region us-east-1 --profile prod --query 'DBClusters[0].[Status,Port]'",
			"aws rds describe-db-clusters --region us-east-1 --profile prod --query 'DBClusters[].[Endpoint,ReaderEndpoint]'",
		},
		{
			"global", "g.global-abc123.global.rds.amazonaws.com",
			"aws rds describe-db-clusters --db-cluster-identifier CLUSTER --region eu-central-1 --profile prod --query 'DBClusters[0].[Status,Port]'",
			"aws rds describe-db-clusters --region eu-central-1 --profile prod --query 'DBClusters[].[Endpoint,ReaderEndpoint]'",
		},
		{
			"proxy", "px.proxy-abc123.us-east-1.rds.amazonaws.com",
			"aws rds describe-db-proxies --db-proxy-name px --region us-east-1 --profile prod --query 'DBProxies[0].Status'",
			"aws rds describe-db-proxies --region us-east-1 --profile prod --query 'DBProxies[].Endpoint'",
		},
		{
			"proxy's own endpoint", "ro.endpoint.proxy-abc123.us-east-1.rds.amazonaws.com",
			"aws rds describe-db-proxies --db-proxy-name PROXY --region us-east-1 --profile prod --query 'DBProxies[0].Status'",
			"aws rds describe-db-proxies --region us-east-1 --profile prod --query 'DBProxies[].Endpoint'",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := CLI{Host: row.host, Region: "eu-central-1", Profile: "prod"}
			if got := c.Status(); got != row.status {
				t.Errorf("status: got\n%s\nwant\n%s", got, row.status)
			}
			if got := c.List(); got != row.list {
				t.Errorf("list: got\n%s\nwant\n%s", got, row.list)
			}
		})
	}
}

func TestCommandsQuoteWhatAShellWouldRun(t *testing.T) {
	c := CLI{Host: "$(x).abc123.us-east-1.rds.amazonaws.com", Profile: "our prod"}
	const want = "aws rds modify-db-instance --db-instance-identifier '$(x)' --region us-east-1 --profile 'our prod' --enable-iam-database-authentication --apply-immediately"
	if got := c.askIAM(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

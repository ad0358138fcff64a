package awsrds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// A Database is one endpoint of RDS or Aurora that speaks PostgreSQL or MySQL.
type Database struct {
	Name     string // of the instance or the cluster
	Cluster  bool   // Name is a cluster's
	Reader   bool   // this is the endpoint of its readers
	Region   string
	Engine   string // as AWS calls it: postgres, mysql, mariadb, aurora-postgresql, aurora-mysql
	Version  string
	Host     string // empty: it is being made
	Port     string
	Database string // that was made with it; empty: none
	Status   string
	IAM      bool   // IAM database authentication is on
	CanIAM   bool   // it can be turned on
	Public   bool   // it has an address of the internet, which a security group may still close
	Master   string // the master user
	Secret   string // ARN of the secret in which RDS keeps the master's password; empty: none
}

// The actions: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/Welcome.html
const (
	describeInstances = "DescribeDBInstances"
	describeClusters  = "DescribeDBClusters"
	describeRegions   = "DescribeSourceRegions"
)

// List returns the databases in a region, in the order of their names; an empty region is that of c.
// Instances of a cluster are not among them, but the cluster's own endpoints. The error is a
// *tokens.Error; it matches ErrNotEnabled where the account
// does not have the region.
//
// It needs rds:DescribeDBInstances and rds:DescribeDBClusters.
func List(ctx context.Context, c *awsconfig.Config, region string) ([]Database, error) {
	q, err := newQuery(ctx, c, region)
	if err != nil {
		return nil, err
	}
	var list []Database
	var instances []dbInstance
	q.action = describeInstances
	if err := q.pages(ctx, func(page *answer) { instances = append(instances, page.Instances...) }); err != nil {
		return nil, describeList(ctx, c, q, err)
	}
	public := map[string]bool{} // clusters that have an instance which is
	for _, i := range instances {
		if i.Cluster != "" {
			public[i.Cluster] = public[i.Cluster] || i.Public
		} else if isEngine(i.Engine) {
			list = append(list, i.database(q.region))
		}
	}
	q.action = describeClusters
	err = q.pages(ctx, func(page *answer) {
		for _, cluster := range page.Clusters {
			if isEngine(cluster.Engine) { // DocumentDB and Neptune are listed too
				cluster.Public = cluster.Public || public[cluster.Name]
				list = append(list, cluster.databases(q.region)...)
			}
		}
	})
	if err != nil {
		return nil, describeList(ctx, c, q, err)
	}
	slices.SortStableFunc(list, func(a, b Database) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Regions returns the regions that RDS knows in the partition of c's own region, which is one of them.
// The account may not have them all. The error is a *tokens.Error.
//
// It needs rds:DescribeSourceRegions.
func Regions(ctx context.Context, c *awsconfig.Config) ([]string, error) {
	q, err := newQuery(ctx, c, "")
	if err != nil {
		return nil, err
	}
	q.action = describeRegions
	regions := []string{q.region}
	err = q.pages(ctx, func(page *answer) {
		for _, r := range page.Regions {
			if awsconfig.IsRegion(r.Name) {
				regions = append(regions, r.Name)
			}
		}
	})
	if err != nil {
		return nil, describeList(ctx, c, q, err)
	}
	slices.Sort(regions)
	return slices.Compact(regions), nil
}

// newQuery loads the configuration.
func newQuery(ctx context.Context, c *awsconfig.Config, region string) (query, error) {
	sdk, err := c.Load(ctx)
	if err != nil {
		return query{}, c.Describe(ctx, "discover aws", err)
	}
	q := query{sdk: sdk, client: httpClient(sdk), region: cmp.Or(region, sdk.Region)}
	switch {
	case q.region == "":
		return query{}, &tokens.Error{
			Source: "discover aws", Err: errors.New("nothing says the region"),
			Advice: "add --region, such as --region eu-west-1, or set AWS_REGION", Denied: true,
		}
	case !awsconfig.IsRegion(q.region): // it becomes a part of the host's name
		return query{}, &tokens.Error{
			Source: "discover aws", Err: fmt.Errorf("%q is no region", q.region), Advice: "write it like eu-west-1", Denied: true,
		}
	}
	return q, nil
}

// isEngine reports whether an engine is one that dbvalet speaks with.
func isEngine(engine string) bool {
	return slices.Contains([]string{"postgres", "mysql", "mariadb", "aurora-postgresql", "aurora-mysql", "aurora"}, engine)
}

func (i dbInstance) database(region string) Database {
	return Database{
		Name: i.Name, Region: region, Engine: i.Engine, Version: i.Version, Host: i.Host, Port: i.Port, Database: i.DBName,
		Status: i.Status, IAM: i.IAM, CanIAM: canIAM(i.Engine, i.Version), Public: i.Public, Master: i.Master, Secret: i.Secret,
	}
}

// databases are the endpoint of the writer, and that of the readers where there are any: otherwise it
// leads to the writer.
func (c dbCluster) databases(region string) []Database {
	writer := Database{
		Name: c.Name, Cluster: true, Region: region, Engine: c.Engine, Version: c.Version, Host: c.Writer, Port: c.Port, Database: c.DBName,
		Status: c.Status, IAM: c.IAM, CanIAM: canIAM(c.Engine, c.Version), Public: c.Public, Master: c.Master, Secret: c.Secret,
	}
	list := []Database{writer}
	if c.Reader != "" && len(c.Members) > 1 {
		reader := writer
		reader.Reader, reader.Host = true, c.Reader
		list = append(list, reader)
	}
	return list
}

// canIAM reports whether IAM database authentication can be turned on: in MariaDB from 10.11 on.
//
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.RDS_Fea_Regions_DB-eng.Feature.IamDatabaseAuthentication.html
func canIAM(engine, version string) bool {
	if engine != "mariadb" {
		return true
	}
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, minorErr := strconv.Atoi(second)
	return err == nil && minorErr == nil && (major > 10 || major == 10 && minor >= 11)
}

// ErrNotEnabled says that the account does not have the region.
var ErrNotEnabled = errors.New("the region is not enabled in this account, or its credentials are not known there")

// notAuthorized takes AWS's words apart.
//
//	User: arn:aws:iam::123456789012:user/app is not authorized to perform: rds:DescribeDBInstances on
//	    resource: arn:aws:rds:us-east-1:123456789012:db:* because no identity-based policy allows the …
var notAuthorized = regexp.MustCompile(`^User: (\S+) is not authorized to perform: (\S+)`)

// describeList says why there is no list.
func describeList(ctx context.Context, c *awsconfig.Config, q query, err error) *tokens.Error {
	source := "discover aws in " + q.region
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || awsconfig.NoCredentials(err) {
		return c.Describe(ctx, source, err)
	}
	switch api.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
		who, action := "this identity", "rds:"+q.action
		if m := notAuthorized.FindStringSubmatch(api.ErrorMessage()); m != nil {
			who, action = awsconfig.Brief(m[1]), m[2]
		}
		e := &tokens.Error{Source: source, Err: fmt.Errorf("%s may not %s", who, action), Denied: true,
			Advice: fmt.Sprintf(`allow it: {"Effect":"Allow","Action":["rds:%s","rds:%s"],"Resource":"*"}`, describeInstances, describeClusters)}
		if q.action == describeRegions {
			e.Advice = fmt.Sprintf(`allow it: {"Effect":"Allow","Action":"rds:%s","Resource":"*"}, or name one region with --region`, q.action)
		}
		if strings.Contains(api.ErrorMessage(), "with an explicit deny") {
			e.Advice = "there is an explicit deny, so that another permission is of no use: change the policy that denies it"
		}
		return e
	case "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "OptInRequired":
		return &tokens.Error{Source: source, Err: fmt.Errorf("%w: %s", ErrNotEnabled, api.ErrorCode()), Denied: true,
			Advice: "name another with --region, or check the credentials: aws sts get-caller-identity"}
	}
	return c.Describe(ctx, source, err)
}

package awsrds

import (
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	sdkrds "github.com/aws/aws-sdk-go-v2/service/rds"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

const lister = "arn:aws:iam::123456789012:user/lister"

// newList starts an RDS, and returns who may ask it.
func newList(t *testing.T) (*awsfake.RDS, *awsconfig.Config) {
	t.Helper()
	awsfake.Isolate(t)
	keys := &awsfake.Keys{}
	keys.Add(keyID, awsfake.Key{Secret: secretKey, SessionToken: "session/token+of==", ARN: lister})
	fake, err := awsfake.NewRDS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "session/token+of==",
		"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_RDS": fake.URL, "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	c, err := awsconfig.New(awsconfig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return fake, c
}

// fill has one of each kind, in an order that is not that of their names.
func fill(fake *awsfake.RDS) {
	at := func(name string, port int) *awsfake.DBEndpoint {
		return &awsfake.DBEndpoint{Address: name + ".abc123.eu-west-1.rds.amazonaws.com", Port: port}
	}
	for _, i := range []awsfake.DBInstance{
		{DBInstanceIdentifier: "orders", Engine: "postgres", EngineVersion: "17.4", DBInstanceStatus: "available", DBName: "orders",
			MasterUsername: "postgres", Endpoint: at("orders", 5432), IAMDatabaseAuthenticationEnabled: true},
		{DBInstanceIdentifier: "legacy", Engine: "mariadb", EngineVersion: "10.6.21", DBInstanceStatus: "available", Endpoint: at("legacy", 3306),
			MasterUsername: "admin", MasterUserSecret: &awsfake.DBMasterSecret{SecretArn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1", SecretStatus: "active"}},
		{DBInstanceIdentifier: "billing", Engine: "mysql", EngineVersion: "8.4.4", DBInstanceStatus: "creating", MasterUsername: "admin"},
		{DBInstanceIdentifier: "ledger", Engine: "oracle-ee", EngineVersion: "19", DBInstanceStatus: "available", Endpoint: at("ledger", 1521)},
		{DBInstanceIdentifier: "shop-1", DBClusterIdentifier: "shop", Engine: "aurora-mysql", EngineVersion: "8.0.mysql_aurora.3.08.0", DBInstanceStatus: "available",
			Endpoint: at("shop-1", 3306), PubliclyAccessible: true},
	} {
		fake.AddInstance("eu-west-1", i)
	}
	fake.AddCluster("eu-west-1", awsfake.DBCluster{
		DBClusterIdentifier: "shop", Engine: "aurora-mysql", EngineVersion: "8.0.mysql_aurora.3.08.0", Status: "available", DatabaseName: "shop", MasterUsername: "admin",
		Endpoint: "shop.cluster-abc123.eu-west-1.rds.amazonaws.com", ReaderEndpoint: "shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", Port: 3306,
		Members: []awsfake.DBMember{{DBInstanceIdentifier: "shop-1", IsClusterWriter: true}, {DBInstanceIdentifier: "shop-2"}},
	})
	fake.AddCluster("eu-west-1", awsfake.DBCluster{
		DBClusterIdentifier: "alone", Engine: "aurora-postgresql", EngineVersion: "16.6", Status: "available", Port: 5432, IAMDatabaseAuthenticationEnabled: true,
		Endpoint: "alone.cluster-abc123.eu-west-1.rds.amazonaws.com", ReaderEndpoint: "alone.cluster-ro-abc123.eu-west-1.rds.amazonaws.com",
		Members: []awsfake.DBMember{{DBInstanceIdentifier: "alone-1", IsClusterWriter: true}},
	})
	fake.AddCluster("eu-west-1", awsfake.DBCluster{DBClusterIdentifier: "graph", Engine: "neptune", Status: "available", Port: 8182})
	fake.AddInstance("us-east-1", awsfake.DBInstance{DBInstanceIdentifier: "elsewhere", Engine: "postgres", EngineVersion: "16.1", DBInstanceStatus: "available"})
}

func TestListHasTheEndpointsThatSpeakPostgreSQLOrMySQL(t *testing.T) {
	fake, c := newList(t)
	fill(fake)
	fake.SetPage(2) // so that there are several
	got, err := List(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	const domain = "abc123.eu-west-1.rds.amazonaws.com"
	want := []Database{
		{Name: "alone", Cluster: true, Region: "eu-west-1", Engine: "aurora-postgresql", Version: "16.6", Host: "alone.cluster-" + domain, Port: "5432",
			Status: "available", IAM: true, CanIAM: true},
		{Name: "billing", Region: "eu-west-1", Engine: "mysql", Version: "8.4.4", Status: "creating", CanIAM: true, Master: "admin"},
		{Name: "legacy", Region: "eu-west-1", Engine: "mariadb", Version: "10.6.21", Host: "legacy." + domain, Port: "3306", Status: "available", Master: "admin",
			Secret: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1"},
		{Name: "orders", Region: "eu-west-1", Engine: "postgres", Version: "17.4", Host: "orders." + domain, Port: "5432", Database: "orders",
			Status: "available", IAM: true, CanIAM: true, Master: "postgres"},
		{Name: "shop", Cluster: true, Region: "eu-west-1", Engine: "aurora-mysql", Version: "8.0.mysql_aurora.3.08.0", Host: "shop.cluster-" + domain, Port: "3306",
			Database: "shop", Status: "available", CanIAM: true, Public: true, Master: "admin"},
		{Name: "shop", Cluster: true, Reader: true, Region: "eu-west-1", Engine: "aurora-mysql", Version: "8.0.mysql_aurora.3.08.0", Host: "shop.cluster-ro-" + domain, Port: "3306",
			Database: "shop", Status: "available", CanIAM: true, Public: true, Master: "admin"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if n := fake.Count(describeInstances); n != 3 {
		t.Errorf("%d requests for the instances, want one for each of 3 pages", n)
	}
	if got, err := List(t.Context(), c, "us-east-1"); err != nil || len(got) != 1 || got[0].Name != "elsewhere" || got[0].Region != "us-east-1" {
		t.Errorf("us-east-1: got %+v, %v, want the one that is there", got, err)
	}
}

// TestFakeIsWhatTheSDKTakesForRDS asks the fake by way of AWS's own client, which reads the same as we do.
func TestFakeIsWhatTheSDKTakesForRDS(t *testing.T) {
	fake, c := newList(t)
	fill(fake)
	fake.SetPage(2)
	sdk, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := sdkrds.NewFromConfig(sdk)
	ours, err := newQuery(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	var instances []dbInstance
	for pages := sdkrds.NewDescribeDBInstancesPaginator(client, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.DBInstances {
			one := dbInstance{
				Name: aws.ToString(i.DBInstanceIdentifier), Cluster: aws.ToString(i.DBClusterIdentifier), Engine: aws.ToString(i.Engine), Version: aws.ToString(i.EngineVersion),
				Status: aws.ToString(i.DBInstanceStatus), DBName: aws.ToString(i.DBName), Master: aws.ToString(i.MasterUsername),
				IAM: aws.ToBool(i.IAMDatabaseAuthenticationEnabled), Public: aws.ToBool(i.PubliclyAccessible),
			}
			if i.Endpoint != nil {
				one.Host, one.Port = aws.ToString(i.Endpoint.Address), itoa(i.Endpoint.Port)
			}
			if i.MasterUserSecret != nil {
				one.Secret = aws.ToString(i.MasterUserSecret.SecretArn)
			}
			instances = append(instances, one)
		}
	}
	var got []dbInstance
	ours.action = describeInstances
	if err := ours.pages(t.Context(), func(page *answer) { got = append(got, page.Instances...) }); err != nil || len(got) != 5 || !reflect.DeepEqual(got, instances) {
		t.Errorf("instances: got %+v, %v; the SDK has %+v", got, err, instances)
	}
	var clusters []dbCluster
	for pages := sdkrds.NewDescribeDBClustersPaginator(client, nil); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.DBClusters {
			one := dbCluster{
				Name: aws.ToString(i.DBClusterIdentifier), Engine: aws.ToString(i.Engine), Version: aws.ToString(i.EngineVersion), Status: aws.ToString(i.Status),
				DBName: aws.ToString(i.DatabaseName), Master: aws.ToString(i.MasterUsername), Writer: aws.ToString(i.Endpoint), Reader: aws.ToString(i.ReaderEndpoint),
				Port: itoa(i.Port), IAM: aws.ToBool(i.IAMDatabaseAuthenticationEnabled),
			}
			for _, m := range i.DBClusterMembers {
				one.Members = append(one.Members, struct {
					Writer bool `xml:"IsClusterWriter"`
				}{aws.ToBool(m.IsClusterWriter)})
			}
			clusters = append(clusters, one)
		}
	}
	var gotClusters []dbCluster
	ours.action = describeClusters
	if err := ours.pages(t.Context(), func(page *answer) { gotClusters = append(gotClusters, page.Clusters...) }); err != nil || len(gotClusters) != 3 || !reflect.DeepEqual(gotClusters, clusters) {
		t.Errorf("clusters: got %+v, %v; the SDK has %+v", gotClusters, err, clusters)
	}
}

func itoa(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

func TestListThatIsRefusedSaysWhatIsMissing(t *testing.T) {
	for _, row := range []struct {
		name    string
		failure *awsfake.Refusal
		want    []string // in the error, and in the hint
		denied  bool
		asked   int
	}{
		{"permission", awsfake.Denied, []string{"discover aws in eu-west-1: ", "user/lister may not rds:DescribeDBInstances",
			`{"Effect":"Allow","Action":["rds:DescribeDBInstances","rds:DescribeDBClusters"],"Resource":"*"}`}, true, 1},
		{"throttled", awsfake.Throttled, []string{"Rate exceeded", "check the network"}, false, 2},
		{"down", awsfake.Down, []string{"Service is unavailable", "check the network"}, false, 2},
		{"cut", awsfake.Cut, []string{"EOF", "check the network"}, false, 1},
		{"expired", &awsfake.Refusal{Status: http.StatusForbidden, Code: "ExpiredToken", Message: "The security token included in the request is expired"},
			[]string{"ExpiredToken"}, true, 1},
		{"no XML", &awsfake.Refusal{Status: http.StatusTeapot}, []string{"the answer is no error of RDS"}, false, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			fake, c := newList(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "2")
			fake.Fail(row.failure)
			_, err := List(t.Context(), c, "")
			e, ok := errors.AsType[*tokens.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *tokens.Error", err)
			}
			for _, want := range row.want {
				if text := e.Error() + "\n" + e.Advice; !strings.Contains(text, want) {
					t.Errorf("got %s\nwant in it %q", text, want)
				}
			}
			if n := fake.Count(""); n != row.asked || e.Denied != row.denied {
				t.Errorf("asked %d times, denied %v, want %d, %v", n, e.Denied, row.asked, row.denied)
			}
		})
	}
}

func TestListNeedsRegionThatIsOne(t *testing.T) {
	_, c := newList(t)
	t.Setenv("AWS_REGION", "")
	for region, want := range map[string]string{"": "nothing says the region", "evil.example.com/": "is no region"} {
		if _, err := List(t.Context(), c, region); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", region, err, want)
		}
	}
}

func TestListIsNotAskedForInClear(t *testing.T) {
	_, c := newList(t)
	t.Setenv("AWS_ENDPOINT_URL_RDS", "http://rds.example.com")
	if _, err := List(t.Context(), c, ""); !errors.Is(err, tokens.ErrInClear) {
		t.Errorf("got %v, want %v", err, tokens.ErrInClear)
	}
}

func TestRegionsAreThoseOfThePartition(t *testing.T) {
	fake, c := newList(t)
	fake.SetRegions([]string{"us-east-1", "eu-west-1", "ap-south-2"}, "ap-south-2")
	got, err := Regions(t.Context(), c)
	if want := []string{"ap-south-2", "eu-west-1", "us-east-1"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := List(t.Context(), c, "ap-south-2"); !errors.Is(err, ErrNotEnabled) {
		t.Errorf("got %v, want %v", err, ErrNotEnabled)
	}
}

func TestEndpointIsThatOfThePartition(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "https://rds.eu-west-1.amazonaws.com/", "cn-north-1": "https://rds.cn-north-1.amazonaws.com.cn/",
		"us-gov-west-1": "https://rds.us-gov-west-1.amazonaws.com/", "us-isob-east-1": "https://rds.us-isob-east-1.sc2s.sgov.gov/",
	} {
		u, err := query{region: region}.endpoint(t.Context())
		if err != nil || u.String() != want {
			t.Errorf("%s: got %v, %v, want %s", region, u, err, want)
		}
	}
}

func TestMariaDBHasIAMFrom1011On(t *testing.T) {
	for version, want := range map[string]bool{"10.5.1": false, "10.6.21": false, "10.11.2": true, "11.4.5": true, "": false, "x.y": false} {
		if got := canIAM("mariadb", version); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBInstancesResult><Marker>2</Marker>` +
		`<DBInstances><DBInstance><Engine>mysql</Engine><Endpoint><Port>3306</Port></Endpoint></DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>`))
	f.Add([]byte(`<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := parseAnswer(text); (a == nil) == (err == nil) {
			t.Errorf("got %v and %v", a, err)
		}
		if refusal(text) == nil {
			t.Error("no error")
		}
	})
}

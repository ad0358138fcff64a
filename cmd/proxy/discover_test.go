package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/config"
	"dbvalet/integration/awsfake"
	"dbvalet/integration/gcpfake"
	"dbvalet/tokens/azure"
)

// discovers runs dbvalet discover, and returns what it prints.
func discovers(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	status = run(append([]string{"discover"}, args...), &out, &errOut, process{})
	return status, out.String(), errOut.String()
}

// wantRoutes checks that each line of text is a route that can be served.
func wantRoutes(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		r, err := config.ParseRoute(strings.TrimSpace(line))
		if err == nil {
			err = checkRoute(*r, newOverall(0, 0, 0))
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// wantFile checks that text is a configuration file that can be served.
func wantFile(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dbvalet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut strings.Builder
	if status := run([]string{"config", "check", "--config", path}, &out, &errOut, process{}); status != exitOK {
		t.Errorf("config check: %s\n%s", errOut.String(), text)
	}
}

// fakeRDS starts an RDS in two regions.
func fakeRDS(t *testing.T) *awsfake.RDS {
	t.Helper()
	awsfake.Isolate(t)
	keys := &awsfake.Keys{}
	keys.Add("AKIDEXAMPLE", awsfake.Key{Secret: "key", ARN: "arn:aws:iam::123456789012:user/dev"})
	fake, err := awsfake.NewRDS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_RDS": fake.URL,
	} {
		t.Setenv(name, value)
	}
	at := func(name string, port int) *awsfake.DBEndpoint {
		return &awsfake.DBEndpoint{Address: name + ".abc123.eu-west-1.rds.amazonaws.com", Port: port}
	}
	fake.AddInstance("eu-west-1", awsfake.DBInstance{
		DBInstanceIdentifier: "orders", Engine: "postgres", EngineVersion: "17.4", DBInstanceStatus: "available", DBName: "orders",
		Endpoint: at("orders", 5432), IAMDatabaseAuthenticationEnabled: true,
	})
	fake.AddInstance("eu-west-1", awsfake.DBInstance{
		DBInstanceIdentifier: "billing", Engine: "mysql", EngineVersion: "8.4.4", DBInstanceStatus: "creating",
	})
	fake.AddInstance("eu-west-1", awsfake.DBInstance{
		DBInstanceIdentifier: "legacy", Engine: "mariadb", EngineVersion: "10.6.21", DBInstanceStatus: "available", Endpoint: at("legacy", 3306), PubliclyAccessible: true,
		MasterUsername: "admin", MasterUserSecret: &awsfake.DBMasterSecret{SecretArn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1a2b-AbCdEf"},
	})
	fake.AddCluster("eu-west-1", awsfake.DBCluster{
		DBClusterIdentifier: "shop", Engine: "aurora-mysql", EngineVersion: "8.0.mysql_aurora.3.08.0", Status: "available", IAMDatabaseAuthenticationEnabled: true,
		Endpoint: "shop.cluster-abc123.eu-west-1.rds.amazonaws.com", ReaderEndpoint: "shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", Port: 3306,
		Members: []awsfake.DBMember{{IsClusterWriter: true}, {}},
	})
	fake.AddInstance("us-east-1", awsfake.DBInstance{
		DBInstanceIdentifier: "orders", Engine: "postgres", EngineVersion: "16.1", DBInstanceStatus: "available",
		Endpoint: &awsfake.DBEndpoint{Address: "orders.xyz789.us-east-1.rds.amazonaws.com", Port: 5433}, IAMDatabaseAuthenticationEnabled: true,
	})
	fake.SetRegions([]string{"us-east-1", "eu-west-1", "me-south-1"}, "me-south-1")
	return fake
}

const awsTable = `NAME           ENGINE               ENDPOINT                                              IAM LOGIN  PUBLIC  STATUS
billing        MySQL 8.4.4          -                                                     off [1]    no      creating
legacy         MariaDB 10.6.21      legacy.abc123.eu-west-1.rds.amazonaws.com:3306        off [2]    yes     available
orders         PostgreSQL 17.4      orders.abc123.eu-west-1.rds.amazonaws.com:5432        on         no      available
shop (writer)  Aurora MySQL 3.08.0  shop.cluster-abc123.eu-west-1.rds.amazonaws.com:3306  on         no      available
shop (reader)  Aurora MySQL 3.08.0  shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:3306  on         no      available

[1] turn it on: aws rds modify-db-instance --db-instance-identifier billing --region eu-west-1 --enable-iam-database-authentication --apply-immediately
[2] legacy: the route logs in as admin, with the password that RDS keeps; RDS has IAM login in MariaDB from 10.11 on

Serve one, or write it into your file with "dbvalet init":
  dbvalet 'mysql://legacy.abc123.eu-west-1.rds.amazonaws.com:3306?auth=awssecretsmanager://arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1a2b-AbCdEf'
  dbvalet postgres://app@orders.abc123.eu-west-1.rds.amazonaws.com:5432/orders
  dbvalet mysql://app@shop.cluster-abc123.eu-west-1.rds.amazonaws.com:3306
  dbvalet mysql://app@shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:3306
`

func TestDiscoverAWSShowsWhatThereIsAndHowToReachIt(t *testing.T) {
	fakeRDS(t)
	if status, stdout, stderr := discovers(t, "aws"); status != exitOK || stripGaps(stdout) != stripGaps(awsTable) || stderr != "app stands for the database user: name yours with --user\n" {
		t.Errorf("got %d, %s\n%s\nwant\n%s", status, stderr, stdout, awsTable)
	}
	_, stdout, stderr := discovers(t, "aws", "--routes", "--user=eve")
	if n := strings.Count(stdout, "\n"); n != 4 || strings.Count(stdout, "://eve@") != 3 || !strings.HasPrefix(stderr, "1 without a route") {
		t.Errorf("got %d routes\n%s\n%s\nwant 4, with the user where there is one", n, stdout, stderr)
	}
	wantRoutes(t, stdout)
	_, stdout, _ = discovers(t, "aws", "--yaml")
	wantFile(t, stdout)
	for _, want := range []string{"name: shop-ro\n", "listen: 127.0.0.1:3308\n", "auth: awssecretsmanager://arn:"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got\n%s\nwant in it %q", stdout, want)
		}
	}
}

// stripGaps leaves one space of several: how wide a column is says its longest cell.
func stripGaps(text string) string {
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	return text
}

func TestDiscoverAWSLooksInAllRegions(t *testing.T) {
	fakeRDS(t)
	status, stdout, stderr := discovers(t, "aws", "--all-regions", "--json")
	var found []finding
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || status != exitOK {
		t.Fatalf("%d, %v, %s", status, err, stderr)
	}
	places := map[string]int{}
	for _, f := range found {
		places[f.Where]++
	}
	if len(found) != 6 || places["eu-west-1"] != 5 || places["us-east-1"] != 1 {
		t.Errorf("got %d databases in %v, want 6 in the two regions that the account has", len(found), places)
	}
	_, stdout, _ = discovers(t, "aws", "--all-regions", "--yaml")
	wantFile(t, stdout) // two are called orders
	if _, stdout, _ = discovers(t, "aws", "--all-regions"); !strings.Contains(stdout, "STATUS     WHERE") {
		t.Errorf("got\n%s\nwant the regions in it", stdout)
	}
}

func TestDiscoverAWSSaysWhatIsMissing(t *testing.T) {
	fake := fakeRDS(t)
	fake.Fail(awsfake.Denied)
	status, stdout, stderr := discovers(t, "aws", "--json")
	if status != exitError || stdout != "" || !strings.Contains(stderr, "user/dev may not rds:DescribeDBInstances") || !strings.Contains(stderr, "hint: allow it: ") {
		t.Errorf("got %d, %q, %s", status, stdout, stderr)
	}
	t.Setenv("AWS_PROFILE", "missing")
	if status, _, stderr := discovers(t, "aws"); status != exitError || !strings.Contains(stderr, `no profile "missing"`) || !strings.Contains(stderr, "aws configure list-profiles") {
		t.Errorf("got %d, %s, want a hint of the profiles", status, stderr)
	}
}

func TestDiscoverNothingIsSaid(t *testing.T) {
	fakeRDS(t)
	for _, row := range []struct{ flag, stdout string }{{"--json", "[]\n"}, {"--routes", ""}, {"--yaml", ""}, {"--region=ap-south-1", ""}} {
		status, stdout, stderr := discovers(t, "aws", "--region=ap-south-1", row.flag)
		if status != exitOK || stdout != row.stdout || row.flag != "--json" && !strings.Contains(stderr, "no database that speaks") {
			t.Errorf("%s: got %d, %q, %q", row.flag, status, stdout, stderr)
		}
	}
}

func TestDiscoverGCPProposesTheConnector(t *testing.T) {
	const app = "app@proj.iam.gserviceaccount.com"
	g, err := gcpfake.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	a := gcpfake.NewSQLAdmin(g)
	t.Cleanup(a.Close)
	path, err := g.ServiceAccount(app).Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"GOOGLE_APPLICATION_CREDENTIALS": path, "GCE_METADATA_HOST": g.Host(), "CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL": g.URL, "GOOGLE_CLOUD_PROJECT": "proj",
	} {
		t.Setenv(name, value)
	}
	if status, _, stderr := discovers(t, "gcp"); status != exitError || !strings.Contains(stderr, app+" may not cloudsql.instances.list") || !strings.Contains(stderr, "roles/cloudsql.viewer") {
		t.Errorf("got %d, %s, want that a role is missing", status, stderr)
	}
	a.AllowList(app, 1)
	a.List(gcpfake.Listing{Name: "proj:europe-west1:orders", Version: "POSTGRES_17", Addresses: []string{"PRIVATE"}, Flags: map[string]string{"cloudsql.iam_authentication": "on"}})
	a.List(gcpfake.Listing{Name: "proj:europe-west1:shop", Version: "MYSQL_8_4", Addresses: []string{"PRIMARY"}, Flags: map[string]string{"sql_mode": "ANSI,TRADITIONAL"}})
	a.List(gcpfake.Listing{Name: "proj:us-east1:cart", Version: "MYSQL_8_0_41", Addresses: []string{"PRIMARY"}, Flags: map[string]string{"cloudsql_iam_authentication": "on"}})
	const want = `NAME ENGINE ENDPOINT IAM LOGIN PUBLIC STATUS WHERE
cart MySQL 8.0.41 proj:us-east1:cart on yes runnable us-east1
orders PostgreSQL 17 proj:europe-west1:orders on no runnable europe-west1
shop MySQL 8.4 proj:europe-west1:shop off [1] yes runnable europe-west1

[1] turn it on: gcloud sql instances patch shop --project=proj '--database-flags=^~^cloudsql_iam_authentication=on~sql_mode=ANSI,TRADITIONAL'

Serve one, or write it into your file with "dbvalet init":
 dbvalet 'mysql://?instance=proj:us-east1:cart'
 dbvalet 'postgres://?instance=proj:europe-west1:orders&ip_type=private'
`
	if status, stdout, stderr := discovers(t, "gcp"); status != exitOK || stripGaps(stdout) != want {
		t.Errorf("got %d, %s\n%s\nwant\n%s", status, stderr, stripGaps(stdout), want)
	}
	_, stdout, _ := discovers(t, "gcp", "--routes", "--user=eve@example.com")
	wantRoutes(t, stdout)
	if !strings.Contains(stdout, "postgres://eve%40example.com@/?instance=") {
		t.Errorf("got\n%s\nwant the user in it", stdout)
	}
	_, stdout, _ = discovers(t, "gcp", "--yaml")
	wantFile(t, stdout)
}

func TestDiscoverAzureProposesEntra(t *testing.T) {
	p := azurePlace{options: azure.Options{Tenant: "contoso.com", Cloud: "public"}}
	const id = "/subscriptions/s/resourceGroups/shop (new)/providers/x/flexibleServers/"
	var found []finding
	for _, s := range []azure.Server{
		{ID: id + "orders", Name: "orders", Group: "shop (new)", Engine: "postgres", Version: "17", Host: "orders.postgres.database.azure.com", State: "Ready", Entra: true, Location: "westeurope"},
		{ID: id + "billing", Name: "billing", Group: "shop (new)", Engine: "postgres", Version: "16", Host: "billing.postgres.database.azure.com", State: "Ready", Public: true, Location: "westeurope"},
		{ID: id + "cart", Name: "cart", Group: "shop (new)", Engine: "mysql", Version: "8.4", Host: "cart.mysql.database.azure.com", State: "Stopped", Location: "westeurope"},
		{ID: id + "toys", Name: "toys", Group: "shop (new)", Engine: "mysql", Version: "8.4", Host: "toys.mysql.database.azure.com", State: "Ready", EntraUnknown: true, Location: "westeurope"},
	} {
		found = append(found, p.finding(s))
	}
	const want = `NAME ENGINE ENDPOINT IAM LOGIN PUBLIC STATUS
orders PostgreSQL 17 orders.postgres.database.azure.com:5432 on no ready
billing PostgreSQL 16 billing.postgres.database.azure.com:5432 off [1] yes ready
cart MySQL 8.4 cart.mysql.database.azure.com:3306 off [2] no stopped
toys MySQL 8.4 toys.mysql.database.azure.com:3306 unknown [3] no ready

[1] turn it on: az postgres flexible-server update --ids '/subscriptions/s/resourceGroups/shop (new)/providers/x/flexibleServers/billing' --microsoft-entra-auth Enabled
[2] turn it on: az mysql flexible-server ad-admin create --resource-group 'shop (new)' --server-name cart --display-name NAME --object-id ID --identity IDENTITY
[3] Microsoft.DBforMySQL/flexibleServers/administrators/read is missing to know it

Serve one, or write it into your file with "dbvalet init":
 dbvalet 'postgres://orders.postgres.database.azure.com:5432/postgres?auth=azure-entra&cloud=public&tenant=contoso.com'
 dbvalet 'mysql://toys.mysql.database.azure.com:3306?auth=azure-entra&cloud=public&tenant=contoso.com'
`
	var out, people strings.Builder
	if err := (discoverOutput{}).print(found, &out, &people); err != nil || stripGaps(out.String()) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, stripGaps(out.String()), want)
	}
	out.Reset()
	if err := (discoverOutput{routes: true}).print(found, &out, &people); err != nil {
		t.Fatal(err)
	}
	wantRoutes(t, out.String())
}

// TestDraftSurvivesTheFileAndTheURL has names with everything in them that has a meaning.
func TestDraftSurvivesTheFileAndTheURL(t *testing.T) {
	d := draft{Name: "a: b #c", Scheme: "postgres", User: "eve@example.com/x", Host: "db.example.com", Port: "5433", Database: "or/d?ers"}
	d.add("auth", "file:/run/a b&c#d%e+f")
	d.add("ca", "yes")
	r, err := config.ParseRoute(d.url())
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.yaml(2)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, []byte("routes:\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{Environ: []string{"DBVALET_CONFIG=" + path}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for name, got := range map[string]*config.Route{"URL": r, "file": c.Routes[0]} {
		if got.User != d.User || got.Database != d.Database || got.Auth != d.Options[0].value || got.CA != "yes" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if c.Routes[0].Name != d.Name {
		t.Errorf("got name %q, want %q", c.Routes[0].Name, d.Name)
	}
}

package integration

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/gcpfake"
)

// TestDiscoveredRouteLogsIn lists a database that is there, and serves the route that was printed. What
// is added is only the way to it, and the CA of the test.
func TestDiscoveredRouteLogsIn(t *testing.T) {
	p := pg18(t)
	keys := &awsfake.Keys{}
	keys.Add(p.AccessKeyID, awsfake.Key{Secret: p.SecretAccessKey, SessionToken: p.SessionToken, ARN: cloudCaller})
	fake, err := awsfake.NewRDS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	env := append(p.AWSEnvironment(), "AWS_ENDPOINT_URL_RDS="+fake.URL, "AWS_MAX_ATTEMPTS=1")
	fake.AddInstance(p.Region, awsfake.DBInstance{
		DBInstanceIdentifier: "orders", Engine: "postgres", EngineVersion: "18.1", DBInstanceStatus: "available", DBName: p.Database,
		Endpoint: &awsfake.DBEndpoint{Address: p.Endpoint, Port: p.Port}, IAMDatabaseAuthenticationEnabled: true,
	})
	found, stderr, status := toItsEnd(t, env, "", "discover", "aws", "--routes", "--user=app")
	if status != 0 || strings.Count(found, "\n") != 1 {
		t.Fatalf("status %d, %q\n%s", status, found, stderr)
	}
	here := "listen=127.0.0.1:0&dial=" + p.Addr() + "&ca=" + url.QueryEscape(p.CAFile)
	v := start(t, env, strings.TrimSpace(found)+"?"+here)
	psqlProgram.logsInAs(t, v, 0, "app")

	file := filepath.Join(t.TempDir(), "dbvalet.yaml")
	yaml, _, _ := toItsEnd(t, env, "", "discover", "aws", "--yaml", "--user=app")
	port := freePort(t)
	yaml = strings.Replace(yaml, "listen: 127.0.0.1:5432", "listen: 127.0.0.1:"+port, 1) + "    dial: " + p.Addr() + "\n    ca: " + p.CAFile + "\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	v = startCommand(t, command(t, program, env, "--config="+file), 1)
	psqlProgram.logsInAs(t, v, 0, "app")

	fake.Fail(awsfake.Denied)
	stdout, stderr, status := toItsEnd(t, env, "", "discover", "aws")
	if status != 1 || stdout != "" || !strings.Contains(stderr, cloudCaller+" may not rds:DescribeDBInstances") {
		t.Errorf("got status %d, %s\n%s", status, stdout, stderr)
	}
}

func TestDiscoveredInstanceOfCloudSQLIsReachedByItsConnector(t *testing.T) {
	const account = "finder@proj.iam.gserviceaccount.com"
	p := pgTokens(t)
	g, env := google(t, account)
	a := gcpfake.NewSQLAdmin(g)
	t.Cleanup(a.Close)
	a.AllowConnect(account)
	a.AllowList(account, 1)
	name, _ := instance(t, a, &p.Server, "POSTGRES_18")
	for _, l := range []gcpfake.Listing{
		{Name: "proj:europe-west1:another", Version: "MYSQL_8_4", Addresses: []string{"PRIMARY"}},
		{Name: name, Version: "POSTGRES_18", Addresses: []string{"PRIMARY"}, Flags: map[string]string{"cloudsql.iam_authentication": "on"}},
	} {
		a.List(l)
	}
	alter(t, p, `CREATE ROLE "finder@proj.iam" LOGIN IN ROLE connected`)
	env = append(env, "CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL="+g.URL)
	stdout, stderr, status := toItsEnd(t, env, "", "discover", "gcp", "--project=proj", "--json")
	var found []struct {
		Name, IAM, Enable, Route string
	}
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || status != 0 || len(found) != 2 {
		t.Fatalf("status %d, %v, %s\n%s", status, err, stdout, stderr)
	}
	if off := found[0]; off.Route != "" || !strings.Contains(off.Enable, "gcloud sql instances patch another") {
		t.Errorf("got %+v, want the command that turns it on, and no route", off)
	}
	v := start(t, env, found[1].Route+"&listen=127.0.0.1:0&sqladmin_endpoint="+url.QueryEscape(g.URL))
	psqlProgram.logsInAs(t, v, 0, "finder@proj.iam")
}

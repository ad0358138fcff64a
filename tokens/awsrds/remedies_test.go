package awsrds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// copies returns what the remedies have to copy, and texts what they say.
func copies(list []tokens.Remedy) (texts, copies string) {
	for _, r := range list {
		texts += r.Text + "\n"
		copies += r.Copy + "\n"
	}
	return texts, copies
}

func TestRemediesOfARefusedTokenAreThePolicyAndTheInstance(t *testing.T) {
	a := newAccount(t).env()
	a.cloud(userARN)
	t.Setenv("AWS_ENDPOINT_URL_RDS", "http://127.0.0.1:1") // which nobody need be able to ask
	s := a.source(Options{})
	sign(t, s, "app")
	texts, copied := copies(s.Remedies(t.Context(), tokens.Refusal{User: "app"}))
	for _, want := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:eu-west-1:111111111111:dbuser:*/app"}]}`,
		"aws rds describe-db-instances --db-instance-identifier db --region eu-west-1 --query 'DBInstances[0].IAMDatabaseAuthenticationEnabled'",
		"aws rds modify-db-instance --db-instance-identifier db --region eu-west-1 --enable-iam-database-authentication --apply-immediately",
	} {
		if !strings.Contains(copied, want+"\n") {
			t.Errorf("got\n%s\nwant %s in it", copied, want)
		}
	}
	if !strings.Contains(texts, userARN+" needs this policy") || strings.Contains(copied, "GRANT") {
		t.Errorf("got\n%s\n%s\nwant who needs it, and no grant: the database has asked IAM", texts, copied)
	}
}

func TestRemediesNameTheClusterAndTheRegionThatWasNotMeant(t *testing.T) {
	a := newAccount(t).env()
	a.cloud(userARN)
	t.Setenv("AWS_ENDPOINT_URL_RDS", "http://127.0.0.1:1")
	s := a.source(Options{Endpoint: "shop.cluster-ro-abc123.us-east-1.rds.amazonaws.com:3306", Region: "eu-west-1", Engine: "mysql"})
	sign(t, s, "app")
	texts, copied := copies(s.Remedies(t.Context(), tokens.Refusal{User: "app"}))
	if !strings.HasPrefix(texts, "the token is signed for eu-west-1, and the endpoint is in us-east-1: leave region=eu-west-1 out") {
		t.Errorf("got\n%s", texts)
	}
	if !strings.Contains(copied, "aws rds modify-db-cluster --db-cluster-identifier shop ") {
		t.Errorf("got\n%s", copied)
	}
}

func TestRemediesAreForTheAccountOfTheProfile(t *testing.T) {
	a := newAccount(t)
	a.cloud(userARN)
	t.Setenv("AWS_ENDPOINT_URL_RDS", "http://127.0.0.1:1")
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[prod]\naws_access_key_id = "+keyID+"\naws_secret_access_key = "+secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
	s := a.as(awsconfig.Options{Profile: "prod"}, Options{})
	sign(t, s, "app")
	_, copied := copies(s.Remedies(t.Context(), tokens.Refusal{User: "app"}))
	for _, want := range []string{
		"aws rds describe-db-instances --db-instance-identifier db --region eu-west-1 --profile prod --query ",
		"aws rds modify-db-instance --db-instance-identifier db --region eu-west-1 --profile prod --enable-iam-database-authentication ",
	} {
		if !strings.Contains(copied, want) {
			t.Errorf("got\n%s\nwant %s in it", copied, want)
		}
	}
}

func TestRemediesAreWhatRDSSaysWhereItMayBeAsked(t *testing.T) {
	const off, elsewhere, allowed = "IAM authentication is off: turn it on", "account 111111111111, which we are in, has no database at this endpoint", "needs this policy"
	for _, row := range []struct {
		name, endpoint string
		fill           func(*awsfake.RDS)
		want, not      string
	}{
		{"off", instance, func(f *awsfake.RDS) { f.AddInstance("eu-west-1", instanceAt(instance, false)) }, off, allowed},
		{"on", instance, func(f *awsfake.RDS) { f.AddInstance("eu-west-1", instanceAt(strings.ToUpper(instance), true)) }, allowed, "must be on"},
		{"of another account", instance, func(f *awsfake.RDS) { f.AddInstance("eu-west-1", instanceAt("x"+instance, true)) }, elsewhere, "must be on"},
		{"denied", instance, func(f *awsfake.RDS) { f.Fail(awsfake.Denied) }, "must be on", elsewhere},
		{"cluster's reader", "shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", func(f *awsfake.RDS) {
			f.AddCluster("eu-west-1", awsfake.DBCluster{DBClusterIdentifier: "shop", ReaderEndpoint: "shop.cluster-ro-abc123.eu-west-1.rds.amazonaws.com"})
		}, off, allowed},
		{"global endpoint", "own.global-abc123.global.rds.amazonaws.com", func(*awsfake.RDS) {}, "must be on", elsewhere},
		{"cluster's custom endpoint", "own.cluster-custom-abc123.eu-west-1.rds.amazonaws.com", func(*awsfake.RDS) {}, "must be on", elsewhere},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newAccount(t).env()
			_, keys := a.cloud(userARN)
			fake, err := awsfake.NewRDS(keys)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fake.Close)
			t.Setenv("AWS_ENDPOINT_URL_RDS", fake.URL)
			row.fill(fake)
			s := a.source(Options{Endpoint: row.endpoint + ":5432", Region: "eu-west-1"})
			sign(t, s, "app")
			if texts, _ := copies(s.Remedies(t.Context(), tokens.Refusal{User: "app"})); !strings.Contains(texts, row.want) || strings.Contains(texts, row.not) {
				t.Errorf("got\n%s\nwant %q in it, and not %q", texts, row.want, row.not)
			}
		})
	}
}

func instanceAt(host string, iam bool) awsfake.DBInstance {
	name, _, _ := strings.Cut(host, ".")
	return awsfake.DBInstance{DBInstanceIdentifier: name, Engine: "postgres", Endpoint: &awsfake.DBEndpoint{Address: host, Port: 5432}, IAMDatabaseAuthenticationEnabled: iam}
}

func TestRemediesOfAUserThatTheDatabaseAsksForAPassword(t *testing.T) {
	for engine, want := range map[string]string{
		"postgres": `GRANT rds_iam TO "a""b";` + "\n" + `CREATE ROLE "a""b" LOGIN; GRANT rds_iam TO "a""b";`,
		"mysql": `ALTER USER 'a"b'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';` + "\n" +
			`CREATE USER 'a"b'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';`,
	} {
		s := newAccount(t).env().as(awsconfig.Options{}, Options{Engine: engine})
		if _, got := copies(s.Remedies(t.Context(), tokens.Refusal{User: `a"b`, Method: "scram-sha-256"})); strings.TrimSpace(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", engine, got, want)
		}
	}
}

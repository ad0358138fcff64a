package awsrds

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/rdstoken"
	"dbvalet/tokens/awsconfig"
)

const (
	userARN  = "arn:aws:iam::111111111111:user/app"
	roleOne  = "arn:aws:iam::111111111111:role/gateway"
	roleTwo  = "arn:aws:iam::222222222222:role/db"
	external = "7f3e-their-id"
)

// cloud starts an STS where the user of env may assume the first role, which may assume the second
// with an external id.
func (a *account) cloud(caller string) (*awsfake.STS, *awsfake.Keys) {
	a.t.Helper()
	keys := &awsfake.Keys{}
	keys.Add(keyID, awsfake.Key{Secret: secretKey, ARN: caller})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(sts.Close)
	a.t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	sts.SetRole(roleOne, awsfake.Role{Trusts: []string{userARN}})
	sts.SetRole(roleTwo, awsfake.Role{Trusts: []string{roleOne}, ExternalID: external})
	return sts, keys
}

func TestTokenOfAChainOfRolesIsWhatRDSTakes(t *testing.T) {
	a := newAccount(t).env()
	sts, keys := a.cloud(userARN)
	s := a.as(awsconfig.Options{Roles: []string{roleOne, roleTwo}, ExternalID: external, SessionName: "orders"}, Options{})
	_, cred := sign(t, s, "app")
	key, _ := keys.Key(cred.ID)
	if key.ARN != "arn:aws:sts::222222222222:assumed-role/db/orders" {
		t.Errorf("signed as %q, want the session of the second role", key.ARN)
	}
	err := rdstoken.Verify(cred.Password.Reveal(), rdstoken.Expect{Host: instance, Port: 5432, Region: "eu-west-1", User: "app",
		AccessKeyID: cred.ID, SecretAccessKey: key.Secret, SessionToken: key.SessionToken}, time.Now())
	if err != nil {
		t.Errorf("RDS refuses the token: %v", err)
	}
	if got := sts.Requests()[0].Region; got != "eu-west-1" {
		t.Errorf("STS was asked in %s, want the endpoint's region", got)
	}

	sts.SetRole(roleTwo, awsfake.Role{Trusts: []string{roleOne}, ExternalID: external, Life: 5 * time.Minute})
	s = a.as(awsconfig.Options{Roles: []string{roleOne, roleTwo}, ExternalID: external}, Options{})
	_, cred = sign(t, s, "app")
	if key, _ := keys.Key(cred.ID); !cred.Expires.Equal(key.Expires) {
		t.Errorf("the token expires %v, want %v with the session", cred.Expires, key.Expires)
	}
}

func TestRoleIsAssumedInTheRegionOfTheEndpointBehindTheName(t *testing.T) {
	a := newAccount(t).env()
	sts, _ := a.cloud(userARN)
	sign(t, a.as(awsconfig.Options{Roles: []string{roleOne}},
		Options{Endpoint: own + ":5432", Resolver: answers{own: "db.abc123.ap-south-1.rds.amazonaws.com."}}), "app")
	if got := sts.Requests()[0].Region; got != "ap-south-1" {
		t.Errorf("STS was asked in %s, want ap-south-1", got)
	}
}

func TestRefusedRoleIsAnErrorOfTheSource(t *testing.T) {
	a := newAccount(t).env()
	sts, _ := a.cloud(userARN)
	sts.SetRole(roleOne, awsfake.Role{})
	_, err := a.as(awsconfig.Options{Roles: []string{roleOne}}, Options{}).Credential(t.Context(), "app")
	wantError(t, err, true, "awsrds "+instance+":5432: assume role: AccessDenied: User: "+userARN, `"Resource":"`+roleOne+`"`)
	sts.Fail(awsfake.Down)
	_, err = a.as(awsconfig.Options{Roles: []string{roleOne}}, Options{}).Credential(t.Context(), "app")
	wantError(t, err, false, "ServiceUnavailable", "check the network")
}

const (
	// Names as long as they are in companies.
	longSession = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_DatabaseAdministrator_0123456789abcdef/firstname.lastname@example.com"
	longRole    = "arn:aws:iam::123456789012:role/AWSReservedSSO_DatabaseAdministrator_0123456789abcdef"
	longHost    = "orders-production-cluster.cluster-ro-cabcdefghijk.ap-southeast-2.rds.amazonaws.com"
	longUser    = "orders_reporting_readonly"
)

func TestExplanationSaysWhoSignedWhatAndWhatMayBeMissing(t *testing.T) {
	const session = "arn:aws:sts::123456789012:assumed-role/app/i-0123456789abcdef0"
	policy := func(resource string) string {
		return `{"Effect":"Allow","Action":"rds-db:connect","Resource":"` + resource + `"}`
	}
	for _, tt := range []struct {
		name, caller, host, engine, user string
		want                             []string
		limit                            int
	}{
		{"PostgreSQL", session, instance, "postgres", "app",
			[]string{"signed by " + session, "for app@" + instance + ":5432; ", policy("arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/app"), `GRANT rds_iam TO "app"`}, 380},
		{"MySQL", session, instance, "mysql", "app",
			[]string{policy("arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/app"), "CREATE USER 'app' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"}, 380},
		{"China", "arn:aws-cn:iam::123456789012:user/app", "db.abc123.cn-north-1.rds.amazonaws.com.cn", "postgres", "app",
			[]string{policy("arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:*/app")}, 380},
		{"RDS Proxy", session, "p.proxy-abc123.eu-west-1.rds.amazonaws.com", "postgres", "app",
			[]string{"RDS Proxy that requires IAM authentication"}, 380},
		{"nobody knows who", "", instance, "postgres", "app",
			[]string{"signed by access key " + keyID, policy("arn:aws:rds-db:eu-west-1:*:dbuser:*/app")}, 380},
		{"quotes", session, instance, "postgres", `a"b`, []string{`GRANT rds_iam TO "a""b"`, `dbuser:*/a\"b"}`}, 380},
		{"quotes in MySQL", session, instance, "mysql", `a'b`, []string{`CREATE USER 'a''b' IDENTIFIED`}, 380},
		{"long names", longSession, longHost, "postgres", longUser, []string{longRole, longHost, "GRANT"}, 450},
		{"long names in MySQL", longSession, longHost, "mysql", longUser, []string{longRole, longHost, "AS 'RDS'"}, 450},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t).env()
			sts, _ := a.cloud(tt.caller)
			if tt.caller == "" {
				sts.Close()
			}
			s := a.source(Options{Endpoint: tt.host + ":5432", Engine: tt.engine})
			_, cred := sign(t, s, tt.user)
			got := s.Explain(t.Context(), tt.user, cred)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %s\nwant %s", got, want)
				}
			}
			if len(got) > tt.limit {
				t.Errorf("%d bytes, want at most %d: %s", len(got), tt.limit, got)
			}
			u, err := url.Parse("https://" + cred.Password.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got, u.Query().Get("X-Amz-Signature")) {
				t.Errorf("shows the signature: %s", got)
			}
		})
	}
}

func TestExplanationNamesTheEndpointThatWasSigned(t *testing.T) {
	a := newAccount(t).env()
	a.cloud(userARN)
	s := a.source(Options{Endpoint: own + ":5432", Resolver: answers{own: "db.abc123.ap-south-1.rds.amazonaws.com."}})
	_, cred := sign(t, s, "app")
	if got := s.Explain(t.Context(), "app", cred); !strings.Contains(got, "for app@db.abc123.ap-south-1.rds.amazonaws.com:5432; ") {
		t.Errorf("got %s", got)
	}
	s = a.source(Options{Region: "us-east-1"})
	_, cred = sign(t, s, "app")
	if got := s.Explain(t.Context(), "app", cred); !strings.Contains(got, "for app@"+instance+":5432 in us-east-1; ") {
		t.Errorf("got %s, want the region that the name does not say", got)
	}
}

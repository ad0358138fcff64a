package gcp

import (
	"strings"
	"testing"

	"dbvalet/tokens"
)

func TestExplanationNamesWhatMayBeMissing(t *testing.T) {
	long := strings.Repeat("a", 30) + "@" + strings.Repeat("p", 28) + ".iam.gserviceaccount.com"
	for _, tt := range []struct {
		name string
		o    Options
		user string
		cred tokens.Credential
		want []string
	}{
		{"service account, PostgreSQL", Options{Engine: "postgres"}, "", tokens.Credential{User: "app@proj.iam", ID: app}, []string{
			"as app@proj.iam.",
			"gcloud projects add-iam-policy-binding PROJECT --member=serviceAccount:" + app + " --role=roles/cloudsql.instanceUser",
			"gcloud sql users create app@proj.iam --instance=INSTANCE --type=cloud_iam_service_account",
			"cloudsql.iam_authentication=on",
		}},
		{"service account, MySQL", Options{Engine: "mysql"}, "", tokens.Credential{User: "app", ID: app}, []string{
			"as app.", "gcloud sql users create " + app + " ", "cloudsql_iam_authentication=on",
		}},
		{"user of gcloud, PostgreSQL", Options{Engine: "postgres"}, kai, tokens.Credential{}, []string{
			"as " + kai, "--member=user:" + kai, "users create " + kai + " --instance=INSTANCE --type=cloud_iam_user",
		}},
		{"user of gcloud, MySQL", Options{Engine: "mysql"}, "kai", tokens.Credential{}, []string{"--member=user:EMAIL", "users create EMAIL "}},
		{"service account that only the user names", Options{Engine: "postgres"}, "", tokens.Credential{User: "app@proj.iam"}, []string{"--member=serviceAccount:" + app}},
		{"AlloyDB", Options{Engine: "postgres", Service: "alloydb"}, "", tokens.Credential{User: "app@proj.iam", ID: app}, []string{
			"roles/alloydb.databaseUser", "gcloud alloydb users create app@proj.iam --cluster=CLUSTER --region=REGION --type=IAM_BASED", "alloydb.iam_authentication=on",
		}},
		{"user of somebody else", Options{Engine: "postgres"}, "", tokens.Credential{User: "postgres", ID: app}, []string{
			"the token is for " + app, "database user is app@proj.iam", "as postgres",
		}},
		{"user that is too long", Options{Engine: "mysql"}, "", tokens.Credential{User: strings.Repeat("k", 40)}, []string{"longer than the 32 bytes"}},
		{"long names", Options{Engine: "postgres"}, "", tokens.Credential{User: DatabaseUser("postgres", long), ID: long}, []string{"--member=serviceAccount:" + long}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			got := s.Explain(t.Context(), tt.user, tt.cred)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if len(got) > 350 {
				t.Errorf("%d bytes are too many: %s", len(got), got)
			}
		})
	}
}

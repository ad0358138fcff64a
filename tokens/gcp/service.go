package gcp

// A service is a kind of database with IAM logins: what a token is for, and what must have been done.
type service struct {
	scope string // of a token that is good for logins and nothing else
	role  string // that allows to log in
	flag  func(engine string) string
	user  func(engine, principal string) string // the gcloud command that makes the database user
}

var cloudSQL = service{
	scope: "https://www.googleapis.com/auth/sqlservice.login",
	role:  "roles/cloudsql.instanceUser",
	flag: func(engine string) string {
		if engine == mysql {
			return "cloudsql_iam_authentication=on"
		}
		return "cloudsql.iam_authentication=on"
	},
	user: func(engine, principal string) string {
		kind, name := "cloud_iam_user", principal
		if isServiceAccount(principal) {
			kind = "cloud_iam_service_account"
		}
		if engine == postgres { // MySQL wants the whole email, and shortens it itself
			name = DatabaseUser(engine, principal)
		}
		return "gcloud sql users create " + name + " --instance=INSTANCE --type=" + kind
	},
}

// AlloyDB takes no token for Cloud SQL, nor the other way round.
// https://cloud.google.com/alloydb/docs/connect-iam
var alloyDB = service{
	scope: "https://www.googleapis.com/auth/alloydb.login",
	role:  "roles/alloydb.databaseUser",
	flag:  func(string) string { return "alloydb.iam_authentication=on" },
	user: func(engine, principal string) string {
		return "gcloud alloydb users create " + DatabaseUser(engine, principal) +
			" --cluster=CLUSTER --region=REGION --type=IAM_BASED"
	},
}

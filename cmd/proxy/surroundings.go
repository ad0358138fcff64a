package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dbvalet/config"
)

// surroundings are what a source of credentials may look at beside its route: the environment, and the
// user's files.
type surroundings struct {
	environ []string // as os.Environ has it
	home    string   // empty: none
}

func surroundingsOfNow() surroundings {
	home, err := os.UserHomeDir()
	if err != nil || home == "/" { // "/" is the home of users that have none
		home = ""
	}
	return surroundings{os.Environ(), home}
}

// get returns the value of a variable.
func (s surroundings) get(name string) string {
	for _, pair := range s.environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// inHome is a path in the home directory, and empty where there is none.
func (s surroundings) inHome(path string) string {
	if s.home == "" {
		return ""
	}
	return filepath.Join(s.home, path)
}

// A library is what a source uses, as far as that decides what is read.
type library int

const (
	awsLibrary library = iota
	googleLibrary
	microsoftLibrary
	hashicorpLibrary
)

// uses reports whether r's source uses l. Vault can be logged in to by way of AWS.
func uses(r *config.Route, l library) bool {
	scheme, _, _ := strings.Cut(r.Auth, "://")
	switch l {
	case awsLibrary:
		return slices.Contains([]string{awsIAM, awsDSQL, "awssecretsmanager", "awsparamstore"}, scheme) ||
			scheme == "hashivault" && strings.Contains(r.Auth, "login=aws")
	case googleLibrary:
		return slices.Contains([]string{gcpIAM, gcpConnector, "gcpsecretmanager"}, scheme)
	case microsoftLibrary:
		return scheme == azureEntra
	case hashicorpLibrary:
		return scheme == "hashivault"
	}
	return false
}

// awsFiles are the configuration files of the AWS SDK.
func (s surroundings) awsFiles() []string {
	return []string{
		cmp.Or(s.get("AWS_CONFIG_FILE"), s.inHome(".aws/config")),
		cmp.Or(s.get("AWS_SHARED_CREDENTIALS_FILE"), s.inHome(".aws/credentials")),
	}
}

// programs says why a source may run a program, and is empty where none does. There is no telling what
// such a program does, and it would inherit all limits.
func (s surroundings) programs(services []*service) string {
	for _, service := range services {
		r := service.route
		why := ""
		switch {
		case strings.HasPrefix(r.Auth, "exec:"):
			why = "auth=exec: runs a program"
		case uses(r, awsLibrary) && slices.ContainsFunc(s.awsFiles(), mentionsProcess):
			why = "a profile in the AWS configuration has a credential_process"
		case uses(r, googleLibrary) && s.get("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES") == "1":
			why = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 lets Google Cloud's library run a program"
		case uses(r, googleLibrary) && s.get("GOOGLE_API_USE_CLIENT_CERTIFICATE") == "true":
			why = "GOOGLE_API_USE_CLIENT_CERTIFICATE=true lets Google Cloud's library run a program"
		case uses(r, microsoftLibrary) && s.azureMayRun(r):
			why = "auth=azure-entra may have to ask the az command; set AZURE_TOKEN_CREDENTIALS=prod, or client_id= on the route, where it need not"
		}
		if why != "" {
			return "route " + r.Name + ": " + why
		}
	}
	return ""
}

// mentionsProcess reports whether a file of the AWS SDK names a program, in whichever profile: one may
// refer to another.
func mentionsProcess(path string) bool {
	content, _ := os.ReadFile(path)
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(strings.TrimSpace(line), "credential_process") {
			return true
		}
	}
	return false
}

// azureMayRun reports whether the SDK's chain may come to the commands az, azd and pwsh, which stand
// at its end. Where something before them is set up, they would only be asked in vain.
func (s surroundings) azureMayRun(r *config.Route) bool {
	if r.ClientID != "" {
		return false
	}
	switch chosen := strings.ToLower(s.get("AZURE_TOKEN_CREDENTIALS")); chosen {
	case "prod", "environmentcredential", "workloadidentitycredential", "managedidentitycredential":
		return false
	case "":
	default:
		return true
	}
	principal := s.get("AZURE_CLIENT_ID") != "" && (s.get("AZURE_CLIENT_SECRET") != "" ||
		s.get("AZURE_CLIENT_CERTIFICATE_PATH") != "" || s.get("AZURE_FEDERATED_TOKEN_FILE") != "")
	return !principal && s.get("IDENTITY_ENDPOINT") == "" && s.get("MSI_ENDPOINT") == ""
}

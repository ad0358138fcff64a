package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"dbvalet/config"
)

// libraries adds what the library of r's source looks at without being told: files in the home
// directory, what these name, and ports.
func (n *needs) libraries(r *config.Route) {
	if uses(r, awsLibrary) {
		n.aws()
	}
	if uses(r, googleLibrary) {
		n.google()
	}
	if uses(r, microsoftLibrary) {
		n.home(".azure")
		n.Read = append(n.Read, "/var/opt/azcmagent/tokens")
		n.Connect = append(n.Connect, arcPort)
	}
	if uses(r, hashicorpLibrary) {
		n.vault(r)
	}
}

// home adds a directory in the home directory.
func (n *needs) home(path string) {
	if path := n.surroundings.inHome(path); path != "" {
		n.Read = append(n.Read, path)
	}
}

// aws adds ~/.aws, what its files name in any profile, and the caches that the SDK renews.
func (n *needs) aws() {
	n.home(".aws")
	for _, path := range n.surroundings.awsFiles() {
		content, _ := os.ReadFile(path)
		for line := range strings.Lines(string(content)) {
			if _, value, ok := strings.Cut(line, "="); ok {
				n.mention(strings.TrimSpace(value), false)
			}
		}
	}
	for _, path := range []string{
		n.surroundings.inHome(".aws/sso/cache"),
		n.surroundings.inHome(".aws/login/cache"),
		n.surroundings.get("AWS_LOGIN_CACHE_DIRECTORY"),
	} {
		if path != "" {
			n.Write = append(n.Write, path)
		}
	}
}

// google adds gcloud's directory, and what the Application Default Credentials name.
func (n *needs) google() {
	dir := cmp.Or(n.surroundings.get("CLOUDSDK_CONFIG"), n.surroundings.inHome(".config/gcloud"))
	n.home(".config/gcloud")
	for _, path := range []string{
		n.surroundings.get("GOOGLE_APPLICATION_CREDENTIALS"),
		filepath.Join(dir, "application_default_credentials.json"),
	} {
		content, _ := os.ReadFile(path)
		for i, text := range strings.Split(string(content), `"`) {
			if i%2 == 1 { // between quotes
				n.mention(text, false)
			}
		}
	}
}

// vault adds Vault's port, and ~/.vault-token where that is what logs in. The vault command replaces
// it, and it is in the home directory, which must then be read.
func (n *needs) vault(r *config.Route) {
	n.Connect = append(n.Connect, vaultPort)
	s := n.surroundings
	if s.home == "" || strings.Contains(r.Auth, "token_file=") || s.get("VAULT_TOKEN") != "" || s.get("VAULT_SERVER_TOKEN") != "" {
		return
	}
	if login := "login="; !strings.Contains(r.Auth, login) || strings.Contains(r.Auth, login+"token") {
		n.watch(s.inHome(".vault-token"))
	}
}

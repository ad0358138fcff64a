package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Names of the files in a server's folder that are about the check of tokens.
const (
	verifierProgram = "rdsverify"
	verifierConfig  = "rdsverify.json"
	verifierLog     = "rdsverify.log"
)

// buildVerifier builds the program that checks tokens, or finds that it is up to date, and copies it
// to path. It is linked statically, because it runs in roots with other libraries.
func buildVerifier(ctx context.Context, path string) error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	module, err := moduleDir()
	if err != nil {
		return err
	}
	bin := filepath.Join(cache, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	lock, err := lockExclusively(ctx, bin+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	built := filepath.Join(bin, verifierProgram)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", built, "./integration/rdsverify")
	cmd.Dir = module
	// What the test itself was built with, such as GOFLAGS=-race, is not for this program.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the verifier of tokens: %w\n%s", err, out)
	}
	return copyFile(built, path, 0o755)
}

// A verifierSettings is the configuration file of rdsverify.
type verifierSettings struct {
	Host            string `json:"host"`
	Port            int    `json:"port"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
	ClockOffset     string `json:"clockOffset,omitempty"`
	Log             string `json:"log"`

	// Passwords are accepted from these users instead of a token.
	Passwords map[string]string `json:"passwords,omitempty"`

	Judge string `json:"judge,omitempty"` // see Server.Judge
}

// writeVerifierConfig writes what tokens must be like from now on.
func (s *Server) writeVerifierConfig(clockOffset time.Duration) error {
	settings := verifierSettings{
		Host:            s.Endpoint,
		Port:            s.Port,
		Region:          s.Region,
		AccessKeyID:     s.AccessKeyID,
		SecretAccessKey: s.SecretAccessKey,
		SessionToken:    s.SessionToken,
		ClockOffset:     clockOffset.String(),
		Log:             s.folder.inside(verifierLog),
		Passwords:       s.passwords,
	}
	if s.judge != nil {
		settings.Judge = s.judge.listener.Addr().String()
	}
	b, err := json.MarshalIndent(settings, "", "\t")
	if err != nil {
		return err
	}
	return s.folder.write(verifierConfig, append(b, '\n'))
}

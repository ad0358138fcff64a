package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// checkConfig has dbvalet check a configuration file with this content.
func checkConfig(t *testing.T, content string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dbvalet.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), dbvalet(t), "config", "check", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("dbvalet config check: %v\n%s\nof\n%s", err, out, content)
	}
}

// files returns those that match, of which there is one at least.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("there is no %s: %v", pattern, err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

package awsfake

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Isolate hides from the AWS SDK, for the length of a test, what the machine knows: variables, files
// and metadata services. It returns the directory where the files "config" and "credentials" may be
// written, which is the home directory, too.
func Isolate(t testing.TB) string {
	dir := t.TempDir()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is restored
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"HOME":                        dir,
		"AWS_CONFIG_FILE":             filepath.Join(dir, "config"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"),
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_MAX_ATTEMPTS":            "1",
	} {
		t.Setenv(name, value)
	}
	return dir
}

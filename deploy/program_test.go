package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built builds dbvalet once for all tests, and returns where it is.
var built = sync.OnceValues(func() (path string, err error) {
	if path, err = filepath.Abs("../bin/dbvalet-deploy"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, "./cmd/proxy")
	cmd.Dir = ".." // the program is of another module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build dbvalet: %w\n%s", err, out)
	}
	return path, nil
})

// dbvalet is the path of the program.
func dbvalet(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// cacheDir returns the folder in which everything is kept, and creates it.
func cacheDir() (string, error) {
	dir := os.Getenv("DBVALET_TEST_CACHE")
	if dir == "" {
		module, err := moduleDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(module, ".cache", "servers")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache of test servers: %w\nhint: set DBVALET_TEST_CACHE to a folder that you may write to", err)
	}
	return dir, nil
}

// moduleDir returns the folder of this module: the first one with a go.mod, going up from the
// working directory. Tests run in their package's folder.
func moduleDir() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above it\nhint: run this inside a checkout of dbvalet", start)
		}
	}
}

package servers

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsedFolderBecomesLikeTheTemplate(t *testing.T) {
	template, used := t.TempDir(), t.TempDir()
	write := func(dir, name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(template, "base/1/shrunk", "short")
	write(template, "base/1/same", "same")
	write(template, "was-folder", "a file")
	write(template, "was-file/a", "in a folder")
	write(used, "base/1/shrunk", "longer than the template")
	write(used, "base/1/same", "SAME")
	write(used, "base/2/extra", "of a database that was made")
	write(used, "was-folder/a", "in a folder")
	write(used, "was-file", "a file")
	if err := os.Symlink(template, filepath.Join(used, "link")); err != nil {
		t.Fatal(err)
	}

	if err := copyDir(template, used); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"base/1/shrunk": "short", "base/1/same": "same", "was-folder": "a file", "was-file/a": "in a folder",
	} {
		for _, dir := range []string{template, used} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
				t.Errorf("%s is %q (%v), expected %q", name, got, err, want)
			}
		}
	}
	for _, name := range []string{"base/2", "link"} {
		if _, err := os.Lstat(filepath.Join(used, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

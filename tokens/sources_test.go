//go:build unix

package tokens

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// wantRefusal checks an error of a source: final or not, with a hint, and without the secret.
func wantRefusal(t *testing.T, cred Credential, err error, final bool, text string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, %v, want an *Error", cred, err)
	}
	if e.Final() != final || e.Hint() == "" || !strings.Contains(e.Error(), text) {
		t.Errorf("got %q, final %v, hint %q; want %q, final %v, and a hint", e, e.Final(), e.Hint(), text, final)
	}
	if leaks(e.Error()) || leaks(e.Hint()) || !cred.Password.Empty() && leaks(cred.Password.Reveal()) {
		t.Errorf("%q, hint %q: the secret is shown", e, e.Hint())
	}
}

func TestEnvGivesTheVariable(t *testing.T) {
	t.Setenv("DBVALET_TEST_PASSWORD", secretText+"\n")
	cred, err := (&Env{Name: "DBVALET_TEST_PASSWORD"}).Credential(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	wantPassword(t, cred, secretText+"\n") // as it is: no editor wrote it
	if cred.User != "" || cred.ID != "DBVALET_TEST_PASSWORD" || !cred.Expires.IsZero() || !cred.Issued.IsZero() {
		t.Errorf("got %+v, want only password and id", cred)
	}
}

func TestEnvSaysWhatIsMissing(t *testing.T) {
	t.Setenv("DBVALET_TEST_EMPTY", "")
	for name, text := range map[string]string{
		"DBVALET_TEST_UNSET": "env:DBVALET_TEST_UNSET: the environment variable is not set",
		"DBVALET_TEST_EMPTY": "env:DBVALET_TEST_EMPTY: the password is empty",
	} {
		cred, err := (&Env{Name: name}).Credential(t.Context(), "app")
		wantRefusal(t, cred, err, true, text)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileStripsOneNewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	for content, want := range map[string]string{
		"pw":                       "pw",
		"pw\n":                     "pw",
		"pw\r\n":                   "pw",
		"pw\n\n":                   "pw\n",
		"pw\r":                     "pw\r",
		" p w \n":                  " p w ",
		"\npw":                     "\npw",
		"a\nb\n":                   "a\nb",
		"\xff\xfe\n":               "\xff\xfe",
		strings.Repeat("x", 65536): strings.Repeat("x", 65536),
	} {
		write(t, path, content)
		cred, err := (&File{Path: path}).Credential(t.Context(), "app")
		if err != nil {
			t.Errorf("%.20q: %v", content, err)
			continue
		}
		wantPassword(t, cred, want)
		if cred.ID != path || !cred.Issued.IsZero() {
			t.Errorf("id is %q, want the path", cred.ID)
		}
	}
}

func TestFileSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("empty"), "")
	write(t, path("newline"), "\n")
	write(t, path("nul"), secretText+"\x00")
	write(t, path("large"), strings.Repeat(secretText, 65536/len(secretText)+1))
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		final bool
		text  string
	}{
		{"missing", false, "file:" + path("missing") + ": no such file or directory"},
		{"empty", false, "empty: the password is empty"},
		{"newline", false, "the password is empty"},
		{"nul", true, "NUL byte"},
		{"large", true, "larger than 64 KiB"},
		{".", true, "not a regular file"},
		{"pipe", true, "not a regular file"}, // and nobody waits for its writer
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := (&File{Path: dir + "/" + tt.name}).Credential(t.Context(), "app")
			wantRefusal(t, cred, err, tt.final, tt.text)
		})
	}
}

func TestFileExplainsPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	write(t, path, secretText)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	s := &File{Path: path}
	cred, err := s.Credential(t.Context(), "app")
	if err == nil { // root reads everything
		err = s.describe(&fs.PathError{Op: "open", Path: path, Err: syscall.EACCES})
		cred = Credential{}
	}
	wantRefusal(t, cred, err, true, "permission denied")
	if e, _ := errors.AsType[*Error](err); !strings.Contains(e.Hint(), "ls -l "+path) {
		t.Errorf("hint is %q, want the command that shows the permissions", e.Hint())
	}
}

func TestReplacedFileIsSeen(t *testing.T) {
	// The layout of a Kubernetes secret volume: pw -> ..data/pw, ..data -> a directory per version.
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"..v1", "..v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "pw"), "password of "+version+"\n")
	}
	link("..data/pw", "pw")
	s := &File{Path: filepath.Join(dir, "pw")}
	for _, version := range []string{"..v1", "..v2"} {
		link(version, "..data")
		cred, err := s.Credential(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		wantPassword(t, cred, "password of "+version)
	}
}

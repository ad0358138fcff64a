package servers

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindsDebianArchiveInBothForms(t *testing.T) {
	for _, test := range []struct{ name, file, content, want string }{
		{"one line", "sources.list",
			"# deb http://old.example/debian trixie main\n" +
				"deb-src http://source.example/debian trixie main\n" +
				"deb http://security.example/debian-security trixie-security main\n" +
				"deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian/ trixie main contrib # ours\n",
			"http://mirror.example/debian/"},
		{"stanzas", "sources.list.d/debian.sources",
			"Types: deb\nURIs: http://security.example/debian-security\nSuites: trixie-security\nComponents: main\n\n" +
				"# A comment.\nTypes: deb deb-src\nURIs:\n http://mirror.example/debian\nSuites: trixie\n trixie-updates\nComponents: main\n",
			"http://mirror.example/debian"},
		{"list of mirrors", "sources.list.d/debian.sources",
			"Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n",
			"mirror+file:///etc/apt/mirrors/debian.list"},
		{"switched off", "sources.list.d/debian.sources",
			"Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n", ""},
		{"no main", "sources.list", "deb http://mirror.example/debian trixie non-free-firmware\n", ""},
		{"somebody else's", "sources.list.d/other.list", "deb http://other.example/apt stable main\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			etc := t.TempDir()
			file := filepath.Join(etc, test.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, s := range machineSources(etc) {
				if s.isDebianMain() {
					got = s.uri
				}
			}
			if got != test.want {
				t.Errorf("got %q, expected %q", got, test.want)
			}
		})
	}
}

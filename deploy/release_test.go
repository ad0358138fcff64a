package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A project is what .goreleaser.yaml may say. It is a part of goreleaser's own type, which costs minutes
// to compile; a key that isn't here is an error of the test, to be looked up in goreleaser's manual.
type project struct {
	Version     int    `json:"version"`
	ProjectName string `json:"project_name"`
	Before      struct {
		Hooks []string `json:"hooks"`
	} `json:"before"`
	Builds []struct {
		Main         string              `json:"main"`
		Binary       string              `json:"binary"`
		Env          []string            `json:"env"`
		Flags        []string            `json:"flags"`
		Ldflags      []string            `json:"ldflags"`
		ModTimestamp string              `json:"mod_timestamp"`
		Goos         []string            `json:"goos"`
		Goarch       []string            `json:"goarch"`
		Ignore       []map[string]string `json:"ignore"`
	} `json:"builds"`
	Archives []struct {
		Formats   []string `json:"formats"`
		Overrides []struct {
			Goos    string   `json:"goos"`
			Formats []string `json:"formats"`
		} `json:"format_overrides"`
		Files []any `json:"files"` // a pattern, or a content
	} `json:"archives"`
	Checksum map[string]string   `json:"checksum"`
	Sboms    []map[string]string `json:"sboms"`
	Source   struct {
		Enabled bool `json:"enabled"`
	} `json:"source"`
	Nfpms []struct {
		PackageName string    `json:"package_name"`
		Formats     []string  `json:"formats"`
		Vendor      string    `json:"vendor"`
		Maintainer  string    `json:"maintainer"`
		Homepage    string    `json:"homepage"`
		Description string    `json:"description"`
		License     string    `json:"license"`
		Section     string    `json:"section"`
		Bindir      string    `json:"bindir"`
		Recommends  []string  `json:"recommends"`
		Contents    []content `json:"contents"`
	} `json:"nfpms"`
	Brews []struct {
		Name        string            `json:"name"`
		Repository  map[string]string `json:"repository"`
		Homepage    string            `json:"homepage"`
		Description string            `json:"description"`
		License     string            `json:"license"`
		Install     string            `json:"install"`
		Service     string            `json:"service"`
		Test        string            `json:"test"`
	} `json:"brews"`
	Dockers []struct {
		Dockerfile string            `json:"dockerfile"`
		Images     []string          `json:"images"`
		Tags       []string          `json:"tags"`
		Platforms  []string          `json:"platforms"`
		BuildArgs  map[string]string `json:"build_args"`
		Labels     map[string]string `json:"labels"`
		SBOM       string            `json:"sbom"`
	} `json:"dockers_v2"`
	Changelog struct {
		Disable bool `json:"disable"`
	} `json:"changelog"`
}

// A content is a file of a package.
type content struct {
	Source      string         `json:"src"`
	Destination string         `json:"dst"`
	Type        string         `json:"type"`
	Packager    string         `json:"packager"`
	FileInfo    map[string]any `json:"file_info"`
}

func readProject(t *testing.T) (p project) {
	t.Helper()
	data, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// made are manual pages and completions, made by what the release runs first: "make man completions".
func made(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin/man", "bin/completions"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(dbvalet(t), "man", filepath.Join(dir, "bin/man")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, err := exec.Command(dbvalet(t), "completion", shell).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "bin/completions/dbvalet."+shell), out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestReleaseNamesFilesThatExist looks for all that goes into archives, packages and the image.
func TestReleaseNamesFilesThatExist(t *testing.T) {
	p, dir := readProject(t), made(t)
	patterns := []string{p.Builds[0].Main, p.Dockers[0].Dockerfile}
	for _, file := range p.Archives[0].Files {
		switch file := file.(type) {
		case string:
			patterns = append(patterns, file)
		case map[string]any:
			source, _ := file["src"].(string)
			patterns = append(patterns, source)
		}
	}
	for _, file := range p.Nfpms[0].Contents {
		if file.Type != "dir" {
			patterns = append(patterns, file.Source)
		}
		if !filepath.IsAbs(file.Destination) {
			t.Errorf("%s goes to %q", file.Source, file.Destination)
		}
	}
	for _, pattern := range patterns {
		root := ".."
		if strings.HasPrefix(pattern, "bin/") {
			root = dir
		}
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if pattern == "" || err != nil || len(found) == 0 {
			t.Errorf("%q: there is no such file (%v)", pattern, err)
		}
	}
	if len(patterns) < 20 {
		t.Errorf("only %q", patterns)
	}
}

// TestReleaseIsForAllThatWeSay looks at platforms and at how the program is built.
func TestReleaseIsForAllThatWeSay(t *testing.T) {
	p := readProject(t)
	b, a := p.Builds[0], p.Archives[0]
	if p.Version != 2 || !slices.Equal(b.Goos, []string{"linux", "darwin", "windows"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) ||
		!slices.Contains(b.Env, "CGO_ENABLED=0") || !slices.Contains(b.Flags, "-trimpath") || !strings.Contains(b.Ldflags[0], "-X main.version=") {
		t.Errorf("got builds %+v", b)
	}
	if a.Overrides[0].Goos != "windows" || !slices.Equal(a.Overrides[0].Formats, []string{"zip"}) || len(p.Sboms) == 0 || p.Checksum["algorithm"] != "sha256" {
		t.Errorf("got archives %+v, sboms %v, checksum %v", a, p.Sboms, p.Checksum)
	}
	if n := p.Nfpms[0]; !slices.Equal(n.Formats, []string{"deb", "rpm"}) || n.Bindir != "/usr/bin" { // as the units say
		t.Errorf("got packages %+v", n)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	command, targets, _ := strings.Cut(p.Before.Hooks[0], " ")
	if command != "make" {
		t.Errorf("the hook is %q", p.Before.Hooks)
	}
	for _, target := range strings.Fields(targets) {
		if !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("there is no make %s", target)
		}
	}
	// The Homebrew service runs a flag that exists.
	for _, flag := range regexp.MustCompile(`"--[a-z-]+`).FindAllString(p.Brews[0].Service, -1) {
		out, err := exec.Command(dbvalet(t), "--help").CombinedOutput()
		if err != nil || !strings.Contains(string(out), strings.TrimPrefix(flag, `"`)) {
			t.Errorf("Homebrew's service has %s", flag)
		}
	}
}

// An instruction is a line of a Dockerfile.
type instruction struct{ name, rest string }

// readDockerfile returns the instructions, with what is continued on the next line joined.
func readDockerfile(t *testing.T) (all []instruction) {
	t.Helper()
	data, err := os.ReadFile("container/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(data), "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all = append(all, instruction{name, strings.TrimSpace(rest)})
		}
	}
	return all
}

// TestImageHoldsNothingButTheProgram is about what the Dockerfile says; the main module has a test that
// runs the program like that.
func TestImageHoldsNothingButTheProgram(t *testing.T) {
	known := []string{"FROM", "ARG", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "ENV", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT"}
	stages, args := []string{}, map[string]bool{}
	final := map[string][]string{} // of the last stage
	for _, i := range readDockerfile(t) {
		if !slices.Contains(known, i.name) {
			t.Errorf("there is %s %s", i.name, i.rest)
		}
		if i.name == "FROM" {
			clear(final)
			if words := strings.Fields(i.rest); len(words) > 2 && words[len(words)-2] == "AS" {
				stages = append(stages, words[len(words)-1])
			}
		}
		if i.name == "ARG" {
			for _, arg := range strings.Fields(i.rest) {
				name, _, _ := strings.Cut(arg, "=")
				args[name] = true
			}
		}
		final[i.name] = append(final[i.name], i.rest)
	}
	for name, want := range map[string]string{
		"FROM": "gcr.io/distroless/static-debian12:nonroot", "COPY": "--from=program /dbvalet /dbvalet", "USER": "65532:65532",
		"ENTRYPOINT": `["/dbvalet"]`, "ENV": "DBVALET_ADMIN=127.0.0.1:9901",
	} {
		if got := strings.Join(final[name], "; "); got != want {
			t.Errorf("got %s %s, want %s", name, got, want)
		}
	}
	if check := strings.Join(final["HEALTHCHECK"], ""); !strings.HasSuffix(check, `CMD ["/dbvalet", "health"]`) || final["RUN"] != nil {
		t.Errorf("got HEALTHCHECK %s, RUN %v", check, final["RUN"])
	}
	if label := strings.Join(final["LABEL"], ""); !strings.Contains(label, "org.opencontainers.image.licenses=") {
		t.Errorf("got LABEL %s", label)
	}
	if want := []string{"source", "release", "program"}; !slices.Equal(stages, want) {
		t.Errorf("got stages %q", stages)
	}
	docker := readProject(t).Dockers[0]
	for _, arg := range slices.Sorted(maps.Keys(docker.BuildArgs)) {
		if !args[arg] {
			t.Errorf("goreleaser sets %s, which the Dockerfile does not take", arg)
		}
	}
	if !slices.Contains(stages, docker.BuildArgs["ORIGIN"]) {
		t.Errorf("there is no stage %q", docker.BuildArgs["ORIGIN"])
	}
}

// TestImageIsBuiltOfAllThatItNeeds looks for packages of the program that .dockerignore leaves out.
func TestImageIsBuiltOfAllThatItNeeds(t *testing.T) {
	data, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{$d := .ImportPath}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}
{{end}}{{end}}{{end}}`, "./cmd/proxy")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	needed := strings.Fields(strings.ReplaceAll(string(out), "dbvalet/", ""))
	if len(needed) < 50 {
		t.Fatalf("go list says only %q", needed)
	}
	for line := range strings.Lines(string(data)) {
		pattern := strings.TrimSpace(line)
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		for _, file := range needed {
			anywhere, isAnywhere := strings.CutPrefix(pattern, "**/")
			parts := strings.Split(file, "/")
			for depth := range parts {
				path := strings.Join(parts[:depth+1], "/")
				if isAnywhere {
					path = parts[depth]
				}
				if left, err := filepath.Match(anywhere, path); err != nil || left {
					t.Errorf(".dockerignore leaves out %s by %q (%v)", file, pattern, err)
				}
			}
		}
	}
}

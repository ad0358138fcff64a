package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"howett.net/plist"
	"sigs.k8s.io/yaml"
)

// services are the units of services.
var services = []string{"systemd/dbvalet.service", "systemd/dbvalet@.service"}

// A unit is what a unit file says: the values of each key, in their order, whatever the section.
type unit map[string][]string

func readUnit(t *testing.T, path string) unit {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q is no setting", path, line)
		}
		u[key] = append(u[key], value)
	}
	return u
}

func (u unit) last(key string) string {
	if values := u[key]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// seconds is the value of a key, in seconds without a unit.
func (u unit) seconds(t *testing.T, key string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(u.last(key) + "s")
	if err != nil {
		t.Errorf("%s: %v", key, err)
	}
	return d
}

// TestUnitsAreWhatSystemdReads has systemd itself look at them, with the program where it is.
func TestUnitsAreWhatSystemdReads(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed; on Debian it is in the package systemd")
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"dbvalet.service": "dbvalet.service", "dbvalet@.service": "dbvalet@blue.service", "dbvalet.socket": "dbvalet.socket"} {
		data, err := os.ReadFile(filepath.Join("systemd", from))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "/usr/bin/dbvalet", dbvalet(t))
		if err := os.WriteFile(filepath.Join(dir, to), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// systemd before 253 says this, and goes on with the line before.
	expected := regexp.MustCompile(`(?m)^.*Failed to parse service type, ignoring: notify-reload\n`)
	for _, name := range []string{"dbvalet.service", "dbvalet@blue.service", "dbvalet.socket"} {
		path := filepath.Join(dir, name)
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
		if said := expected.ReplaceAllString(string(out), ""); err != nil || strings.Contains(said, dir) {
			t.Errorf("verify %s: %v\n%s", name, err, out)
		}
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		// The threshold is ten times the exposure.
		if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=30", path).CombinedOutput(); err != nil {
			t.Errorf("security %s: %v\n%s", name, err, out)
		}
	}
}

// TestUnitsKeepWhatTheManualPromises looks for each key of the table in docs/systemd.md.
func TestUnitsKeepWhatTheManualPromises(t *testing.T) {
	manual, err := os.ReadFile("../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	var promised []string
	for line := range strings.Lines(string(manual)) {
		if keys, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` | "); ok && strings.HasPrefix(line, "| `") {
			promised = append(promised, strings.Split(keys, "` `")...)
		}
	}
	if len(promised) < 25 {
		t.Fatalf("the manual promises only %q", promised)
	}
	for _, path := range services {
		u := readUnit(t, path)
		for _, key := range promised {
			if _, ok := u[key]; !ok {
				t.Errorf("%s has no %s=", path, key)
			}
		}
		for key, want := range map[string]string{
			"Type": "notify-reload", "DynamicUser": "yes", "WatchdogSec": "30", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
			"CapabilityBoundingSet": "", "AmbientCapabilities": "", "LimitCORE": "0", "MemoryDenyWriteExecute": "yes", "SuccessExitStatus": "143",
			"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
		} {
			if got := u.last(key); got != want {
				t.Errorf("%s: got %s=%s, want %s", path, key, got, want)
			}
		}
		// Whose a connection is could not be seen.
		if u.last("PrivateUsers") != "" || u.last("PrivateNetwork") != "" {
			t.Errorf("%s hides clients", path)
		}
	}
}

// TestServicesHaveTimeToDrain compares the units with the example's configuration.
func TestServicesHaveTimeToDrain(t *testing.T) {
	data, err := os.ReadFile("systemd/dbvalet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Admin   string
		Timeout string `json:"drain_timeout"`
		Delay   string `json:"drain_delay"`
	}
	if err := yaml.Unmarshal(data, &example); err != nil {
		t.Fatal(err)
	}
	const farewells = 10 * time.Second
	least := farewells
	for _, text := range []string{example.Timeout, example.Delay} {
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		least += d
	}
	for _, path := range services {
		if got := readUnit(t, path).seconds(t, "TimeoutStopSec"); got < least {
			t.Errorf("%s: TimeoutStopSec= is %v, want %v at least", path, got, least)
		}
	}
	if p := readPlist(t); time.Duration(p.ExitTimeOut)*time.Second < least {
		t.Errorf("launchd waits %d seconds, want %v at least", p.ExitTimeOut, least)
	}
	if u := readUnit(t, services[0]); example.Admin != "/run/"+u.last("RuntimeDirectory") {
		t.Errorf("the example's admin: %s is not the RuntimeDirectory= of the unit", example.Admin)
	}
}

// TestUnitsRunCommandsThatExist gives each command line of the units to the program.
func TestUnitsRunCommandsThatExist(t *testing.T) {
	lines := [][]string{readPlist(t).ProgramArguments}
	for _, path := range services {
		u := readUnit(t, path)
		for _, key := range []string{"ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop"} {
			for _, line := range u[key] {
				lines = append(lines, strings.Fields(line))
			}
		}
	}
	if len(lines) < 4 {
		t.Fatalf("there are only %q", lines)
	}
	for _, line := range lines {
		if filepath.Base(line[0]) != "dbvalet" {
			t.Errorf("%q runs another program", line)
		}
		// An unknown command is a route that is none, so it has to be seen in the help.
		out, err := exec.Command(dbvalet(t), append(slices.Clone(line[1:]), "--help")...).CombinedOutput()
		usage := "dbvalet [flags] ROUTE"
		if len(line) > 1 && !strings.HasPrefix(line[1], "-") {
			usage = "dbvalet " + line[1] + " [flags]"
		}
		if err != nil || !strings.Contains(string(out), usage) {
			t.Errorf("%q: %v\n%s", line, err, out)
		}
	}
}

func TestExampleConfigurationIsGood(t *testing.T) {
	run := func(path string) {
		t.Helper()
		if out, err := exec.Command(dbvalet(t), "config", "check", "--config="+path).CombinedOutput(); err != nil {
			t.Errorf("config check: %v\n%s", err, out)
		}
	}
	run("systemd/dbvalet.yaml")
	data, err := os.ReadFile("systemd/dbvalet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// With the socket, as the manual says.
	name := "systemd:" + readUnit(t, "systemd/dbvalet.socket").last("FileDescriptorName")
	activated := strings.Replace(string(data), "listen: 127.0.0.1:5432", "listen: "+name, 1)
	if activated == string(data) || !strings.Contains(activated, "this is "+name+".") {
		t.Errorf("the example does not say how it is with %s", name)
	}
	path := filepath.Join(t.TempDir(), "dbvalet.yaml")
	if err := os.WriteFile(path, []byte(activated), 0o600); err != nil {
		t.Fatal(err)
	}
	run(path)
}

// TestHandOverPassesTheSameSocket looks for what lets two instances have one socket.
func TestHandOverPassesTheSameSocket(t *testing.T) {
	u := readUnit(t, services[1])
	if got := u.last("Sockets"); got != "dbvalet.socket" {
		t.Errorf("got Sockets=%s", got)
	}
	for _, key := range []string{"RuntimeDirectory", "Environment"} {
		if !strings.Contains(u.last(key), "dbvalet-%i") {
			t.Errorf("both instances have %s=%s", key, u.last(key))
		}
	}
	if _, err := os.Stat("systemd/dbvalet.socket"); err != nil {
		t.Error(err)
	}
	if got := readUnit(t, "systemd/dbvalet.socket").last("Accept"); got != "" {
		t.Errorf("got Accept=%s; dbvalet accepts by itself", got)
	}
}

// An agent is what launchd is told.
type agent struct {
	Label            string   `plist:"Label"`
	ProgramArguments []string `plist:"ProgramArguments"`
	RunAtLoad        bool     `plist:"RunAtLoad"`
	ExitTimeOut      int      `plist:"ExitTimeOut"`
	KeepAlive        struct {
		SuccessfulExit *bool `plist:"SuccessfulExit"`
	} `plist:"KeepAlive"`
}

func readPlist(t *testing.T) (a agent) {
	t.Helper()
	data, err := os.ReadFile("launchd/dbvalet.plist")
	if err != nil {
		t.Fatal(err)
	}
	if format, err := plist.Unmarshal(data, &a); err != nil || format != plist.XMLFormat {
		t.Fatalf("read it: %v", err)
	}
	return a
}

// TestLaunchdRestartsWhatFails: an end by SIGTERM must be a success then.
func TestLaunchdRestartsWhatFails(t *testing.T) {
	a := readPlist(t)
	if a.Label != "dbvalet" || !a.RunAtLoad || a.KeepAlive.SuccessfulExit == nil || *a.KeepAlive.SuccessfulExit || !slices.Contains(a.ProgramArguments, "--exit-zero-on-sigterm") {
		t.Errorf("got %+v", a)
	}
}

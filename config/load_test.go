package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// parsed returns the flags of args.
func parsed(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("dbvalet", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// Each setting is taken from all four sources, in their order.
func TestFlagCountsMoreThanVariableThanFileThanDefault(t *testing.T) {
	for _, s := range settings {
		t.Run(s.Name, func(t *testing.T) {
			inFile, inVariable, inFlag := "1", "2", "3"
			switch {
			case s.Kind == Bool:
				inFile, inVariable, inFlag = "true", "false", "true"
			case s.Kind == Text && s.Values == nil:
				inFile, inVariable, inFlag = "/1", "/2", "/3"
			case s.Values != nil:
				inFile, inVariable, inFlag = s.Values[len(s.Values)-1], s.Values[0], s.Values[1]
			}
			file := filepath.Join(putFiles(t, map[string]string{"main.yaml": "\n" + s.Name + ": " + inFile + "\n"}), "main.yaml")
			for _, row := range []struct {
				sources      Sources
				want, origin string
			}{
				{Sources{}, s.Default, "default"},
				{Sources{Environ: []string{"DBVALET_CONFIG=" + file}}, inFile, file + ":2"},
				{Sources{Environ: []string{"DBVALET_CONFIG=" + file, s.Variable() + "="}}, inFile, file + ":2"},
				{Sources{Environ: []string{"DBVALET_CONFIG=" + file, s.Variable() + "=" + inVariable}}, inVariable, "environment " + s.Variable()},
				{
					Sources{Environ: []string{s.Variable() + "=" + inVariable}, Flags: parsed(t, "--config="+file, s.Flag()+"="+inFlag)},
					inFlag, "flag " + s.Flag(),
				},
			} {
				c, err := Load(row.sources)
				if err != nil {
					t.Fatal(err)
				}
				var want Settings
				if row.want != "" {
					if err := s.put(s.field(&want), s.Name, row.want); err != nil {
						t.Fatal(err)
					}
				}
				if got, want := valueOf(s.field(&c.Settings)), valueOf(s.field(&want)); got != want || c.Origin(s.Name) != row.origin {
					t.Errorf("got %v from %s, want %v from %s", got, c.Origin(s.Name), want, row.origin)
				}
			}
		})
	}
}

func TestFlagNamesTheFileBeforeTheVariable(t *testing.T) {
	dir := putFiles(t, map[string]string{"a.yaml": "admin: /a\n", "b.yaml": "admin: /b\n"})
	c, err := Load(Sources{Environ: []string{"DBVALET_CONFIG=" + dir + "/a.yaml"}, Flags: parsed(t, "--config", dir+"/b.yaml")})
	if err != nil || c.Admin != "/b" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestRoutesOfAllSourcesAddUp(t *testing.T) {
	file := filepath.Join(putFiles(t, map[string]string{"main.yaml": route + "    auth: env:PW\n"}), "main.yaml")
	c, err := Load(Sources{
		Args:    []string{"postgres://a?tls=require", "mysql://b"},
		Environ: []string{"DBVALET_CONFIG=" + file, "DBVALET_ROUTES=postgres://c\n\t mysql://d?sslmode=require "},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Routes {
		got = append(got, r.Name+" "+c.RouteOrigin(r.Name, ""))
	}
	if want := "orders " + file + ":2,c environment DBVALET_ROUTES,d environment DBVALET_ROUTES,a argument 1,b argument 2"; strings.Join(got, ",") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ","), want)
	}
	for _, row := range [][3]string{
		{"orders", "auth", file + ":4"},
		{"orders", "name", file + ":3"},
		{"orders", "listen", "default"},
		{"a", "tls", "argument 1"},
		{"a", "name", "default"},
		{"d", "tls", "environment DBVALET_ROUTES"},
	} {
		if row[0] == "orders" && row[1] == "name" {
			row[2] = file + ":2" // the item begins with it
		}
		if got := c.RouteOrigin(row[0], row[1]); got != row[2] {
			t.Errorf("%s of %s is from %s, want %s", row[1], row[0], got, row[2])
		}
	}
}

func TestMistakeOutsideOfFilesNamesItsSource(t *testing.T) {
	file := filepath.Join(putFiles(t, map[string]string{"main.yaml": route}), "main.yaml")
	for name, row := range map[string]struct {
		sources       Sources
		message, hint string
	}{
		"variable":          {Sources{Environ: []string{"DBVALET_LOG_LEVEL=loud"}}, "DBVALET_LOG_LEVEL=loud: there are debug", "--help"},
		"unknown variable":  {Sources{Environ: []string{"DBVALET_ADMN=x"}}, "unknown variable DBVALET_ADMN in the environment", "did you mean DBVALET_ADMIN?"},
		"stranger variable": {Sources{Environ: []string{"DBVALET_ZZZZZZZZZZ=x"}}, "unknown variable DBVALET_ZZZZZZZZZZ", "variables are DBVALET_CONFIG"},
		"flag":              {Sources{Flags: parsed(t, "--drain-delay=soon")}, `--drain-delay="soon" is not a time in seconds`, "--help"},
		"flag's level":      {Sources{Flags: parsed(t, "--log-level=loud")}, "--log-level=loud: there are debug, info, warn and error", "--help"},
		"empty config":      {Sources{Flags: parsed(t, "--config=")}, "--config is empty", "YAML file"},
		"argument":          {Sources{Args: []string{"postgres://h?x=y"}}, `route h: unknown option "x"`, "options are"},
		"route of variable": {Sources{Environ: []string{"DBVALET_ROUTES=postgres://h?x=y"}}, `DBVALET_ROUTES: route h: unknown option "x"`, "options are"},
		"same name twice":   {Sources{Args: []string{"postgres://h", "mysql://h"}}, "route h: two routes have this name; the other is argument 1", "set name="},
		"name of the file": {
			Sources{Args: []string{"postgres://orders"}, Environ: []string{"DBVALET_CONFIG=" + file}},
			"route orders: two routes have this name; the other is " + file + ":2", "set name=",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(row.sources)
			e, ok := errors.AsType[*Error](err)
			if !ok || !strings.HasPrefix(e.Error(), row.message) || !strings.Contains(e.Hint(), row.hint) {
				t.Fatalf("got %+v, %v, want %q with hint %q", c, err, row.message, row.hint)
			}
		})
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	c, err := Load(Sources{
		Args: []string{"postgres://h?auth=env:DBVALET_PASSWORD&local_password=env:DBVALET_LOCAL"},
		Environ: []string{
			"DBVALET_PASSWORD=" + secret, "DBVALET_LOCAL=" + secret, "DBVALET_TEST_CACHE=/x", "DBVALET_DEBIAN_MIRROR=x", "DBVALET_USER=x", "PATH=/bin",
			"DBVALET_SERVICE_HOST=10.0.0.1", "DBVALET_SERVICE_PORT=1", "DBVALET_SERVICE_PORT_POSTGRES=1", "DBVALET_PORT=tcp://10.0.0.1:1",
			"DBVALET_PORT_5432_TCP=x", "DBVALET_PORT_5432_TCP_ADDR=x", "DBVALET_ORDERS_PORT_5432_TCP_PROTO=x", "DBVALET_ORDERS_SERVICE_HOST=x",
		},
	})
	if err != nil || len(c.Routes) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestFlagsAreWhatTheyLookLike(t *testing.T) {
	fs := parsed(t, "--strict", "--max-connections=3", "--drain-delay=1m30s", "--admin=/run")
	strict, err1 := fs.GetBool("strict")
	n, err2 := fs.GetInt("max-connections")
	delay, err3 := fs.GetDuration("drain-delay")
	admin, err4 := fs.GetString("admin")
	if err := errors.Join(err1, err2, err3, err4); err != nil || !strict || n != 3 || delay != 90*time.Second || admin != "/run" {
		t.Errorf("got %v, %v, %v, %v, %v", strict, n, delay, admin, err)
	}
	few := pflag.NewFlagSet("dbvalet", pflag.ContinueOnError)
	AddFlags(few, "admin", "config")
	if few.Lookup("admin") == nil || few.Lookup("config") == nil || few.Lookup("strict") != nil {
		t.Error("other flags than those that were asked for")
	}
}

func TestErrorFoundLaterGetsItsPlace(t *testing.T) {
	c, dir, err := loadFile(t, map[string]string{"main.yaml": "\n" + route})
	if err != nil {
		t.Fatal(err)
	}
	late := &Error{Route: "orders", Err: errors.New("no such CA"), Advice: "write one"}
	if got, want := c.Place(late).Error(), dir+"/main.yaml:3: route orders: no such CA"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.Place(errors.New("else")).Error(); got != "else" {
		t.Errorf("got %s, want it as it was", got)
	}
}

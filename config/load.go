package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Sources are the ways in which dbvalet is told something. Where several name a setting, a flag counts
// more than a variable, that more than a file, and that more than the default. Routes add up.
type Sources struct {
	// Args are routes: URLs, or names of routes that are written elsewhere. If there are names, no other
	// routes are chosen from there.
	Args    []string
	Flags   *pflag.FlagSet // with those of AddFlags, parsed; nil: there are none
	Environ []string       // as os.Environ has it
	// UserFile is a file that is read if it is there, and if nothing else names a file or gives a
	// route's URL; empty: none.
	UserFile string
	// Trust returns an error if UserFile, or a file or directory that belongs to it, may hold somebody
	// else's words; nil: all may be read. It is asked about a directory before what is in it, and about
	// a file that is open. The error is an *Error.
	Trust func(path string, info fs.FileInfo) error
}

// Load reads the whole configuration. That there is a route is not asked for. The error is an *Error.
func Load(s Sources) (*Config, error) {
	l := newLoader()
	if err := l.files(s); err != nil {
		return nil, err
	}
	if err := l.urls(strings.Fields(s.get(routesVariable)), routesVariable, routesOrigin); err != nil {
		return nil, err
	}
	urls, err := l.choose(s.Args)
	if err != nil {
		return nil, err
	}
	if err := l.urls(urls, "", "argument"); err != nil {
		return nil, err
	}
	if err := l.unknownVariables(s); err != nil {
		return nil, err
	}
	if err := l.settings(s); err != nil {
		return nil, err
	}
	return l.config, nil
}

// LoadDirectory reads what belongs to a file in dir that is not there yet, or says nothing: its config.d. The
// error is an *Error.
func LoadDirectory(dir string) (*Config, error) {
	l := newLoader()
	if err := l.readDirectory(filepath.Join(dir, "config.d")); err != nil {
		return nil, err
	}
	return l.config, l.settings(Sources{})
}

const (
	configVariable = variablePrefix + "CONFIG"
	routesVariable = variablePrefix + "ROUTES"
	routesOrigin   = "environment " + routesVariable
)

// A loader puts a Config together.
type loader struct {
	config *Config
	said   map[string]saying // what the files say about settings
	trust  func(path string, info fs.FileInfo) error
}

// A saying is the value of a setting, as it is written.
type saying struct {
	text  string
	place place
}

func newLoader() *loader {
	return &loader{
		config: &Config{origins: origins{settings: map[string]place{}, routes: map[string]routeOrigin{}}},
		said:   map[string]saying{},
		trust:  func(string, fs.FileInfo) error { return nil },
	}
}

// get returns the value of a variable; one that is empty is as good as none.
func (s Sources) get(name string) string {
	for _, pair := range s.Environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// flag returns the value of a flag that was given.
func (s Sources) flag(k Key) (value string, given bool) {
	if s.Flags == nil {
		return "", false
	}
	f := s.Flags.Lookup(k.Flag()[2:])
	if f == nil || !f.Changed {
		return "", false
	}
	return f.Value.String(), true
}

// files reads the file that a flag or a variable names, and those that belong to it.
func (l *loader) files(s Sources) error {
	path, who := s.get(configVariable), configVariable
	if value, given := s.flag(configKey); given {
		path, who = value, configKey.Flag()
		if path == "" {
			return &Error{Err: errors.New("--config is empty"), Advice: "write the path of a YAML file, or leave it out"}
		}
	}
	if path == "" && s.wantsUserFile() {
		path, who = s.UserFile, "the user's file"
		if s.Trust != nil {
			l.trust = s.Trust
		}
	}
	if path == "" {
		return nil
	}
	if err := l.trustDirectory(filepath.Dir(path)); err != nil {
		return err
	}
	if err := l.readFile(path, who); err != nil {
		return err
	}
	return l.readDirectory(filepath.Join(filepath.Dir(path), "config.d"))
}

// urls adds routes that are URLs. file is where they stand, for errors; origin for those who ask.
func (l *loader) urls(urls []string, file, origin string) error {
	for i, url := range urls {
		r, err := ParseRoute(url)
		if err == nil {
			here := place{file: origin}
			if file == "" {
				here.file = fmt.Sprintf("%s %d", origin, i+1)
			}
			places := map[string]place{}
			for _, key := range r.written(url) {
				places[key] = here
			}
			err = l.add(r, here, places)
		}
		if err != nil {
			if e, ok := errors.AsType[*Error](err); ok {
				e.File, e.Line = file, 0
			}
			return err
		}
	}
	return nil
}

// written returns the options that url, which is r's, gives.
func (r *Route) written(url string) (keys []string) {
	_, query, _ := strings.Cut(url, "?")
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if o, ok := findOption(key); ok {
			keys = append(keys, o.Name)
		}
	}
	return keys
}

// add adds a route that is written at here. Its options are at places, or defaults.
func (l *loader) add(r *Route, here place, places map[string]place) error {
	if other, ok := l.config.origins.routes[r.Name]; ok {
		return &Error{
			Route: r.Name, File: here.file, Line: here.line,
			Err:    fmt.Errorf("two routes have this name; the other is %s", other.place),
			Advice: "set name= on one of them",
		}
	}
	l.config.Routes = append(l.config.Routes, r)
	l.config.origins.routes[r.Name] = routeOrigin{here, places}
	return nil
}

// settings puts each setting where it belongs, from the source that counts most.
func (l *loader) settings(s Sources) error {
	for _, each := range settings {
		text, as, from := each.Default, "the default of "+each.Name, place{file: originDefault}
		if said, ok := l.said[each.Name]; ok {
			text, as, from = said.text, each.Name, said.place
		}
		if value := s.get(each.Variable()); value != "" {
			text, as, from = value, each.Variable(), place{file: "environment " + each.Variable()}
		}
		if value, given := s.flag(each.Key); given {
			text, as, from = value, each.Flag(), place{file: "flag " + each.Flag()}
		}
		l.config.origins.settings[each.Name] = from
		if text = cmp.Or(text, each.Default); text == "" { // a flag that is given empty takes back what others say
			continue
		}
		if err := each.checkValue(as, text); err != nil {
			return &Error{Err: err, Advice: `"dbvalet --help" lists flags and their values`}
		}
		if err := each.put(each.field(&l.config.Settings), as, text); err != nil {
			return &Error{Err: err, Advice: `"dbvalet --help" lists flags and their values`}
		}
	}
	return nil
}

// check returns an error if text is no value of the setting.
func (s setting) check(as, text string) error {
	if err := s.checkValue(as, text); err != nil {
		return err
	}
	return s.put(s.field(&Settings{}), as, text)
}

// notOurs matches variables that begin as ours do and are not for us: what Kubernetes sets for each
// Service, should one be called dbvalet, and what tests, commands of auth=exec: and those of "dbvalet
// exec" get.
var notOurs = regexp.MustCompile(`^DBVALET_(TEST_.*|.+_URL|PEER_TEST|DEBIAN_MIRROR|USER|(.*_)?SERVICE_HOST|(.*_)?SERVICE_PORT(_.*)?|(.*_)?PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables returns an error if there is a variable that nobody reads. Those that a route names
// are the user's own.
func (l *loader) unknownVariables(s Sources) error {
	known := []string{configVariable, routesVariable}
	for _, each := range settings {
		known = append(known, each.Variable())
	}
	for _, pair := range s.Environ {
		name, _, _ := strings.Cut(pair, "=")
		named := func(r *Route) bool { return strings.Contains(r.Auth, name) || strings.Contains(r.LocalPassword, name) }
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || notOurs.MatchString(name) || slices.ContainsFunc(l.config.Routes, named) {
			continue
		}
		return &Error{Err: fmt.Errorf("unknown variable %s in the environment", name), Advice: didYouMean(name, known, "variables are ")}
	}
	return nil
}

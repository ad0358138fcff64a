package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// choose takes the routes that args name, in that order, and drops all others. It returns what in args
// are URLs.
func (l *loader) choose(args []string) (urls []string, err error) {
	var chosen []*Route
	for _, arg := range args {
		i := slices.IndexFunc(l.config.Routes, func(r *Route) bool { return r.Name == arg })
		switch {
		case i >= 0 && slices.Contains(chosen, l.config.Routes[i]): // it is named twice
		case i >= 0:
			chosen = append(chosen, l.config.Routes[i])
		case plainName.MatchString(arg):
			return nil, l.unknownName(arg)
		default:
			urls = append(urls, arg)
		}
	}
	if len(urls) < len(args) {
		for _, r := range l.config.Routes {
			if !slices.Contains(chosen, r) {
				delete(l.config.origins.routes, r.Name)
			}
		}
		l.config.Routes = chosen
	}
	return urls, nil
}

// plainName matches what can't be a URL with a mistake in it. Such a URL may hold a password, and is
// never repeated.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// unknownName is the error for the name of a route that there is not.
func (l *loader) unknownName(name string) error {
	e := &Error{Err: fmt.Errorf("there is no route called %s", name)}
	var names []string
	for _, r := range l.config.Routes {
		names = append(names, r.Name)
	}
	e.Advice = "write a URL like postgres://app@db.example.com:5432/orders, or name a file that has the route by --config"
	if names != nil {
		e.Advice = didYouMean(name, names, "routes are ")
	}
	return e
}

// wantsUserFile reports whether the user's own file is to be read.
func (s Sources) wantsUserFile() bool {
	isURL := func(arg string) bool { return !plainName.MatchString(arg) }
	named := len(s.Args) > 0 && !slices.ContainsFunc(s.Args, isURL)
	if s.UserFile == "" || !named && cmp.Or(strings.Join(s.Args, ""), s.get(routesVariable)) != "" {
		return false
	}
	_, err := os.Stat(s.UserFile)
	return !errors.Is(err, fs.ErrNotExist)
}

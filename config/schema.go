package config

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Key describes an option of a route, or a setting of the program, to those who write one. Whatever
// reads or explains the configuration is made from these: URLs, files, the environment, flags, the JSON
// Schema and the reference.
type Key struct {
	Name    string // in URLs and files; flags have dashes for the underscores
	Alias   string // another name, in URLs and files; empty: none
	Kind    Kind
	Doc     string   // a sentence or two; the first one is the help of the flag
	Default string   // of a setting the value itself, of an option in words; empty: nothing, or none
	Example string   // a value
	Values  []string // all there are; nil: there is no such list
	Group   string   // the heading under which the reference has it
	Zero    bool     // 0 is a value that somebody may want to write
}

// A Kind is what a value looks like.
type Kind string

// The kinds of values. Where a text is made of parts between commas, the file may have a list of them.
const (
	Text     Kind = "text"
	Parts    Kind = "text, with commas"
	List     Kind = "list"
	Number   Kind = "number"
	Duration Kind = "duration"
	Mode     Kind = "mode"
	Bool     Kind = "true or false"
)

// Flag is the name of the setting on the command line.
func (k Key) Flag() string { return "--" + strings.ReplaceAll(k.Name, "_", "-") }

// Variable is the name of the setting in the environment.
func (k Key) Variable() string { return variablePrefix + strings.ToUpper(k.Name) }

const variablePrefix = "DBVALET_"

// An option is a key of a route. Its field returns a pointer into the Route.
type option struct {
	Key
	field func(r *Route) any
}

// A setting is a key of the whole program. Its field returns a pointer into the Settings.
type setting struct {
	Key
	field func(s *Settings) any
}

// findOption returns the option that is called key.
func findOption(key string) (option, bool) {
	i := slices.IndexFunc(options, func(o option) bool { return key != "" && (o.Name == key || o.Alias == key) })
	if i < 0 {
		return option{}, false
	}
	return options[i], true
}

// optionNames are all names that options have.
func optionNames() (names []string) {
	for _, o := range options {
		names = append(names, o.Name)
		if o.Alias != "" {
			names = append(names, o.Alias)
		}
	}
	return names
}

// isSet reports whether something was put into field.
func isSet(field any) bool {
	switch f := field.(type) {
	case *string:
		return *f != ""
	case *[]string:
		return *f != nil
	case *int:
		return *f != 0
	case *time.Duration:
		return *f != 0
	case *fs.FileMode:
		return *f != 0
	case *bool:
		return *f
	}
	return false
}

// put reads value into field. Errors call the key as whoever wrote it did. Lists grow.
func (k Key) put(field any, as, value string) (err error) {
	switch f := field.(type) {
	case *string:
		*f = value
	case *[]string:
		if k.Name == "listen" { // the path of a socket may have a comma in it
			*f = append(*f, value)
			return nil
		}
		*f = strings.Split(value, ",")
		if slices.Contains(*f, "") {
			return fmt.Errorf("an empty value between the commas of %s", as)
		}
	case *int:
		return k.putNumber(f, as, value)
	case *time.Duration:
		return k.putDuration(f, as, value)
	case *fs.FileMode:
		mode, err := strconv.ParseUint(strings.TrimPrefix(value, "0o"), 8, 32)
		if err != nil || mode == 0 || mode > 0o777 {
			return fmt.Errorf("%s=%q is not a mode such as 0660", as, value)
		}
		*f = fs.FileMode(mode)
	case *bool:
		if *f, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("%s=%q is neither true nor false", as, value)
		}
	}
	return nil
}

// putNumber reads what is counted.
func (k Key) putNumber(field *int, as, value string) error {
	n, err := strconv.Atoi(value)
	switch {
	case k.Zero && (err != nil || n < 0):
		return fmt.Errorf("%s=%q is not a number from 0", as, value)
	case !k.Zero && (err != nil || n < 1):
		return fmt.Errorf("%s=%q is not a number from 1", as, value)
	}
	*field = n
	return nil
}

// putDuration reads seconds, as libpq has them, or a duration such as 1m30s.
func (k Key) putDuration(field *time.Duration, as, value string) error {
	text := value
	if _, err := strconv.Atoi(value); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	switch {
	case k.Zero && (err != nil || d < 0):
		return fmt.Errorf("%s=%q is not a time in seconds, or a duration such as 1m30s", as, value)
	case !k.Zero && (err != nil || d <= 0):
		return fmt.Errorf("%s=%q is not a time in seconds from 1, or a duration such as 1m30s", as, value)
	}
	*field = d
	return nil
}

// checkValue returns an error if value is none of those that there are.
func (k Key) checkValue(as, value string) error {
	if k.Values == nil || slices.Contains(k.Values, value) {
		return nil
	}
	last := len(k.Values) - 1
	return fmt.Errorf("%s=%s: there are %s and %s", as, value, strings.Join(k.Values[:last], ", "), k.Values[last])
}

// valueOf returns what is in field as files and people have it: a string, a []string, an int or a bool.
func valueOf(field any) any {
	switch f := field.(type) {
	case *string:
		return *f
	case *[]string:
		return *f
	case *int:
		return *f
	case *time.Duration:
		return f.String()
	case *fs.FileMode:
		return fmt.Sprintf("%04o", *f)
	case *bool:
		return *f
	}
	return nil
}

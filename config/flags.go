package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// AddFlags adds a flag for each setting to fs, and --config; with names only for those settings. Load
// reads them.
func AddFlags(fs *pflag.FlagSet, names ...string) {
	keys := []Key{configKey}
	for _, s := range settings {
		keys = append(keys, s.Key)
	}
	for _, k := range keys {
		if len(names) > 0 && !slices.Contains(names, k.Name) {
			continue
		}
		flag := fs.VarPF(&flagValue{zero(k), k}, k.Flag()[2:], "", firstSentence(k.Doc))
		if k.Kind == Bool {
			flag.NoOptDefVal = "true"
		}
		flag.Annotations = map[string][]string{groupAnnotation: {k.Group}, valuesAnnotation: k.Values}
	}
}

// What is noted of a flag beside its help.
const (
	groupAnnotation  = "dbvalet_group"
	valuesAnnotation = "dbvalet_values"
)

// FlagGroup returns the heading under which --help has a flag of AddFlags; empty: it is not one of them.
func FlagGroup(f *pflag.Flag) string { return strings.Join(f.Annotations[groupAnnotation], "") }

// FlagGroups returns the headings, in their order.
func FlagGroups() []string { return []string{groupServing, groupSeeing, groupLimits, groupEnd} }

// FlagValues returns all values that a flag of AddFlags may have; nil: there is no such list.
func FlagValues(f *pflag.Flag) []string { return f.Annotations[valuesAnnotation] }

// zero is the default of a flag in a form that pflag can read.
func zero(k Key) string {
	switch k.Kind {
	case Number, Duration:
		return cmp.Or(k.Default, "0")
	case Bool:
		return "false"
	}
	return k.Default
}

// firstSentence is the help of a flag. pflag would take what stands between backquotes for the name of
// the value.
func firstSentence(doc string) string {
	first, _, _ := strings.Cut(doc, ". ")
	return strings.ReplaceAll(strings.TrimSuffix(first, "."), "`", "")
}

// A flagValue keeps what was written; Load checks it, as it does for the other sources.
type flagValue struct {
	text string
	key  Key
}

var _ pflag.Value = (*flagValue)(nil)

func (v *flagValue) String() string { return v.text }

// Set takes text. Only a switch is checked here: what stands behind it may have been meant as a route.
func (v *flagValue) Set(text string) error {
	if v.key.Kind == Bool {
		if _, err := strconv.ParseBool(text); err != nil {
			return err
		}
	}
	v.text = text
	return nil
}

// Type is what pflag's own values would say.
func (v *flagValue) Type() string {
	switch v.key.Kind {
	case Number:
		return "int"
	case Bool:
		return "bool"
	case Duration:
		return "duration"
	}
	return "string"
}

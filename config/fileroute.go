package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// upstreamKey is where the database is. It stands in the file only: elsewhere it is the URL itself.
var upstreamKey = Key{
	Name: "upstream", Kind: Text, Example: "postgres://app@db.example.com:5432/orders",
	Doc: "Where the database is: `postgres://USER@HOST:PORT/DATABASE`, or `mysql://` or `mariadb://` in front. " +
		"It may have options behind a question mark, as in an argument, and no password.",
}

// routes reads the list of them.
func (d *decoder) routes(list *yaml.Node) error {
	if list.Kind != yaml.SequenceNode {
		return d.fail(list, example, "routes is no list")
	}
	for i, item := range list.Content {
		d.route = fmt.Sprintf("number %d", i+1)
		if item.Kind != yaml.MappingNode {
			return d.fail(item, example, "it is no mapping of keys to values")
		}
		if err := d.readRoute(item); err != nil {
			return err
		}
		d.route = ""
	}
	return nil
}

// readRoute reads one route.
func (d *decoder) readRoute(item *yaml.Node) error {
	values := map[string]*yaml.Node{} // of the keys as they are written
	var keys []*yaml.Node             // in their order
	err := d.mapping(item, func(key, value *yaml.Node) error {
		if key.Value == "name" && value.Kind == yaml.ScalarNode && value.Value != "" {
			d.route = value.Value
		}
		values[key.Value] = value
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, ok := findOption(key.Value); !ok && key.Value != "upstream" {
			return d.fail(key, unknownRouteKey(key.Value), "unknown key %q", key.Value)
		}
	}
	upstream := values["upstream"]
	if upstream == nil {
		return d.fail(item, "write upstream: postgres://app@db.example.com:5432/orders", "upstream is missing")
	}
	url, err := d.scalar(upstream, upstreamKey, "upstream")
	if err != nil {
		return err
	}
	places := map[string]place{}
	r, err := parseRoute(url, func(r *Route) error {
		for _, o := range options {
			if isSet(o.field(r)) {
				places[o.Name] = place{d.path, upstream.Line}
			}
		}
		return d.options(r, keys, values, places)
	})
	if err != nil {
		return d.placed(err, upstream)
	}
	return d.add(r, place{d.path, item.Line}, places)
}

// placed says of an error of a URL that it is the one in line n.
func (d *decoder) placed(err error, n *yaml.Node) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.File != "" {
		return err
	}
	e.Route, e.File, e.Line = d.route, d.path, n.Line
	return e
}

func unknownRouteKey(key string) string {
	if _, ok := findSetting(key); ok {
		return key + " concerns the whole program: write it at the beginning of a line, outside of routes:"
	}
	if advice := clientAdvice(key); advice != "" {
		return advice
	}
	return didYouMean(key, append([]string{"upstream"}, optionNames()...), "keys of a route are ")
}

// options sets the options that are keys of the file.
func (d *decoder) options(r *Route, keys []*yaml.Node, values map[string]*yaml.Node, places map[string]place) error {
	for _, key := range keys {
		o, ok := findOption(key.Value)
		if !ok {
			continue
		}
		value := values[key.Value]
		if isSet(o.field(r)) {
			return d.fail(key, "leave one of them out", "%s is given twice, by both of its names or in upstream too", key.Value)
		}
		texts, err := d.texts(value, o.Key, key.Value)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if err := o.put(o.field(r), key.Value, text); err != nil {
				return d.fail(value, "correct it, or leave it out", "%w", err)
			}
		}
		places[o.Name] = place{d.path, value.Line}
	}
	return nil
}

// texts returns what is to be put into the field of k, one after the other.
func (d *decoder) texts(n *yaml.Node, k Key, as string) ([]string, error) {
	if n.Kind != yaml.SequenceNode || k.Kind != List && k.Kind != Parts {
		text, err := d.scalar(n, k, as)
		return []string{text}, err
	}
	var texts []string
	for _, item := range n.Content {
		text, err := d.scalar(item, k, "an item of "+as)
		if err != nil {
			return nil, err
		}
		if k.Name != "listen" && strings.Contains(text, ",") {
			return nil, d.fail(item, "write an item for each", "a comma in an item of %s", as)
		}
		texts = append(texts, text)
	}
	switch {
	case len(texts) == 0:
		return nil, d.fail(n, "give it a value, or leave it out", "%s is an empty list", as)
	case k.Name == "listen":
		return texts, nil
	}
	return []string{strings.Join(texts, ",")}, nil
}

// scalar returns the text of a value that has to be of k's kind.
func (d *decoder) scalar(n *yaml.Node, k Key, as string) (string, error) {
	wanted, tags := "a text", []string{"!!int", "!!str"}
	switch k.Kind {
	case Number:
		wanted, tags = "a number, without quotes", []string{"!!int"}
	case Bool:
		wanted, tags = "true or false, without quotes", []string{"!!bool"}
	case Duration:
		wanted = "seconds, or a duration such as 1m30s"
	case Mode:
		wanted = "a mode such as 0660"
	case List, Parts:
		wanted = "a text, or a list of texts"
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return "", d.fail(n, "give it a value, or leave it out", "%s has no value", as)
	case n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()):
		return "", d.fail(n, "write "+wanted+"; a text that looks like something else goes between quotes", "%s is not %s", as, wanted)
	case n.Value == "":
		return "", d.fail(n, "give it a value, or leave it out", "%s is empty", as)
	case strings.ContainsRune(n.Value, 0):
		return "", d.fail(n, "take the zero byte out", "a zero byte in %s", as)
	}
	return n.Value, nil
}

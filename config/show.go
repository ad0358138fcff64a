package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Shown returns value as people may see it, or another text where it may have something secret in it.
type Shown func(key, value string) string

// A Value is one that is in force, and where it comes from.
type Value struct {
	Key    string `json:"-"`
	Value  any    `json:"value"` // a string, a []string, an int or a bool
	Origin string `json:"origin"`
}

// A values is a mapping in JSON that keeps its order.
type values []Value

// MarshalJSON makes an object of vs.
func (vs values) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	for i, v := range vs {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		separator := ","
		if i == 0 {
			separator = "{"
		}
		fmt.Fprintf(&out, "%s%q:%s", separator, v.Key, text)
	}
	if len(vs) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// JSON returns what is in force, with the origin of each value.
func (c *Config) JSON(shown Shown) ([]byte, error) {
	document := struct {
		Settings values   `json:"settings"`
		Routes   []values `json:"routes"`
		Files    []string `json:"files"`
	}{c.effective(shown), []values{}, append([]string{}, c.Files...)}
	for _, r := range c.Routes {
		document.Routes = append(document.Routes, c.effectiveRoute(r, shown))
	}
	text, err := json.MarshalIndent(document, "", "  ")
	return append(text, '\n'), err
}

// YAML returns what is in force as a file that Load reads, with the origin of each value behind it.
func (c *Config) YAML(shown Shown) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	addValues(root, c.effective(shown))
	routes := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range c.Routes {
		route := &yaml.Node{Kind: yaml.MappingNode}
		addValues(route, c.effectiveRoute(r, shown))
		routes.Content = append(routes.Content, route)
	}
	if len(routes.Content) == 0 {
		routes.Style = yaml.FlowStyle
	}
	root.Content = append(root.Content, textNode("routes"), routes)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := encoder.Encode(root)
	return out.Bytes(), err
}

// effective are the settings that have a value.
func (c *Config) effective(shown Shown) (vs values) {
	for _, s := range settings {
		if field := s.field(&c.Settings); isSet(field) {
			vs = append(vs, Value{s.Name, show(s.Name, valueOf(field), shown), c.Origin(s.Name)})
		}
	}
	return vs
}

// effectiveRoute are the options of r that have a value.
func (c *Config) effectiveRoute(r *Route, shown Shown) values {
	vs := values{
		{"name", r.Name, c.RouteOrigin(r.Name, "name")},
		{"upstream", show("upstream", r.Upstream, shown), c.RouteOrigin(r.Name, "")},
	}
	for _, o := range options {
		if field := o.field(r); o.Name != "name" && isSet(field) {
			vs = append(vs, Value{o.Name, show(o.Name, valueOf(field), shown), c.RouteOrigin(r.Name, o.Name)})
		}
	}
	return vs
}

// show lets shown have a look at texts.
func show(key string, value any, shown Shown) any {
	if text, ok := value.(string); ok {
		return strings.ToValidUTF8(shown(key, text), "\uFFFD")
	}
	return value
}

// addValues adds vs to mapping.
func addValues(mapping *yaml.Node, vs values) {
	for _, v := range vs {
		node := valueNode(v.Value)
		node.LineComment = comment(v.Origin)
		mapping.Content = append(mapping.Content, textNode(v.Key), node)
	}
}

// comment is text on one line.
func comment(text string) string {
	if quoted := strconv.Quote(text); quoted[1:len(quoted)-1] != text {
		return "# " + quoted
	}
	return "# " + text
}

func valueNode(value any) *yaml.Node {
	switch v := value.(type) {
	case []string:
		if len(v) == 1 {
			return textNode(strings.ToValidUTF8(v[0], "\uFFFD"))
		}
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, text := range v {
			list.Content = append(list.Content, textNode(strings.ToValidUTF8(text, "\uFFFD")))
		}
		return list
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	}
	return textNode(fmt.Sprint(value))
}

// textNode is text, between quotes where it would not be plain: as a block it would leave no place for
// a comment.
func textNode(text string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) || r == '\uFEFF' }) || strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

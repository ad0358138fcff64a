package main

import (
	"bytes"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A draft is a route that is proposed, before anybody has written it down.
type draft struct {
	Name     string
	Scheme   string // postgres or mysql
	User     string
	Host     string // empty: an option says where the database is
	Port     string
	Database string
	Listen   string   // empty: the default
	Options  []option // in this order

	settled bool // how to log in is known, also where no option says it
}

// An option is a key of a route and its value.
type option struct{ key, value string }

// add adds an option, unless the value is empty.
func (d *draft) add(key, value string) {
	if value != "" {
		d.Options = append(d.Options, option{key, value})
	}
}

// upstream is the URL without options.
func (d draft) upstream() string {
	text := d.Scheme + "://"
	if d.User != "" {
		text += url.User(d.User).String() + "@"
	}
	switch {
	case d.Host != "" && d.Port != "":
		text += net.JoinHostPort(d.Host, d.Port)
	case isIPv6(d.Host):
		text += "[" + d.Host + "]"
	default:
		text += d.Host
	}
	if d.Database != "" || d.User != "" && d.Host == "" {
		text += "/" + url.PathEscape(d.Database)
	}
	return text
}

func isIPv6(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is6()
}

// url is the whole as an argument.
func (d draft) url() string {
	var pairs []string
	for _, o := range d.all()[2:] { // but name and upstream
		pairs = append(pairs, o.key+"="+inURL.Replace(o.value))
	}
	if pairs == nil {
		return d.upstream()
	}
	return d.upstream() + "?" + strings.Join(pairs, "&")
}

// inURL escapes what has a meaning between the options of a route, where a plus is itself.
var inURL = strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", " ", "%20")

// all are the keys of the route in a file, in their order.
func (d draft) all() []option {
	list := []option{{"name", d.Name}, {"upstream", d.upstream()}}
	if d.Listen != "" {
		list = append(list, option{"listen", d.Listen})
	}
	return append(list, d.Options...)
}

// yaml is the route as an item of the list in a file, indented by so many spaces.
func (d draft) yaml(indent int) (string, error) {
	item := &yaml.Node{Kind: yaml.MappingNode}
	for _, o := range d.all() {
		value := &yaml.Node{}
		value.SetString(o.value)
		item.Content = append(item.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: o.key}, value)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{item}}); err != nil {
		return "", err
	}
	if err := encoder.Close(); err != nil {
		return "", err
	}
	var text strings.Builder
	for line := range strings.Lines(out.String()) {
		text.WriteString(strings.Repeat(" ", indent) + line)
	}
	return text.String(), nil
}

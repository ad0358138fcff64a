package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is far more than thousands of routes need.
const maxFile = 4 << 20 // bytes

// example is for those whose file says nothing yet.
const example = "write routes: into it, and below it items like - {name: orders, upstream: postgres://app@db.example.com:5432/orders}"

// readFile adds what the YAML file at path says. who is where it is named.
func (l *loader) readFile(path, who string) error {
	fail := func(err error, advice string) error { return &Error{File: path, Err: err, Advice: advice} }
	file, err := os.Open(path)
	if err != nil {
		return fail(fmt.Errorf("open the file: %w", reason(err)), who+" names it: write the path of a YAML file that this user can read")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fail(fmt.Errorf("read the file: %w", reason(err)), who+" names it: write the path of a YAML file that this user can read")
	}
	if info.IsDir() {
		return fail(errors.New("it is a directory"), who+" names it: write the path of a YAML file; those in config.d beside it are read too")
	}
	if err := l.trust(path, info); err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return fail(fmt.Errorf("read the file: %w", reason(err)), who+" names it: write the path of a YAML file that this user can read")
	}
	if len(content) > maxFile {
		return fail(fmt.Errorf("the file has more than %d bytes", maxFile), "write the path of a YAML file with routes")
	}
	l.config.Files = append(l.config.Files, path)
	return l.decode(path, content)
}

// reason is err without the path, which has been named.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// trustDirectory returns an error if others decide which files are in dir. There need be no such directory.
func (l *loader) trustDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil { // which the next to open something there says
		return nil
	}
	return l.trust(dir, info)
}

// readDirectory adds what dir/*.yaml say, in the order of their names. There need be no such directory.
func (l *loader) readDirectory(dir string) error {
	l.config.Dirs = append(l.config.Dirs, dir)
	if err := l.trustDirectory(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{File: dir, Err: fmt.Errorf("read the directory: %w", reason(err)), Advice: "let this user read it, or remove it: the files config.d/*.yaml beside the configuration file belong to it"}
	}
	for _, entry := range entries {
		if name := entry.Name(); filepath.Ext(name) == ".yaml" && !strings.HasPrefix(name, ".") {
			if err := l.readFile(filepath.Join(dir, name), dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// decode adds what content says, which is that of the file at path.
func (l *loader) decode(path string, content []byte) error {
	d := &decoder{loader: l, path: path}
	root, err := d.document(content)
	if err != nil {
		return err
	}
	return d.top(root)
}

// A decoder reads one file, and knows of everything in which line it stands.
type decoder struct {
	*loader
	path  string
	route string // what the route is called that is being read; empty: none is
}

// fail is an error that stands where n does.
func (d *decoder) fail(n *yaml.Node, advice, format string, args ...any) error {
	return &Error{Route: d.route, File: d.path, Line: n.Line, Err: fmt.Errorf(format, args...), Advice: advice}
}

// document parses content, which has to be one document that is a mapping.
func (d *decoder) document(content []byte) (*yaml.Node, error) {
	var document, second yaml.Node
	parser := yaml.NewDecoder(bytes.NewReader(content))
	err := parser.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, &Error{File: d.path, Err: errors.New("the file is empty"), Advice: example}
	}
	if err != nil {
		return nil, d.syntax(err)
	}
	if len(document.Content) != 1 || document.Content[0].ShortTag() == "!!null" {
		return nil, &Error{File: d.path, Err: errors.New("the file is empty"), Advice: example}
	}
	switch err := parser.Decode(&second); {
	case err == nil:
		return nil, d.fail(&second, "take the --- out, or put each document into a file of its own in config.d", "a second document in the file")
	case !errors.Is(err, io.EOF):
		return nil, d.syntax(err)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, d.fail(root, example, "the file is no mapping of keys to values")
	}
	return root, d.plain(root)
}

// plain refuses what would make it hard to say in which line something stands.
func (d *decoder) plain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return d.fail(n, "write the value itself; one that begins with & or * goes between quotes", "an anchor (&) or an alias (*) of YAML")
	}
	for _, child := range n.Content {
		if err := d.plain(child); err != nil {
			return err
		}
	}
	return nil
}

// syntax gives an error of the parser its line. What it says about names may be a part of a password.
func (d *decoder) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	e := &Error{File: d.path, Advice: "look at the indentation, and put values with special characters between quotes"}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, message, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			e.Line, text = n, message
		}
	}
	if strings.ContainsAny(text, `'"`) {
		text = "a name that means nothing"
	}
	e.Err = fmt.Errorf("not YAML that can be read: %s", text)
	return e
}

// top reads the keys of the whole program.
func (d *decoder) top(root *yaml.Node) error {
	known := append([]string{"routes"}, settingNames()...)
	return d.mapping(root, func(key, value *yaml.Node) error {
		if key.Value == "routes" {
			return d.routes(value)
		}
		s, ok := findSetting(key.Value)
		if !ok {
			advice := didYouMean(key.Value, known, "keys are ")
			if _, ok := findOption(key.Value); ok || key.Value == "upstream" {
				advice = key.Value + " belongs to a route: write it into an item of the list below routes:"
			}
			return d.fail(key, advice, "unknown key %q", key.Value)
		}
		text, err := d.scalar(value, s.Key, key.Value)
		if err != nil {
			return err
		}
		if err := s.check(key.Value, text); err != nil {
			return d.fail(value, "correct it, or leave it out", "%w", err)
		}
		here := place{d.path, value.Line}
		if other, ok := d.said[s.Name]; ok && other.text != text {
			return d.fail(value, "leave one of them out", "%s contradicts %s", key.Value, other.place)
		} else if !ok {
			d.said[s.Name] = saying{text, here}
		}
		return nil
	})
}

// mapping calls each for every key of n and its value. No key may be there twice.
func (d *decoder) mapping(n *yaml.Node, each func(key, value *yaml.Node) error) error {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return d.fail(key, "write a name, and a colon behind it", "a key that is no name")
		}
		if line, ok := lines[key.Value]; ok {
			return d.fail(key, "leave one of them out", "%s is given twice, first in line %d", strconv.Quote(key.Value), line)
		}
		lines[key.Value] = key.Line
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

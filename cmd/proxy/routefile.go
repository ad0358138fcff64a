package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"dbvalet/config"
)

// A routeFile is a configuration file to which a route is added. What stands in it stays as it is, with
// comments, blank lines and all: lines are put in, and nothing is written anew.
type routeFile struct {
	path    string
	exists  bool
	content []byte
	config  *config.Config // what it says, with the files of config.d beside it
}

// openRouteFile reads the file at path, which need not be there.
func openRouteFile(path string) (*routeFile, error) {
	fail := func(err error) (*routeFile, error) {
		return nil, usageError{&config.Error{Err: fmt.Errorf("read the configuration: %w", err), Advice: "name another file with --config"}}
	}
	f := &routeFile{path: path, exists: true}
	var err error
	f.content, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		f.exists = false
		if _, err := os.Lstat(path); err == nil {
			return fail(fmt.Errorf("%s is a link to a file that is not there", path))
		}
	} else if err != nil {
		return fail(err)
	}
	if len(bytes.TrimSpace(f.content)) == 0 {
		f.config, err = config.LoadDirectory(filepath.Dir(path))
	} else {
		f.config, err = loadFile(path)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// loadFile reads a file and nothing else.
func loadFile(path string) (*config.Config, error) {
	return config.Load(config.Sources{Environ: []string{"DBVALET_CONFIG=" + path}})
}

const newFile = `# Routes of dbvalet. "dbvalet config schema" and docs/configuration.md say what there is.
routes:
`

// with returns the file's content with d in it. The error has the text that somebody else may put there.
func (f *routeFile) with(d draft) ([]byte, error) {
	refuse := func(err error) ([]byte, error) {
		text, _ := d.yaml(2)
		return nil, usageError{&config.Error{File: f.path, Err: fmt.Errorf("add a route: %w", err), Advice: "add it yourself below routes:\n" + strings.TrimRight(text, "\n")}}
	}
	var content []byte
	var err error
	if len(bytes.TrimSpace(f.content)) == 0 {
		var text string
		text, err = d.yaml(2)
		content = []byte(newFile + text)
	} else {
		content, err = insertRoute(f.content, d)
	}
	if err != nil {
		return refuse(err)
	}
	if err := f.check(content, d); err != nil {
		if _, ok := errors.AsType[*config.Error](err); ok {
			return nil, usageError{err}
		}
		return refuse(err)
	}
	return content, nil
}

// insertRoute puts d behind the last route of content.
func insertRoute(content []byte, d draft) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil || len(document.Content) == 0 {
		return nil, errors.New("the file has no list of routes that could be extended")
	}
	lines := strings.SplitAfter(string(content), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	} else {
		lines[last] += "\n"
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return nil, errors.New("the file is not written in lines of keys")
	}
	list := valueOf(root, "routes")
	if list == nil {
		text, err := d.yaml(2)
		return []byte(strings.Join(lines, "") + "routes:\n" + text), err
	}
	if list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 {
		return nil, errors.New("its routes are not a list of lines that begin with a dash")
	}
	indent := list.Column - 1
	text, err := d.yaml(indent)
	if err != nil {
		return nil, err
	}
	// What is indented more belongs to the last route, comments included.
	at := lastLine(list)
	for end := at; end < len(lines); end++ {
		line := strings.TrimRight(lines[end], " \r\n")
		if line != "" && len(line)-len(strings.TrimLeft(line, " ")) <= indent {
			break
		}
		if line != "" {
			at = end + 1
		}
	}
	return []byte(strings.Join(lines[:at], "") + text + strings.Join(lines[at:], "")), nil
}

// valueOf returns the value of a key; nil: there is none.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// lastLine is the last line in which something of n begins, counted from 1.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, child := range n.Content {
		last = max(last, lastLine(child))
	}
	return last
}

// check reads content as the file's own would be, and builds the new route as it will be served.
func (f *routeFile) check(content []byte, d draft) error {
	dir := filepath.Dir(f.path)
	if _, err := os.Stat(dir); err != nil { // it is made when there is something to put into it
		if dir, err = os.MkdirTemp("", "dbvalet-init-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	temporary, err := writeTemporary(dir, content, nil)
	if err != nil {
		return &config.Error{Err: err, Advice: "name a file with --config whose directory you can write to"}
	}
	defer os.Remove(temporary)
	c, err := loadFile(temporary)
	if err != nil {
		return f.named(err, temporary)
	}
	if len(c.Routes) != len(f.config.Routes)+1 {
		return errors.New("the file would not say the same as before")
	}
	for _, r := range c.Routes {
		if r.Name == d.Name {
			if err := checkRoute(*r, newOverall(0, 0, 0)); err != nil {
				return f.named(err, temporary)
			}
			continue
		}
		if old := routeCalled(f.config.Routes, r.Name); old == nil || !reflect.DeepEqual(old, r) {
			return errors.New("the file would not say the same as before")
		}
	}
	return nil
}

// named puts the file's name into an error about the temporary one.
func (f *routeFile) named(err error, temporary string) error {
	if e, ok := errors.AsType[*config.Error](err); ok && e.File == temporary {
		e.File, e.Line = f.path, 0
	}
	return err
}

func routeCalled(routes []*config.Route, name string) *config.Route {
	for _, r := range routes {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// write replaces the file by one with content, in one step: whoever reads it reads the old or the new
// one. A file that has come or changed since it was read is left alone.
func (f *routeFile) write(content []byte) error {
	fail := func(err error) error {
		advice := "nothing was changed; try again, or name another file with --config"
		if errors.Is(err, fs.ErrPermission) {
			advice = "nothing was changed; run it as the user whose file it is, or name another one with --config"
		}
		return &config.Error{Err: fmt.Errorf("write %s: %w", f.path, err), Advice: advice}
	}
	path := f.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // so that a link stays one
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	before, _ := os.Stat(path) // nil: there is none
	temporary, err := writeTemporary(dir, content, before)
	if err != nil {
		return fail(err)
	}
	defer os.Remove(temporary)
	if !f.exists {
		if err := os.Link(temporary, path); err != nil { // which never replaces anything
			return fail(err)
		}
		return nil
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, f.content) {
		return fail(errors.New("somebody else has changed it meanwhile"))
	}
	if err := os.Rename(temporary, path); err != nil {
		return fail(err)
	}
	return nil
}

// writeTemporary writes content to a new file in dir, to the disk, and returns its path. It has the owner,
// group and mode of like, so that the same people read it; nil: it is the own user's alone.
func writeTemporary(dir string, content []byte, like fs.FileInfo) (path string, err error) {
	file, err := os.CreateTemp(dir, ".dbvalet-*.tmp")
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err == nil && like != nil {
		if err = chownLike(file, like); err != nil {
			err = fmt.Errorf("leave it to its owner and group: %w", err)
		}
		err = errors.Join(err, file.Chmod(like.Mode().Perm()))
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		_ = os.Remove(file.Name())
		return "", err
	}
	return file.Name(), nil
}

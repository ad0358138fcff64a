package config

import (
	"fmt"
	"strings"
)

const referenceHead = `# Configuration

This page is made from the schema; ` + "`go test ./cmd/proxy -run Reference -update`" + ` writes it anew.

There are four ways to tell dbvalet something. For a setting a flag counts more than a variable of the
environment, that more than a file, and that more than the default. Routes add up: those of the file, of
` + "`DBVALET_ROUTES`" + ` and of the arguments are all served, and no two may have the same name. An argument may also be the name of a
route in the file or in ` + "`DBVALET_ROUTES`" + `: then only those are served that are named. Where nothing names a
file, and no route is given as a URL, the user's own is read, ` + "`~/.config/dbvalet/dbvalet.yaml`" + ` on Linux, if it is
there; it, what is in config.d and the directories have to belong to the user or root, and others must not be able
to write to them.

    dbvalet 'postgres://app@db.example.com/orders?listen=127.0.0.1:5432&auth=file:/run/secrets/pw'
    DBVALET_ROUTES='postgres://app@db.example.com/orders?auth=file:/run/secrets/pw' dbvalet --log-level=warn
    dbvalet --config /etc/dbvalet/dbvalet.yaml
    dbvalet --config /etc/dbvalet/dbvalet.yaml orders

` + "```yaml" + `
log_level: warn
routes:
  - name: orders
    upstream: postgres://app@orders.abc123.us-east-1.rds.amazonaws.com:5432/orders
    listen: 127.0.0.1:5432        # or a unix socket directory, or a list
    auth: aws-iam
    ca: /etc/ssl/rds.pem
` + "```" + `

- ` + "`dbvalet config check`" + ` reads everything, sets every route up without listening, and says what is wrong.
- ` + "`dbvalet config show`" + ` shows what is in force and where each value comes from, without secrets.
- ` + "`dbvalet config schema`" + ` prints a JSON Schema of the file. Editors that know YAML's language server use it
  with ` + "`# yaml-language-server: $schema=dbvalet.schema.json`" + ` in the file's first line.

The file is read strictly: an unknown key, a key that is there twice, and a value of another kind are
errors with the file's name and the line. It is one document, without anchors and aliases. A path in it is
relative to the directory in which dbvalet runs, as one in an argument is. A variable that begins with
` + "`DBVALET_`" + ` and that nobody reads is an error too; those that ` + "`env:`" + ` of a route names are yours, and those that
Kubernetes sets for a Service called dbvalet are left alone. An empty variable is as good as none.

The files ` + "`config.d/*.yaml`" + ` beside the one that ` + "`--config`" + ` names are read too, in the order of their names: their
routes are added, and their settings may not contradict.

Texts that look like numbers, or have a ` + "`#`" + ` or a colon and a space in them, go between quotes in YAML. A duration
is seconds, or a number with ` + "`ms`, `s`, `m` or `h`, such as `1m30s`" + `. Lists are items of YAML, or texts with commas.

## Settings

Each is a key of the file, a flag and a variable.

`

// Reference returns the reference of all settings and options, in Markdown.
func Reference() string {
	var out strings.Builder
	out.WriteString(referenceHead)
	out.WriteString("| key | flag | variable | meaning | kind | default | example |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&out, "| | `%s` | `%s` | %s | %s | | `%s` |\n", configKey.Flag(), configKey.Variable(), cell(configKey.Doc), configKey.Kind, configKey.Example)
	fmt.Fprintf(&out, "| `routes` | arguments | `%s` | The routes; in the variable their URLs, with spaces or line ends between them. | list | none | |\n", routesVariable)
	for _, s := range settings {
		fmt.Fprintf(&out, "| `%s` | `%s` | `%s` | %s | %s | %s | `%s` |\n", s.Name, s.Flag(), s.Variable(), cell(s.Doc), s.kind(), code(s.Default), s.Example)
	}
	out.WriteString("\n## Options of a route\n\nEach is a key of a route in the file, and an option of its URL. In a URL, values are percent-encoded where they\n" +
		"contain `&`, `#` or `%`.\n\n")
	fmt.Fprintf(&out, "`upstream` is the URL itself, in the file. %s Without USER, it is the one that the credential is for, else each client's own; "+
		"DATABASE is for clients that name none; PORT is 5432, or 3306. A secret may say what the URL leaves out.\n", upstreamKey.Doc)
	for _, group := range groups {
		fmt.Fprintf(&out, "\n### %s\n\n| option | meaning | kind | default | example |\n| --- | --- | --- | --- | --- |\n", group)
		for _, o := range options {
			if o.Group != group {
				continue
			}
			name := "`" + o.Name + "`"
			if o.Alias != "" {
				name += ", `" + o.Alias + "`"
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s | `%s` |\n", name, cell(o.Doc), o.kind(), cell(o.Default), o.Example)
		}
	}
	return out.String()
}

// kind is the kind of k's values, or these themselves.
func (k Key) kind() string {
	if k.Values != nil {
		return "`" + strings.Join(k.Values, "`, `") + "`"
	}
	return string(k.Kind)
}

// cell is text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// code is text between backquotes.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

package config

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled is the schema, in a validator that we did not write.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("dbvalet.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("dbvalet.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// What an editor accepts is what dbvalet accepts.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	schema := compiled(t)
	for content, valid := range map[string]bool{
		route: true,
		route + "    listen: [127.0.0.1:1, /run/db]\n    tls: verify-ca\n    ca: /x\n    connect_timeout: 30\n": true,
		route + "    sslmode: require\n    socket_mode: 0660\n    queue_timeout: 1m30s\n":                       true,
		route + "    socket_owner: 1000\n    allow: [self, 1000]\n":                                             true,
		"log_level: debug\nstrict: true\nmax_connections: 0\ndrain_delay: 0\nadmin: /run\nroutes: []\n":         true,
		"log_level: loud\n":                        false,
		"strict: 1\n":                              false,
		"max_connections: -1\n":                    false,
		"max_connections: '1'\n":                   false,
		"nothing: 1\n":                             false,
		"drain_delay: soon\n":                      false,
		"admin:\n":                                 false,
		"routes:\n- name: a\n":                     false,
		"routes: a\n":                              false,
		"[]":                                       false,
		route + "    lisen: x\n":                   false,
		route + "    admin: x\n":                   false,
		route + "    max_connections: 0\n":         false,
		route + "    max_connections: many\n":      false,
		route + "    connect_timeout: true\n":      false,
		route + "    connect_timeout: 5 seconds\n": false,
		route + "    databases: []\n":              false,
		route + "    databases: [true]\n":          false,
		route + "    region: [a]\n":                false,
		route + "    region: ''\n":                 false,
		route + "    socket_mode: rw\n":            false,
	} {
		var value any
		if err := yaml.Unmarshal([]byte(content), &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != valid {
			t.Errorf("%q: the schema says %v, want it valid: %v", content, err, valid)
		}
		if _, err := decoded([]byte(content)); (err == nil) != valid {
			t.Errorf("%q: the decoder says %v, want it valid: %v", content, err, valid)
		}
	}
}

// Each key has an example, and each example is a value.
func TestExamplesAreValues(t *testing.T) {
	schema := compiled(t)
	try := func(k Key, content map[string]any) {
		t.Helper()
		text, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if _, err := decoded(text); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if k.Doc == "" || k.Example == "" {
			t.Errorf("%s has no description or no example", k.Name)
		}
	}
	for _, s := range settings {
		try(s.Key, map[string]any{s.Name: s.example()})
	}
	for _, o := range options {
		try(o.Key, map[string]any{"routes": []any{map[string]any{"upstream": "postgres://h", o.Name: o.example()}}})
		if o.Group == "" || o.Default == "" {
			t.Errorf("%s has no group or no default", o.Name)
		}
	}
}

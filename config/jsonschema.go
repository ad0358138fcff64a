package config

import "encoding/json"

// durationPattern matches seconds and Go's durations, as strings.
const durationPattern = `^([0-9]+|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`

// JSONSchema returns the JSON Schema (draft 2020-12) of the YAML file, for editors.
func JSONSchema() ([]byte, error) {
	route := map[string]any{"upstream": schemaOf(upstreamKey)}
	for _, o := range options {
		route[o.Name] = schemaOf(o.Key)
		if o.Alias != "" {
			alias := schemaOf(o.Key)
			alias["description"] = "Another name for " + o.Name + "."
			route[o.Alias] = alias
		}
	}
	top := map[string]any{"routes": map[string]any{
		"type":        "array",
		"description": "The databases that are served. Those of the files in config.d, of DBVALET_ROUTES and of the arguments are added.",
		"items": map[string]any{
			"type": "object", "properties": route, "required": []string{"upstream"}, "additionalProperties": false,
		},
	}}
	for _, s := range settings {
		schema := schemaOf(s.Key)
		if s.Default != "" {
			schema["default"] = s.Default
		}
		top[s.Name] = schema
	}
	text, err := json.MarshalIndent(map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "dbvalet",
		"description":          "The configuration file of dbvalet.",
		"type":                 "object",
		"properties":           top,
		"additionalProperties": false,
	}, "", "  ")
	return append(text, '\n'), err
}

// schemaOf is the schema of the values of k.
func schemaOf(k Key) map[string]any {
	least := 1
	if k.Zero {
		least = 0
	}
	text := map[string]any{"type": []string{"string", "integer"}, "minLength": 1}
	schema := text
	switch {
	case k.Values != nil:
		schema = map[string]any{"enum": k.Values}
	case k.Kind == Number:
		schema = map[string]any{"type": "integer", "minimum": least}
	case k.Kind == Bool:
		schema = map[string]any{"type": "boolean"}
	case k.Kind == Duration:
		schema = map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": least}, map[string]any{"type": "string", "pattern": durationPattern},
		}}
	case k.Kind == Mode:
		schema = map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1}, map[string]any{"type": "string", "pattern": "^(0o)?[0-7]+$"},
		}}
	case k.Kind == List || k.Kind == Parts:
		schema = map[string]any{"anyOf": []any{
			text, map[string]any{"type": "array", "items": text, "minItems": 1},
		}}
	}
	schema["description"] = k.Doc
	schema["examples"] = []any{k.example()}
	return schema
}

// example is k's example as a value of the file.
func (k Key) example() any {
	var field any
	switch k.Kind {
	case Number:
		field = new(int)
	case Bool:
		field = new(bool)
	default:
		return k.Example
	}
	if err := k.put(field, k.Name, k.Example); err != nil {
		return k.Example
	}
	return valueOf(field)
}

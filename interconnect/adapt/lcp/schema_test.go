package lcp_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
)

// violations holds a document against a JSON Schema, as far as Readium's schemas
// use the language: type, properties, required, additionalProperties, enum,
// const, minimum, items, contains, anyOf, allOf and $ref to a schema beside it.
// Formats are not checked; the package's own parser does.
func violations(tb testing.TB, schema string, doc []byte) []string {
	tb.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		tb.Fatal(err)
	}
	return hold(tb, load(tb, schema), v, "")
}

func load(tb testing.TB, schema string) map[string]any {
	tb.Helper()
	b, err := os.ReadFile("testdata/readium/" + schema)
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

func hold(tb testing.TB, s map[string]any, v any, at string) (out []string) {
	tb.Helper()
	say := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := s["$ref"].(string); ok {
		return hold(tb, load(tb, ref), v, at)
	}
	if types, ok := s["type"]; ok && !slices.Contains(strs(types), kind(v)) && (kind(v) != "integer" || !slices.Contains(strs(types), "number")) {
		say("%s, want %v", kind(v), types)
		return out
	}
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, v) {
		say("%v is none of %v", v, values)
	}
	if c, ok := s["const"]; ok && c != v {
		say("%v, want %v", v, c)
	}
	if least, ok := s["minimum"].(float64); ok {
		if n, isNumber := v.(float64); isNumber && n < least {
			say("%v is less than %v", n, least)
		}
	}
	if o, ok := v.(map[string]any); ok {
		props, _ := s["properties"].(map[string]any)
		for name, sub := range props {
			if x, there := o[name]; there {
				out = append(out, hold(tb, sub.(map[string]any), x, at+"/"+name)...)
			}
		}
		for _, name := range strs(s["required"]) {
			if _, there := o[name]; !there {
				say("%s is missing", name)
			}
		}
		if s["additionalProperties"] == false {
			for name := range o {
				if props[name] == nil {
					say("%s is not of the schema", name)
				}
			}
		}
	}
	if list, ok := v.([]any); ok {
		if item, ok := s["items"].(map[string]any); ok {
			for i, x := range list {
				out = append(out, hold(tb, item, x, fmt.Sprintf("%s/%d", at, i))...)
			}
		}
		if one, ok := s["contains"].(map[string]any); ok && !slices.ContainsFunc(list, func(x any) bool { return len(hold(tb, one, x, "")) == 0 }) {
			say("nothing that it must contain")
		}
	}
	if any1, ok := s["anyOf"].([]any); ok && !slices.ContainsFunc(any1, func(x any) bool { return len(hold(tb, x.(map[string]any), v, "")) == 0 }) {
		say("none of the alternatives")
	}
	for _, x := range list(s["allOf"]) {
		out = append(out, hold(tb, x.(map[string]any), v, at)...)
	}
	return out
}

func list(v any) []any { l, _ := v.([]any); return l }

func strs(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, x.(string))
		}
		return out
	}
	return nil
}

func kind(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	}
	return "null"
}

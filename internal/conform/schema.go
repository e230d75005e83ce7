package conform

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is an OpenAPI 3.1 description of an API, as far as it is judged.
type document struct {
	OpenAPI    string                                `json:"openapi"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
	operations []operation // in the order of their paths
}

// operation is one of a document.
type operation struct {
	method, path string
	ID           string                `json:"operationId"`
	Security     []map[string][]string `json:"security"`
	Parameters   []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

// parseDocument reads a description.
func parseDocument(data []byte) (*document, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("expected an OpenAPI document, seen what is no JSON of one: %w", err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || len(d.Paths) == 0 {
		return nil, fmt.Errorf("expected an OpenAPI 3.1 document with paths, seen version %.16q", d.OpenAPI)
	}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("expected paths that begin with /, seen %.80q", path)
		}
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			raw, ok := d.Paths[path][method]
			if !ok {
				continue
			}
			o := operation{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(raw, &o); err != nil {
				return nil, fmt.Errorf("%s %s: expected an operation: %w", o.method, path, err)
			}
			d.operations = append(d.operations, o)
		}
	}
	return &d, nil
}

// scope is what an operation takes; empty: it is for everyone.
func (o *operation) scope() string {
	for _, way := range o.Security {
		for _, scopes := range way {
			return strings.Join(scopes, " ")
		}
	}
	return ""
}

// plain is the operation's path with something of the right form for each parameter.
func (o *operation) plain() string {
	var out strings.Builder
	for part := range strings.SplitSeq(o.path, "{") {
		if _, rest, ok := strings.Cut(part, "}"); ok {
			out.WriteString(strings.Repeat("0", 32) + rest)
		} else {
			out.WriteString(part)
		}
	}
	return out.String()
}

// answer is the schema of an answer, or nil where the document gives none.
func (o *operation) answer(status, typ string) *schema {
	return o.Responses[status].Content[typ].Schema
}

// schema is the part of JSON Schema (2020-12) that descriptions of such APIs use.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       oneOrMore          `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional json.RawMessage    `json:"additionalProperties"` // false: no others
	Items      *schema            `json:"items"`
	Enum       []any              `json:"enum"`
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

// UnmarshalJSON reads either.
func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// maxRefs is how many references may lead from one to the next. Source: local.
const maxRefs = 16

// resolve follows references into the document.
func (d *document) resolve(s *schema) (*schema, error) {
	for range maxRefs {
		if s == nil || s.Ref == "" {
			return s, nil
		}
		name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/")
		if next := d.Components.Schemas[name]; ok && next != nil {
			s = next
			continue
		}
		return nil, fmt.Errorf("the document refers to %.80q, which it does not have", s.Ref)
	}
	return nil, fmt.Errorf("the document's %.80q refers to itself", s.Ref)
}

// fits holds an answer against its schema. Values are not repeated: only their places.
func (d *document) fits(body []byte, s *schema) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("expected JSON, seen %.80q", body)
	}
	return d.fit(v, s, "$")
}

func (d *document) fit(v any, s *schema, at string) error {
	s, err := d.resolve(s)
	if err != nil || s == nil {
		return err
	}
	if kind := kindOf(v); len(s.Type) > 0 && !slices.Contains(s.Type, kind) && (kind != "integer" || !slices.Contains(s.Type, "number")) {
		return fmt.Errorf("%s: expected %s, seen %s", at, strings.Join(s.Type, " or "), kind)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%s: expected one of the %d values that the document lists", at, len(s.Enum))
	}
	switch v := v.(type) {
	case []any:
		for i, one := range v {
			if err := d.fit(one, s.Items, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return d.fitObject(v, s, at)
	}
	return nil
}

func (d *document) fitObject(v map[string]any, s *schema, at string) error {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return fmt.Errorf("%s: expected a member %s, seen none", at, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		p := s.Properties[name]
		if p == nil && string(s.Additional) == "false" {
			return fmt.Errorf("%s: expected no member %.40q", at, name)
		}
		if err := d.fit(v[name], p, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// kindOf is what JSON Schema calls a value that encoding/json has read.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	default:
		return "object"
	}
}

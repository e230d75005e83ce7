package issuerapi_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// described is the committed document, as a stranger reads it.
type described struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema schema }
		}
	}
	Components struct{ Schemas map[string]schema }
}

// schema is what the document uses of JSON Schema.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Properties           map[string]schema
	Required             []string
	Items                *schema
	Enum                 []any
	AdditionalProperties any
}

var readDocument = sync.OnceValues(func() (d described, err error) {
	data, err := os.ReadFile(document)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	return d, err
})

// served are the operations of the document that some test has had an answer of, which
// was no problem.
var served sync.Map

// elsewhere are operations that need a device, and the tests that have them.
var elsewhere = map[string]string{
	"/api/v1/domains/join": "internal/cli TestDomain_WithoutAHomeServer",
}

// TestMain looks, after all tests, whether the document promises an answer that no test
// was served.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" {
		d, err := readDocument()
		if err != nil {
			panic(err)
		}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for method, o := range d.Paths[path] {
				for status := range o.Responses {
					if _, was := served.Load(method + " " + path + " " + status); !was && status[0] == '2' && elsewhere[path] == "" {
						fmt.Printf("docs/api/issuer.json has %s %s with %s, which no test was served\n", method, path, status)
						code = 1
					}
				}
			}
		}
	}
	os.Exit(code)
}

// isDescribed fails when an answer is another one than the document says: its status,
// its type, a field that is there or missing.
func isDescribed(t testing.TB, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	at, ok := d.find(method, path)
	if !ok {
		if w.Code < http.StatusBadRequest && strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/v1/openapi.json") {
			t.Errorf("%s %s is served with %d, and is not in the document", method, path, w.Code)
		}
		return
	}
	all := d.Paths[at][strings.ToLower(method)].Responses
	status := fmt.Sprint(w.Code)
	r, ok := all[status]
	if !ok {
		status = "default"
		r = all[status]
	}
	served.Store(strings.ToLower(method)+" "+at+" "+status, true)
	if len(r.Content) == 0 {
		if w.Body.Len() > 0 {
			t.Errorf("%s %s: %d has a body, the document says none", method, at, w.Code)
		}
		return
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	c, ok := r.Content[kind]
	if !ok || err != nil {
		t.Errorf("%s %s: %d (%s in the document) is of type %q, %v", method, at, w.Code, status, kind, err)
		return
	}
	if !strings.HasSuffix(kind, "json") {
		return
	}
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("%s %s: %v", method, at, err)
	}
	for _, wrong := range d.wrong(c.Schema, body, "") {
		t.Errorf("%s %s, %d: %s", method, at, w.Code, wrong)
	}
}

// find is the path of the document that a request is for: the one with the fewest gaps.
func (d *described) find(method, path string) (best string, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	have := strings.Split(path, "/")
	for at, methods := range d.Paths {
		want := strings.Split(at, "/")
		if _, is := methods[strings.ToLower(method)]; !is || len(want) != len(have) {
			continue
		}
		fits := true
		for i := range want {
			fits = fits && (want[i] == have[i] || strings.HasPrefix(want[i], "{"))
		}
		if fits && (!ok || strings.Count(at, "{") < strings.Count(best, "{")) {
			best, ok = at, true
		}
	}
	return best, ok
}

// wrong says what of a value is not as its schema says.
func (d *described) wrong(s schema, v any, where string) (out []string) {
	if s.Ref != "" {
		s = d.Components.Schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
	}
	if s.Type != nil && !isOf(s.Type, v) {
		return []string{fmt.Sprintf("%s is %.60v, the document says %v", where, v, s.Type)}
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		out = append(out, fmt.Sprintf("%s is %v, which is none of those in the document", where, v))
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				out = append(out, where+"."+name+" is missing")
			}
		}
		for name, field := range v {
			if is, ok := s.Properties[name]; ok {
				out = append(out, d.wrong(is, field, where+"."+name)...)
			} else if s.Properties != nil {
				out = append(out, where+"."+name+" is not in the document")
			}
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				out = append(out, d.wrong(*s.Items, item, fmt.Sprintf("%s[%d]", where, i))...)
			}
		}
	}
	return out
}

// isOf reports whether a value is of a type, or of one of several.
func isOf(kind, v any) bool {
	if list, ok := kind.([]any); ok {
		return slices.ContainsFunc(list, func(k any) bool { return isOf(k, v) })
	}
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && v == float64(int64(v))
	case []any:
		return kind == "array"
	}
	return kind == "object"
}

// TestOpenAPI_WhatIsServedIsDescribed asks for what no other test here asks for; each
// answer is held against the document, as all are.
func TestOpenAPI_WhatIsServedIsDescribed(t *testing.T) {
	s := newShop(t, false)
	post := func(path string, in map[string]any) map[string]any { return s.must(owner, "POST", path, in) }
	s.must("", "GET", "/api/v1/about", nil)
	s.must(owner, "GET", "/api/v1/contents/"+string(film), nil)
	made := post("/api/v1/claims", map[string]any{"offer": "rent", "codes": 2})
	batch := "/api/v1/claims/" + made["batch"].(string)
	s.must(owner, "GET", batch, nil)
	again := post(batch+"/resend", map[string]any{})
	code := again["claims"].([]any)[0].(map[string]any)["code"]
	post("/api/v1/claims/redeem", map[string]any{"code": code, "domain": other})

	post("/api/v1/offers", map[string]any{"id": "loan", "content": film, "kind": "loan", "terms": "PLAY"})
	post("/api/v1/copies", map[string]any{"content": film, "copies": 1, "offer": "loan", "period_ms": 86_400_000, "window_ms": 86_400_000})
	loan := map[string]any{"content": film, "domain": house}
	post("/api/v1/copies/lend", loan)
	post("/api/v1/copies/renew", loan)
	waits := map[string]any{"content": film, "domain": other}
	post("/api/v1/holds", waits)
	s.must(owner, "GET", "/api/v1/copies", nil)
	post("/api/v1/holds/cancel", waits)
	post("/api/v1/copies/return", loan)
	lent := post("/api/v1/copies/lend", loan)
	id := s.license(lent["grant"].(string))
	s.now = s.now.Add(time.Minute)
	door := "/status/v1/" + house.String() + "/" + id.String()
	s.must("", "POST", door+"/renew", map[string]any{})
	s.must("", "POST", door+"/return", map[string]any{"object": id[:], "chain": [][]byte{{1}}})

	year := post("/api/v1/grants", map[string]any{"domain": house, "content": film, "kind": "subscription", "terms": "PLAY; END_TIME=2027-01-01T00:00:00Z"})
	post("/api/v1/grants/"+house.String()+"/"+year["id"].(string)+"/renew", map[string]any{"until": s.now.AddDate(2, 0, 0).UnixMilli()})

	s.must(owner, "GET", "/api/v1/licenses/"+house.String(), nil)
	s.must("", "GET", door, nil)
	for _, deed := range []string{"/replace", "/revoke", "/end"} {
		one := newShop(t, false)
		one.must(owner, "POST", "/api/v1/licenses/"+house.String()+"/"+one.license(one.grant()).String()+deed, map[string]any{})
	}

	two := newShop(t, true)
	for _, deed := range []string{"/replace", "/revoke", "/end", "/rebind"} {
		path := "/api/v1/licenses/" + house.String() + "/" + two.license(two.grant()).String() + deed
		in := map[string]any{}
		if deed == "/rebind" {
			in["to"] = other
		}
		status, out := two.ask(owner, "POST", path, in)
		if status != http.StatusAccepted {
			t.Errorf("%s: %d %v", path, status, out)
			continue
		}
		two.must(owner, "POST", "/api/v1/proposals/"+out["proposal"].(map[string]any)["id"].(string)+"/withdraw", map[string]any{})
	}
	d := two.must(owner, "POST", "/api/v1/domains", map[string]any{})
	if status, out := two.ask(owner, "POST", "/api/v1/domains/"+d["domain"].(string)+"/end", map[string]any{}); status != http.StatusAccepted {
		t.Errorf("the end of a domain: %d %v", status, out)
	}
}

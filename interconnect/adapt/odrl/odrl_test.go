package odrl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/interconnect/adapt/odrl"
	"github.com/lares-drm/lares/license/permission"
)

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// policy wraps rules in a policy.
func policy(rules string) string {
	return `{"@context":"http://www.w3.org/ns/odrl.jsonld","@type":"Set","uid":"http://example.com/1",` + rules + `}`
}

// play is a permission to play under constraints.
func play(constraints string) string {
	return policy(`"permission":[{"target":"http://example.com/f","action":"play","constraint":[` + constraints + `]}]`)
}

func constraint(left, op, right string) string {
	return `{"leftOperand":"` + left + `","operator":"` + op + `","rightOperand":` + right + `}`
}

func TestAdapt_2_ODRLConforms(t *testing.T) {
	adapttest.Run(t, adapttest.Config{
		Adapter: odrl.Adapter{},
		Rights:  [][]byte{read(t, "policies/rental.json"), read(t, "policies/compact.json"), read(t, "policies/prohibited.json")},
		NoRights: [][]byte{
			[]byte(policy(`"permission":[]`)), []byte(policy(`"prohibition":[{"action":"play"}]`)),
			[]byte(strings.Replace(play(""), `"Set"`, `"Request"`, 1)),
		},
		Malformed: [][]byte{
			[]byte("{}"), []byte("[]"), []byte(`"x"`), []byte(play("") + "x"), []byte(strings.Repeat("[", 100_000)),
			[]byte(strings.Replace(play(""), `"uid"`, `"@type":"Set","uid"`, 1)),                 // a member twice
			[]byte(strings.Replace(play(""), `"uid"`, `"permission":[],"uid"`, 1)),               // and one that counts
			[]byte(strings.Replace(play(""), "http://www.w3.org/ns/odrl.jsonld", "http://x", 1)), // another context
		},
	})
}

// text imports a document: the code's text form and the rights in the loss, or
// the error.
func text(doc string) (code string, lost []string, err error) {
	p, err := odrl.Adapter{}.Import(context.Background(), []byte(doc))
	if err != nil {
		return "", nil, err
	}
	u, err := permission.Parse(p.Code)
	if err != nil {
		return "", nil, err
	}
	for _, l := range p.Loss {
		lost = append(lost, l.Right)
	}
	return u.Text(), lost, nil
}

func TestODRL_WhatIsReadOfAPolicy(t *testing.T) {
	for name, want := range map[string]struct {
		code string
		lost []string
	}{
		"policies/rental.json":     {"PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=3", nil},
		"policies/compact.json":    {"PLAY; RENDER; MOVE=DOMAIN; TERRITORY=AT,DE", nil},
		"policies/prohibited.json": {"PLAY", []string{"USE", "PRINT"}},
	} {
		code, lost, err := text(string(read(t, name)))
		if err != nil || code != want.code || !slices.Equal(lost, want.lost) {
			t.Errorf("%s: %q without %v (%v), want %q without %v", name, code, lost, err, want.code, want.lost)
		}
	}
}

// The readings where ODRL leaves one open, as docs/spec/odrl.md has them.
func TestODRL_2_NarrowReadings(t *testing.T) {
	at := func(op, v string) string { return play(constraint("dateTime", op, `"`+v+`"`)) }
	for doc, want := range map[string]string{
		at("lt", "2026-02-01T00:00:00Z"):                                                "PLAY; END_TIME=2026-02-01T00:00:00Z",
		at("lteq", "2026-02-01T00:00:00Z"):                                              "PLAY; END_TIME=2026-02-01T00:00:00Z", // half open
		at("lt", "2026-02-01T02:00:00+02:00"):                                           "PLAY; END_TIME=2026-02-01T00:00:00Z",
		at("lt", "2026-02-01T00:00:00"):                                                 "PLAY; END_TIME=2026-01-31T10:00:00Z", // no zone: the earliest
		at("gteq", "2026-02-01T00:00:00"):                                               "PLAY; START_TIME=2026-02-01T12:00:00Z",
		at("lt", "2026-02-01"):                                                          "PLAY; END_TIME=2026-01-31T10:00:00Z",
		at("gt", "2026-02-01"):                                                          "PLAY; START_TIME=2026-02-02T12:00:00.001Z",
		at("gteq", "2026-02-01Z"):                                                       "PLAY; START_TIME=2026-02-02T00:00:00Z",
		play(constraint("count", "lt", "3")):                                            "PLAY; PLAY_COUNT=2",
		play(constraint("count", "lteq", `{"@value":"3"}`)):                             "PLAY; PLAY_COUNT=3",
		play(constraint("elapsedTime", "lteq", `"P1M"`)):                                "PLAY; INTERVAL=28d",
		play(constraint("elapsedTime", "lteq", `"P1DT1H1M1S"`)):                         "PLAY; INTERVAL=90061s",
		play(constraint("meteredTime", "lteq", `"PT10H"`)):                              "PLAY; ACCUMULATED=10h",
		play(constraint("count", "lteq", "3") + "," + constraint("count", "lteq", "2")): "PLAY; PLAY_COUNT=2",
		play(constraint("spatial", "isAnyOf", `["DE","AT"]`) + "," + constraint("spatial", "eq", `"AT"`)):                         "PLAY; TERRITORY=AT",
		policy(`"permission":[{"action":"reproduce","constraint":[` + constraint("count", "lteq", "9") + `]},{"action":"play"}]`): "PLAY; COPY=COUNTED; COPY_COUNT=9",
		policy(`"conflict":"perm","permission":[{"action":"play"}],"prohibition":[{"action":"display"}]`):                         "PLAY",
		policy(`"conflict":"prohibit","permission":[{"action":"play"},{"action":"move"}],"prohibition":[{"action":"display"}]`):   "MOVE=DOMAIN",
	} {
		if code, _, err := text(doc); err != nil || code != want {
			t.Errorf("%s\n gives %q (%v), want %q", doc, code, err, want)
		}
	}
}

// What is not understood is left out or refused, never passed over.
func TestODRL_3_UnknownIsLeftOutOrRefused(t *testing.T) {
	one := func(rule string) string { return policy(`"permission":[{"action":"move"},` + rule + `]`) }
	for _, rule := range []string{
		`{"action":"play","duty":[{"action":"compensate"}]}`, `{"action":"play","ex:if":"x"}`, `{"action":"play","target":{"@type":"AssetCollection","source":"x"}}`,
		`{"action":"play","constraint":[` + constraint("count", "eq", "3") + `]}`, `{"action":"play","constraint":[` + constraint("count", "lteq", "0") + `]}`,
		`{"action":"play","constraint":[` + constraint("count", "lteq", "-1") + `]}`, `{"action":"play","constraint":[` + constraint("count", "lteq", "99999999999") + `]}`,
		`{"action":"play","constraint":[` + constraint("event", "lt", `"x"`) + `]}`, `{"action":"play","constraint":[{"or":[` + constraint("count", "lteq", "3") + `]}]}`,
		`{"action":"play","constraint":[` + constraint("dateTime", "lt", `"soon"`) + `]}`, `{"action":"play","constraint":[` + constraint("dateTime", "lt", `"1960-01-01"`) + `]}`,
		`{"action":"play","constraint":[` + constraint("elapsedTime", "lteq", `"P"`) + `]}`, `{"action":"play","constraint":[` + constraint("elapsedTime", "lteq", `"PT"`) + `]}`,
		`{"action":"play","constraint":[` + constraint("elapsedTime", "lteq", `"P1H"`) + `]}`, `{"action":"play","constraint":[` + constraint("spatial", "isAnyOf", `["Austria"]`) + `]}`,
		`{"action":"play","constraint":[` + constraint("dateTime", "gteq", `"2027-01-01T00:00:00Z"`) + `,` + constraint("dateTime", "lt", `"2026-01-01T00:00:00Z"`) + `]}`,
		`{"action":"play","constraint":["x"]}`, `{"action":"sing"}`, `"play"`, `{"action":"play","target":["a","b"]}`, `{"action":"play","target":"another"}`,
		`{"action":{"rdf:value":"play","refinement":[` + constraint("percentage", "lteq", "50") + `]}}`,
		`{"action":"play","constraint":[{"leftOperand":"count","operator":"lteq","rightOperand":3,"unit":"http://x"}]}`,
	} {
		if code, lost, err := text(one(rule)); err != nil || code != "MOVE=DOMAIN" || len(lost) != 1 {
			t.Errorf("%s: %q without %v (%v), want only the other permission, and why", rule, code, lost, err)
		}
	}
	for doc, want := range map[string]error{
		policy(`"profile":"http://example.com/p","permission":[{"action":"play"}]`):                                                                             adapt.ErrUnknown,
		policy(`"inheritFrom":"http://example.com/2","permission":[{"action":"play"}]`):                                                                         adapt.ErrUnknown,
		policy(`"obligation":[{"action":"compensate"}],"permission":[{"action":"play"}]`):                                                                       adapt.ErrUnknown,
		policy(`"ex:more":1,"permission":[{"action":"play"}]`):                                                                                                  adapt.ErrUnknown,
		policy(`"permission":[{"action":"play"}],"prohibition":[{"action":"use"}]`):                                                                             adapt.ErrNoRights, // void
		policy(`"permission":[{"action":"play"}],"prohibition":[{"action":"http://ex/strange"}]`):                                                               adapt.ErrNoRights,
		policy(`"permission":[{"action":"play"}],"prohibition":[{}]`):                                                                                           adapt.ErrNoRights,
		strings.Replace(play(""), `"uid"`, `"odrl:uid"`, 1)[:10]:                                                                                                adapt.ErrDocument,
		policy(`"permission":[` + strings.Repeat(`{"action":"play"},`, 64) + `{"action":"play"}]`):                                                              adapt.ErrDocument,
		strings.Replace(play(""), `"@context":"http://www.w3.org/ns/odrl.jsonld"`, `"@context":["http://www.w3.org/ns/odrl.jsonld",{"action":"http://x/"}]`, 1): adapt.ErrDocument,
	} {
		if code, _, err := text(doc); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v, want %v", doc, code, err, want)
		}
	}
}

// TestInterop_ODRL_PoliciesOfTheW3CGroup reads the policies that the ODRL group
// itself evaluates in its formal semantics: none permits playing without
// something that is not understood here, and each is refused for that reason.
func TestInterop_ODRL_PoliciesOfTheW3CGroup(t *testing.T) {
	for name, want := range map[string]string{
		"A1": "DISTRIBUTE is dropped",
		"A2": "no permission of it",   // a prohibition only
		"B1": "resolution is dropped", // in dots per inch
		"C1": "DUTY is dropped",       // a payment first
		"C2": "DUTY is dropped",
	} {
		doc := read(t, "w3c/"+name+".json")
		code, _, err := text(string(doc))
		if !errors.Is(err, adapt.ErrNoRights) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %q", name, code, err, want)
		}
		t.Logf("interop row: odrl | W3C ODRL group, formal-semantics policy %s | read, refused: %v", name, err)
	}
	// Without the payment, the same document by the same hands is a license.
	free := read(t, "w3c/C1.json")
	cut := bytes.Index(free, []byte(`"duty"`))
	free = append(bytes.TrimRight(free[:cut], ", \n"), []byte("}]}")...)
	if code, lost, err := text(string(free)); err != nil || code != "PLAY" || !slices.Equal(lost, []string{"ASSIGNEE"}) {
		t.Errorf("C1 without its duty: %q without %v (%v)", code, lost, err)
	}
	t.Log("interop row: odrl | W3C ODRL group, formal-semantics policy C1 without its duty | read as PLAY, for its assignee")
}

// TestODRL_SpecExample checks the worked example of docs/spec/odrl.md.
func TestODRL_SpecExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/odrl.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```json\n")
	want, _, _ := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no example")
	}
	lic := adapttest.License(t, "PLAY; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; OUTPUT_PROTECTION=HDCP_1; EXPORT=odrl; TERRITORY=AT,DE")
	a, loss, err := odrl.Adapter{}.Export(t.Context(), lic)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(a.Body), want); diff != "" {
		t.Errorf("the page has another policy:\n%s", diff)
	}
	if len(loss) != 1 || !loss.Has("END_TIME") {
		t.Errorf("loss %+v, want that the last viewing may be cut short", loss)
	}
	if code, _, err := text(want); err != nil || code != "PLAY; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; OUTPUT_PROTECTION=HDCP_1; TERRITORY=AT,DE" {
		t.Errorf("the page's policy is read as %q (%v)", code, err)
	}
}

func FuzzImport(f *testing.F) {
	for _, name := range []string{"policies/rental.json", "policies/compact.json", "policies/prohibited.json", "w3c/A1.json", "w3c/B1.json", "w3c/C2.json"} {
		f.Add(read(f, name))
	}
	f.Add([]byte(play(constraint("elapsedTime", "lt", `"P1Y2M3W4DT5H6M7S"`))))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := odrl.Adapter{}.Import(t.Context(), doc)
		if err != nil {
			if p.Code != nil {
				t.Error("an error with a code")
			}
			return
		}
		u, err := permission.Parse(p.Code)
		if err != nil {
			t.Fatalf("proposed a code that is none: %v", err)
		}
		if len(u.UnknownCritical(0)) > 0 {
			t.Errorf("proposed what nobody understands: %s", u.Text())
		}
	})
}

func Example() {
	doc := `{"@context":"http://www.w3.org/ns/odrl.jsonld","@type":"Set","uid":"http://example.com/1",
		"permission":[{"target":"http://example.com/film","action":"use","constraint":[{"leftOperand":"count","operator":"lteq","rightOperand":2}]}]}`
	p, err := odrl.Adapter{}.Import(context.Background(), []byte(doc))
	if err != nil {
		fmt.Println(err)
		return
	}
	units, err := permission.Parse(p.Code)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(units.Text())
	for _, l := range p.Loss {
		fmt.Printf("%s %s: %s\n", l.Right, l.Effect, l.Words)
	}
	// Output:
	// PLAY; PLAY_COUNT=2
	// USE narrowed: Of all uses that the policy permits, playing is taken.
}

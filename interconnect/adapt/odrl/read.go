package odrl

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/interconnect/adapt"
)

// Limits of a policy. Source: local, docs/spec/odrl.md.
const (
	MaxPolicy = 65_536 // bytes
	maxRules  = 64     // permissions and prohibitions
)

// object is a JSON-LD object with the names of its members made local.
type object map[string]any

// policy is what is read of a document.
type policy struct {
	kind, uid, conflict string
	permissions         []rule
	prohibitions        []rule
}

// rule is a permission or a prohibition.
type rule struct {
	target, assigner, assignee string
	actions                    []action
	constraints                []object
	odd                        []string // why it cannot be used as a permission
}

type action struct {
	name        string
	refinements []object
}

// parse reads a policy. What makes the whole policy unusable is an error, what
// makes one rule unusable is noted with it.
func parse(data []byte) (*policy, error) {
	var root any
	if err := adapt.DecodeJSON(data, MaxPolicy, &root); err != nil {
		return nil, err
	}
	o, ok := localNames(root)
	if !ok || !isContext(o["@context"]) {
		return nil, fmt.Errorf("%w: no object with the context %s", adapt.ErrDocument, Context)
	}
	p := &policy{kind: term(first(o, "@type", "type")), uid: text(first(o, "uid", "@id")), conflict: term(o["conflict"])}
	if p.uid == "" {
		return nil, fmt.Errorf("%w: a policy has a uid", adapt.ErrDocument)
	}
	for name := range o {
		if !slices.Contains(policyMembers, name) && !metadata(name) {
			return nil, fmt.Errorf("%w: policy member %.40q", adapt.ErrUnknown, name)
		}
	}
	for _, v := range list(o["profile"]) {
		if text(v) != Profile {
			return nil, fmt.Errorf("%w: a profile other than %s", adapt.ErrUnknown, Profile)
		}
	}
	if _, inherits := o["inheritFrom"]; inherits {
		return nil, fmt.Errorf("%w: it inherits from a policy that is not here", adapt.ErrUnknown)
	}
	if len(list(o["obligation"])) > 0 {
		return nil, fmt.Errorf("%w: an obligation", adapt.ErrUnknown)
	}
	permissions, prohibitions := list(o["permission"]), list(o["prohibition"])
	if len(permissions)+len(prohibitions) > maxRules {
		return nil, fmt.Errorf("%w: more than %d rules", adapt.ErrDocument, maxRules)
	}
	for _, v := range permissions {
		p.permissions = append(p.permissions, readRule(v, o))
	}
	for _, v := range prohibitions {
		p.prohibitions = append(p.prohibitions, readRule(v, o))
	}
	return p, nil
}

var (
	policyMembers = []string{
		"@context", "@type", "type", "@id", "uid", "profile", "inheritFrom", "conflict", "permission", "prohibition", "obligation",
		"target", "assigner", "assignee", "action",
	}
	ruleMembers = []string{"@id", "uid", "@type", "type", "target", "assigner", "assignee", "action", "constraint", "duty"}
)

// metadata reports whether a member only describes.
func metadata(name string) bool {
	for _, prefix := range []string{"dc:", "dcterms:", "dct:", "rdfs:"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isContext accepts the ODRL context, alone or with objects that only declare
// prefixes of other vocabularies: anything else could give our terms another
// meaning.
func isContext(v any) bool {
	found := false
	for _, c := range list(v) {
		switch c := c.(type) {
		case string:
			if found = true; c != Context {
				return false
			}
		case map[string]any:
			for prefix, to := range c {
				iri, ok := to.(string)
				if !ok || strings.ContainsAny(prefix, ":@/") || prefix == "" || slices.Contains(policyMembers, prefix) || slices.Contains(ruleMembers, prefix) ||
					prefix == "odrl" && iri != Namespace || !strings.HasSuffix(iri, "/") && !strings.HasSuffix(iri, "#") {
					return false
				}
			}
		default:
			return false
		}
	}
	return found
}

// readRule reads a rule. Of a compact policy, whose rules leave out what they
// have in common, that is taken from the policy.
func readRule(v any, of object) rule {
	o, ok := localNames(v)
	if !ok {
		return rule{odd: []string{"RULE"}}
	}
	var r rule
	for _, name := range []string{"target", "assigner", "assignee", "action"} {
		if common, there := of[name]; there {
			if _, twice := o[name]; twice {
				r.odd = append(r.odd, strings.ToUpper(name))
			}
			o[name] = common
		}
	}
	for name := range o {
		if !slices.Contains(ruleMembers, name) && !metadata(name) {
			r.odd = append(r.odd, "RULE")
		}
	}
	r.target, r.assigner, r.assignee = r.party(o["target"], "TARGET"), r.party(o["assigner"], "ASSIGNER"), r.party(o["assignee"], "ASSIGNEE")
	if len(list(o["duty"])) > 0 {
		r.odd = append(r.odd, "DUTY")
	}
	for _, v := range list(o["action"]) {
		a := action{name: term(v)}
		if m, ok := localNames(v); ok {
			if value, ok := m["rdf:value"]; ok {
				a.name = term(value)
			}
			a.refinements = objects(m["refinement"])
		}
		r.actions = append(r.actions, a)
	}
	r.constraints = objects(o["constraint"])
	slices.Sort(r.odd)
	r.odd = slices.Compact(r.odd)
	return r
}

// party reads an asset or a party: its name, or an object with its uid and
// nothing that narrows it.
func (r *rule) party(v any, what string) string {
	all := list(v)
	if len(all) == 0 {
		return ""
	}
	if m, ok := localNames(all[0]); ok {
		for name := range m {
			if !slices.Contains([]string{"@id", "uid", "@type", "type"}, name) && !metadata(name) {
				r.odd = append(r.odd, what)
			}
		}
	}
	if len(all) > 1 || text(all[0]) == "" {
		r.odd = append(r.odd, what)
	}
	return text(all[0])
}

// localNames reads an object. Two members that are the same term in different
// spellings make it none.
func localNames(v any) (object, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	o := object{}
	for name, value := range m {
		name = local(name)
		if _, twice := o[name]; twice {
			return nil, false
		}
		o[name] = value
	}
	return o, true
}

func first(o object, names ...string) any {
	for _, n := range names {
		if v, ok := o[n]; ok {
			return v
		}
	}
	return nil
}

// list makes one value and many the same.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func objects(v any) []object {
	var out []object
	for _, x := range list(v) {
		o, ok := localNames(x)
		if !ok {
			o = object{} // not understood, and not forgotten
		}
		out = append(out, o)
	}
	return out
}

// text is a string, the @id or uid of an object, or its @value.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case map[string]any:
		for _, name := range []string{"@id", "uid", "@value"} {
			if x, ok := v[name]; ok {
				return text(x)
			}
		}
	}
	return ""
}

func term(v any) string { return local(text(v)) }

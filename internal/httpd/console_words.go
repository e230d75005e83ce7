package httpd

import (
	"cmp"

	"github.com/lares-drm/lares/service/issuer"
)

// pathKeys lists the API keys, by whose names operators know each other.
const pathKeys = "/api/v1/keys"

// nameActors puts the names of API keys beside the actors of a list's rows: under the
// field's name and _name.
func nameActors(d asked, doc, member string, fields ...string) {
	names := map[any]any{}
	for _, k := range rowsOf(d, "keys", "keys") {
		if id, ok := k["id"].(string); ok {
			names["key:"+id] = k["name"]
		}
	}
	for _, row := range rowsOf(d, doc, member) {
		for _, f := range fields {
			if name := names[row[f]]; name != nil {
				row[f+"_name"] = name
			}
		}
	}
}

// logWords is what an action of the operators' log is called for people. One that has
// no words is shown as the log has it.
func logWords(action string) string { return cmp.Or(maybe("console.did."+action), action) }

// means is what terms allow, in sentences; none where there are no words for all of them.
func means(terms, kind string) []string {
	w, err := WordsOfOffer(&issuer.Offer{Terms: terms, Kind: issuer.Kind(kind)}, nil)
	if err != nil {
		return nil
	}
	return w.What
}

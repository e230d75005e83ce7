package home

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzPeople: a people.json that is taken is read again as the same, has an adult, and
// never asks for another cost than the program's.
func FuzzPeople(f *testing.F) {
	page, err := os.ReadFile("../../docs/spec/people.md")
	if err != nil {
		f.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```json people\n(.*?)```").FindSubmatch(page)[1]
	f.Add(example)
	f.Add([]byte(`{"people": []}`))
	f.Add([]byte(strings.Replace(string(example), "m=19456", "m=4294967295", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var st, again peopleState
		if decode(bytes.NewReader(data), &st) != nil || st.check() != nil {
			return
		}
		if len(st.People) > 0 && !slices.ContainsFunc(st.People, func(p Person) bool { return p.Kind == Adult }) {
			t.Error("nobody is an adult")
		}
		for _, p := range st.People {
			if p.PIN != "" && !strings.HasPrefix(p.PIN, "$argon2id$v=19$m=19456,t=2,p=1$") {
				t.Errorf("a PIN of other costs: %s", p.PIN)
			}
		}
		text, err := json.Marshal(st)
		if err != nil || decode(bytes.NewReader(text), &again) != nil || again.check() != nil || cmp.Diff(st.People, again.People) != "" || !slices.Equal(st.Rated, again.Rated) {
			t.Errorf("%s is not read again (%v)", text, err)
		}
	})
}

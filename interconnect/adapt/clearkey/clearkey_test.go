package clearkey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/interconnect/adapt/clearkey"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

const kidText = "AAECAwQFBgcICQoLDA0ODw" // 00010203…0f

func TestAdapt_2_ClearKeyConforms(t *testing.T) {
	adapttest.Run(t, adapttest.Config{
		Adapter: clearkey.Adapter{},
		NoRights: [][]byte{
			[]byte(`{"kids":["` + kidText + `"],"type":"temporary"}`),
			[]byte(`{"keys":[{"kty":"oct","kid":"` + kidText + `","k":"` + kidText + `"}],"type":"temporary"}`),
		},
		Malformed: [][]byte{[]byte("{}"), []byte("[]"), []byte(`{"kids":[]}`), []byte(`{"keys":[]}`)},
	})
}

func TestClearKey_ParseRequestIsStrict(t *testing.T) {
	for _, tc := range []struct{ name, in string }{
		{"empty", ""},
		{"no keys", `{"kids":[],"type":"temporary"}`},
		{"no type", `{"kids":["` + kidText + `"]}`},
		{"persistent", `{"kids":["` + kidText + `"],"type":"persistent-license"}`},
		{"padding", `{"kids":["` + kidText + `=="],"type":"temporary"}`},
		{"short", `{"kids":["AAECAw"],"type":"temporary"}`},
		{"trailing bits", `{"kids":["AAECAwQFBgcICQoLDA0ODx"],"type":"temporary"}`},
		{"repeat", `{"kids":["` + kidText + `","` + kidText + `"],"type":"temporary"}`},
		{"member twice", `{"kids":["` + kidText + `"],"type":"temporary","type":"temporary"}`},
		{"other case", `{"KIDS":["` + kidText + `"],"type":"temporary"}`},
		{"unknown member", `{"kids":["` + kidText + `"],"type":"temporary","x":1}`},
		{"null", `{"kids":null,"type":"temporary"}`},
		{"trailing", `{"kids":["` + kidText + `"],"type":"temporary"} {}`},
		{"trailing junk", `{"kids":["` + kidText + `"],"type":"temporary"} x`},
		{"too large", `{"kids":["` + kidText + `"],"type":"temporary"}` + strings.Repeat(" ", clearkey.MaxRequest)},
		{"deep", strings.Repeat("[", 4000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if r, err := clearkey.ParseRequest([]byte(tc.in)); !errors.Is(err, clearkey.ErrRequest) {
				t.Errorf("ParseRequest = %v, %v, want ErrRequest", r, err)
			}
		})
	}
}

func TestClearKey_AnswerHoldsOnlyWhatWasAskedFor(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	asked, err := clearkey.NewSessionKey(ident.Key{1}, key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := clearkey.NewSessionKey(ident.Key{2}, bytes.Repeat([]byte{9}, 16))
	if err != nil {
		t.Fatal(err)
	}
	req := &clearkey.Request{KIDs: []ident.Key{{3}, {1}}}
	out, err := clearkey.Answer(req, []clearkey.SessionKey{other, asked})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"keys":[{"kty":"oct","kid":"AQAAAAAAAAAAAAAAAAAAAA","k":"BwcHBwcHBwcHBwcHBwcHBw"}],"type":"temporary"}`
	if diff := cmp.Diff(string(out), want); diff != "" {
		t.Error(diff)
	}
	if _, err := clearkey.Answer(req, []clearkey.SessionKey{other, {KID: ident.Key{1}}}); !errors.Is(err, clearkey.ErrNoKeys) {
		t.Errorf("Answer without a key = %v, want ErrNoKeys", err)
	}
	if _, err := clearkey.NewSessionKey(ident.Key{1}, key[:15]); err == nil {
		t.Error("a key of 15 bytes is taken")
	}
}

func TestClearKey_SessionKeysStayHidden(t *testing.T) {
	k, err := clearkey.NewSessionKey(ident.Key{1}, []byte("sixteen secret b"))
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ K clearkey.SessionKey }{k}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %x", holder, holder, k)} {
		if strings.Contains(s, "sixteen") || strings.Contains(s, "7369787465656e") {
			t.Errorf("printed: %s", s)
		}
	}
	if _, err := json.Marshal(holder); err == nil {
		t.Error("a session key was marshaled")
	}
}

func TestClearKey_LossNamesWhatABrowserProtectsLess(t *testing.T) {
	a, loss, err := clearkey.Adapter{}.Export(context.Background(), adapttest.License(t, "PLAY; INTERVAL=48h; EXPORT=clearkey"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"kids":["AQAAAAAAAAAAAAAAAAAAAA","AgAAAAAAAAAAAAAAAAAAAA"]}`; string(a.Body) != want {
		t.Errorf("artifact = %s, want %s", a.Body, want)
	}
	var got []string
	for _, l := range loss {
		got = append(got, l.Right+" "+l.Effect.String())
	}
	if diff := cmp.Diff(got, []string{"INTERVAL held by the source", "ROBUSTNESS narrowed"}); diff != "" {
		t.Error(diff)
	}
	if _, _, err := (clearkey.Adapter{}).Export(context.Background(), adapttest.License(t, "RENDER; EXPORT=clearkey")); !errors.Is(err, adapt.ErrNotExportable) {
		t.Errorf("a license without PLAY: %v, want ErrNotExportable", err)
	}
}

// TestClearKey_SpecExample checks the worked example of docs/spec/clearkey.md.
func TestClearKey_SpecExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/clearkey.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```json\n")
	if len(parts) != 4 {
		t.Fatalf("%d JSON examples, want request, answer and artifact", len(parts)-1)
	}
	example := func(i int) string { return strings.TrimSpace(strings.SplitN(parts[i], "```", 2)[0]) }
	req, err := clearkey.ParseRequest([]byte(example(1)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := clearkey.NewSessionKey(req.KIDs[0], []byte{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	out, err := clearkey.Answer(req, []clearkey.SessionKey{key})
	if err != nil || string(out) != example(2) {
		t.Errorf("answer = %s, %v, the page has %s", out, err, example(2))
	}
	a, _, err := clearkey.Adapter{}.Export(t.Context(), adapttest.License(t, "PLAY; EXPORT=clearkey", func(i *license.Info) { i.Keys[0].KID = req.KIDs[0]; i.Keys = i.Keys[:1] }))
	if err != nil || string(a.Body) != example(3) {
		t.Errorf("artifact = %s, %v, the page has %s", a.Body, err, example(3))
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"kids":["` + kidText + `"],"type":"temporary"}`))
	f.Add([]byte(`{"type":"temporary","kids":["` + kidText + `","AQAAAAAAAAAAAAAAAAAAAA"]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := clearkey.ParseRequest(data)
		if err != nil {
			return
		}
		again, err := req.Encode()
		if err != nil {
			t.Fatal(err)
		}
		same, err := clearkey.ParseRequest(again)
		if err != nil {
			t.Fatalf("the request's own encoding is refused: %v", err)
		}
		if diff := cmp.Diff(req, same); diff != "" {
			t.Error(diff)
		}
		if twice, err := same.Encode(); err != nil || !bytes.Equal(again, twice) {
			t.Errorf("two encodings: %s and %s (%v)", again, twice, err)
		}
	})
}

func ExampleAnswer() {
	req, err := clearkey.ParseRequest([]byte(`{"kids":["AAECAwQFBgcICQoLDA0ODw"],"type":"temporary"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := clearkey.NewSessionKey(req.KIDs[0], make([]byte, clearkey.KeySize))
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := clearkey.Answer(req, []clearkey.SessionKey{key})
	fmt.Println(string(out), err)
	// Output: {"keys":[{"kty":"oct","kid":"AAECAwQFBgcICQoLDA0ODw","k":"AAAAAAAAAAAAAAAAAAAAAA"}],"type":"temporary"} <nil>
}

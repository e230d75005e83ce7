package home_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// A CONTENT frame that asks is answered with the places of a title; a title that is
// not here has none, and what somebody says of his own is passed over.
func TestContent_Spec11_TheHouseSaysWhereItIs(t *testing.T) {
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	module, c := hometest.New(t, nil), newClock()
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: module, Now: c.Now, Mirrors: []string{"http://nas.local/films/"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(folder, content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(list)
	ask := func(q lrp.Content) (out []lrp.Content) {
		t.Helper()
		body, err := q.Encode()
		if err != nil {
			t.Fatal(err)
		}
		tx := lrp.NewTransaction(lrp.Addr(module.State.Device), lrp.Addr{9}, c.now, time.Minute)
		for _, a := range h.Frame(t.Context(), tx.Next(lrp.TypeContent, body)) {
			got, err := lrp.ParseContent(a.Body)
			if err != nil || a.Type != lrp.TypeContent {
				t.Fatalf("answer of type %v: %v", a.Type, err)
			}
			out = append(out, got)
		}
		return out
	}
	question := lrp.Content{ID: []byte(m.Content), SHA256: []byte{}, Ranges: [][2]uint64{}}
	got := ask(question)
	if len(got) != 2 || got[0].URL != "http://nas.local/films/"+m.Content.String()+"/content.json" || got[1].URL != "/content/"+m.Content.String()+"/content.json" {
		t.Fatalf("places %+v", got)
	}
	for _, p := range got {
		if !bytes.Equal(p.SHA256, sum[:]) || len(p.Ranges) != 1 || p.Ranges[0] != [2]uint64{0, uint64(len(list))} {
			t.Errorf("%s: %x, %v", p.URL, p.SHA256, p.Ranges)
		}
	}
	question.ID = []byte("nowhere")
	if got := ask(question); len(got) != 0 {
		t.Errorf("a title that is not here: %+v", got)
	}
	question.ID, question.URL = []byte(m.Content), "http://evil.example/x"
	if got := ask(question); len(got) != 0 {
		t.Errorf("somebody says where it is, and is answered: %+v", got)
	}
}

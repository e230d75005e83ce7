package home_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home/hometest"
)

// A house without an authority learns who is revoked from the films it is given.
func TestPKI_2_StateTravelsWithContent(t *testing.T) {
	folder, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	module := hometest.New(t, keys)
	dir, c := t.TempDir(), newClock()
	o := revocation.Offer{Head: bytes.Repeat([]byte{7}, revocation.HeadLen), Chain: [][]byte{{1}, {2}}, Snapshot: []byte("state")}
	data, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, content.StateName)
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []trem.Learned{{Head: o.Head, HeadChain: o.Chain, Snapshot: o.Snapshot}}
	write(data)
	h := open(t, dir, module, c)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	for range 2 { // each film once
		h.LearnCarried(t.Context())
	}
	if d := cmp.Diff(want, module.Learned); d != "" {
		t.Error(d)
	}
	// After a restart once again, also where no authority is configured.
	_ = open(t, dir, module, c).Learn(t.Context())
	if d := cmp.Diff(append(want, want...), module.Learned); d != "" {
		t.Error(d)
	}
	// What cannot be read stops nothing, and a folder may have none.
	write(data[:len(data)-1])
	h = open(t, dir, module, c)
	h.LearnCarried(t.Context())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir, module, c)
	h.LearnCarried(t.Context())
	if len(module.Learned) != 2 || len(h.Titles()) != 1 {
		t.Errorf("%d statements, %d titles", len(module.Learned), len(h.Titles()))
	}
}

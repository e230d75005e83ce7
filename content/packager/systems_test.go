package packager_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
)

// system parses the ID of a DRM system.
func system(t *testing.T, id string) cenc.SystemID {
	t.Helper()
	var k ident.Key
	if err := k.UnmarshalText([]byte(id)); err != nil {
		t.Fatal(err)
	}
	return cenc.SystemID(k)
}

// Boxes of other systems are written as they were given, byte for byte, into every
// init segment and every adaptation set, and without them nothing of these systems is.
func TestPack_OtherSystemsAreWrittenAsGiven(t *testing.T) {
	_, paths := inputs(t)
	widevine, playready := system(t, "edef8ba979d64acea3c827dcd51d21ed"), system(t, "9a04f07998404286ab92e65be0885f95")
	given := []cenc.PSSH{
		{System: widevine, Data: []byte("what a license service of theirs gave")},
		{Version: 1, System: playready, KIDs: []ident.Key{{7}}, Data: []byte{0, 1, 2}},
	}
	for name, list := range map[string][]cenc.PSSH{"given": given, "not given": nil} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			res, err := packager.Pack(context.Background(), packager.Config{Inputs: paths[:1], Dir: dir, Content: "film", Title: "Film", Systems: list})
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "manifest.mpd"))
			if err != nil {
				t.Fatal(err)
			}
			mpd := string(text)
			if n := strings.Count(mpd, "<AdaptationSet"); n != strings.Count(mpd, cenc.ClearKeySystem().String()) {
				t.Errorf("%d sets, and not as many for Clear Key", n)
			}
			for i := range given {
				box, err := given[i].Encode()
				if err != nil {
					t.Fatal(err)
				}
				sets := strings.Count(mpd, "<AdaptationSet")
				if list == nil {
					sets = 0
				}
				if got := strings.Count(mpd, base64.StdEncoding.EncodeToString(box)); got != sets || strings.Count(mpd, given[i].System.String()) != sets {
					t.Errorf("the manifest has the box of %v %d times, want %d", given[i].System.Name(), got, sets)
				}
				for _, f := range res.Manifest.Tracks {
					if bytes.Contains(load(t, dir, f.Init), box) != (list != nil) {
						t.Errorf("%v, the box of %v: want %v", f.Init, given[i].System.Name(), list != nil)
					}
				}
			}
		})
	}
	for name, bad := range map[string][]cenc.PSSH{
		"Clear Key": {{System: cenc.ClearKeySystem()}}, "common": {{Version: 1, System: cenc.CommonSystem()}}, "twice": {given[0], given[0]},
		"too many": make([]cenc.PSSH, packager.MaxSystems+1), "no box": {{Version: 2, System: widevine}},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		if _, err := packager.Pack(context.Background(), packager.Config{Inputs: paths[:1], Dir: dir, Content: "film", Title: "Film", Systems: bad}); err == nil {
			t.Errorf("%s: packed", name)
		}
	}
}

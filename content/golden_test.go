package content_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
)

// goldenKeys are those that testdata/golden/make.sh gave the tools. Rotation moves
// the key and its ID on by one byte each period.
func goldenKeys(t testing.TB) content.Keys {
	kid, key := bytes.Repeat([]byte{0x11}, 16), []byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff")
	kid[0] = 0x01
	all := map[ident.Key]cenc.ContentKey{}
	for i := range 16 {
		k, err := cenc.NewContentKey(slices.Concat(key[i:], key[:i]))
		if err != nil {
			t.Fatal(err)
		}
		all[ident.Key(slices.Concat(kid[i:], kid[:i]))] = k
	}
	return func(id ident.Key) (cenc.ContentKey, error) {
		if k, ok := all[id]; ok {
			return k, nil
		}
		return cenc.ContentKey{}, errNoKey
	}
}

// golden reads the files that other tools protected.
func golden(t testing.TB) map[string][]byte {
	names, err := filepath.Glob("testdata/golden/*.mp4")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d golden files, %v", len(names), err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(n), ".mp4")] = data
	}
	return out
}

// TestContent_19_GoldenFilesOfOtherTools: what shaka-packager and ffmpeg protected
// is decrypted to the streams they were given, read as a file and as a stream.
// Another reader of boxes, mp4ff, compares them.
func TestContent_19_GoldenFilesOfOtherTools(t *testing.T) {
	want, err := packager.StreamHashes("testdata/golden/clear.mp4")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range golden(t) {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.mp4")
			v, err := content.Open(bytes.NewReader(data), int64(len(data)), content.ViewConfig{Keys: goldenKeys(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			var clear bytes.Buffer
			if _, err := v.WriteTo(&clear); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(out, clear.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := packager.StreamHashes(out)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				t.Fatal("no streams")
			}
			for kind, sum := range got {
				if sum != want[kind] {
					t.Errorf("%s: SHA-256 %s, want %s", kind, hex.EncodeToString(sum[:4]), hex.EncodeToString(func() []byte { w := want[kind]; return w[:4] }()))
				}
			}
			if clear.Len() != len(data) {
				t.Errorf("%d bytes of %d", clear.Len(), len(data))
			}
			var streamed bytes.Buffer
			if err := content.Clear(&streamed, bytes.NewReader(data), nil, goldenKeys(t)); err != nil || !bytes.Equal(streamed.Bytes(), clear.Bytes()) {
				t.Errorf("as a stream: %v", err)
			}
		})
	}
}

// mutateFile damages a whole file, its boxes first of all.
func mutateFile(rnd *rand.Rand, data []byte) []byte {
	moof := max(0, bytes.Index(data, []byte("moof"))-4)
	if moof == 0 || rnd.IntN(3) == 0 {
		at := max(0, bytes.Index(data, []byte("moov"))-4)
		return slices.Concat(data[:at], mutate(rnd, data[at:]))
	}
	return slices.Concat(data[:moof], mutate(rnd, data[moof:]))
}

package content_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// twoTiers gives pictures the first key and sound the second.
func twoTiers(t *content.Track) (ident.Key, cenc.ContentKey, bool, error) {
	if t.Handler == "soun" {
		return kid2, key(2), true, nil
	}
	return kid1, key(1), true, nil
}

func protect(t *testing.T, clear []byte, cfg content.ProtectConfig) ([]byte, error) {
	t.Helper()
	v, err := content.Open(bytes.NewReader(clear), int64(len(clear)), content.ViewConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var out bytes.Buffer
	err = v.Protect(&out, cfg)
	return out.Bytes(), err
}

// fragmented makes fragments of the golden clear file, picture and sound together.
func fragmented(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "f.mp4")
	cmd := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), "-v", "error", "-i", "testdata/golden/clear.mp4", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov+default_base_moof+global_sidx", out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v, %s", err, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sameAsGolden compares the streams of a file with those of the golden clear one.
func sameAsGolden(t *testing.T, name string, kinds ...string) {
	t.Helper()
	want, err := packager.StreamHashes("testdata/golden/clear.mp4")
	if err != nil {
		t.Fatal(err)
	}
	got, err := packager.StreamHashes(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if sum, ok := got[kind]; !ok || sum != want[kind] {
			t.Errorf("%s: the %s stream is not that of the clear file", name, kind)
		}
	}
}

// TestContent_20_ProtectAndOpen protects a file of fragments in both schemes: it
// opens here and in ffmpeg, an independent reader, with the streams it had.
func TestContent_20_ProtectAndOpenFFmpeg(t *testing.T) {
	clear := fragmented(t)
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		t.Run(scheme.String(), func(t *testing.T) {
			protected, err := protect(t, clear, content.ProtectConfig{Scheme: scheme, Key: twoTiers})
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(protected, []byte("sidx")) || len(protected) <= len(clear) {
				t.Errorf("an index of other places was kept, or nothing added: %d bytes of %d", len(protected), len(clear))
			}
			back := clearView(t, protected, content.ViewConfig{})
			name := filepath.Join(t.TempDir(), "back.mp4")
			if err := os.WriteFile(name, back, 0o600); err != nil {
				t.Fatal(err)
			}
			sameAsGolden(t, name, "video", "audio")

			in := filepath.Join(t.TempDir(), "protected.mp4")
			if err := os.WriteFile(in, protected, 0o600); err != nil {
				t.Fatal(err)
			}
			for kind, k := range map[string]string{"video": strings.Repeat("01", 16), "audio": strings.Repeat("02", 16)} {
				out := filepath.Join(t.TempDir(), kind+".mp4")
				cmd := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), "-v", "error", "-seekable", "0", "-decryption_key", k, "-i", in, "-map", "0:"+kind[:1], "-c", "copy", out)
				if msg, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("ffmpeg: %v, %s", err, msg)
				}
				sameAsGolden(t, out, kind)
			}
		})
	}
}

// TestContent_20_NoVectorTwice: all samples of a key, over tracks and fragments,
// have vectors of their own.
func TestContent_20_NoVectorTwice(t *testing.T) {
	clear := fragmented(t)
	protected, err := protect(t, clear, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: func(*content.Track) (ident.Key, cenc.ContentKey, bool, error) { return kid1, key(1), true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	n := 0
	for rest := protected; ; {
		at := bytes.Index(rest, []byte("senc"))
		if at < 0 {
			break
		}
		box := rest[at-4 : at-4+int(rest[at-2])<<8+int(rest[at-1])]
		maps := box[11]&2 != 0
		for b := box[16:]; len(b) > 0; n++ {
			if seen[string(b[:8])] {
				t.Fatalf("vector %x comes twice", b[:8])
			}
			seen[string(b[:8])] = true
			if b = b[8:]; maps {
				b = b[2+6*(int(b[0])<<8+int(b[1])):]
			}
		}
		rest = rest[at+4:]
	}
	if n < 80 {
		t.Errorf("%d vectors found", n)
	}
}

func TestContent_20_ProtectRefusals(t *testing.T) {
	seg, _ := cencFragment(t)
	protected := slices.Concat(cencInit(), seg)
	progressive, err := os.ReadFile("testdata/golden/clear.mp4")
	if err != nil {
		t.Fatal(err)
	}
	noKey := func(*content.Track) (ident.Key, cenc.ContentKey, bool, error) {
		return ident.Key{}, cenc.ContentKey{}, false, errNoKey
	}
	vp9 := slices.Concat(initSeg(bx("vp09", zero(78)), 1), part{sizes: []int{4}}.build(zero(4)))
	avc := slices.Concat(initSeg(bx("avc1", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f, 0xff})), 1), part{sizes: []int{9}}.build([]byte{0, 0, 0, 9, 0x65, 1, 2, 3, 4}))
	for name, tc := range map[string]struct {
		file []byte
		cfg  content.ProtectConfig
		want error
	}{
		"protected already": {protected, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: twoTiers}, content.ErrUnsupported},
		"progressive":       {progressive, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: twoTiers}, content.ErrUnsupported},
		"cens":              {avc, content.ProtectConfig{Scheme: cenc.SchemeCENS, Key: twoTiers}, content.ErrUnsupported},
		"no key":            {avc, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: noKey}, errNoKey},
		"another codec":     {vp9, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: twoTiers}, content.ErrUnsupported},
		"broken picture":    {avc, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: twoTiers}, content.ErrMalformed},
	} {
		if _, err := protect(t, tc.file, tc.cfg); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

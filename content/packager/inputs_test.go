package packager_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
)

// encode makes a short file with another codec or container form.
func encode(t *testing.T, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "in.mp4")
	args = append(append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=6", "-f", "lavfi", "-i", "sine=r=48000:d=6"}, args...), out)
	if b, err := exec.Command(needs.Tool(t, "ffmpeg"), args...).CombinedOutput(); err != nil { //nolint:noctx // a test
		t.Fatalf("ffmpeg: %v: %s", err, b)
	}
	return out
}

// TestPack_OtherInputs packs what others make: fragmented files, absolute
// offsets, B-frames without an edit list, other codecs.
func TestPack_OtherInputs(t *testing.T) {
	needs.Long(t)
	needs.Tool(t, "ffmpeg")
	for name, tc := range map[string]struct {
		args  []string
		codec string
	}{
		"fragmented": {strings.Fields("-c:v libx264 -g 25 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof"), "avc1."},
		"absolute":   {strings.Fields("-c:v libx264 -g 25 -c:a aac -movflags frag_keyframe+empty_moov"), "avc1."},
		"negative":   {strings.Fields("-c:v libx264 -g 25 -bf 3 -c:a aac -movflags negative_cts_offsets"), "avc1."},
		"HEVC":       {strings.Fields("-c:v libx265 -x265-params log-level=none -g 25 -tag:v hvc1 -c:a aac"), "hvc1."},
		"VP9":        {strings.Fields("-c:v libvpx-vp9 -b:v 200k -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16 -g 25 -c:a libopus"), "vp09."},
		"AC-3":       {strings.Fields("-c:v libx264 -g 25 -c:a ac3"), "avc1."},
		"FLAC":       {strings.Fields("-c:v libx264 -g 25 -c:a flac -strict -2"), "avc1."},
		"SVT-AV1":    {strings.Fields("-s 1280x720 -c:v libsvtav1 -preset 12 -g 25 -c:a aac"), "av01."},
		"AV1":        {strings.Fields("-c:v libaom-av1 -cpu-used 8 -row-mt 1 -g 25 -usage realtime -c:a aac"), "av01."},
	} {
		for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
			t.Run(name+"/"+scheme.String(), func(t *testing.T) {
				in := encode(t, tc.args...)
				dir := filepath.Join(t.TempDir(), "out")
				res, err := packager.Pack(context.Background(), packager.Config{Inputs: []string{in}, Dir: dir, Content: "c", Title: "t", Scheme: scheme, FragmentMS: 2000})
				if err != nil {
					t.Fatal(err)
				}
				keys := keysOf(res.Delivery)
				for i := range res.Manifest.Tracks {
					f := &res.Manifest.Tracks[i]
					stream := "0:v"
					if f.Kind == "audio" {
						stream = "0:a"
					} else if !strings.HasPrefix(f.Codecs, tc.codec) {
						t.Errorf("codec %s", f.Codecs)
					}
					file := filepath.Join(t.TempDir(), "clear.mp4")
					b := join(t, dir, f, true, func(fr *content.Fragment) error { return fr.Decrypt(keys) })
					if err := os.WriteFile(file, b, 0o600); err != nil {
						t.Fatal(err)
					}
					if got, want := hash(t, "0", "-i", file), hash(t, stream, "-i", in); got != want {
						t.Errorf("%s: %s, want %s", f.Name, got, want)
					}
					if got, want := times(t, file, "0"), times(t, in, stream[2:]); got != want {
						t.Errorf("%s: presentation times differ:\n%.200s\nwant\n%.200s", f.Name, got, want)
					}
				}
			})
		}
	}
}

// times lists the presentation times of one stream as ffprobe has them.
func times(t *testing.T, file, stream string) string {
	t.Helper()
	out, err := exec.Command(needs.Tool(t, "ffprobe"), "-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0", file).CombinedOutput() //nolint:noctx // a test
	if err != nil {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	return strings.Join(strings.FieldsFunc(string(out), func(r rune) bool { return r == ',' || r == '\n' }), "\n")
}

func TestPack_RefusesCodecsByName(t *testing.T) {
	needs.Tool(t, "ffmpeg")
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"MPEG-4": {strings.Fields("-c:v mpeg4 -c:a aac"), "mp4v"},
		"MP3":    {strings.Fields("-c:v libx264 -c:a libmp3lame"), "mp4a that is not AAC"},
		// mp4ff v0.56.0 does not find the tiles of this encoder's streams with several.
		"SVT-AV1 with tiles": {strings.Fields("-s 1280x720 -c:v libsvtav1 -preset 12 -svtav1-params tile-columns=1:tile-rows=1 -g 25 -c:a aac"), "av01"},
	} {
		_, err := packager.Pack(context.Background(), packager.Config{Inputs: []string{encode(t, tc.args...)}, Dir: filepath.Join(t.TempDir(), "out"), Content: "c", Title: "t"})
		if !errors.Is(err, packager.ErrInput) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamHashes_AreTheSameHoweverPacked(t *testing.T) {
	src, _ := inputs(t)
	want, err := packager.StreamHashes(filepath.Join(src, film.HD))
	if err != nil {
		t.Fatal(err)
	}
	dir, res := pack(t, cenc.SchemeCENC)
	keys := keysOf(res.Delivery)
	for kind, tier := range map[string]content.Tier{"video": content.HD, "audio": content.Audio} {
		f, ok := res.Manifest.Best(tier)
		if !ok {
			t.Fatal(tier)
		}
		file := filepath.Join(t.TempDir(), "x.mp4")
		for _, decrypt := range []bool{true, false} {
			edit := func(fr *content.Fragment) error { return fr.Decrypt(keys) }
			if !decrypt {
				edit = nil
			}
			if err := os.WriteFile(file, join(t, dir, f, decrypt, edit), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := packager.StreamHashes(file)
			if err != nil {
				t.Fatal(err)
			}
			if (got[kind] == want[kind]) != decrypt || want[kind] == [32]byte{} {
				t.Errorf("%s, decrypted %v: %x, want %x", kind, decrypt, got[kind], want[kind])
			}
		}
	}
}

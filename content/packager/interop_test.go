package packager_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// The matrix of make interop: files that one side protected, decrypted by the
// other, and the streams' hashes against the clear source by a third (ffmpeg).

// interopCodecs are the codecs, each with how ffmpeg makes 13 seconds of it.
var interopCodecs = []struct{ name, kind, args string }{
	{"AVC", "video", "-c:v libx264 -preset ultrafast -bf 2 -g 25"},
	{"HEVC", "video", "-c:v libx265 -preset ultrafast -x265-params log-level=none -g 25 -tag:v hvc1"},
	{"AV1", "video", "-c:v libaom-av1 -cpu-used 8 -usage realtime -row-mt 1 -g 25"},
	{"VP9", "video", "-c:v libvpx-vp9 -b:v 300k -deadline realtime -cpu-used 8 -g 25"},
	{"AAC", "audio", "-c:a aac"},
	{"Opus", "audio", "-c:a libopus"},
	{"FLAC", "audio", "-c:a flac -strict -2"},
	{"AC-3", "audio", "-c:a ac3"},
}

const (
	oursToShaka  = "ours > shaka"
	oursToFFmpeg = "ours > ffmpeg"
	shakaToOurs  = "shaka > ours"
	ffmpegToOurs = "ffmpeg > ours"
)

var (
	interopWays     = []string{oursToShaka, oursToFFmpeg, shakaToOurs, ffmpegToOurs}
	interopFeatures = []string{"one key", "clear lead", "two keys", "rotation"}
)

// cell is one place of the matrix.
type cell struct {
	way, codec, kind, feature string
	scheme                    cenc.Scheme
}

// hole says why a cell cannot be: what the other program lacks. Found by running it.
func (c cell) hole() string {
	ff := c.way == oursToFFmpeg || c.way == ffmpegToOurs
	switch {
	case c.way == ffmpegToOurs && c.scheme == cenc.SchemeCBCS:
		return "ffmpeg 5.1 encrypts with cenc only"
	case c.way == ffmpegToOurs && c.feature != "one key":
		return "ffmpeg 5.1 encrypts everything with one key"
	case c.way == ffmpegToOurs && (c.codec == "AV1" || c.codec == "AC-3"):
		return "ffmpeg 5.1 writes an empty senc box for AV1 and AC-3, and cannot read its own file"
	case ff && c.feature == "rotation":
		return "ffmpeg 5.1 knows no sample groups of keys (seig)"
	case ff && c.feature == "two keys":
		return "ffmpeg 5.1 takes one key a file"
	case c.way == oursToShaka && c.feature == "rotation":
		return "shaka-packager 3.4.2 decrypts by the key ID of tenc and reads no sample groups, of its own files neither"
	}
	return ""
}

// interop is one run of the matrix.
type interop struct {
	shaka, ffmpeg string
	dir           string
	sources       map[string]string // codec -> file
	hashes        map[string]string // file and stream -> hash
}

// pair is a key with its ID.
type pair struct {
	kid ident.Key
	key cenc.ContentKey
}

func hexOf(t *testing.T, p pair) (kid, key string) {
	t.Helper()
	raw, err := p.key.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(p.kid[:]), hex.EncodeToString(raw[:])
}

func newInterop(t *testing.T) *interop {
	t.Helper()
	bin := map[string]string{"amd64": "packager-linux-x64", "arm64": "packager-linux-arm64"}[runtime.GOARCH]
	file := filepath.Join("..", "..", "node_modules", "shaka-packager", "bin", bin)
	needs.File(t, file, "shaka-packager is not installed (make setup installs it)")
	shaka, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return &interop{shaka: shaka, ffmpeg: needs.Tool(t, "ffmpeg"), dir: t.TempDir(), sources: map[string]string{}, hashes: map[string]string{}}
}

// tool runs a program; its exit status is believed when it is a failure only.
func tool(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput() //nolint:noctx // a test
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %.200s", filepath.Base(name), err, lines[len(lines)-1])
	}
	return nil
}

// source makes the clear file of a codec, once.
func (i *interop) source(t *testing.T, c cell) string {
	t.Helper()
	name := c.codec
	var args string
	for _, k := range interopCodecs {
		if k.name == c.codec {
			args = k.args
		}
	}
	in := "-f lavfi -i testsrc2=s=320x240:r=25:d=13"
	if c.kind == "audio" {
		in = "-f lavfi -i sine=r=48000:d=13"
	}
	if c.feature == "two keys" { // the other kind of track beside it, under another key
		name += "+"
		if c.kind == "video" {
			in, args = in+" -f lavfi -i sine=r=48000:d=13", args+" -c:a aac"
		} else {
			in, args = in+" -f lavfi -i testsrc2=s=320x240:r=25:d=13", args+" -c:v libx264 -preset ultrafast -g 25"
		}
	}
	if i.sources[name] == "" {
		out := filepath.Join(i.dir, name+".mp4")
		if err := tool(i.ffmpeg, strings.Fields("-v error -nostdin "+in+" "+args+" "+out)...); err != nil {
			t.Fatal(err)
		}
		i.sources[name] = out
	}
	return i.sources[name]
}

// hash is ffmpeg's hash of one kind of stream in a file; "" for a file of none.
func (i *interop) hash(file, kind string, args ...string) (string, error) {
	args = append(append([]string{"-v", "error", "-nostdin"}, args...), "-i", file, "-map", "0:"+kind[:1], "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
	out, err := exec.Command(i.ffmpeg, args...).CombinedOutput() //nolint:noctx // a test
	if err != nil {
		return "", fmt.Errorf("ffmpeg: %w: %.200s", err, out)
	}
	_, md5, ok := strings.Cut(strings.TrimSpace(string(out)), "MD5=")
	if !ok || strings.Contains(md5, "\n") {
		return "", fmt.Errorf("ffmpeg: %.200s", out)
	}
	return md5, nil
}

// run tries a cell: nil when every stream comes out as it went in.
func (i *interop) run(t *testing.T, c cell) error {
	t.Helper()
	src := i.source(t, c)
	kinds := []string{c.kind}
	if c.feature == "two keys" {
		kinds = []string{"video", "audio"}
	}
	dir := t.TempDir()
	var (
		out map[string]string // kind -> clear file
		dec []string          // arguments for ffmpeg, when that decrypts
		err error
	)
	switch c.way {
	case oursToShaka, oursToFFmpeg:
		out, dec, err = i.fromUs(t, c, src, dir)
	default:
		out, err = i.toUs(t, c, src, dir, kinds)
	}
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		want, err := i.hash(src, kind)
		if err != nil {
			return err
		}
		got, err := i.hash(out[kind], kind, dec...)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s: hash %s, want %s", kind, got, want)
		}
	}
	return nil
}

// fromUs protects a source and gives it to the other program.
func (i *interop) fromUs(t *testing.T, c cell, src, dir string) (out map[string]string, dec []string, err error) {
	t.Helper()
	cfg := packager.Config{Inputs: []string{src}, Dir: filepath.Join(dir, "packed"), Content: "c", Title: "t", Scheme: c.scheme, FragmentMS: 2000}
	switch c.feature {
	case "clear lead":
		cfg.ClearLeadMS = 3000
	case "rotation":
		cfg.RotateMS = 10_000
	}
	res, err := packager.Pack(context.Background(), cfg)
	if err != nil {
		return nil, nil, err
	}
	var keys []pair
	for _, k := range res.Delivery.Keys {
		keys = append(keys, pair{k.KID, k.Key})
	}
	if want := map[string]int{"two keys": 2, "rotation": 2}[c.feature]; len(keys) != max(want, 1) {
		return nil, nil, fmt.Errorf("%d keys", len(keys))
	}
	out = map[string]string{}
	for n := range res.Manifest.Tracks {
		f := &res.Manifest.Tracks[n]
		file := filepath.Join(dir, f.Kind+".mp4")
		if err := os.WriteFile(file, join(t, cfg.Dir, f, false, nil), 0o600); err != nil {
			return nil, nil, err
		}
		out[f.Kind] = file
		if c.way == oursToShaka {
			out[f.Kind] = filepath.Join(dir, f.Kind+"-clear.mp4")
			if err := i.shakaDecrypts(t, file, f.Kind, out[f.Kind], keys); err != nil {
				return nil, nil, err
			}
		}
	}
	if c.way == oursToFFmpeg {
		_, key := hexOf(t, keys[0])
		dec = []string{"-seekable", "0", "-decryption_key", key}
	}
	return out, dec, nil
}

func (i *interop) shakaDecrypts(t *testing.T, in, kind, out string, keys []pair) error {
	t.Helper()
	var list []string
	for n, k := range keys {
		kid, key := hexOf(t, k)
		list = append(list, fmt.Sprintf("label=L%d:key_id=%s:key=%s", n, kid, key))
	}
	return tool(i.shaka, fmt.Sprintf("in=%s,stream=%s,output=%s", in, kind, out), "--enable_raw_key_decryption", "--keys", strings.Join(list, ","), "--quiet")
}

// toUs has the other program protect a source and decrypts it.
func (i *interop) toUs(t *testing.T, c cell, src, dir string, kinds []string) (map[string]string, error) {
	t.Helper()
	keys := []pair{{ident.NewKey(), cenc.GenerateKey()}, {ident.NewKey(), cenc.GenerateKey()}}
	out := map[string]string{}
	if c.way == ffmpegToOurs {
		kid, key := hexOf(t, keys[0])
		file := filepath.Join(dir, "protected.mp4")
		err := tool(i.ffmpeg, "-v", "error", "-nostdin", "-i", src, "-map", "0", "-c", "copy", "-strict", "-2", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", kid, file)
		if err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			out[kind] = file + "-clear.mp4"
		}
		return out, weDecrypt(file, file+"-clear.mp4", keys)
	}
	args := []string{"--enable_raw_key_encryption", "--protection_scheme", c.scheme.String(), "--segment_duration", "2", "--fragment_duration", "2", "--quiet", "--clear_lead"}
	if c.feature == "clear lead" {
		args = append(args, "4")
	} else {
		args = append(args, "0")
	}
	if c.feature == "rotation" {
		args = append(args, "--crypto_period_duration", "4")
		keys = rotations(t, keys[0])
	}
	var list []string
	for n, kind := range kinds {
		kid, key := hexOf(t, keys[n])
		list = append(list, fmt.Sprintf("label=%s:key_id=%s:key=%s", kind, kid, key))
		args = append(args, fmt.Sprintf("in=%s,stream=%s,output=%s,drm_label=%s", src, kind, filepath.Join(dir, kind+".mp4"), kind))
	}
	if err := tool(i.shaka, append(args, "--keys", strings.Join(list, ","))...); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		file := filepath.Join(dir, kind+".mp4")
		out[kind] = file + "-clear.mp4"
		if err := weDecrypt(file, out[kind], keys); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rotations are the keys that shaka-packager makes of a raw key for its periods: the
// key and its ID, turned left by a byte for each.
func rotations(t *testing.T, p pair) []pair {
	t.Helper()
	raw, err := p.key.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	var out []pair
	for n := range len(raw) {
		k, err := cenc.NewContentKey(slices.Concat(raw[n:], raw[:n]))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pair{ident.Key(slices.Concat(p.kid[n:], p.kid[:n])), k})
	}
	return out
}

// weDecrypt is the engine of this project over a file. A file whose samples are
// as protected as before is no success.
func weDecrypt(in, out string, keys []pair) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	view, err := content.Open(bytes.NewReader(data), int64(len(data)), content.ViewConfig{Keys: func(kid ident.Key) (cenc.ContentKey, error) {
		for _, k := range keys {
			if k.kid == kid {
				return k.key, nil
			}
		}
		return cenc.ContentKey{}, errors.New("no such key")
	}})
	if err != nil {
		return err
	}
	defer view.Close()
	var b bytes.Buffer
	if _, err := view.WriteTo(&b); err != nil {
		return err
	}
	if bytes.Equal(b.Bytes(), data) {
		return errors.New("nothing was decrypted")
	}
	return os.WriteFile(out, b.Bytes(), 0o600)
}

// TestInterop_Matrix fills the matrix. In make test it is a part of it, two codecs;
// LARES_INTEROP=FILE fills the whole and prints it into the file.
func TestInterop_Matrix(t *testing.T) {
	needs.Long(t)
	i := newInterop(t)
	file := os.Getenv("LARES_INTEROP")
	got := map[cell]string{}
	var reasons []string
	for _, codec := range interopCodecs {
		if file == "" && codec.name != "AVC" && codec.name != "AAC" {
			continue
		}
		for _, feature := range interopFeatures {
			for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
				for _, way := range interopWays {
					c := cell{way: way, codec: codec.name, kind: codec.kind, feature: feature, scheme: scheme}
					got[c] = "-"
					why := c.hole()
					if why == "" {
						t.Run(strings.Join([]string{codec.name, feature, scheme.String(), way}, "/"), func(t *testing.T) {
							got[c] = "ok"
							if err := i.run(t, c); err != nil {
								got[c] = "FAIL"
								t.Error(err)
							}
						})
						continue
					}
					at := slices.Index(reasons, why)
					if at < 0 {
						at = len(reasons)
						reasons = append(reasons, why)
					}
					got[c] = fmt.Sprintf("[%d]", at+1)
				}
			}
		}
	}
	if table := matrix(got, reasons); file == "" {
		t.Log("\n" + table)
	} else if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
}

// matrix prints the cells: a codec and a feature a row, a way and a scheme a column.
func matrix(got map[cell]string, reasons []string) string {
	var b strings.Builder
	schemes := []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS}
	fmt.Fprintf(&b, "%-16s", "")
	for _, way := range interopWays {
		fmt.Fprintf(&b, " | %-13s", way)
	}
	fmt.Fprintf(&b, "\n%-16s", "")
	for range interopWays {
		fmt.Fprintf(&b, " | %-6v %-6v", schemes[0], schemes[1])
	}
	b.WriteByte('\n')
	for _, codec := range interopCodecs {
		for _, feature := range interopFeatures {
			row := ""
			for _, way := range interopWays {
				row += " |"
				for _, scheme := range schemes {
					row += fmt.Sprintf(" %-6s", got[cell{way: way, codec: codec.name, kind: codec.kind, feature: feature, scheme: scheme}])
				}
			}
			if strings.Trim(row, " |") != "" {
				fmt.Fprintf(&b, "%-5s%-11s%s\n", codec.name, feature, row)
			}
		}
	}
	for n, why := range reasons {
		fmt.Fprintf(&b, "[%d] %s\n", n+1, why)
	}
	return b.String()
}

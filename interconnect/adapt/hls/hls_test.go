package hls_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
	"github.com/lares-drm/lares/interconnect/adapt/hls"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// house is one session of a packed film: the packed files stand for the
// session's stream, and the packer's keys for its session keys.
type house struct {
	dir   string
	m     *content.Manifest
	keys  map[ident.Key]cenc.ContentKey
	ended bool
}

var (
	errEnded   = errors.New("the session has ended")
	errUnknown = errors.New("there is no such session")
)

func newHouse(tb testing.TB, scheme cenc.Scheme) *house {
	tb.Helper()
	dir := tb.TempDir()
	source, err := film.Files.ReadFile(film.SD)
	if err != nil {
		tb.Fatal(err)
	}
	in := filepath.Join(dir, film.SD)
	if err := os.WriteFile(in, source, 0o600); err != nil {
		tb.Fatal(err)
	}
	res, err := packager.Pack(context.Background(), packager.Config{Inputs: []string{in}, Dir: filepath.Join(dir, "packed"), Content: "film", Title: "film", Scheme: scheme})
	if err != nil {
		tb.Fatal(err)
	}
	h := &house{dir: filepath.Join(dir, "packed"), m: res.Manifest, keys: map[ident.Key]cenc.ContentKey{}}
	for _, k := range res.Delivery.Keys {
		h.keys[k.KID] = k.Key
	}
	return h
}

func (h *house) alive(session string) error {
	switch {
	case session != "s1":
		return errUnknown
	case h.ended:
		return errEnded
	}
	return nil
}

func (h *house) LinkKey(session string, kid ident.Key) (cenc.ContentKey, error) {
	if err := h.alive(session); err != nil {
		return cenc.ContentKey{}, err
	}
	return h.keys[kid], nil
}

func (h *house) Tracks(session string) (out []*content.TrackFiles, err error) {
	for i := range h.m.Tracks {
		out = append(out, &h.m.Tracks[i])
	}
	return out, h.alive(session)
}

func (h *house) Initialization(session, track string) ([]byte, error) {
	t, _ := h.m.Track(track)
	return h.read(session, t.Init.Name)
}

func (h *house) Segment(_ context.Context, session, track string, n int) ([]byte, error) {
	t, _ := h.m.Track(track)
	return h.read(session, t.Segments[n].Name)
}

func (h *house) read(session, name string) ([]byte, error) {
	if err := h.alive(session); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(name)))
}

func (h *house) serve(tb testing.TB) *httptest.Server {
	tb.Helper()
	srv := httptest.NewServer(hls.Handler(hls.Config{Sessions: h, Fail: func(w http.ResponseWriter, _ *http.Request, err error) {
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, errEnded):
			status = http.StatusGone
		case errors.Is(err, errUnknown), errors.Is(err, hls.ErrNotFound):
			status = http.StatusNotFound
		}
		http.Error(w, err.Error(), status)
	}}))
	tb.Cleanup(srv.Close)
	return srv
}

func get(t *testing.T, url string) (int, string, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), b.Bytes()
}

func TestAdapt_2_HLSConforms(t *testing.T) {
	adapttest.Run(t, adapttest.Config{
		Adapter:  hls.Adapter{},
		NoRights: [][]byte{[]byte("#EXTM3U\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=NONE\n"), []byte("\ufeff#EXTM3U\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"a,b\",IV=0x1\r\n")},
		Malformed: [][]byte{
			[]byte("EXTM3U"), []byte("#EXTM3U\n\xff\n"), []byte("#EXTM3U\n#a\tb\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=NONE,URI=\"x\"\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=NONE,METHOD=NONE\n"),
			[]byte("#EXTM3U\n#EXT-X-KEY:URI=\"x\"\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"x\n"), []byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"x\",\n"), []byte("#EXTM3U\n#EXT-X-KEY:method=NONE\n"),
		},
	})
}

// A player without EME plays a session: it follows the playlists, gets the key
// of the session and decrypts whole segments to what was packed.
func TestHLS_1_WholeSegmentsOpenWithTheSessionsKey(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		h := newHouse(t, scheme)
		root := h.serve(t).URL + "/play/s1/hls/aes-128/"
		status, media, main := get(t, root+"main.m3u8")
		if status != 200 || media != hls.MediaType || !strings.Contains(string(main), "sd.m3u8") {
			t.Fatalf("%d %s %s", status, media, main)
		}
		_, _, playlist := get(t, root+"sd.m3u8")
		tags, err := hls.ParseKeys(playlist)
		if diff := cmp.Diff(tags, []hls.KeyTag{{Method: "AES-128", URI: "sd/key", Format: "identity"}}); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		_, _, raw := get(t, root+"sd/key")
		key, err := cenc.NewContentKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		track := &h.m.Tracks[0]
		if key.Equal(h.keys[track.KID]) {
			t.Error("the player got the key of the samples")
		}
		_, _, head := get(t, root+"sd/init.mp4")
		in, err := content.ParseInit(head)
		if err != nil || in.Tracks[0].Entries[0].Protected() {
			t.Fatalf("%v: an initialization segment that is protected", err)
		}
		for _, n := range []int{0, 1, len(track.Segments) - 1} {
			_, _, data := get(t, fmt.Sprintf("%ssd/%d.m4s", root, n))
			plain, err := hls.Decrypt(key, uint64(n), data)
			if err != nil || !bytes.Contains(plain[:64], []byte("moof")) && !bytes.Contains(plain[:64], []byte("styp")) {
				t.Errorf("%v segment %d: %v", scheme, n, err)
			}
			if _, err := hls.Decrypt(key, uint64(n)+1, data); err == nil {
				if wrong, _ := hls.Decrypt(key, uint64(n)+1, data); bytes.Equal(wrong, plain) {
					t.Error("the sequence number does not count")
				}
			}
		}
	}
}

// SAMPLE-AES hands on the session's own segments, and only of the scheme cbcs.
func TestHLS_2_SamplesOfCBCSOnly(t *testing.T) {
	h := newHouse(t, cenc.SchemeCBCS)
	root := h.serve(t).URL + "/play/s1/hls/sample-aes/"
	if status, _, body := get(t, root+"sd.m3u8"); status != 200 || !strings.Contains(string(body), `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="sd/key",KEYFORMAT="identity"`) {
		t.Errorf("%d %s", status, body)
	}
	_, _, raw := get(t, root+"sd/key")
	key, err := cenc.NewContentKey(raw)
	if err != nil || !key.Equal(h.keys[h.m.Tracks[0].KID]) {
		t.Errorf("the key of the samples: %v", err)
	}
	want, err := h.Segment(t.Context(), "s1", "sd", 0)
	if _, _, got := get(t, root+"sd/0.m4s"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the segment changed: %v", err)
	}
	if status, _, _ := get(t, newHouse(t, cenc.SchemeCENC).serve(t).URL+"/play/s1/hls/sample-aes/main.m3u8"); status != 404 {
		t.Errorf("samples of the scheme cenc: %d", status)
	}
}

// Who has no session gets nothing, and nothing is served behind its end.
func TestHLS_3_GuardedByTheSession(t *testing.T) {
	h := newHouse(t, cenc.SchemeCBCS)
	url := h.serve(t).URL
	paths := []string{"aes-128/main.m3u8", "aes-128/sd.m3u8", "aes-128/sd/key", "aes-128/sd/init.mp4", "aes-128/sd/0.m4s", "sample-aes/sd/key", "sample-aes/sd/0.m4s"}
	for _, p := range paths {
		if status, _, body := get(t, url+"/play/s2/hls/"+p); status != 404 || len(body) == 16 {
			t.Errorf("%s of another session: %d", p, status)
		}
	}
	for _, p := range []string{"aes-256/main.m3u8", "aes-128/main", "aes-128/hd.m3u8", "aes-128/hd/key", "aes-128/sd/-1.m4s", "aes-128/sd/00.m4s", "aes-128/sd/9999.m4s", "aes-128/sd/0", "aes-128/sd/keys"} {
		if status, _, _ := get(t, url+"/play/s1/hls/"+p); status != 404 {
			t.Errorf("%s: %d, want 404", p, status)
		}
	}
	h.ended = true
	for _, p := range paths {
		if status, _, _ := get(t, url+"/play/s1/hls/"+p); status != 410 {
			t.Errorf("%s behind the end: %d, want 410", p, status)
		}
	}
}

// ffmpeg, a player without EME, decodes a whole film from the handler.
func TestInterop_HLS_FFmpegPlaysASession(t *testing.T) {
	ffmpeg := needs.Tool(t, "ffmpeg")
	h := newHouse(t, cenc.SchemeCBCS)
	url := h.serve(t).URL + "/play/s1/hls/aes-128/main.m3u8"
	frames := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), ffmpeg, append(append([]string{"-v", "error", "-nostdin"}, args...), "-map", "0:v", "-t", "9", "-f", "framemd5", "-")...).Output() //nolint:gosec // a tool of the tests
		if ee := new(exec.ExitError); errors.As(err, &ee) {
			return string(ee.Stderr), err
		}
		return string(out), err
	}
	got, err := frames("-i", url)
	if err != nil || strings.Count(got, "\n") < 100 {
		t.Fatalf("ffmpeg: %v\n%s", err, got)
	}
	want, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-i", filepath.Join(filepath.Dir(h.dir), film.SD), "-map", "0:v", "-t", "9", "-f", "framemd5", "-").Output() //nolint:gosec // a tool of the tests
	if err != nil {
		t.Fatal(err)
	}
	hashes := func(s string) (out []string) {
		for line := range strings.Lines(s) {
			if !strings.HasPrefix(line, "#") {
				out = append(out, line[strings.LastIndex(line, ",")+1:])
			}
		}
		return out
	}
	if diff := cmp.Diff(hashes(got), hashes(string(want))); diff != "" {
		t.Errorf("pictures differ from the film's:\n%.800s", diff)
	}
	t.Logf("interop row: hls | ffmpeg, AES-128 over HTTP | %d pictures, the same as of the film", len(hashes(got)))
}

// RFC 8216, 5.2: the vector is the sequence number, big endian, in 16 bytes.
func TestHLS_5_2_TheVectorIsTheSequenceNumber(t *testing.T) {
	key, err := cenc.NewContentKey(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	got, err := hls.Encrypt(key, 0x0102, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	in := bytes.Repeat([]byte{16}, 16)
	in[14] ^= 1
	in[15] ^= 2
	want := make([]byte, 16)
	block.Encrypt(want, in)
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	for n := range 40 {
		seg := bytes.Repeat([]byte{7}, n)
		enc, err := hls.Encrypt(key, 9, seg)
		if err != nil {
			t.Fatal(err)
		}
		if dec, err := hls.Decrypt(key, 9, enc); err != nil || !bytes.Equal(dec, seg) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := hls.Encrypt(cenc.ContentKey{}, 0, nil); err == nil {
		t.Error("no key")
	}
}

// TestHLS_SpecExample checks the worked example of docs/spec/hls.md.
func TestHLS_SpecExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/hls.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```m3u8\n")
	if len(parts) != 3 {
		t.Fatalf("%d playlists, want a main one and a media playlist", len(parts)-1)
	}
	example := func(i int) string { s, _, _ := strings.Cut(parts[i], "```"); return s }
	sound := &content.TrackFiles{Name: "audio", Kind: "audio", BPS: 16_000, Codecs: "mp4a.40.2"}
	picture := &content.TrackFiles{Name: "hd", Kind: "video", BPS: 500_000, Codecs: "avc1.640028", Width: 1920, Height: 1080, Segments: []content.Segment{{DurationMS: 4000}, {StartMS: 4000, DurationMS: 2500}}}
	if diff := cmp.Diff(hls.Master([]*content.TrackFiles{sound, picture}), example(1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(hls.Media(hls.AES128, picture), example(2)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x00\n#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n"))
	f.Add([]byte("#EXTM3U\r\n#EXT-X-KEY:METHOD=NONE\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tags, err := hls.ParseKeys(data)
		if err != nil && tags != nil {
			t.Error("an error with tags")
		}
		for _, k := range tags {
			if k.Method == "" || k.Format == "" || strings.ContainsAny(k.URI, "\"\n\r") {
				t.Errorf("%+v", k)
			}
		}
	})
}

func ExampleParseKeys() {
	tags, err := hls.ParseKeys([]byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://house.example/key\",IV=0x0102\n"))
	fmt.Println(tags, err)
	// Output: [{AES-128 https://house.example/key identity false}] <nil>
}

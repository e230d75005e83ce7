package content_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// goldenFilm has picture and sound.
const goldenFilm = "testdata/golden/clear.mp4"

// clearTracks packs the film and decrypts its picture and its sound again.
func clearTracks(t *testing.T) (inits [][]byte, segments [][][]byte) {
	t.Helper()
	dir := t.TempDir()
	keys := map[ident.Key]cenc.ContentKey{}
	res, err := packager.Pack(context.Background(), packager.Config{
		Inputs: []string{goldenFilm}, Dir: filepath.Join(dir, "packed"), Content: "film", Title: "Film", Scheme: cenc.SchemeCBCS, LicenseURL: "license", FragmentMS: 4000,
		Keys: func(content.Tier) (ident.Key, cenc.ContentKey, error) {
			kid, key := ident.NewKey(), cenc.GenerateKey()
			keys[kid] = key
			return kid, key, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func(f content.File) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, "packed", f.Name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, track := range res.Manifest.Tracks {
		init := read(track.Init)
		p, err := content.ParseInit(init)
		if err != nil {
			t.Fatal(err)
		}
		clear, err := p.Clear(init)
		if err != nil {
			t.Fatal(err)
		}
		var segs [][]byte
		for _, seg := range track.Segments {
			data := read(seg.File)
			v, err := content.Open(bytes.NewReader(data), int64(len(data)), content.ViewConfig{Init: p, Keys: func(kid ident.Key) (cenc.ContentKey, error) { return keys[kid], nil }})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := v.WriteTo(&out); err != nil {
				t.Fatal(err)
			}
			segs = append(segs, out.Bytes())
		}
		inits, segments = append(inits, clear), append(segments, segs)
	}
	return inits, segments
}

// TestContent_Joined_IsTheFilm: what ffprobe reads in the joined file are the
// streams that were packed.
func TestContent_Joined_IsTheFilm(t *testing.T) {
	inits, segments := clearTracks(t)
	if len(inits) != 2 {
		t.Fatalf("%d tracks", len(inits))
	}
	name := filepath.Join(t.TempDir(), "film.mp4")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	j, err := content.NewJoined(f, inits)
	for n := 0; err == nil && n < max(len(segments[0]), len(segments[1])); n++ {
		for track := range segments {
			if err == nil && n < len(segments[track]) {
				err = j.Segment(track, segments[track][n])
			}
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	probe := func(file string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), "-v", "error", "-i", file, "-map", "0", "-c", "copy", "-f", "streamhash", "-hash", "sha256", "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	got, want := probe(name), probe(goldenFilm)
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		_, hash, _ := strings.Cut(line, "=")
		if !strings.Contains(got, hash) {
			t.Errorf("stream %s is not in the joined file:\n%s", line, got)
		}
	}
}

// TestContent_Joined_InPlace: a segment keeps its length, and the file that is made so has
// the same streams; a damaged one is refused.
func TestContent_Joined_InPlace(t *testing.T) {
	inits, segments := clearTracks(t)
	var film bytes.Buffer
	j, err := content.NewJoined(&film, inits)
	if err != nil {
		t.Fatal(err)
	}
	seq := uint32(1)
	for n := range max(len(segments[0]), len(segments[1])) {
		for track := range segments {
			if n >= len(segments[track]) {
				continue
			}
			data := bytes.Clone(segments[track][n])
			if err := j.InPlace(track, data, seq); err != nil || len(data) != len(segments[track][n]) {
				t.Fatalf("segment %d of track %d: %v", n, track, err)
			}
			film.Write(data)
			seq += 16
		}
	}
	name := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.WriteFile(name, film.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	hashes := func(file string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), "-v", "error", "-i", file, "-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "streamhash", "-hash", "sha256", "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got, want := hashes(name), hashes(goldenFilm); got != want {
		t.Errorf("the streams are %s, want %s", got, want)
	}
	for what, bad := range map[string]error{
		"a track too many":  j.InPlace(2, bytes.Clone(segments[0][0]), 1),
		"no track":          j.InPlace(-1, bytes.Clone(segments[0][0]), 1),
		"a segment cut off": j.InPlace(0, bytes.Clone(segments[0][0][:40]), 1),
	} {
		if bad == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestContent_Joined_WhatIsNotJoined(t *testing.T) {
	inits, segments := clearTracks(t)
	var out bytes.Buffer
	for name, in := range map[string][][]byte{"nothing": nil, "no movie": {[]byte("\x00\x00\x00\x08free")}, "cut": {inits[0][:len(inits[0])-1]}} {
		if _, err := content.NewJoined(&out, in); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
	j, err := content.NewJoined(&out, inits)
	if err != nil {
		t.Fatal(err)
	}
	seg := segments[0][0]
	if err := j.Segment(2, seg); err == nil {
		t.Error("a track that there is not")
	}
	if err := j.Segment(0, seg[:len(seg)-1]); err == nil {
		t.Error("a segment that was cut")
	}
	at := bytes.Index(seg, []byte("tfhd"))
	based := bytes.Clone(seg)
	binary.BigEndian.PutUint32(based[at+4:], binary.BigEndian.Uint32(based[at+4:])|1)
	if err := j.Segment(0, based); !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("places in the whole file: %v", err)
	}
}

func FuzzJoined(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08free"), []byte("\x00\x00\x00\x10moof\x00\x00\x00\x08traf"))
	f.Fuzz(func(_ *testing.T, init, seg []byte) {
		var out bytes.Buffer
		j, err := content.NewJoined(&out, [][]byte{init})
		if err == nil {
			_ = j.Segment(0, seg)
		}
	})
}

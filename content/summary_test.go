package content_test

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
)

func summarize(data []byte) (content.Summary, error) {
	v, err := content.Open(bytes.NewReader(data), int64(len(data)), content.ViewConfig{})
	if err != nil {
		return content.Summary{}, err
	}
	defer v.Close()
	return v.Summarize()
}

func demo(t testing.TB, name string) []byte {
	t.Helper()
	data, err := film.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSummary_OfTheDemoFilm(t *testing.T) {
	for name, want := range map[string]content.Summary{
		film.SD: {DurationMS: 60_000, Width: 640, Height: 360, Codecs: []string{"avc1.64001e"}, Video: true},
		film.HD: {DurationMS: 60_000, Width: 1280, Height: 720, Codecs: []string{"avc1.64001f", "mp4a.40.2"}, Video: true, Audio: true},
	} {
		got, err := summarize(demo(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestSummary_OfProtectedFiles: other tools' protected files are said to be so, and
// their clear views, fragmented and not, are not.
func TestSummary_OfProtectedFiles(t *testing.T) {
	all := golden(t)
	fragmented := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s, err := summarize(all[name])
		if err != nil || s.Protected != (name != "clear") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		var clear bytes.Buffer
		if err := content.Clear(&clear, bytes.NewReader(all[name]), nil, goldenKeys(t)); err != nil {
			continue // of a scheme that is not read
		}
		if s, err = summarize(clear.Bytes()); err != nil || s.Protected || s.DurationMS == 0 {
			t.Errorf("%s in the clear: %+v, %v", name, s, err)
		}
		if bytes.Contains(clear.Bytes(), []byte("moof")) {
			fragmented++
		}
	}
	if fragmented == 0 {
		t.Error("no file has fragments: the test tries half of it")
	}
}

// TestSummary_AHalfCopiedFileIsNone: whatever is missing at the end is missed.
func TestSummary_AHalfCopiedFileIsNone(t *testing.T) {
	data := demo(t, film.SD)
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 200 {
		n := rnd.IntN(len(data))
		if s, err := summarize(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a film: %+v", n, len(data), s)
		}
	}
	if _, err := summarize([]byte(strings.Repeat("no film", 100))); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("text is a film: %v", err)
	}
}

func FuzzSummarize(f *testing.F) {
	inits, frags := seeds(f)
	f.Add(slices.Concat(inits[0], frags[0]))
	f.Add(progressiveFile(f, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := summarize(data)
		if err != nil {
			return
		}
		if s.DurationMS < 0 || s.Width < 0 || s.Height < 0 || len(s.Codecs) == 0 && (s.Video || s.Audio) && s.Protected {
			t.Errorf("%+v", s)
		}
		if again, err := summarize(data); err != nil || !cmp.Equal(s, again) {
			t.Errorf("%+v, and then %+v, %v", s, again, err)
		}
	})
}

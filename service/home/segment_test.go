package home_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// onlyStream is a module that has no memory in common with its host.
type onlyStream struct{ home.Module }

// longSegments is a session of a film whose picture is one segment of two megabytes.
type longSegments struct {
	*home.Home

	id     string
	track  *content.TrackFiles
	folder string
	module *hometest.Module
	keys   map[ident.Key]cenc.ContentKey
}

func openLong(t *testing.T, scheme cenc.Scheme, edit ...func(*home.Config)) *longSegments {
	t.Helper()
	folder, m, keys := hometest.Pack(t, scheme, func(c *packager.Config) { c.FragmentMS = 10_000 })
	i := slices.IndexFunc(m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.HD })
	hometest.Join(t, folder, m, &m.Tracks[i])
	module := hometest.New(t, keys)
	h := open(t, t.TempDir(), module, newClock(), edit...)
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	p, err := h.Play(t.Context(), home.PlayRequest{Content: m.Content})
	if err != nil {
		t.Fatal(err)
	}
	l := &longSegments{h, p.ID, &m.Tracks[i], folder, module, keys}
	return l
}

// clear decrypts a segment by a key of its own.
func (l *longSegments) clear(t *testing.T, seg []byte, key cenc.ContentKey) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.folder, l.track.Init.Name))
	if err != nil {
		t.Fatal(err)
	}
	in, err := content.ParseInit(data)
	if err != nil {
		t.Fatal(err)
	}
	seg = bytes.Clone(seg)
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Decrypt(func(ident.Key) (cenc.ContentKey, error) { return key, nil }); err != nil {
		t.Fatal(err)
	}
	return seg
}

// TestPlay_PartsOfASegmentAreTheSegment: with memory in common and without, many at a
// time, what a player gets opens with the session's key and is the film.
func TestPlay_PartsOfASegmentAreTheSegment(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		for _, shared := range []bool{true, false} {
			l := openLong(t, scheme, func(c *home.Config) {
				if !shared {
					c.Module = onlyStream{c.Module}
				}
			})
			stored, err := os.ReadFile(filepath.Join(l.folder, l.track.Segments[0].Name))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := l.Keys(l.id)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(keys, func(k trem.LinkKey) bool { return k.KID == l.track.KID })
			link, err := cenc.NewContentKey(keys[i].Key)
			if err != nil {
				t.Fatal(err)
			}
			want := l.clear(t, stored, l.keys[l.track.KID])
			var g sync.WaitGroup
			for range 8 {
				g.Go(func() {
					got, err := l.Segment(t.Context(), l.id, l.track.Name, 0)
					if err != nil || bytes.Equal(got, stored) || !bytes.Equal(l.clear(t, got, link), want) {
						t.Errorf("%v, shared %v: %d bytes of %d are not the segment (%v)", scheme, shared, len(got), len(stored), err)
					}
				})
			}
			g.Wait()
		}
	}
}

// TestPlay_AStreamHoldsAPart: players that take a segment slowly hold a part of it
// each, in bytes of memory, not the segment.
func TestPlay_AStreamHoldsAPart(t *testing.T) {
	const players, most = 64, 512 << 10 // a part, the boxes of its fragment, and room
	l := openLong(t, cenc.SchemeCENC)
	if _, err := l.Segment(t.Context(), l.id, l.track.Name, 0); err != nil { // the module's memory is made
		t.Fatal(err)
	}
	before := heap()
	var g sync.WaitGroup
	var waiting sync.WaitGroup
	release := make(chan struct{})
	for range players {
		waiting.Add(1)
		here := sync.OnceFunc(waiting.Done)
		g.Go(func() {
			defer here()
			s, err := l.OpenSegment(t.Context(), l.id, l.track.Name, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			writes := 0
			err = s.Write(t.Context(), writer(func(p []byte) (int, error) {
				if writes++; writes == 3 || len(p) > most { // in the middle of it
					here()
					<-release
				}
				return len(p), nil
			}))
			if err != nil || writes < 5 {
				t.Errorf("%d writes, %v", writes, err)
			}
		})
	}
	waiting.Wait()
	held := (heap() - before) / players
	close(release)
	g.Wait()
	if held > most {
		t.Errorf("a stream of a segment of %d bytes holds %d bytes, want at most %d", l.track.Segments[0].Bytes, held, most)
	}
}

// heap is the memory in use, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // below 2^63
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestPlay_RefusalInTheMiddleOfASegment ends the session there: what was asked before
// is out, and no more.
func TestPlay_RefusalInTheMiddleOfASegment(t *testing.T) {
	l := openLong(t, cenc.SchemeCENC)
	s, err := l.OpenSegment(t.Context(), l.id, l.track.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l.module.Decide = func(trem.Ask) license.Decision {
		return license.Decision{Reasons: []license.Reason{{Code: license.IntervalOver, Closed: true}}}
	}
	var out bytes.Buffer
	var stopped *home.Stopped
	if err := s.Write(t.Context(), &out); !errors.As(err, &stopped) || stopped.Reason != home.StopRefused || !stopped.Decision.Has(license.IntervalOver) {
		t.Errorf("Write = %v, want the end with the decision", err)
	}
	if out.Len() == 0 || out.Len() > 600<<10 {
		t.Errorf("%d bytes are out", out.Len())
	}
	if _, err := l.Playing(l.id); !errors.Is(err, home.ErrStopped) {
		t.Errorf("the session: %v", err)
	}
}

// TestPlay_AFileThatIsCutShort is no shorter segment.
func TestPlay_AFileThatIsCutShort(t *testing.T) {
	l := openLong(t, cenc.SchemeCENC)
	name := filepath.Join(l.folder, l.track.Segments[0].Name)
	s, err := l.OpenSegment(t.Context(), l.id, l.track.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(name, l.track.Segments[0].Bytes-1); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Write(t.Context(), &out); err == nil {
		t.Errorf("%d bytes are the whole segment", out.Len())
	}
	if _, err := l.OpenSegment(t.Context(), l.id, l.track.Name, 0); err == nil {
		t.Error("a segment of a file that is too short is begun")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.OpenSegment(ctx, l.id, l.track.Name, 0); err == nil {
		t.Error("a segment for a player that left")
	}
}

// list has content.json list the segment at a length, and the house read it.
func (l *longSegments) list(t *testing.T, n int64) string {
	t.Helper()
	title, err := l.Title("urn:lares:film:demo")
	if err != nil {
		t.Fatal(err)
	}
	m := title.Manifest
	track, ok := m.Track(l.track.Name)
	if !ok {
		t.Fatal("no track")
	}
	track.Segments[0].Bytes = n
	text, err := m.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(l.folder, content.ManifestName), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(l.folder); err != nil {
		t.Fatal(err)
	}
	p, err := l.Play(t.Context(), home.PlayRequest{Content: m.Content})
	if err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// TestPlay_ASegmentThatIsTooLongForMemory is not asked for whole.
func TestPlay_ASegmentThatIsTooLongForMemory(t *testing.T) {
	l := openLong(t, cenc.SchemeCENC)
	if err := os.Truncate(filepath.Join(l.folder, l.track.Segments[0].Name), trem.MaxPayload+1); err != nil {
		t.Fatal(err)
	}
	id := l.list(t, trem.MaxPayload+1)
	if _, err := l.Segment(t.Context(), id, l.track.Name, 0); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%v", err)
	}
}

// TestPlay_ASegmentThatBeginsInTheClear is not held in memory up to the first sample that
// is protected.
func TestPlay_ASegmentThatBeginsInTheClear(t *testing.T) {
	const clear, most = 4 << 20, 768 << 10 // two parts, and the boxes of a fragment
	l := openLong(t, cenc.SchemeCENC)
	path := filepath.Join(l.folder, l.track.Segments[0].Name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	free := binary.BigEndian.AppendUint32(nil, clear)
	free = append(append(free, "free"...), make([]byte, clear-8)...)
	if err := os.WriteFile(path, append(free, data...), 0o600); err != nil {
		t.Fatal(err)
	}
	id := l.list(t, int64(clear+len(data)))
	s, err := l.OpenSegment(t.Context(), id, l.track.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n, longest := 0, 0
	err = s.Write(t.Context(), writer(func(p []byte) (int, error) {
		n, longest = n+len(p), max(longest, len(p))
		return len(p), nil
	}))
	if err != nil || int64(n) != s.Bytes || longest > most {
		t.Errorf("%d of %d bytes, at most %d at a time, %v", n, s.Bytes, longest, err)
	}
}

package home_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

func segmentOf(data []byte) home.LogSegment {
	return home.LogSegment{SHA256: sha256.Sum256(data), Bytes: int64(len(data))}
}

// keep offers a copy of the given segments at a counter, and puts what is missing.
func keep(t *testing.T, l *home.Logs, id ident.Device, inc byte, counter uint64, seen trem.LogSeen, segments ...[]byte) (put int) {
	t.Helper()
	c := home.LogCopy{Incarnation: ident.Incarnation{inc}, Counter: counter}
	for _, s := range segments {
		c.Segments = append(c.Segments, segmentOf(s))
	}
	missing, err := l.Offer(id, c, seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		if slices.Contains(missing, content.Digest(sha256.Sum256(s))) {
			if err := l.Put(id, s); err != nil {
				t.Fatal(err)
			}
			put++
		}
	}
	if missing, err = l.Offer(id, c, seen); err != nil || len(missing) != 0 {
		t.Fatalf("after all was put %d are missing: %v", len(missing), err)
	}
	return put
}

func counters(list []home.LogCopy) (out []uint64) {
	for _, c := range list {
		out = append(out, c.Counter)
	}
	return out
}

func TestWitness_4_LogsAreKept(t *testing.T) {
	dir := t.TempDir()
	l, err := home.OpenLogs(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := ident.Device{1}
	one, two, more := []byte("segment one"), []byte("segment two"), []byte("segment two, longer")
	if n := keep(t, l, id, 1, 5, trem.LogSeen{}, one, two); n != 2 {
		t.Errorf("%d segments were wanted, want 2", n)
	}
	if n := keep(t, l, id, 1, 6, trem.LogSeen{}, one, more); n != 1 {
		t.Errorf("%d segments were wanted, want the one that is new", n)
	}
	l, err = home.OpenLogs(dir) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	list := l.Copies(id)
	if !slices.Equal(counters(list), []uint64{6, 5}) || !slices.Equal(l.Devices(), []ident.Device{id}) {
		t.Fatalf("kept: %+v", list)
	}
	got, err := l.Whole(id, list[0])
	if err != nil || len(got) != 2 || !bytes.Equal(got[0], one) || !bytes.Equal(got[1], more) {
		t.Errorf("%q %v", got, err)
	}
	if n := keep(t, l, id, 1, 9, trem.LogSeen{Incarnation: ident.Incarnation{1}, Counter: 9}, one, more, two); n != 0 {
		t.Errorf("%d segments were wanted that are here", n)
	}
	if got := counters(l.Copies(id)); !slices.Equal(got, []uint64{9}) {
		t.Errorf("kept at %v: what the module has seen more of is of no use", got)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.seg"))
	if err != nil || len(files) != 3 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(files[0], []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Whole(id, l.Copies(id)[0]); !errors.Is(err, home.ErrLog) {
		t.Errorf("a file that was changed: %v", err)
	}
}

// Who was set back and goes on, or lies, cannot crowd out the copy that reaches
// what the house's module has seen.
func TestWitness_4_WhatHealsStays(t *testing.T) {
	l, err := home.OpenLogs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := ident.Device{1}
	seen := trem.LogSeen{Device: id, Incarnation: ident.Incarnation{1}, Counter: 10}
	keep(t, l, id, 1, 11, seen, []byte("what heals"))
	for n := range 20 {
		keep(t, l, id, 1, uint64(12+n), seen, fmt.Appendf(nil, "another log %d", n))
		keep(t, l, id, 1, uint64(2), seen, fmt.Appendf(nil, "an older one %d", n))
		keep(t, l, id, 7, uint64(900), seen, fmt.Appendf(nil, "another incarnation %d", n))
	}
	got := counters(l.Copies(id))
	if len(got) > 4 || !slices.Contains(got, 11) || !slices.Contains(got, 31) {
		t.Errorf("kept at %v, want 11 and 31 among at most four", got)
	}
}

func TestWitness_4_WhatIsNotKept(t *testing.T) {
	l, err := home.OpenLogs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	id := ident.Device{1}
	many := home.LogCopy{Segments: make([]home.LogSegment, 129)}
	for i := range many.Segments {
		many.Segments[i] = home.LogSegment{SHA256: content.Digest{byte(i)}, Bytes: 1}
	}
	large := home.LogCopy{Segments: []home.LogSegment{{Bytes: 5 << 20}, {Bytes: 5 << 20}}}
	for name, c := range map[string]home.LogCopy{
		"no segment": {}, "empty": {Segments: []home.LogSegment{{}}}, "too many": many, "too large": large,
		"negative": {Segments: []home.LogSegment{{Bytes: -1}}},
	} {
		if _, err := l.Offer(id, c, trem.LogSeen{}); !errors.Is(err, home.ErrLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Put(id, []byte("nobody has offered it")); !errors.Is(err, home.ErrLog) {
		t.Errorf("put: %v", err)
	}
	for n := range 64 {
		keep(t, l, ident.Device{2, byte(n)}, 1, 1, trem.LogSeen{}, []byte("x"))
	}
	if _, err := l.Offer(id, home.LogCopy{Segments: []home.LogSegment{segmentOf([]byte("x"))}}, trem.LogSeen{}); !errors.Is(err, home.ErrLog) {
		t.Errorf("of a 65th module: %v", err)
	}
	if err := l.Forget(ident.Device{2, 7}); err != nil {
		t.Fatal(err)
	}
	keep(t, l, id, 1, 1, trem.LogSeen{}, []byte("in its place"))
	if got := l.Copies(ident.Device{2, 7}); len(got) != 0 {
		t.Errorf("of one that is forgotten: %+v", got)
	}
	if _, err := l.Segment(id, content.Digest{}); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("a segment that is not here: %v", err)
	}
}

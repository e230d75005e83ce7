package trembench

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// TestPlayer_ReelIsAProtectedFilm: what is measured is decrypted, to what it was
// made from.
func TestPlayer_ReelIsAProtectedFilm(t *testing.T) {
	p, err := house(t).Player(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // it has served
	in, err := content.ParseInit(p.Reel.Init())
	if err != nil {
		t.Fatal(err)
	}
	seg, err := p.Reel.Segment(2, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	if start, dur := f.Time(); start != 8000 || dur != 4000 || f.Bytes() != 100*(1000-clearHead) {
		t.Errorf("from %d for %d ms, %d bytes", start, dur, f.Bytes())
	}
	key := func(kid ident.Key) (cenc.ContentKey, error) {
		if kid != p.Reel.kid {
			return cenc.ContentKey{}, fmt.Errorf("key %v", kid)
		}
		return p.Reel.key, nil
	}
	if err := f.Decrypt(key); err != nil {
		t.Fatal(err)
	}
	again, err := p.Reel.Segment(2, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Decrypt(again); err != nil || !bytes.Equal(again, seg) {
		t.Errorf("the module of this process decrypts it differently: %v", err)
	}
	want := zero(100_000)
	for i := range want {
		want[i] = byte(i*7 + i>>8 + 2)
	}
	if !bytes.Equal(seg[len(seg)-len(want):], want) {
		t.Error("the pictures are not what they were made from")
	}
}

// TestTREM_2_HourOfPlay counts what an hour of a counted play makes durable, and
// of one that counts nothing.
func TestTREM_2_HourOfPlay(t *testing.T) {
	counted, err := house(t).Hour(t.Context(), "PLAY; PLAY_COUNT=2", 40_000)
	if err != nil {
		t.Fatal(err)
	}
	if counted.Segments != 900 || counted.Batches < 300 || counted.Batches > 500 || counted.Syncs < counted.Batches || counted.Anchors < 1 || counted.Anchors > 5 {
		t.Errorf("counted: %+v", counted)
	}
	free, err := house(t).Hour(t.Context(), "PLAY", 40_000)
	if err != nil {
		t.Fatal(err)
	}
	if free.Segments != 900 || free.Syncs > 12 || free.Anchors != 0 {
		t.Errorf("without a count: %+v", free)
	}
	t.Log(counted, free)
}

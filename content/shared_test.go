package content_test

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/content"
)

// TestContent_14_WhatTheOtherSideChangesDecidesNothing: another process changes
// every byte that describes the samples, after the fragment was read and before
// it is decrypted. What is counted and decrypted is what was read.
func TestContent_14_WhatTheOtherSideChangesDecidesNothing(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	head := len(seg) - len(plain)
	own := bytes.Repeat([]byte{0xa5}, len(seg)+7) // longer, and not empty: it served before
	f, err := in.FragmentShared(seg, own)
	if err != nil {
		t.Fatal(err)
	}
	for i := range head {
		seg[i] = 0xff
	}
	if start, dur := f.Time(); f.Bytes() != 270 || start != 4000 || dur != 80 || len(f.KIDs()) != 1 {
		t.Errorf("%d bytes, from %d for %d ms, keys %v", f.Bytes(), start, dur, f.KIDs())
	}
	if err := f.Decrypt(twoKeys); err != nil || !bytes.Equal(seg[head:], plain) {
		t.Errorf("samples are not decrypted where they lie: %v", err)
	}
	if bytes.Contains(own, plain[:20]) {
		t.Error("samples were copied")
	}
}

// TestContent_14_DescriptionsAmongTheSamples: they are read in place by Fragment
// only.
func TestContent_14_DescriptionsAmongTheSamples(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	at := bytes.Index(seg, []byte("senc"))
	aux := seg[at+12 : bytes.Index(seg, []byte("mdat"))-4] // entries of 16 bytes
	saio := full("saio", 0, 0, u32(1), u32(0))
	p := part{sizes: []int{100, 200}, at: 4000, traf: [][]byte{full("saiz", 0, 0, []byte{16}, u32(2)), saio}}
	s := p.build(append(bytes.Clone(seg[len(seg)-300:]), aux...))
	end := bytes.Index(s, []byte("saio")) + 16
	copy(s[end-4:], u32(len(s)-len(aux)))
	if _, err := in.FragmentShared(bytes.Clone(s), make([]byte, len(s))); err == nil {
		t.Error("descriptions that were not copied were read")
	}
	if _, err := in.FragmentShared(bytes.Clone(seg), make([]byte, len(seg)-1)); err == nil {
		t.Error("a copy that is too short was taken")
	}
	if got := must(t, in, s, 300+len(aux)); !bytes.Equal(got[:300], plain) {
		t.Error("samples are not decrypted")
	}
}

// holdShared holds FragmentShared against Fragment: what the one takes, the
// other takes too, and they do the same.
func holdShared(t *testing.T, in *content.Init, seg []byte) {
	t.Helper()
	a, b := bytes.Clone(seg), bytes.Clone(seg)
	shared, err := in.FragmentShared(a, bytes.Repeat([]byte{0x5a}, len(seg)))
	if err != nil {
		return
	}
	alone, err := in.Fragment(b)
	if err != nil {
		t.Fatalf("taken where it is shared, and not alone: %v", err)
	}
	s1, d1 := shared.Time()
	if s2, d2 := alone.Time(); s1 != s2 || d1 != d2 || shared.Bytes() != alone.Bytes() {
		t.Fatalf("shared %d + %d ms, %d bytes; alone %d + %d ms, %d bytes", s1, d1, shared.Bytes(), s2, d2, alone.Bytes())
	}
	x, y := shared.Decrypt(anyKey(1)), alone.Decrypt(anyKey(1))
	if (x == nil) != (y == nil) || !bytes.Equal(a, b) {
		t.Fatalf("decrypted differently where it is shared: %v, %v", x, y)
	}
}

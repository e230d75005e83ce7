package permission_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Whatever Encode accepts, Parse gives back whole, and both forms come back the
// same.
func TestCode_WhatEncodesReadsBack(t *testing.T) {
	drawn, encoded := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		drawn++
		u := drawUnits(t)
		before, err := u.Encode()
		if err != nil {
			return
		}
		encoded++
		back, err := permission.Parse(before)
		if err != nil {
			t.Fatalf("%x: %v", []byte(before), err)
		}
		if d := cmp.Diff(inOrder(u), back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%x: %s", []byte(before), d)
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(again, before) {
			t.Fatalf("%x encodes as %x (%v)", []byte(before), []byte(again), err)
		}
		text, err := permission.ParseText(back.Text())
		if err != nil {
			t.Fatalf("%q: %v", back.Text(), err)
		}
		if d := cmp.Diff(back, text); d != "" {
			t.Fatalf("%q: %s", back.Text(), d)
		}
	})
	if encoded < drawn/4 {
		t.Errorf("%d of %d were encoded", encoded, drawn)
	}
}

// inOrder gives units the order and the defaults that encoding gives them.
func inOrder(u *permission.Units) *permission.Units {
	byTag := func(a, b permission.Item) int { return int(a.Tag) - int(b.Tag) }
	u.Profile, u.Version = permission.Profile1, 1
	slices.SortStableFunc(u.Usage, func(a, b permission.UsageUnit) int { return int(a.Kind) - int(b.Kind) })
	slices.SortStableFunc(u.Unknown, byTag)
	for i := range u.Usage {
		slices.SortStableFunc(u.Usage[i].Extra, byTag)
	}
	for i := range u.Extended {
		slices.SortStableFunc(u.Extended[i].Extra, byTag)
	}
	if u.Actor != nil {
		slices.SortStableFunc(u.Actor.Extra, byTag)
	}
	if u.Classification != nil {
		slices.SortStableFunc(u.Classification.Extra, byTag)
	}
	if u.Management != nil {
		slices.SortStableFunc(u.Management.Extra, byTag)
	}
	if u.Export != nil {
		slices.SortStableFunc(u.Export.Extra, byTag)
	}
	return u
}

// drawUnits draws units of which most, and not all, have a code.
func drawUnits(t *rapid.T) *permission.Units {
	small := rapid.Uint8Range(0, 2)
	count := rapid.SampledFrom([]uint64{0, 0, 1, 127, 128, 255, 256, 1<<32 - 1})
	ms := rapid.SampledFrom([]int64{0, 0, 1, 255, 48 * 3600_000, 1 << 40, 1<<53 - 1})
	extra := rapid.Custom(func(t *rapid.T) []permission.Item {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) permission.Item {
			return permission.Item{Tag: rapid.SampledFrom([]uint8{0, 9, 0x15, 0x50, 0x7f, 0xff}).Draw(t, "tag"), Value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value")}
		}), 0, 2).Draw(t, "extra")
	})
	u := &permission.Units{}
	if rapid.Bool().Draw(t, "actor") {
		u.Actor = &permission.ActorUnit{Content: ident.Content(rapid.StringN(0, 20, 64).Draw(t, "content")), Issuer: "i", Extra: extra.Draw(t, "x")}
		u.Actor.Receiver.Kind = permission.ReceiverKind(small.Draw(t, "receiver"))
	}
	if rapid.Bool().Draw(t, "classification") {
		u.Classification = &permission.ClassificationUnit{Disclosure: small.Draw(t, "disclosure"), Charge: permission.Charge(rapid.Byte().Draw(t, "charge")), Sponsor: rapid.SampledFrom([]string{"", "a", "ä b=c, d", "a;"}).Draw(t, "sponsor"), Extra: extra.Draw(t, "x")}
		u.Classification.Territory = rapid.SampledFrom([][]string{nil, {"DE"}, {"DE", "FR"}, {"DE", "D"}}).Draw(t, "territory")
	}
	for range rapid.IntRange(0, 3).Draw(t, "usages") {
		u.Usage = append(u.Usage, permission.UsageUnit{
			Kind: permission.UsageKind(rapid.Uint8Range(0x10, 0x12).Draw(t, "kind")), StartTime: ms.Draw(t, "start"), EndTime: ms.Draw(t, "end"), Interval: ms.Draw(t, "interval"), PlayCount: count.Draw(t, "count"),
			MaxPixels: count.Draw(t, "pixels"), Output: permission.Protection(small.Draw(t, "output")), Part: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "part"), Extra: extra.Draw(t, "x"),
		})
	}
	if rapid.Bool().Draw(t, "management") {
		u.Management = &permission.ManagementUnit{
			Copy: permission.CopyMode(small.Draw(t, "copy")), Move: permission.MoveScope(small.Draw(t, "move")), Transfer: count.Draw(t, "transfer"),
			Transcode: permission.Transcoding(small.Draw(t, "transcode")), Encryption: permission.Encryption(small.Draw(t, "encryption")), Timeline: permission.Timeline(small.Draw(t, "timeline")), Extra: extra.Draw(t, "x"),
		}
	}
	if m := u.Management; m != nil && m.Copy == permission.CopyCounted {
		m.CopyCount = count.Draw(t, "copies")
	}
	if rapid.Bool().Draw(t, "loan") {
		u.Extended = []permission.ExtendedUnit{{Kind: permission.TagLend, MaxDuration: ms.Draw(t, "loan time"), MaxLoans: count.Draw(t, "loans"), Extra: extra.Draw(t, "x")}}
	}
	if rapid.Bool().Draw(t, "export") {
		u.Export = &permission.ExportUnit{Systems: rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b.c"}, {"b", "a"}}).Draw(t, "systems"), Extra: extra.Draw(t, "x")}
	}
	u.Unknown = extra.Draw(t, "unknown")
	return u
}

// The units share no memory with the bytes they were read from.
func TestCode_ParseDoesNotAlias(t *testing.T) {
	text := "PLAY; PART=01; X.10.7F=cafe; X.15=00ff"
	code := encode(t, text)
	u, err := permission.Parse(code)
	if err != nil {
		t.Fatal(err)
	}
	for i := range code {
		code[i] = 0xee
	}
	if got := u.Text(); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

// The text form has room for every code, those with the longest texts included.
func TestText_LongestCodesReadBack(t *testing.T) {
	var full, unknown permission.Units
	for range permission.MaxUnits - 1 {
		full.Usage = append(full.Usage, permission.UsageUnit{Kind: permission.Execute, StartTime: 1, EndTime: 2, Interval: 1, PlayCount: 1, MaxPixels: 1, Output: permission.ProtectHDCPT1, Accumulated: 1, Part: []byte{0}})
	}
	for range 7 {
		unknown.Usage = append(unknown.Usage, permission.UsageUnit{Kind: permission.Playback, Extra: slices.Repeat([]permission.Item{{Tag: 0x7f}}, permission.MaxItems)})
	}
	for _, u := range []permission.Units{full, unknown} {
		code, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		text, err := permission.ParseText(u.Text())
		if err != nil {
			t.Fatalf("%d bytes: %v", len(u.Text()), err)
		}
		if again, err := text.Encode(); err != nil || !bytes.Equal(again, code) {
			t.Errorf("%d bytes: another code (%v)", len(u.Text()), err)
		}
	}
}

// Encode leaves units alone that are not in order.
func TestCode_EncodeOrdersWithoutTouching(t *testing.T) {
	u := &permission.Units{
		Usage:   []permission.UsageUnit{{Kind: permission.Print}, {Kind: permission.Playback, Extra: []permission.Item{{Tag: 0x7f}, {Tag: 0x00}}}},
		Unknown: []permission.Item{{Tag: 0x50, Value: []byte{1}}, {Tag: 0x15}, {Tag: 0x50}},
	}
	code, err := u.Encode()
	if want := []byte{1, 0, 1, 1, 0x10, 4, 0, 0, 0x7f, 0, 0x11, 0, 0x15, 0, 0x50, 1, 1, 0x50, 0}; err != nil || !bytes.Equal(code, want) {
		t.Errorf("got %x (%v), want %x", []byte(code), err, want)
	}
	if u.Usage[0].Kind != permission.Print || u.Usage[1].Extra[0].Tag != 0x7f || u.Unknown[0].Tag != 0x50 || u.Version != 0 {
		t.Errorf("the units are now %+v", u)
	}
}

func TestCode_EachUsageYieldsWhatUsageForLists(t *testing.T) {
	u, err := permission.Parse(encode(t, "PLAY; PLAY_COUNT=1; PLAY; PLAY_COUNT=2; RENDER; EXECUTE"))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[permission.Permission]int{permission.Play: 2, permission.Render: 1, permission.Copy: 0, 0: 0} {
		var got []permission.UsageUnit
		for x := range u.EachUsage(p) {
			got = append(got, *x)
		}
		if d := cmp.Diff(u.UsageFor(p), got); d != "" || len(got) != want {
			t.Errorf("%v: %d, want %d; %s", p, len(got), want, d)
		}
	}
	for x := range u.EachUsage(permission.Play) {
		if x != &u.Usage[0] {
			t.Error("not in place")
		}
		break
	}
}

// Encoding and decoding are in the path of every license: what makes them slow
// is memory, which can be counted.
func TestCode_FewAllocations(t *testing.T) {
	code := encode(t, rental)
	u, err := permission.Parse(code)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		most float64
		do   func()
	}{
		{"encode", 1, func() { _, _ = u.Encode() }},
		{"parse", 6, func() { _, _ = permission.Parse(code) }},
		{"iterate", 0, func() {
			for x := range u.EachUsage(permission.Play) {
				_ = x.PlayCount
			}
		}},
	} {
		if n := testing.AllocsPerRun(100, tc.do); n > tc.most {
			t.Errorf("%s: %v allocations, %v at most", tc.name, n, tc.most)
		}
	}
}

func TestCode_RegistryOfEachProfile(t *testing.T) {
	if got, want := permission.Profiles(), []uint8{permission.Profile1}; !slices.Equal(got, want) {
		t.Errorf("profiles %v, want %v", got, want)
	}
	for _, p := range permission.Profiles() {
		rows := permission.Registry(p)
		seen := map[[3]uint8]bool{}
		for _, r := range rows {
			if k := [3]uint8{r.Unit, r.Item, r.Value}; seen[k] {
				t.Errorf("profile %d: %+v twice", p, r)
			} else {
				seen[k] = true
			}
		}
		if len(rows) == 0 {
			t.Errorf("profile %d has no rows", p)
		}
		rows[0].Name = "changed"
		if permission.Registry(p)[0].Name == "changed" {
			t.Error("the registry can be changed from outside")
		}
	}
	if rows := permission.Registry(9); rows != nil {
		t.Errorf("profile 9 has rows: %v", rows)
	}
}

func TestWords_ManagementConditions(t *testing.T) {
	for text, want := range map[string]string{
		"TRANSCODE=DENY": "May not be converted to another format.", "TRANSCODE=LOWER": "May be converted to smaller pictures only.", "TRANSCODE=FREE": "May be converted to other formats.",
		"ENCRYPTION=KEEP": "Stays protected where it leaves for another system.", "ENCRYPTION=RELEASE": "May leave for another system without protection.",
		"TIMELINE=NO_SKIP": "What has not been seen may not be skipped.", "TIMELINE=FREE": "May be skipped through.",
	} {
		u, err := permission.ParseText(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Words(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		m := u.Management
		for p := permission.Play; p <= permission.Export; p++ {
			if u.Grants(p) {
				t.Errorf("%s grants %v", text, p)
			}
		}
		_, word, _ := strings.Cut(text, "=")
		if got := []string{m.Transcode.String(), m.Encryption.String(), m.Timeline.String()}; !slices.Contains(got, word) {
			t.Errorf("%s prints as %v", text, got)
		}
	}
}

package trem

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/internal/wire/wiretest"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The same types without their own codings: the library codes them by their tags.
type (
	taggedMessage  SLTPMessage
	taggedEvent    Event
	taggedPrepared Prepared
	taggedRelease  Release
	taggedRequest  request
	taggedReply    reply
	taggedInfo     license.Info
	taggedReceived struct {
		Messages []taggedMessage `cbor:"1,keyasint"`
		Events   []taggedEvent   `cbor:"2,keyasint"`
	}
	taggedTerms struct {
		Handle uint64     `cbor:"1,keyasint"`
		Info   taggedInfo `cbor:"2,keyasint"`
		Tiers  []uint64   `cbor:"3,keyasint"`
		Seq    uint64     `cbor:"4,keyasint"`
		Plays  uint64     `cbor:"5,keyasint"`
		Roll   []byte     `cbor:"6,keyasint,omitempty"`
	}
)

// both reads data in both ways: they take the same bytes, and write them again.
func both[Own any, Tagged any](t *testing.T, data []byte) {
	t.Helper()
	wiretest.BothWays[Own, Tagged](t, data, limit)
}

func terms() Terms {
	tail, anchor := int64(0), uint64(1)
	return Terms{
		Handle: 7, Tiers: []uint64{1, 64}, Seq: 1 << 40, Plays: 2,
		Info: license.Info{
			Format: 1, ID: ident.License{1}, Issuer: "shop.example", IssuedAt: 1 << 41, Content: "film", Subject: license.DomainSubject(ident.Domain{2}, 3), Code: []byte{4, 5},
			Policy: license.Policy{Duration: 5, FinishTail: &tail, EmbargoStrict: true, MinAnchor: &anchor, Renew: &license.RenewRule{}, Arbiter: make([]byte, 16)},
			Keys:   []license.KeyRef{{KID: ident.Key{6}, Tier: license.TierSD}, {KID: ident.Key{7}, Tier: license.TierHD, BPS: 9}, {Tier: 64, Outputs: []byte{0xa1, 1, 1}}},
			Parent: &license.Parent{Hash: [32]byte{8}, Kind: license.KindLoan, Of: 300}, RevMinEpoch: 70000, RevMaxAge: 1,
			Sunset: &license.Sunset{Mode: 1, SilenceMS: 1 << 35, NoticeKey: []byte{9}, FreeAfter: -1}, StatusURL: "https://shop.example/é", Version: 1,
			Continues: &license.Continues{Issuer: "other", ID: ident.License{10}},
		},
	}
}

// TestTREM_2_ByHand: what is written by hand is what the tags say, and reads back.
func TestTREM_2_ByHand(t *testing.T) {
	small := terms()
	small.Tiers, small.Info.Policy = nil, license.Policy{Other: map[uint64]wire.RawMessage{8: {1}, 101: {0x81, 2}}}
	small.Info.Subject, small.Info.Keys, small.Info.Parent, small.Info.Sunset, small.Info.Continues, small.Info.StatusURL = license.DeviceSubject(ident.Device{1}), nil, nil, nil, nil, ""
	asked := terms()
	asked.Roll = []byte("roll") // a device asks
	id := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}, Seq: 4}
	for _, m := range []struct {
		own    any
		hold   func(*testing.T, []byte)
		tagged any
	}{
		{SLTPMessage{Bytes: []byte{1}}, both[SLTPMessage, taggedMessage], taggedMessage{Bytes: []byte{1}}},
		{terms(), both[Terms, taggedTerms], nil},
		{small, both[Terms, taggedTerms], nil},
		{asked, both[Terms, taggedTerms], nil},
		{Prepared{Sealed: []byte{1}, Transfer: id}, both[Prepared, taggedPrepared], taggedPrepared{Sealed: []byte{1}, Transfer: id}},
		{Release{Handle: 1 << 33, Sealed: []byte{2}}, both[Release, taggedRelease], taggedRelease{Handle: 1 << 33, Sealed: []byte{2}}},
		{Received{}, both[Received, taggedReceived], taggedReceived{}},
		{SLTPMessages{{CID: []byte{1}, Bytes: []byte{2}}, {}}, both[SLTPMessages, []taggedMessage], []taggedMessage{{CID: []byte{1}, Bytes: []byte{2}}, {}}},
		{
			Received{Messages: []SLTPMessage{{CID: make([]byte, 8)}}, Events: []Event{{Kind: EventRequest, Content: "film", Transfer: id, RetryMS: -5, Installed: true, Text: "ä", Body: []byte{}, Generation: 3, Member: true}, {}}},
			both[Received, taggedReceived], nil,
		},
		{request{Version: 1, Command: CmdPrepare, Body: wire.RawMessage{0x80}}, both[request, taggedRequest], nil},
		{reply{Status: 2, Body: wire.RawMessage{0xf6}}, both[reply, taggedReply], nil},
	} {
		data, err := wire.Marshal(m.own)
		if err != nil {
			t.Fatalf("%T: %v", m.own, err)
		}
		if m.tagged != nil {
			want, err := wire.Marshal(m.tagged)
			if d := cmp.Diff(want, data); d != "" || err != nil {
				t.Errorf("%T: %v %s", m.own, err, d)
			}
		}
		m.hold(t, data)
		for i := range data {
			m.hold(t, data[:i])
			bad := bytes.Clone(data)
			bad[i] ^= 1
			m.hold(t, bad)
		}
	}
	if _, err := wire.Marshal(Terms{}); err == nil { // as by the tags: an ID is not empty
		t.Error("terms without an issuer are written")
	}
}

// allocations is what one encoding and one decoding of v allocate.
func allocations[T any](t *testing.T, v T) float64 {
	t.Helper()
	return testing.AllocsPerRun(100, func() {
		data, err := wire.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.Unmarshal(data, new(T), limit); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTREM_2_TermsAllocateLess: terms, which are read and written the most, allocate at
// most half of what they do by their tags.
func TestTREM_2_TermsAllocateLess(t *testing.T) {
	in := terms()
	own := allocations(t, in)
	tagged := allocations(t, taggedTerms{Handle: in.Handle, Info: taggedInfo(in.Info), Tiers: in.Tiers, Seq: in.Seq, Plays: in.Plays})
	if 2*own > tagged {
		t.Errorf("%v allocations by hand, %v by tags", own, tagged)
	}
}

// FuzzByHand holds each reading by hand against the one by tags.
func FuzzByHand(f *testing.F) {
	for _, v := range []any{
		terms(),
		Received{Events: []Event{{}}, Messages: []SLTPMessage{{}}},
		Prepared{},
		Release{},
		SLTPMessages{{CID: []byte{1}}},
		request{Version: 1, Body: wire.RawMessage{0x80}},
		reply{Body: wire.RawMessage{0xa0}},
		license.Policy{Slice: 1000, Lend: &license.LendRule{}},
		license.DeviceSubject(ident.Device{}),
		license.KeyRef{Outputs: []byte{1}},
		license.Sunset{NoticeKey: []byte{1}},
		terms().Info,
		license.Info{Format: 1, Issuer: "i", Content: "c", Code: permission.Code{}},
	} {
		data, err := wire.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		both[SLTPMessage, taggedMessage](t, data)
		both[SLTPMessages, []taggedMessage](t, data)
		both[Received, taggedReceived](t, data)
		both[Terms, taggedTerms](t, data)
		both[Prepared, taggedPrepared](t, data)
		both[Release, taggedRelease](t, data)
		both[request, taggedRequest](t, data)
		both[reply, taggedReply](t, data)
		both[license.Info, taggedInfo](t, data)
	})
}

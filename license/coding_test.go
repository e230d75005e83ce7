package license

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// taggedPolicy is a policy as the library codes it, by the tags; keys that have no
// field are kept beside it.
type taggedPolicy Policy

func (p *taggedPolicy) UnmarshalCBOR(data []byte) error {
	type fields Policy
	var all map[uint64]wire.RawMessage
	if err := wire.Unmarshal(data, &all, maxPolicy()); err != nil {
		return err
	}
	var f fields
	if err := wire.UnmarshalOpen(data, &f, maxPolicy()); err != nil {
		return err
	}
	for k, v := range all {
		if knownPolicy(k) {
			continue
		}
		if f.Other == nil {
			f.Other = map[uint64]wire.RawMessage{}
		}
		f.Other[k] = v
	}
	*p = taggedPolicy(f)
	return nil
}

func (p taggedPolicy) MarshalCBOR() ([]byte, error) {
	type fields Policy
	own, err := wire.Marshal(fields(p))
	if err != nil || len(p.Other) == 0 {
		return own, err
	}
	all := map[uint64]wire.RawMessage{}
	if err := wire.Unmarshal(own, &all, wire.Limit{}); err != nil {
		return nil, err
	}
	for k, v := range p.Other {
		if _, twice := all[k]; twice || knownPolicy(k) {
			return nil, fmt.Errorf("%w: twice", wire.ErrShape)
		}
		all[k] = v
	}
	return wire.Marshal(all)
}

// listed are the types that are arrays of different lengths, as lists of their
// elements: what the library makes of those is what is written by hand.
func listed(v any) []any {
	switch v := v.(type) {
	case Subject:
		if v.Kind == SubjectDomain {
			return []any{uint64(v.Kind), v.ID, v.Generation}
		}
		return []any{uint64(v.Kind), v.ID}
	case KeyRef:
		items := []any{v.KID, uint64(v.Tier), v.Check}
		if v.BPS != 0 || len(v.Outputs) > 0 {
			items = append(items, v.BPS)
		}
		if len(v.Outputs) > 0 {
			items = append(items, v.Outputs)
		}
		return items
	case Sunset:
		items := []any{v.Mode, v.SilenceMS, v.NoticeKey}
		if v.FreeAfter != 0 {
			items = append(items, v.FreeAfter)
		}
		return items
	}
	return nil
}

// items reads an array as the elements of into, as many as there are.
func items(data []byte, least int, lim wire.Limit, into ...any) error {
	list, err := wire.Array(data, least, len(into), lim)
	for i, it := range list {
		if err == nil {
			err = wire.Unmarshal(it, into[i], wire.Limit{})
		}
	}
	return err
}

// byHand holds the coding of one type against its fields one by one.
func byHand[T any](t *testing.T, data []byte, read func(*T) error, lim wire.Limit) {
	t.Helper()
	var got, want T
	err, no := wire.Unmarshal(data, &got, lim), read(&want)
	if no == nil {
		again, err := wire.Marshal(listed(want))
		if err != nil || !bytes.Equal(again, data) {
			no = wire.ErrNotCanonical
		}
	}
	if (err == nil) != (no == nil) {
		t.Fatalf("%x as %T: %v; one by one: %v", data, got, err, no)
	}
	if err == nil {
		if again, err := wire.Marshal(got); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x as %T: written as %x, %v", data, got, again, err)
		}
	}
}

// FuzzCoding holds what is coded by hand against the library.
func FuzzCoding(f *testing.F) {
	zero, some := int64(0), uint64(2)
	for _, v := range []any{
		Policy{},
		Policy{Duration: 1, StorageDuration: -1, OnFirstUse: 1, HardEnd: 3, ExpiryMode: 2, FinishTail: &zero, FirstUseThreshold: &zero, CountThreshold: 1 << 40, ResumeWindow: 2},
		Policy{Slice: 10_000, ClockGrace: &zero, EmbargoStrict: true, MinAnchor: &some, OutputEvidence: 1, MinLevel: 2, Stale: 1, AccumulatedBy: 2, Backup: 1, Arbiter: make([]byte, ident.Size)},
		Policy{Region: &RegionRule{}, Copy: &CopyRule{}, Transfer: &TransferRule{}, Lend: &LendRule{}},
		Policy{Concurrency: &ConcurrencyRule{}, Report: &ReportRule{}, Overlay: &OverlayRule{}},
		Policy{Domain: &DomainRule{}, Renew: &RenewRule{}, Other: map[uint64]wire.RawMessage{8: {1}, 51: {0x80}}},
		DeviceSubject(ident.Device{1}), DomainSubject(ident.Domain{2}, 3),
		KeyRef{KID: ident.Key{1}},
		KeyRef{BPS: 1},
		KeyRef{Outputs: []byte{1}},
		Sunset{Mode: 2, SilenceMS: minSilence},
		Sunset{NoticeKey: []byte{}, FreeAfter: 1},
	} {
		data, err := wire.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var own Policy
		var tagged taggedPolicy
		err, want := wire.Unmarshal(data, &own, maxPolicy()), wire.Unmarshal(data, &tagged, maxPolicy())
		if (err == nil) != (want == nil) {
			t.Fatalf("%x as a policy: %v; by its tags: %v", data, err, want)
		}
		if err == nil {
			a, err1 := wire.Marshal(own)
			b, err2 := wire.Marshal(tagged)
			if err1 != nil || err2 != nil || !bytes.Equal(a, data) || !bytes.Equal(b, data) {
				t.Errorf("%x as a policy: written as %x, by its tags as %x (%v, %v)", data, a, b, err1, err2)
			}
		}
		small := wire.Limit{Bytes: 64, Depth: 1}
		byHand(t, data, func(s *Subject) error { return items(data, 2, small, &s.Kind, &s.ID, &s.Generation) }, small)
		byHand(t, data, func(k *KeyRef) error {
			return items(data, 3, itemLimit(), &k.KID, &k.Tier, &k.Check, &k.BPS, &k.Outputs)
		}, itemLimit())
		byHand(t, data, func(s *Sunset) error {
			return items(data, 3, itemLimit(), &s.Mode, &s.SilenceMS, &s.NoticeKey, &s.FreeAfter)
		}, itemLimit())
	})
}

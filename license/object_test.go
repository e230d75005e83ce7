package license_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func TestLicense_1_RoundTrip(t *testing.T) {
	grace, tail, anchor := int64(0), int64(0), uint64(0)
	info := newInfo(t, "PLAY; PLAY_COUNT=2; CONTENT=film-1; ISSUER=shop.example; RECEIVER=domain:d0000000000000000000000000000001", withUHD(t, license.OutputRules{Digital: 2}), func(i *license.Info) {
		i.Policy = license.Policy{
			Duration: 75_000, StorageDuration: day, OnFirstUse: license.OnFirstCap, HardEnd: day0 + 9*day, ExpiryMode: license.ExpiryStop, FinishTail: &tail,
			FirstUseThreshold: &tail, CountThreshold: 1, ResumeWindow: 2, Slice: 1000, ClockGrace: &grace, EmbargoStrict: true, MinAnchor: &anchor,
			OutputEvidence: license.EvidenceTREM, MinLevel: 3, Stale: license.StaleDeny, AccumulatedBy: license.AccumulatedMedia,
			Region:      &license.RegionRule{Deny: []string{"CH", "FR"}, Phase: license.RegionEachUse, Unknown: license.UnknownDeny, RoamDays: &anchor, Areas: []string{"150"}},
			Copy:        &license.CopyRule{PerInstance: true, NoChildMove: true, Child: license.ChildCustom, Dests: license.DestList, List: []ident.Device{{1}, {2}}, Countersign: license.CountersignIssuer, Code: code(t, "PLAY")},
			Transfer:    &license.TransferRule{Cooldown: day, Countersign: license.CountersignNone, Region: true},
			Lend:        &license.LendRule{Overlap: true, Plays: 2, Dests: license.DestDomain, Grants: []permission.Permission{permission.Play, permission.Render}},
			Concurrency: &license.ConcurrencyRule{Max: 2, OnFull: license.BlockNew, Offline: true},
			Report:      &license.ReportRule{What: license.ReportMinutes, To: "the shop", Until: day0 + day},
			Overlay:     &license.OverlayRule{Text: 1, Opacity: 20, EveryS: 60},
			Domain:      &license.DomainRule{Devices: 5, NewAYear: 4},
			Renew:       &license.RenewRule{After: day, Retry: 1, Recovery: 2, Expired: true},
			Backup:      license.BackupIssuer, Arbiter: make([]byte, ident.Size),
			Other: map[uint64]wire.RawMessage{50: {0x01}, 52: {0xa1, 0x01, 0x02}},
		}
		i.RevMinEpoch, i.RevMaxAge, i.StatusURL, i.Version = 7, day, "https://shop.example/status", 3
		i.Sunset = &license.Sunset{Mode: 1, SilenceMS: 365 * day, NoticeKey: []byte{1}, FreeAfter: day0 + 3650*day}
		i.Continues = &license.Continues{Issuer: "shop.example", ID: ident.License{9}}
	})
	data, err := license.Sign(fixedKey(t, 7), []byte("certificate"), info)
	if err != nil {
		t.Fatal(err)
	}
	lic, err := license.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(info, lic.Info(), cmp.AllowUnexported(license.Continues{})); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(lic.Bytes(), data) || lic.X5T() != wire.X5T([]byte("certificate")) || lic.Derived() {
		t.Error("bytes, x5t or parent differ")
	}
	again, err := license.Sign(fixedKey(t, 7), []byte("certificate"), info)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("signing twice gives other bytes (%v)", err)
	}
	other, err := license.Sign(fixedKey(t, 8), []byte("certificate"), info)
	if err != nil {
		t.Fatal(err)
	}
	second, err := license.Parse(other)
	if err != nil {
		t.Fatal(err)
	}
	if second.Hash() != lic.Hash() {
		t.Error("the hash depends on the signature's bytes")
	}
	if _, err := json.Marshal(lic.Info()); err != nil {
		t.Error(err)
	}
}

// The target of docs/spec/license.md.
func TestLicense_1_RentalOfFourTiersIsSmall(t *testing.T) {
	lic := newLicense(t, "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL",
		withUHD(t, license.OutputRules{Digital: 2, MinLevel: 2}), policy(func(p *license.Policy) { p.Duration, p.StorageDuration = 2*hour, 30*day }))
	if n := len(lic.Bytes()); n > 600 {
		t.Errorf("%d bytes, want at most 600", n)
	}
}

func TestLicense_1_InvalidIsNotSigned(t *testing.T) {
	neg := int64(-1)
	for name, edit := range map[string]func(*license.Info){
		"no ID":                  func(i *license.Info) { i.ID = ident.License{} },
		"format":                 func(i *license.Info) { i.Format = 2 },
		"issued at 0":            func(i *license.Info) { i.IssuedAt = 0 },
		"issued beyond 2^53":     func(i *license.Info) { i.IssuedAt = 1 << 53 },
		"no subject":             func(i *license.Info) { i.Subject = license.Subject{} },
		"subject kind":           func(i *license.Info) { i.Subject.Kind = 4 },
		"generation of a device": func(i *license.Info) { i.Subject.Kind = license.SubjectDevice },
		"version 0":              func(i *license.Info) { i.Version = 0 },
		"negative age":           func(i *license.Info) { i.RevMaxAge = -1 },
		"long URL":               func(i *license.Info) { i.StatusURL = strings.Repeat("x", 257) },
		"code":                   func(i *license.Info) { i.Code = []byte{1} },
		"no keys":                func(i *license.Info) { i.Keys = nil },
		"too many keys":          func(i *license.Info) { i.Keys = make([]license.KeyRef, 33) },
		"KID twice":              func(i *license.Info) { i.Keys[1].KID = i.Keys[0].KID },
		"KID zero":               func(i *license.Info) { i.Keys[1].KID = ident.Key{} },
		"tier 0":                 func(i *license.Info) { i.Keys[0].Tier = 0 },
		"tier 5":                 func(i *license.Info) { i.Keys[0].Tier = 5 },
		"negative duration":      func(i *license.Info) { i.Policy.Duration = -1 },
		"negative grace":         func(i *license.Info) { i.Policy.ClockGrace = &neg },
		"slice too short":        func(i *license.Info) { i.Policy.Slice = 999 },
		"slice too long":         func(i *license.Info) { i.Policy.Slice = 60_001 },
		"expiry mode":            func(i *license.Info) { i.Policy.ExpiryMode = 3 },
		"sunset too early":       func(i *license.Info) { i.Sunset = &license.Sunset{Mode: 1, SilenceMS: day, NoticeKey: []byte{1}} },
		"actor":                  func(i *license.Info) { i.Code = code(t, "PLAY; CONTENT=another") },
		"actor's receiver":       func(i *license.Info) { i.Code = code(t, "PLAY; RECEIVER=device:d0000000000000000000000000000001") },
		"empty window": func(i *license.Info) {
			i.Code, i.Policy.HardEnd = code(t, "PLAY; START_TIME=2026-02-01T00:00:00Z"), day0+31*day
		},
		"window over before it is": func(i *license.Info) {
			i.Code, i.Policy.StorageDuration = code(t, "PLAY; START_TIME=2026-02-01T00:00:00Z"), day
		},
		"count without duration":   func(i *license.Info) { i.Code = code(t, "PLAY; PLAY_COUNT=1") },
		"critical policy":          func(i *license.Info) { i.Policy.Other = map[uint64]wire.RawMessage{99: {1}} },
		"policy key with a field":  func(i *license.Info) { i.Policy.Other = map[uint64]wire.RawMessage{1: {1}} },
		"child of none":            func(i *license.Info) { i.Parent = &license.Parent{Kind: license.KindAllowance, Index: 2, Of: 2} },
		"child kind":               func(i *license.Info) { i.Parent = &license.Parent{Kind: 6} },
		"over before it is issued": func(i *license.Info) { i.Code = code(t, "PLAY; END_TIME=2025-12-01T00:00:00Z") },
		"two counted units": func(i *license.Info) {
			i.Code, i.Policy.Duration = code(t, "PLAY; PLAY_COUNT=1; PLAY; PLAY_COUNT=2; PART=01"), day
		},
		"a part twice": func(i *license.Info) { i.Code = code(t, "PLAY; PART=01; PLAY; PART=01") },
		"permitted and denied": func(i *license.Info) {
			i.Code, i.Policy.Region = code(t, "PLAY; TERRITORY=CH"), &license.RegionRule{Deny: []string{"CH"}}
		},
		"area permitted, denied": func(i *license.Info) {
			i.Policy.Region = &license.RegionRule{Deny: []string{"150"}, Areas: []string{"150"}}
		},
		"unknown country":        func(i *license.Info) { i.Policy.Region = &license.RegionRule{Deny: []string{"XX"}} },
		"countries out of order": func(i *license.Info) { i.Policy.Region = &license.RegionRule{Deny: []string{"FR", "CH"}} },
		"region phase":           func(i *license.Info) { i.Policy.Region = &license.RegionRule{Phase: 4} },
		"region unknown":         func(i *license.Info) { i.Policy.Region = &license.RegionRule{Unknown: 3} },
		"roam days":              func(i *license.Info) { n := uint64(91); i.Policy.Region = &license.RegionRule{RoamDays: &n} },
		"stale purchase":         func(i *license.Info) { i.Code, i.Policy.Stale = code(t, "PLAY; CHARGE=PURCHASE"), license.StaleDeny },
		"continues itself":       func(i *license.Info) { i.Continues = &license.Continues{Issuer: i.Issuer, ID: i.ID} },
		"copy child":             func(i *license.Info) { i.Policy.Copy = &license.CopyRule{Child: 4} },
		"copy list without LIST": func(i *license.Info) { i.Policy.Copy = &license.CopyRule{List: []ident.Device{{1}}} },
		"copy LIST without list": func(i *license.Info) { i.Policy.Copy = &license.CopyRule{Dests: license.DestList} },
		"copy countersign":       func(i *license.Info) { i.Policy.Copy = &license.CopyRule{Countersign: 4} },
		"copy code missing":      func(i *license.Info) { i.Policy.Copy = &license.CopyRule{Child: license.ChildCustom} },
		"copy code malformed":    func(i *license.Info) { i.Policy.Copy = &license.CopyRule{Child: license.ChildCustom, Code: []byte{1}} },
		"transfer countersign":   func(i *license.Info) { i.Policy.Transfer = &license.TransferRule{Countersign: 4} },
		"transfer cooldown":      func(i *license.Info) { i.Policy.Transfer = &license.TransferRule{Cooldown: -1} },
		"lend plays":             func(i *license.Info) { i.Policy.Lend = &license.LendRule{Plays: 1 << 53} },
		"lend dests":             func(i *license.Info) { i.Policy.Lend = &license.LendRule{Dests: 4} },
		"lend grants COPY": func(i *license.Info) {
			i.Policy.Lend = &license.LendRule{Grants: []permission.Permission{permission.Copy}}
		},
		"lend grants twice": func(i *license.Info) {
			i.Policy.Lend = &license.LendRule{Grants: []permission.Permission{permission.Play, permission.Play}}
		},
		"no session at a time": func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{} },
		"on full":              func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1, OnFull: 4} },
		"no device of a house": func(i *license.Info) { i.Policy.Domain = &license.DomainRule{NewAYear: 1} },
		"too many devices":     func(i *license.Info) { i.Policy.Domain = &license.DomainRule{Devices: 65537} },
		"too many new devices": func(i *license.Info) { i.Policy.Domain = &license.DomainRule{Devices: 1, NewAYear: 65537} },
		"report of nothing":    func(i *license.Info) { i.Policy.Report = &license.ReportRule{To: "x"} },
		"report to nobody":     func(i *license.Info) { i.Policy.Report = &license.ReportRule{What: license.ReportStarted} },
		"report until": func(i *license.Info) {
			i.Policy.Report = &license.ReportRule{What: license.ReportStarted, To: "x", Until: -1}
		},
		"overlay text":    func(i *license.Info) { i.Policy.Overlay = &license.OverlayRule{Text: 3} },
		"overlay opacity": func(i *license.Info) { i.Policy.Overlay = &license.OverlayRule{Text: 1, Opacity: 101} },
		"overlay every_s": func(i *license.Info) { i.Policy.Overlay = &license.OverlayRule{Text: 1, EveryS: 3601} },
		"renew after":     func(i *license.Info) { i.Policy.Renew = &license.RenewRule{After: -1} },
		"arbiter":         func(i *license.Info) { i.Policy.Arbiter = []byte{1} },
		"backup":          func(i *license.Info) { i.Policy.Backup = 4 },
		"accumulated by":  func(i *license.Info) { i.Policy.AccumulatedBy = 3 },
		"loan that may move": func(i *license.Info) {
			i.Parent, i.Code = &license.Parent{Kind: license.KindLoan}, code(t, "PLAY; MOVE=ANY")
		},
	} {
		if _, err := license.Sign(fixedKey(t, 7), []byte("certificate"), newInfo(t, "PLAY", edit)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestLicense_1_UnknownCriticalPolicyIsNotParsed(t *testing.T) {
	lic := inspect(t, newInfo(t, "PLAY", func(i *license.Info) { i.Policy.Other = map[uint64]wire.RawMessage{97: {0x80}, 99: {0x01}} }))
	_, err := license.Parse(lic.Bytes())
	if !errors.Is(err, license.ErrUnknownCritical) || !strings.Contains(err.Error(), "policy 97") || !strings.Contains(err.Error(), "policy 99") {
		t.Errorf("got %v, want ErrUnknownCritical that names policy 97 and policy 99", err)
	}
}

// Every change of a byte is noticed: by the parser, by the hash, or by the signature.
func TestLicense_1_TamperedIsAnother(t *testing.T) {
	lic := newLicense(t, "PLAY; PLAY_COUNT=2", policy(func(p *license.Policy) { p.Duration = hour }))
	sig := len(lic.Bytes()) - 64
	for i := range lic.Bytes() {
		bad := bytes.Clone(lic.Bytes())
		bad[i] ^= 1
		other, err := license.Inspect(bad)
		if err == nil && i < sig && other.Hash() == lic.Hash() {
			t.Errorf("byte %d: same hash", i)
		}
		if _, err := license.Parse(bad[:i]); err == nil {
			t.Errorf("cut at %d: parsed", i)
		}
	}
	if _, err := license.Parse(append(bytes.Clone(lic.Bytes()), 0)); err == nil {
		t.Error("trailing byte accepted")
	}
	if _, err := license.Parse(make([]byte, license.MaxSize+1)); err == nil {
		t.Error("over the limit accepted")
	}
}

func TestLicense_2_Stateless(t *testing.T) {
	for text, want := range map[string]bool{
		"PLAY": true, "PLAY; END_TIME=2026-06-01T00:00:00Z; MOVE=DOMAIN": true, "PLAY; COPY=FREE; EXPORT=clearkey": true,
		"PLAY; INTERVAL=1h": false, "PLAY; ACCUMULATED=1h": false, "PLAY; COPY=ONCE": false, "PLAY; COPY=COUNTED; COPY_COUNT=2": false,
		"PLAY; MOVE=ANY": false, "PLAY; TRANSFER=1": false, "PLAY; LEND": false, "PLAY; X.21=00": false, "PLAY; PLAY_COUNT=1": false,
	} {
		if got := newInfo(t, text).Stateless(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if newInfo(t, "PLAY", func(i *license.Info) { i.Subject = license.DeviceSubject(ident.Device{1}) }).Stateless() {
		t.Error("a device's license is stateless")
	}
}

func TestLicense_1_KeyBundle(t *testing.T) {
	lic := newLicense(t, "PLAY")
	b := &license.KeyBundle{License: lic.Hash()}
	for _, k := range []struct {
		kid  ident.Key
		tier license.Tier
	}{{audioKID, license.TierAudio}, {sdKID, license.TierSD}} {
		secret, err := cenc.NewContentKey(key(k.tier))
		if err != nil {
			t.Fatal(err)
		}
		b.Keys = append(b.Keys, license.BundleKey{KID: k.kid, Key: secret})
	}
	if err := b.Check(lic); err != nil {
		t.Error(err)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := license.ParseKeyBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Check(lic); err != nil || !got.Keys[1].Key.Equal(b.Keys[1].Key) || got.Keys[0].Key.Equal(b.Keys[1].Key) {
		t.Errorf("round trip: %v", err)
	}
	for _, text := range []string{fmt.Sprint(b), fmt.Sprintf("%+v %#v %x", b, b, b), fmt.Sprintf("%x %v", b.Keys[1].Key, b.Keys[1])} {
		if strings.Contains(text, "02020202") || strings.Contains(text, "2 2 2 2") {
			t.Errorf("a key is printed: %s", text)
		}
	}
	if _, err := json.Marshal(b); err == nil {
		t.Error("a key bundle marshals to JSON")
	}
	if _, err := wire.Marshal(b); err == nil {
		t.Error("a key bundle marshals to CBOR")
	}
	got.Clear()
	if err := got.Check(lic); err == nil {
		t.Error("cleared keys pass the check")
	}
	b.Keys[0].KID = uhdKID
	if err := b.Check(lic); err == nil {
		t.Error("a key the license does not refer to passes")
	}
	b.Keys[0].KID = sdKID
	if _, err := b.Encode(); err == nil {
		t.Error("a KID twice is encoded")
	}
	if _, err := (&license.KeyBundle{}).Encode(); err == nil {
		t.Error("an empty bundle is encoded")
	}
}

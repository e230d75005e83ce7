package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Durations in ms, as licenses have them.
const (
	msSecond = int64(1000)
	msHour   = 3600 * msSecond
	msDay    = 24 * msHour
)

// rentalTerms is the permission code of docs/spec/license.md, worked example.
const rentalTerms = "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL"

// sdBytes is the peak rate of the SD tier, in bytes a second. Source: worked
// example of docs/spec/license.md.
const sdBytes = 250_000

// rentalIssued is when the rental is issued, in Unix ms. Source: worked example.
func rentalIssued() int64 { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() }

func rentalDomain() ident.Domain { return ident.Domain{0: 0xd0, 15: 1} }

// rentalKey is the KID of a tier. Source: worked example.
func rentalKey(t license.Tier) ident.Key { return ident.Key{0: 0xa0, 15: byte(t)} } //nolint:gosec // a tier below 5

func rentalCode() (permission.Code, error) {
	units, err := permission.ParseText(rentalTerms)
	if err != nil {
		return nil, err
	}
	return units.Encode()
}

// rental is the license of the worked example: four tiers, rented for 48 hours
// and two plays.
func rental() (*license.License, error) {
	code, err := rentalCode()
	if err != nil {
		return nil, err
	}
	uhd := license.OutputRules{Digital: permission.ProtectHDCP22, MinLevel: 2}
	rules, err := uhd.Encode()
	if err != nil {
		return nil, err
	}
	info := &license.Info{
		ID: ident.License{0: 1, 15: 1}, Issuer: "shop.example", IssuedAt: rentalIssued(), Content: "film-1", Version: 1,
		Subject: license.DomainSubject(rentalDomain(), 1), Code: code,
		Policy: license.Policy{Duration: 2 * msHour, StorageDuration: 30 * msDay},
	}
	info.Keys = []license.KeyRef{
		keyRef(rentalKey(license.TierAudio), license.TierAudio, 16_000, nil),
		keyRef(rentalKey(license.TierSD), license.TierSD, sdBytes, nil),
		keyRef(rentalKey(license.TierHD), license.TierHD, 1_000_000, nil),
		keyRef(rentalKey(license.TierUHD), license.TierUHD, 4_000_000, rules),
	}
	return signed(info)
}

// keyRef refers to a key of the film; its check value is of the right length.
func keyRef(kid ident.Key, tier license.Tier, bps uint64, rules []byte) license.KeyRef {
	return license.KeyRef{KID: kid, Tier: tier, Check: license.KeyCheck(kid, "film-1", kid[:]), BPS: bps, Outputs: rules}
}

// signed signs with a key of this run and reads the license back.
func signed(info *license.Info) (*license.License, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	data, err := license.Sign(key, []byte("certificate"), info)
	if err != nil {
		return nil, err
	}
	return license.Parse(data)
}

// member is an input of a device of the household at a time: a software module
// (SL1, A1) with secure time that holds the keys and shows the film on its own
// panel, as in the worked example's decision.
func member(now int64) license.Input {
	return license.Input{
		Clock: license.Clock{Lo: now, Est: now, Q: license.Secure},
		Env: license.Env{
			Accepted: true, Level: 1, Anchor: 1, Domains: []license.Membership{{Domain: rentalDomain(), Generation: 1}},
			Keys: []ident.Key{rentalKey(license.TierAudio), rentalKey(license.TierSD), rentalKey(license.TierHD), rentalKey(license.TierUHD)},
		},
		Request: license.Request{Action: permission.Play, Confirm: true, Output: license.Output{Class: license.OutputInternal}},
	}
}

// watch plays the first two minutes of the film in the SD tier from a state on,
// long enough to start INTERVAL and to be charged, and gives the state after it.
func watch(lic *license.License, in license.Input) (license.State, error) {
	step := lic.Begin(in)
	for at := int64(0); step.Decision.Allow && at < 120*msSecond; at += 2 * msSecond {
		in.State = step.State
		step = lic.Extend(step.Session, in, fragment(at))
		in.Clock.Est, in.Clock.Lo = in.Clock.Est+2*msSecond, in.Clock.Lo+2*msSecond
	}
	if !step.Decision.Allow {
		return license.State{}, refusal(&step.Decision)
	}
	in.State = step.State
	return lic.End(step.Session, in, 120*msSecond).State, nil
}

// fragment is two seconds of the SD tier at half its peak rate, at a media time
// that is also the time since the session began.
func fragment(at int64) license.Fragment {
	return license.Fragment{KID: rentalKey(license.TierSD), Bytes: sdBytes, MediaMS: at, DurMS: 2 * msSecond, WallMS: at}
}

// refusal is the error of a bench that was refused what it measures.
func refusal(d *license.Decision) error { return fmt.Errorf("refused: %+v", d.Reasons) }

// secondEvening is the typical use: watched once the evening before, so INTERVAL
// runs, that play is over, and one is left.
func secondEvening(lic *license.License) (license.Input, error) {
	first := rentalIssued() + msDay
	state, err := watch(lic, member(first))
	if err != nil {
		return license.Input{}, fmt.Errorf("first evening: %w", err)
	}
	in := member(first + msDay)
	in.State = state
	return in, nil
}

// everythingWrong is the rental after its time, with no play left, on a device
// that is not of the household, is revoked, holds no key, has neither level nor
// time, and shows two outputs.
func everythingWrong(lic *license.License, in license.Input) (license.Input, error) {
	state, err := lic.Give(in.State, license.Share{Plays: 1})
	if err != nil {
		return license.Input{}, fmt.Errorf("hand out the last play: %w", err)
	}
	in.State = state
	now := rentalIssued() + 60*msDay
	in.Clock = license.Clock{Lo: now, Est: now, Q: license.Anchored, Unsynced: 30 * msDay, Behind: true}
	in.Env = license.Env{Revoked: []string{"device"}, Outputs: []license.Output{{Class: license.OutputAnalog}}}
	in.Request.Output = license.Output{Class: license.OutputDigital}
	return in, nil
}

// manyKeys is a license of as many keys as there may be, each with rules that
// two outputs violate and a level that the device does not have, and its input.
func manyKeys() (*license.License, license.Input, error) {
	code, err := rentalCode()
	if err != nil {
		return nil, license.Input{}, err
	}
	rules := license.OutputRules{Digital: permission.ProtectHDCP22, Analog: license.RuleDeny, OnViolation: license.Stop, MinLevel: 3}
	outputs, err := rules.Encode()
	if err != nil {
		return nil, license.Input{}, err
	}
	info := &license.Info{
		ID: ident.License{0: 1, 15: 2}, Issuer: "shop.example", IssuedAt: rentalIssued(), Content: "film-1", Version: 1,
		Subject: license.DomainSubject(rentalDomain(), 1), Code: code, Policy: license.Policy{Duration: 2 * msHour},
	}
	in := member(rentalIssued() + msDay)
	in.Env.Keys = nil
	for i := range license.MaxKeys {
		kid := ident.Key{0: 0xb0, 15: byte(i)}
		info.Keys = append(info.Keys, keyRef(kid, license.TierSD+license.Tier(i%3), sdBytes, outputs))
		in.Env.Keys = append([]ident.Key{kid}, in.Env.Keys...) // the last is looked for first
	}
	in.Env.Outputs = []license.Output{{Class: license.OutputAnalog}}
	in.Request.Output = license.Output{Class: license.OutputDigital}
	lic, err := signed(info)
	return lic, in, err
}

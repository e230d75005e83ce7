package adapttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"time"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Durations of the suite in ms, and the day its licenses are issued, Unix ms.
const (
	hour = int64(3_600_000)
	day  = 24 * hour
)

var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// Fataler is a test, a benchmark, or a drawn case of a property.
type Fataler interface {
	Helper()
	Fatal(args ...any)
}

// License makes a license of the suite's household whose permission code has
// this text form, with a key for AUDIO and one for HD. Edits change it.
func License(tb Fataler, text string, edit ...func(*license.Info)) *license.License {
	tb.Helper()
	units, err := permission.ParseText(text)
	if err != nil {
		tb.Fatal(err)
	}
	code, err := units.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	info := &license.Info{Code: code, Policy: license.Policy{Duration: 60_000}}
	fill(info)
	for _, f := range edit {
		f(info)
	}
	lic, err := sign(tb, info)
	if err != nil {
		tb.Fatal(err)
	}
	return lic
}

// fill completes what a test does not care about.
func fill(i *license.Info) {
	if i.ID == (ident.License{}) {
		i.ID, i.Version = ident.License{1}, 1
		i.Subject = license.DomainSubject(home, 1)
	}
	if i.Issuer == "" {
		i.Issuer, i.Content = "shop.example", "urn:example:film"
	}
	if i.IssuedAt == 0 {
		i.IssuedAt = day0
	}
	if i.Policy.Duration == 0 {
		i.Policy.Duration = 2 * hour // of the content: no document states it, its issuer knows it
	}
	if i.Keys == nil {
		i.Keys = []license.KeyRef{{KID: ident.Key{1}, Tier: license.TierAudio, BPS: 1000}, {KID: ident.Key{2}, Tier: license.TierHD, BPS: 1000}}
	}
}

// sign signs with a key that is the same in every run, so that hashes are.
func sign(tb Fataler, info *license.Info) (*license.License, error) {
	if tb != nil {
		tb.Helper()
	}
	fill(info)
	d := make([]byte, 32)
	d[31] = 7
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return nil, err
	}
	raw, err := license.Sign(key, []byte("certificate"), info)
	if err != nil {
		return nil, err
	}
	return license.Inspect(raw)
}

// some draws a value, or, as often, its zero value.
func some[T any](rt *rapid.T, name string, g *rapid.Generator[T]) T {
	var zero T
	if !rapid.Bool().Draw(rt, "has "+name) {
		return zero
	}
	return g.Draw(rt, name)
}

// seldom is some, with a value once in eight.
func seldom[T any](rt *rapid.T, name string, g *rapid.Generator[T]) T {
	var zero T
	if rapid.IntRange(0, 7).Draw(rt, "has "+name) != 7 {
		return zero
	}
	return g.Draw(rt, name)
}

func hoursFrom(a, b int64) *rapid.Generator[int64] {
	return rapid.Map(rapid.Int64Range(a, b), func(h int64) int64 { return day0 + h*hour })
}

// draw makes a license that names the system, with times within 300 hours of
// its issue, so that they meet.
func draw(rt *rapid.T, system string) *license.License {
	x := permission.UsageUnit{
		Kind: permission.Playback, StartTime: seldom(rt, "start", hoursFrom(1, 9)), EndTime: some(rt, "end", hoursFrom(10, 200)),
		Interval: some(rt, "interval", rapid.Map(rapid.Int64Range(1, 100), func(h int64) int64 { return h * hour })), PlayCount: some(rt, "count", rapid.Uint64Range(1, 4)),
		Accumulated: seldom(rt, "accumulated", rapid.Int64Range(60_000, 600_000)), MaxPixels: seldom(rt, "pixels", rapid.SampledFrom([]uint64{10_000, 442_368, 2_073_600})),
		Output: seldom(rt, "protection", rapid.SampledFrom([]permission.Protection{permission.ProtectHDCP1, permission.ProtectHDCP22})),
	}
	u := &permission.Units{Usage: []permission.UsageUnit{x}, Export: &permission.ExportUnit{Systems: []string{system}}}
	if part := seldom(rt, "part", rapid.Just([]byte{1})); part != nil {
		u.Usage = append(u.Usage, permission.UsageUnit{Kind: permission.Playback, Part: part})
	}
	if rapid.IntRange(0, 7).Draw(rt, "management") == 7 {
		u.Management = &permission.ManagementUnit{Copy: permission.CopyFree, Move: permission.MoveAny, Timeline: some(rt, "timeline", rapid.Just(permission.TimelineNoSkip))}
	}
	if rapid.IntRange(0, 3).Draw(rt, "classification") == 3 {
		u.Classification = &permission.ClassificationUnit{
			Charge:    some(rt, "charge", rapid.SampledFrom([]permission.Charge{permission.ChargeRental, permission.ChargeSubscription, permission.ChargeLoan})),
			Territory: some(rt, "territory", rapid.SampledFrom([][]string{{"AT"}, {"AT", "DE"}})),
		}
	}
	code, err := u.Encode()
	if err != nil {
		rt.Fatal(err)
	}
	p := license.Policy{
		Duration: 2 * hour, HardEnd: seldom(rt, "hard end", hoursFrom(10, 250)), StorageDuration: seldom(rt, "storage", rapid.Map(rapid.Int64Range(10, 200), func(h int64) int64 { return h * hour })),
		OnFirstUse: some(rt, "on first use", rapid.Just(license.OnFirstCap)), ExpiryMode: some(rt, "expiry", rapid.Just(license.ExpiryStop)),
		FirstUseThreshold: some(rt, "threshold", rapid.Just(new(int64))), ClockGrace: some(rt, "grace", rapid.Just(new(int64))), MinLevel: seldom(rt, "level", rapid.Uint64Range(1, 2)),
	}
	info := &license.Info{Code: code, Policy: p}
	fill(info)
	lic, err := sign(rt, info)
	if err != nil {
		rt.Fatal(err)
	}
	return lic
}

// drawInput draws a use: when, how well the time is known, what has been used,
// and on which output.
func drawInput(rt *rapid.T, from int64) license.Input {
	now := from + rapid.Int64Range(0, 200).Draw(rt, "later")*hour
	output := func(name string) license.Output {
		return license.Output{
			Class:      rapid.SampledFrom([]license.OutputClass{license.OutputInternal, license.OutputDigital, license.OutputAnalog, license.OutputWireless}).Draw(rt, name),
			Protection: permission.Protection(rapid.Uint8Range(0, 4).Draw(rt, name+" protection")),
		}
	}
	in := license.Input{
		Clock: license.Clock{Lo: now, Est: now, Q: license.Quality(rapid.Uint8Range(1, 3).Draw(rt, "quality")), Unsynced: rapid.SampledFrom([]int64{0, hour, 100 * hour}).Draw(rt, "unsynced")},
		Env: license.Env{
			Accepted: true, Domains: []license.Membership{{Domain: home, Generation: 1}}, Level: rapid.Uint8Range(1, 2).Draw(rt, "level"), Anchor: 2, Keys: []ident.Key{{1}, {2}},
			Outputs: nil, Region: license.RegionEvidence{Country: some(rt, "country", rapid.SampledFrom([]string{"AT", "DE", "US"})), Source: license.RegionIssuer, At: now},
		},
		Request: license.Request{Action: permission.Play, Confirm: true, Consent: true, Output: output("output")},
	}
	if rapid.Bool().Draw(rt, "second output") {
		in.Env.Outputs = []license.Output{output("other output")}
	}
	in.State.FirstUse = some(rt, "begun", rapid.Map(rapid.Int64Range(0, 60), func(h int64) int64 { return max(from, now-h*hour) }))
	if n := rapid.Uint64Range(0, 4).Draw(rt, "consumed"); n > 0 {
		in.State.Consumed = map[permission.Permission]uint64{permission.Play: n}
	}
	in.State.Acc = some(rt, "accumulated", rapid.Int64Range(0, 700_000))
	return in
}

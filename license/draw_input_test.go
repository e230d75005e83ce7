package license_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func drawCounts(rt *rapid.T, name string, most uint64) map[permission.Permission]uint64 {
	var out map[permission.Permission]uint64
	for _, p := range []permission.Permission{permission.Play, permission.Render, permission.Copy, permission.Transfer} {
		if n := some(rt, name+" "+p.String(), rapid.Uint64Range(1, most)); n > 0 && rapid.Bool().Draw(rt, "some") {
			if out == nil {
				out = map[permission.Permission]uint64{}
			}
			out[p] = n
		}
	}
	return out
}

// drawState draws a state as of a time: nothing in it is of the future, except
// where the page speaks of that.
func drawState(rt *rapid.T, now int64) license.State {
	past := func(hours int64) *rapid.Generator[int64] {
		return rapid.Map(rapid.Int64Range(0, hours*hour), func(ms int64) int64 { return max(now-ms, 1) })
	}
	s := license.State{
		Ver: rapid.Uint64Range(0, 9).Draw(rt, "ver"), FirstUse: some(rt, "first use", past(100)), Consumed: drawCounts(rt, "consumed", 3), Given: drawCounts(rt, "given", 1), Reserved: drawCounts(rt, "reserved", 1),
		Acc: some(rt, "acc", rapid.Int64Range(1, 500_000)), GivenMS: seldom(rt, "given ms", rapid.Int64Range(1, 100_000)), CopyGeneration: seldom(rt, "generation", rapid.Uint64Range(1, 3)),
		LoLic: seldom(rt, "lo_lic", past(100)), LastTransfer: some(rt, "last transfer", past(60)), Consented: rapid.Bool().Draw(rt, "consented"), Seen: some(rt, "seen", rapid.Int64Range(1, hour)),
		Denied: seldom(rt, "denied", past(1)),
	}
	if rare(rt, "first use to come") {
		s.FirstUse = now + rapid.Int64Range(1, 50*hour).Draw(rt, "first use")
	}
	if rare(rt, "phase") {
		s.Phase = license.Phase(rapid.Uint64Range(1, 3).Draw(rt, "which phase"))
	}
	if rare(rt, "tx") {
		s.Tx = &license.Tx{ID: ident.Transfer{Seq: 1}, Unconfirmed: rapid.Bool().Draw(rt, "unconfirmed"), HoldUntil: some(rt, "hold", rapid.Map(rapid.Int64Range(-hour, 50*hour), func(ms int64) int64 { return now + ms }))}
	}
	if rare(rt, "loan") {
		s.Loan = &license.Loan{Child: ident.License{7}, Seq: 1, Until: now + rapid.Int64Range(-hour, 50*hour).Draw(rt, "until")}
	}
	if rapid.Bool().Draw(rt, "open play") {
		s.OpenPlay = &license.OpenPlay{ID: 1, Rendered: rapid.Int64Range(0, 90_000).Draw(rt, "rendered"), Charged: rapid.Bool().Draw(rt, "charged"), Touched: past(30).Draw(rt, "touched"), Seen: rapid.Int64Range(0, hour).Draw(rt, "play seen")}
	}
	if rapid.Bool().Draw(rt, "region state") {
		s.Region = &license.RegionState{Home: some(rt, "home", rapid.SampledFrom([]string{"AT", "DE"})), Sealed: rare(rt, "sealed")}
		today := uint64(now / day) //nolint:gosec // after 1970
		for _, back := range rapid.SliceOfNDistinct(rapid.Uint64Range(0, 100), 0, 5, rapid.ID).Draw(rt, "days away") {
			s.Region.Away = append(s.Region.Away, today-back)
		}
		slices.Sort(s.Region.Away)
	}
	return s
}

func drawOutput(rt *rapid.T, now int64) license.Output {
	return license.Output{
		Class:      rapid.SampledFrom([]license.OutputClass{license.OutputInternal, license.OutputInternal, license.OutputDigital, license.OutputAnalog, license.OutputWireless, license.OutputLink, "OTHER"}).Draw(rt, "class"),
		Protection: permission.Protection(rapid.Uint8Range(0, 4).Draw(rt, "protection")), Evidence: license.Evidence(rapid.Uint64Range(0, 2).Draw(rt, "evidence")),
		Plugged: some(rt, "plugged", rapid.Map(rapid.Int64Range(0, 12_000), func(ms int64) int64 { return now - ms })),
	}
}

func drawEnv(rt *rapid.T, now int64) license.Env {
	all := []ident.Key{audioKID, sdKID, hdKID, uhdKID, {9}}
	env := license.Env{
		Accepted: !rare(rt, "not accepted"), Device: phone, Domains: []license.Membership{{Domain: domain, Generation: 1, NotAfter: some(rt, "not after", hoursFrom(1, 250)), Removed: rare(rt, "removed")}}, Keys: all,
		Level: rapid.Uint8Range(0, 3).Draw(rt, "level"), Anchor: rapid.Uint8Range(0, 2).Draw(rt, "anchor"), RevEpoch: rapid.Uint64Range(1, 4).Draw(rt, "epoch"), StatusAge: rapid.Int64Range(0, 100*hour).Draw(rt, "status age"),
		Offline: rare(rt, "offline"), SunsetAt: seldom(rt, "sunset", hoursFrom(1, 250)),
	}
	if rare(rt, "keys missing") {
		env.Keys = rapid.SliceOfDistinct(rapid.SampledFrom(all), rapid.ID).Draw(rt, "held")
	}
	if rare(rt, "revoked") {
		env.Revoked = []string{"license"}
	}
	if rare(rt, "compromised") {
		env.AcceptedEpoch, env.CompromisedEpoch = 2, rapid.Uint64Range(1, 3).Draw(rt, "compromised epoch")
	}
	for range rapid.IntRange(0, 2).Draw(rt, "outputs") {
		env.Outputs = append(env.Outputs, drawOutput(rt, now))
	}
	for range rapid.IntRange(0, 3).Draw(rt, "slots") {
		env.Slots = append(env.Slots, license.Slot{Device: rapid.SampledFrom([]ident.Device{phone, {2}, {3}, {4}}).Draw(rt, "slot"), Since: now - hour, Seen: now - rapid.Int64Range(0, 200_000).Draw(rt, "heartbeat"), Taken: rare(rt, "taken")})
	}
	env.Region = license.RegionEvidence{
		Country: rapid.SampledFrom([]string{"", "AT", "DE", "CH", "US", "ZZ"}).Draw(rt, "country"), Source: license.RegionSource(rapid.Uint8Range(0, 2).Draw(rt, "source")),
		At: now - rapid.Int64Range(0, 30*hour).Draw(rt, "asserted"),
	}
	return env
}

func drawDest(rt *rapid.T) license.Dest {
	return license.Dest{
		Device: rapid.SampledFrom([]ident.Device{phone, {3}}).Draw(rt, "device"), Domain: rapid.SampledFrom([]ident.Domain{domain, elsewhere, {}}).Draw(rt, "domain"),
		Level: rapid.Uint8Range(0, 3).Draw(rt, "dest level"), Anchor: rapid.Uint8Range(0, 2).Draw(rt, "dest anchor"), Country: rapid.SampledFrom([]string{"", "AT", "CH", "ZZ"}).Draw(rt, "dest country"),
		Renderer: some(rt, "renderer", rapid.Just("tv")), System: some(rt, "system", rapid.SampledFrom([]string{"clearkey", "hls", "other"})), Clear: rapid.Bool().Draw(rt, "clear"),
	}
}

func drawRequest(rt *rapid.T, now int64) license.Request {
	r := license.Request{
		Action: permission.Permission(rapid.SampledFrom([]uint8{1, 1, 1, 2, 2, 3, 4, 5, 6, 7}).Draw(rt, "action")), Tier: some(rt, "tier", rapid.SampledFrom([]license.Tier{1, 2, 3, 4, 64})),
		Output: drawOutput(rt, now), Part: some(rt, "part", rapid.SampledFrom([][]byte{{1}, {2}, {3}})), FPS: some(rt, "fps", rapid.SampledFrom([]uint64{25, 60})),
		Confirm: true, Consent: true, Overlay: !rare(rt, "no overlay"), Takeover: rapid.Bool().Draw(rt, "takeover"), From: some(rt, "from", rapid.Int64Range(1, hour)), Again: rare(rt, "again"),
		Form: some(rt, "form", rapid.Just(license.FormStill)), Dest: some(rt, "dest", ptr(rapid.Custom(drawDest))), For: some(rt, "for", rapid.Int64Range(1, 450*hour)),
		Countersigned: license.Countersigned(rapid.Uint64Range(0, 3).Draw(rt, "countersigned")),
	}
	if rare(rt, "person") {
		from := now + rapid.Int64Range(-hour, hour).Draw(rt, "from hour")
		r.Person = &license.Person{
			Age: rapid.Uint8Range(0, 18).Draw(rt, "age"), Rated: some(rt, "rated", rapid.Uint8Range(1, 18)), From: from, Until: some(rt, "until", rapid.Int64Range(from, from+hour)), Handles: rapid.Bool().Draw(rt, "handles"),
		}
	}
	if rare(rt, "one key") {
		r.KID = rapid.SampledFrom([]ident.Key{audioKID, sdKID, hdKID, uhdKID, {9}}).Draw(rt, "kid")
	}
	return r
}

// drawWhole draws everything that a decision depends on besides the license.
func drawWhole(rt *rapid.T) license.Input {
	now := day0 + rapid.Int64Range(0, 250*hour).Draw(rt, "now")
	in := license.Input{State: drawState(rt, now), Env: drawEnv(rt, now), Request: drawRequest(rt, now)}
	in.Clock = license.Clock{
		Lo: now - some(rt, "lo", rapid.Int64Range(0, hour)), Est: now, Q: license.Quality(rapid.SampledFrom([]uint8{3, 3, 3, 2, 1, 0}).Draw(rt, "quality")), Unsynced: some(rt, "unsynced", rapid.Int64Range(0, 80*hour)),
		Behind: rare(rt, "behind"), LoIss: now - some(rt, "lo_iss", rapid.Int64Range(0, hour)), Relayed: some(rt, "relayed", rapid.Uint8Range(1, 3)),
	}
	if !rare(rt, "nothing goes well") {
		calm(&in)
	}
	return in
}

// calm takes away what refuses whatever the license says.
func calm(in *license.Input) {
	s, env, r := &in.State, &in.Env, &in.Request
	env.Accepted, env.Revoked, env.CompromisedEpoch, env.RevEpoch, env.Level, env.Anchor = true, nil, 0, 9, max(env.Level, 2), max(env.Anchor, 1)
	env.Domains[0].Removed = false
	s.Phase, s.Denied, s.FirstUse = license.Held, 0, min(s.FirstUse, in.Clock.Est)
	if s.Tx != nil {
		s.Tx.Unconfirmed = false
	}
	if r.Action == permission.Render {
		r.Form = license.FormStill
	}
	if r.Action > permission.Render && r.Dest == nil {
		r.Dest = &license.Dest{Domain: domain, System: "hls"}
	}
	if r.Dest != nil {
		r.Dest.Level, r.Dest.Anchor = max(r.Dest.Level, 2), max(r.Dest.Anchor, 1)
	}
	if r.KID != (ident.Key{}) {
		r.KID, r.Tier = audioKID, 0 // every drawn license has it
	}
}

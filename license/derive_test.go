package license_test

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// house is a license issuer, a home server and a device of one trust domain.
type house struct {
	*pkitest.Domain
	issuer, home, device *pkitest.Party
	dev                  ident.Device
}

func newHouse(t *testing.T) *house {
	d := pkitest.New(t, pkitest.Start())
	h := &house{Domain: d}
	h.issuer = d.Party(pki.LicenseIssuer, func(p *pki.Profile) { p.Issuer = "shop.example" })
	h.home = d.Party(pki.HomeServer)
	h.device = d.Party(pki.Device)
	h.dev = d.Peer(h.device).ID()
	return h
}

func (h *house) sign(t *testing.T, by *pkitest.Party, info *license.Info) *license.License {
	t.Helper()
	data, err := license.Sign(by.Key, by.Leaf(), info)
	if err != nil {
		t.Fatal(err)
	}
	lic, err := license.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return lic
}

func TestLicense_2_WhoMaySignARoot(t *testing.T) {
	h := newHouse(t)
	own := func(i *license.Info) { i.Issuer, i.Content = ident.Issuer(domain[:]), license.OwnPrefix+"1" }
	for _, tc := range []struct {
		name string
		by   *pkitest.Party
		edit func(*license.Info)
		ok   bool
	}{
		{"issuer", h.issuer, func(*license.Info) {}, true},
		{"issuer for another", h.issuer, func(i *license.Info) { i.Issuer = "other.example" }, false},
		{"home server for its household", h.home, own, true},
		{"home server for a shop", h.home, func(*license.Info) {}, false},
		{"home server for another domain", h.home, func(i *license.Info) { own(i); i.Subject.ID[5] = 1 }, false},
		{"home server for a title that is not its own", h.home, func(i *license.Info) { own(i); i.Content = "film-1" }, false},
		{"home server that lets it be given away", h.home, func(i *license.Info) { own(i); i.Code = code(t, "PLAY; TRANSFER=1") }, false},
		{"home server for a device", h.home, func(i *license.Info) { own(i); i.Subject = license.DeviceSubject(h.dev) }, false},
		{"device", h.device, func(*license.Info) {}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lic := h.sign(t, tc.by, newInfo(t, "PLAY", tc.edit))
			if err := lic.Verify(h.Peer(tc.by)); (err == nil) != tc.ok || err != nil && !errors.Is(err, license.ErrSigner) {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
	lic := h.sign(t, h.issuer, newInfo(t, "PLAY"))
	for name, peer := range map[string]*pki.Peer{"nil": nil, "zero": {}, "another certificate": h.Peer(h.Party(pki.LicenseIssuer, func(p *pki.Profile) { p.Issuer = "shop.example" }))} {
		if err := lic.Verify(peer); !errors.Is(err, license.ErrSigner) {
			t.Errorf("%s peer: %v", name, err)
		}
	}
	bad := append([]byte(nil), lic.Bytes()...)
	bad[len(bad)-1] ^= 1
	forged, err := license.Parse(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Verify(h.Peer(h.issuer)); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("forged signature: %v", err)
	}
}

const rentalText = "PLAY; PLAY_COUNT=3; INTERVAL=48h; EXPORT=clearkey; CHARGE=RENTAL"

func rentalPolicy(i *license.Info) { i.Policy.Duration, i.Policy.StorageDuration = 2*hour, 30*day }

func TestLicense_2_AllowanceChain(t *testing.T) {
	h := newHouse(t)
	root := h.sign(t, h.issuer, newInfo(t, rentalText, rentalPolicy))
	state := license.State{FirstUse: day0 + day}
	info, err := license.Derive(root, license.Derivation{Device: h.dev, Plays: 1, Now: day0 + day + hour, State: state})
	if err != nil {
		t.Fatal(err)
	}
	child := h.sign(t, h.home, info)
	chain, peers := []*license.License{child, root}, []*pki.Peer{h.Peer(h.home), h.Peer(h.issuer)}
	if err := license.VerifyChain(chain, peers, license.Houses{}); err != nil {
		t.Fatal(err)
	}
	x := child.Units().UsageFor(permission.Play)[0]
	if x.Interval != 0 || x.EndTime != day0+3*day || x.PlayCount != 1 || child.Units().Grants(permission.Export) || child.Info().Policy.StorageDuration != 0 {
		t.Errorf("child %s, want an absolute end at day 3, one play, no export", child.Units().Text())
	}
	in := at(day0 + 3*day - 1)
	in.Env.Domains, in.Env.Device = nil, h.dev
	if d := child.Evaluate(in); !d.Allow {
		t.Errorf("one ms before the end: %+v", d)
	}
	in.Clock.Est++
	if d := child.Evaluate(in); d.Allow {
		t.Error("at the end: allowed")
	}

	other := h.sign(t, h.issuer, newInfo(t, rentalText, rentalPolicy, func(i *license.Info) { i.Version = 2 }))
	byDevice := h.sign(t, h.issuer, info)
	wide := *info
	wide.Code = code(t, "PLAY; PLAY_COUNT=4; END_TIME=2026-01-04T00:00:00Z; CHARGE=RENTAL")
	for name, bad := range map[string]struct {
		chain []*license.License
		peers []*pki.Peer
	}{
		"empty":             {nil, nil},
		"signer missing":    {chain, peers[:1]},
		"no root":           {chain[:1], peers[:1]},
		"root first":        {[]*license.License{root, child}, []*pki.Peer{peers[1], peers[0]}},
		"another parent":    {[]*license.License{child, other}, peers},
		"derived by issuer": {[]*license.License{byDevice, root}, []*pki.Peer{peers[1], peers[1]}},
		"wider":             {[]*license.License{h.sign(t, h.home, &wide), root}, peers},
		"too long":          {[]*license.License{child, child, child, child, root}, []*pki.Peer{peers[0], peers[0], peers[0], peers[0], peers[1]}},
	} {
		if err := license.VerifyChain(bad.chain, bad.peers, license.Houses{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLicense_2_DeriveIsTheSameEachTime(t *testing.T) {
	lic := newLicense(t, rentalText, rentalPolicy)
	d := license.Derivation{Device: ident.Device{1}, Plays: 1, Now: day0}
	one, err := license.Derive(lic, d)
	if err != nil {
		t.Fatal(err)
	}
	two, err := license.Derive(lic, d)
	if err != nil || one.ID != two.ID {
		t.Errorf("IDs %v and %v (%v)", one.ID, two.ID, err)
	}
	d.Index = 1
	if next, err := license.Derive(lic, d); err != nil || next.ID == one.ID {
		t.Errorf("second child has the ID of the first (%v)", err)
	}
}

func TestLicense_2_DeriveRefuses(t *testing.T) {
	lic := newLicense(t, rentalText, rentalPolicy)
	for name, tc := range map[string]struct {
		lic *license.License
		d   license.Derivation
	}{
		"more than is left":  {lic, license.Derivation{Plays: 4}},
		"no plays":           {lic, license.Derivation{}},
		"used up":            {lic, license.Derivation{Plays: 2, State: license.State{Consumed: map[permission.Permission]uint64{permission.Play: 2}}}},
		"given away":         {lic, license.Derivation{Plays: 2, State: license.State{Given: map[permission.Permission]uint64{permission.Play: 2}}}},
		"index beyond count": {lic, license.Derivation{Plays: 1, Index: 3}},
		"in escrow":          {lic, license.Derivation{Plays: 1, State: license.State{Phase: license.Escrow}}},
		"unconfirmed":        {lic, license.Derivation{Plays: 1, State: license.State{Tx: &license.Tx{Unconfirmed: true}}}},
		"over":               {lic, license.Derivation{Plays: 1, Now: day0 + 30*day}},
		"interval over":      {lic, license.Derivation{Plays: 1, Now: day0 + 3*day, State: license.State{FirstUse: day0 + day}}},
		"accumulated":        {newLicense(t, "PLAY; ACCUMULATED=1h"), license.Derivation{Plays: 0}},
		"plays of uncounted": {newLicense(t, "PLAY; INTERVAL=1h"), license.Derivation{Plays: 1}},
		"no PLAY":            {newLicense(t, "RENDER"), license.Derivation{}},
		"unknown condition":  {newLicense(t, "PLAY; X.10.7F=00"), license.Derivation{}},
	} {
		tc.d.Device, tc.d.Now = ident.Device{1}, max(tc.d.Now, day0)
		if info, err := license.Derive(tc.lic, tc.d); err == nil {
			t.Errorf("%s: derived %+v", name, info)
		}
	}
}

func TestLicense_2_Narrower(t *testing.T) {
	end := "; END_TIME=2026-02-01T00:00:00Z"
	for _, tc := range []struct {
		name          string
		parent, child string
		edit          func(p, c *license.Info)
		ok            bool
	}{
		{"equal", "PLAY", "PLAY", nil, true},
		{"another permission", "PLAY", "PLAY; RENDER", nil, false},
		{"a permission less", "PLAY; RENDER", "PLAY", nil, true},
		{"later start", "PLAY; START_TIME=2026-01-02T00:00:00Z", "PLAY; START_TIME=2026-01-03T00:00:00Z", nil, true},
		{"earlier start", "PLAY; START_TIME=2026-01-02T00:00:00Z", "PLAY", nil, false},
		{"end dropped", "PLAY" + end, "PLAY", nil, false},
		{"end added", "PLAY", "PLAY" + end, nil, true},
		{"interval kept", "PLAY; INTERVAL=48h", "PLAY; INTERVAL=48h", nil, true},
		{"interval longer", "PLAY; INTERVAL=48h", "PLAY; INTERVAL=49h", nil, false},
		{"interval shorter, to be begun later", "PLAY; INTERVAL=48h; END_TIME=2026-01-10T00:00:00Z", "PLAY; INTERVAL=24h; END_TIME=2026-01-11T00:00:00Z", nil, false},
		{"interval shorter, to be begun earlier", "PLAY; INTERVAL=48h; END_TIME=2026-01-10T00:00:00Z", "PLAY; INTERVAL=24h; END_TIME=2026-01-09T00:00:00Z", nil, true},
		{"interval dropped", "PLAY; INTERVAL=48h", "PLAY", nil, false},
		{"interval to an end in time", "PLAY; INTERVAL=48h", "PLAY; END_TIME=2026-01-03T00:00:00Z", nil, true},
		{"interval to an end too late", "PLAY; INTERVAL=48h", "PLAY; END_TIME=2026-01-03T00:00:00.001Z", nil, false},
		{"interval added under an end", "PLAY" + end, "PLAY; INTERVAL=1h" + end, nil, false}, // REPLACE would pass the end
		{"interval added and capped", "PLAY" + end, "PLAY; INTERVAL=1h" + end, func(_, c *license.Info) { c.Policy.OnFirstUse = license.OnFirstCap }, true},
		{"hard end dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.HardEnd = day0 + day }, false},
		{"storage dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.StorageDuration = day }, false},
		{"count", "PLAY; PLAY_COUNT=2", "PLAY; PLAY_COUNT=2", nil, true},
		{"count more", "PLAY; PLAY_COUNT=2", "PLAY; PLAY_COUNT=3", nil, false},
		{"count dropped", "PLAY; PLAY_COUNT=2", "PLAY", nil, false},
		{"accumulated dropped", "PLAY; ACCUMULATED=1h", "PLAY", nil, false},
		{"output weaker", "PLAY; OUTPUT_PROTECTION=HDCP_2_2", "PLAY; OUTPUT_PROTECTION=HDCP_1", nil, false},
		{"resolution higher", "PLAY; RESOLUTION<=720p", "PLAY; RESOLUTION<=1080p", nil, false},
		{"region dropped", "PLAY; TERRITORY=DE,FR", "PLAY", nil, false},
		{"region smaller", "PLAY; TERRITORY=DE,FR", "PLAY; TERRITORY=DE", nil, true},
		{"region larger", "PLAY; TERRITORY=DE", "PLAY; TERRITORY=DE,FR", nil, false},
		{"export added", "PLAY", "PLAY; EXPORT=clearkey", nil, false},
		{"export of another system", "PLAY; EXPORT=hls", "PLAY; EXPORT=clearkey", nil, false},
		{"move wider", "PLAY; MOVE=DOMAIN", "PLAY; MOVE=ANY", nil, false},
		{"copies more", "PLAY; COPY=COUNTED; COPY_COUNT=2", "PLAY; COPY=COUNTED; COPY_COUNT=3", nil, false},
		{"copies of no more", "PLAY; COPY=NO_MORE", "PLAY; COPY=FREE", nil, false},
		{"unknown condition dropped", "PLAY; X.15=01", "PLAY", nil, false},
		{"unknown item dropped", "PLAY; X.10.7F=01", "PLAY", nil, false},
		{"content", "PLAY", "PLAY", func(_, c *license.Info) { c.Content = "film-2" }, false},
		{"issuer", "PLAY", "PLAY", func(_, c *license.Info) { c.Issuer = "other.example" }, false},
		{"key left out", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys = c.Keys[:1] }, true},
		{"key added", "PLAY", "PLAY", func(p, _ *license.Info) { p.Keys = p.Keys[:1] }, false},
		{"key with another check", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys[0].Check[0] ^= 1 }, false},
		{"key with another tier", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys[2].Tier = license.TierSD }, false},
		{"key with a higher rate", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys[2].BPS++ }, false},
		{"key rules dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Keys[2].Outputs = rules(t, license.OutputRules{Digital: 1}) }, false},
		{"key rules stricter", "PLAY", "PLAY", func(_, c *license.Info) {
			c.Keys[2].Outputs = rules(t, license.OutputRules{Digital: 1, Analog: license.RuleDeny})
		}, true},
		{"key says fewer pixels", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys[2].Outputs = rules(t, license.OutputRules{MaxPixels: 1}) }, false},
		{"level dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.MinLevel = 2 }, false},
		{"anchor dropped", "PLAY; PLAY_COUNT=2", "PLAY; PLAY_COUNT=1", func(_, c *license.Info) { c.Policy.MinAnchor = new(uint64) }, false},
		{"evidence dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.OutputEvidence = license.EvidenceTREM }, false},
		{"stop dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.ExpiryMode = license.ExpiryStop }, false},
		{"grace longer", "PLAY; CHARGE=RENTAL", "PLAY; CHARGE=SUBSCRIPTION", func(_, c *license.Info) { c.Policy.ExpiryMode = license.ExpiryFinish }, false},
		{"slice longer", "PLAY", "PLAY", func(_, c *license.Info) { c.Policy.Slice = 60_000 }, false},
		{"resume longer", "PLAY", "PLAY", func(_, c *license.Info) { c.Policy.ResumeWindow = 13 * hour }, false},
		{"epoch lower", "PLAY", "PLAY", func(p, _ *license.Info) { p.RevMinEpoch = 5 }, false},
		{"age longer", "PLAY", "PLAY", func(p, _ *license.Info) { p.RevMaxAge = day }, false},
		{"not derived", "PLAY", "PLAY", func(_, c *license.Info) { c.Parent = nil }, false},
		{"generation wrong", "PLAY", "PLAY", func(_, c *license.Info) { c.Parent.CopyGeneration = 1 }, false},
		{"index of another count", "PLAY; PLAY_COUNT=2", "PLAY; PLAY_COUNT=1", func(_, c *license.Info) { c.Parent.Of = 3 }, false},
		{"allowance of a domain", "PLAY", "PLAY", func(p, c *license.Info) { c.Subject = p.Subject }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newInfo(t, tc.parent)
			c := newInfo(t, tc.child)
			p.Policy.Duration, c.Policy.Duration = hour, hour
			c.Subject = license.DeviceSubject(ident.Device{1})
			c.Parent = &license.Parent{Kind: license.KindAllowance, Of: playCount(t, p)}
			if u, _ := c.Units(); u.Grants(permission.Copy) || u.Grants(permission.Move) || u.Grants(permission.Export) {
				c.Parent.Kind = license.KindRebind
			}
			if tc.edit != nil {
				tc.edit(p, c)
			}
			if err := license.Narrower(c, p); (err == nil) != tc.ok {
				t.Errorf("got %v, want ok %v", err, tc.ok)
			}
		})
	}
}

func playCount(t *testing.T, i *license.Info) uint64 {
	u, err := i.Units()
	if err != nil {
		t.Fatal(err)
	}
	return u.UsageFor(permission.Play)[0].PlayCount
}

// Sum of allowances, remainder and consumed plays stays n (I7).
func TestLicense_3_GiveAndTakeBack(t *testing.T) {
	lic := newLicense(t, rentalText, rentalPolicy)
	s := license.State{Consumed: map[permission.Permission]uint64{permission.Play: 1}}
	one, err := lic.Give(s, license.Share{Plays: 2})
	if err != nil {
		t.Fatal(err)
	}
	if one.NextIndex != 1 || one.Ver != 1 || s.Given != nil {
		t.Errorf("%+v (from %+v)", one, s)
	}
	in := at(day0)
	in.State = one
	if d := lic.Evaluate(in); d.Allow || *d.Counters.PlaysLeft != 0 {
		t.Errorf("%+v, want nothing left", d)
	}
	if _, err := lic.Give(one, license.Share{Plays: 1}); !errors.Is(err, license.ErrNoRight) {
		t.Errorf("a fourth play: %v", err)
	}
	two, err := one.TakeBack(license.Share{Plays: 2})
	if err != nil {
		t.Fatal(err)
	}
	if two.NextIndex != 1 || two.Given != nil {
		t.Errorf("taken back: %+v, want the index used and nothing given", two)
	}
	if _, err := two.TakeBack(license.Share{Plays: 1}); !errors.Is(err, license.ErrNoRight) {
		t.Errorf("back twice: %v", err)
	}
}

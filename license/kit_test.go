package license_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// day0 is when the tests' licenses are issued.
var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

var (
	audioKID = ident.Key{0: 0xa0, 15: 1}
	sdKID    = ident.Key{0: 0xa0, 15: 2}
	hdKID    = ident.Key{0: 0xa0, 15: 3}
	uhdKID   = ident.Key{0: 0xa0, 15: 4}
	domain   = ident.Domain{0: 0xd0, 15: 1}
)

// fataler is a test, or a property of one.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// fixedKey is the signing key of the worked examples: the scalar is 32 bytes of b.
func fixedKey(tb fataler, b byte) *ecdsa.PrivateKey {
	tb.Helper()
	d := make([]byte, 32)
	for i := range d {
		d[i] = b
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// code encodes a text form.
func code(tb fataler, text string) permission.Code {
	tb.Helper()
	u, err := permission.ParseText(text)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := u.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// key is the content key of a tier in the tests: 16 bytes of its number.
func key(tier license.Tier) []byte {
	k := make([]byte, cenc.KeySize)
	for i := range k {
		k[i] = byte(tier)
	}
	return k
}

func keyRef(kid ident.Key, tier license.Tier, bps uint64) license.KeyRef {
	return license.KeyRef{KID: kid, Tier: tier, Check: license.KeyCheck(kid, "film-1", key(tier)), BPS: bps}
}

// newInfo is a license for the tests' household; edits change it.
func newInfo(tb fataler, text string, edit ...func(*license.Info)) *license.Info {
	tb.Helper()
	i := &license.Info{
		Format: license.Format, ID: ident.License{0: 1, 15: 1}, Issuer: "shop.example", IssuedAt: day0, Content: "film-1",
		Subject: license.DomainSubject(domain, 1), Code: code(tb, text), Version: 1,
		Keys: []license.KeyRef{keyRef(audioKID, license.TierAudio, 16_000), keyRef(sdKID, license.TierSD, 250_000), keyRef(hdKID, license.TierHD, 1_000_000)},
	}
	for _, f := range edit {
		f(i)
	}
	return i
}

// newLicense signs and parses newInfo.
func newLicense(tb fataler, text string, edit ...func(*license.Info)) *license.License {
	tb.Helper()
	data, err := license.Sign(fixedKey(tb, 7), []byte("certificate"), newInfo(tb, text, edit...))
	if err != nil {
		tb.Fatal(err)
	}
	lic, err := license.Parse(data)
	if err != nil {
		tb.Fatal(err)
	}
	return lic
}

// at is an input of a member of the household that holds all keys, with secure
// time.
func at(now int64) license.Input {
	return license.Input{
		Clock: license.Clock{Lo: now, Est: now, Q: license.Secure},
		Env: license.Env{
			Accepted: true, Domains: []license.Membership{{Domain: domain, Generation: 1}}, Level: 1, Anchor: 1,
			Keys: []ident.Key{audioKID, sdKID, hdKID, uhdKID},
		},
		Request: license.Request{Action: permission.Play, Confirm: true, Output: license.Output{Class: license.OutputInternal}},
	}
}

// codes lists the closed reasons' codes.
func codes(d license.Decision) []license.Code {
	var out []license.Code
	for _, r := range d.Reasons {
		if r.Closed {
			out = append(out, r.Code)
		}
	}
	return out
}

// policy edits the policy.
func policy(f func(p *license.Policy)) func(*license.Info) {
	return func(i *license.Info) { f(&i.Policy) }
}

// viewer plays a license in the order of calls, as a TREM would: it commits
// what it is told to, and a crash goes back to what was committed.
type viewer struct {
	tb      testing.TB
	lic     *license.License
	in      license.Input // surroundings; Clock moves with play
	ses     license.Session
	begun   int64 // est at Begin
	durable license.State
	commits int
	anchors int
}

func newViewer(tb testing.TB, lic *license.License, now int64) *viewer {
	return &viewer{tb: tb, lic: lic, in: at(now)}
}

func (v *viewer) wait(ms int64) { v.in.Clock.Est, v.in.Clock.Lo = v.in.Clock.Est+ms, v.in.Clock.Lo+ms }

func (v *viewer) now() int64 { return v.in.Clock.Est }

// take keeps a step as a TREM does.
func (v *viewer) take(s license.Step) license.Decision {
	if !s.Decision.Allow {
		return s.Decision
	}
	v.in.State, v.ses = s.State, s.Session
	if s.Commit {
		v.durable = s.State
		v.commits++
	}
	if s.Anchor {
		v.anchors++
	}
	return s.Decision
}

func (v *viewer) begin(from int64) license.Decision {
	v.in.Request.From = from
	v.begun = v.now()
	return v.take(v.lic.Begin(v.in))
}

func (v *viewer) fragment(kid ident.Key, bytes, mediaMS, durMS int64) license.Decision {
	return v.take(v.lic.Extend(v.ses, v.in, license.Fragment{KID: kid, Bytes: bytes, MediaMS: mediaMS, DurMS: durMS, WallMS: v.now() - v.begun}))
}

// play watches media time [from, to) in real time on the SD key, in fragments
// of one second at half the peak rate, and returns the first refusal.
func (v *viewer) play(from, to int64) license.Decision {
	var d license.Decision
	for m := from; m < to; m += second {
		if d = v.fragment(sdKID, 125_000, m, second); !d.Allow {
			return d
		}
		v.wait(second)
	}
	return d
}

func (v *viewer) end() {
	v.take(v.lic.End(v.ses, v.in, v.now()-v.begun))
	v.ses = license.Session{}
}

func (v *viewer) crash() {
	v.in.State, v.ses = v.durable, license.Session{}
}

func (v *viewer) must(d license.Decision) {
	v.tb.Helper()
	if !d.Allow {
		v.tb.Fatalf("refused: %+v", d.Reasons)
	}
}

func (v *viewer) refused(d license.Decision, want license.Code) {
	v.tb.Helper()
	if d.Allow || !d.Has(want) {
		v.tb.Fatalf("got allow %v, reasons %+v; want %s", d.Allow, d.Reasons, want)
	}
}

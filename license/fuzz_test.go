package license_test

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// What parses encodes again to the same bytes, and nothing panics. The corpora
// are in testdata/fuzz.

func FuzzLicense(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		lic, err := license.Inspect(data)
		if err != nil {
			return
		}
		lic.Evaluate(at(day0))
		step := lic.Begin(at(day0))
		lic.Extend(step.Session, at(day0), license.Fragment{KID: lic.Info().Keys[0].KID, Bytes: 1})
		if !bytes.Equal(lic.Bytes(), data) {
			t.Error("bytes differ")
		}
		if _, err := license.Parse(data); err != nil {
			return
		}
		again, err := license.Sign(fixedKey(t, 7), []byte("certificate"), lic.Info())
		if err != nil {
			t.Fatal(err)
		}
		back, err := license.Parse(again)
		if err != nil {
			t.Fatal(err)
		}
		if lic.X5T() == back.X5T() && lic.Hash() != back.Hash() {
			t.Error("signed again, the hash differs")
		}
	})
}

func FuzzState(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := license.ParseState(data)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x (%v)", data, again, err)
		}
		in := at(day0)
		in.State = s
		newLicense(t, "PLAY; PLAY_COUNT=2; INTERVAL=1h", policy(func(p *license.Policy) { p.Duration = hour })).Begin(in)
	})
}

func FuzzKeyBundle(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := license.ParseKeyBundle(data)
		if err != nil {
			return
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("encodes otherwise (%v)", err)
		}
	})
}

func FuzzDecision(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := license.ParseDecision(data)
		if err != nil {
			return
		}
		if again, err := d.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x (%v)", data, again, err)
		}
	})
}

// dial turns the bytes of a fuzz input into choices; behind them all is 0.
type dial struct{ data []byte }

func (d *dial) byte() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

// ms gives a time of up to 2^24 ms, or now and then one that is out of all bounds.
func (d *dial) ms() int64 {
	n := int64(d.byte())<<16 | int64(d.byte())<<8 | int64(d.byte())
	switch d.byte() {
	case 254:
		return n << 32
	case 255:
		return -n
	}
	return n
}

// input makes surroundings and a request of the bytes.
func (d *dial) input() license.Input {
	in := at(day0 + d.ms())
	in.Clock.Q, in.Clock.Unsynced, in.Clock.LoIss, in.Clock.Relayed = license.Quality(d.byte()), d.ms(), d.ms(), d.byte()
	in.Env.Level, in.Env.Anchor, in.Env.StatusAge, in.Env.Offline = d.byte(), d.byte(), d.ms(), d.byte()&1 == 1
	in.Env.Region = license.RegionEvidence{Country: string([]byte{d.byte(), d.byte()}), Source: license.RegionSource(d.byte()), At: d.ms()}
	for range d.byte() % 4 {
		in.Env.Slots = append(in.Env.Slots, license.Slot{Device: ident.Device{d.byte()}, Seen: d.ms(), Taken: d.byte()&1 == 1})
		in.Env.Outputs = append(in.Env.Outputs, license.Output{Class: license.OutputClass([]string{"", "DIGITAL", "ANALOG", "LINK"}[d.byte()%4]), Protection: permission.Protection(d.byte()), Plugged: d.ms()})
	}
	r := &in.Request
	r.Action, r.Tier, r.FPS, r.From, r.For = permission.Permission(d.byte()), license.Tier(d.byte()), uint64(d.byte()), d.ms(), d.ms()
	r.Form, r.Countersigned, r.Consent, r.Again = license.Form(d.byte()), license.Countersigned(d.byte()), d.byte()&1 == 1, d.byte()&1 == 1
	if d.byte()&1 == 1 {
		r.Dest = &license.Dest{Domain: domain, Level: d.byte(), Anchor: d.byte(), Country: "AT", System: "hls", Clear: d.byte()&1 == 1}
	}
	return in
}

// Whatever the license, the state and the surroundings are: no panic, the same
// bytes for the same input, and what is decided can be read.
func FuzzEvaluate(f *testing.F) {
	f.Fuzz(func(t *testing.T, data, state, around []byte) {
		lic, err := license.Inspect(data)
		if err != nil {
			return
		}
		s, err := license.ParseState(state)
		if err != nil {
			return
		}
		d := &dial{around}
		in := d.input()
		in.State = s
		one, two := lic.Evaluate(in), lic.Evaluate(in)
		a, err := one.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := two.Encode(); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%x and %x (%v)", a, b, err)
		}
		if _, err := license.ParseDecision(a); err != nil {
			t.Errorf("%x: %v", a, err)
		}
		lic.Reserve(in)
		_, _ = license.Derive(lic, license.Derivation{Kind: license.DerivedKind(d.byte()), Device: ident.Device{1}, Plays: uint64(d.byte()), MS: d.ms(), For: d.ms(), Now: in.Clock.Est, State: s})
		_, _, _ = license.Relay(lic, license.Derivation{Now: in.Clock.Est, State: s}, license.Target{System: "hls"})
	})
}

// FuzzSession drives sessions by bytes: what is counted never decreases, and
// never passes what was sold.
func FuzzSession(f *testing.F) {
	lics := []*license.License{
		newLicense(f, "PLAY; PLAY_COUNT=2; INTERVAL=1h; RENDER; PLAY_COUNT=2", policy(func(p *license.Policy) { p.Duration = 2 * minute })),
		newLicense(f, "PLAY; ACCUMULATED=300s; TIMELINE=NO_SKIP", policy(func(p *license.Policy) { p.Duration, p.AccumulatedBy = 2*minute, license.AccumulatedMedia })),
		newLicense(f, "PLAY; PLAY_COUNT=2; ACCUMULATED=300s; TRANSFER=1", policy(func(p *license.Policy) { p.Duration = 2 * minute })),
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dial{data}
		v := newViewer(t, lics[int(d.byte())%len(lics)], day0)
		v.in.Env.Anchor, v.in.Request.Dest = 1+d.byte()%2, &license.Dest{Domain: domain, Level: 1, Anchor: 1, Renderer: "tv"}
		for len(d.data) > 0 {
			before := v.durable
			v.turn(d)
			v.wait(int64(d.byte()) * 100)
			s := v.durable
			if s.Ver < before.Ver || plays(s) < plays(before) || plays(s) > 2 || s.Consumed[permission.Render]+s.Reserved[permission.Render] > 2 || s.Acc+s.GivenMS > 300_000 || before.FirstUse != 0 && s.FirstUse != before.FirstUse {
				t.Fatalf("%+v after %+v", s, before)
			}
			b, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := license.ParseState(b); err != nil {
				t.Fatalf("%x: %v", b, err)
			}
		}
	})
}

// turn does what the next bytes say.
func (v *viewer) turn(d *dial) {
	keep := func(s license.State, err error) {
		if err == nil {
			v.in.State, v.durable = s, s
		}
	}
	switch d.byte() % 8 {
	case 0:
		v.end()
		v.in.Request.Action, v.in.Request.Again = permission.Play+permission.Permission(d.byte()%2), d.byte()&1 == 1
		v.begin(int64(d.byte()) * second)
	case 1, 2, 3:
		v.fragment([]ident.Key{audioKID, sdKID, hdKID}[d.byte()%3], d.ms(), int64(d.byte())*second, int64(d.byte())*100)
	case 4:
		v.crash()
	case 5:
		keep(v.lic.Give(v.in.State, license.Share{Plays: uint64(d.byte() % 3), MS: int64(d.byte()) * 1000}))
	case 6:
		keep(v.in.State.TakeBack(license.Share{Plays: uint64(d.byte() % 3), MS: int64(d.byte()) * 1000}))
	default:
		in := v.in
		in.Request.Action, in.Request.Form = permission.Render, license.FormStill
		if step := v.lic.Reserve(in); step.Commit {
			keep(step.State, nil)
		}
	}
}

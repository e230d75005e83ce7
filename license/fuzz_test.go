package license_test

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/license"
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

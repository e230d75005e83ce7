package edhoc

import (
	"crypto/sha256"
	"errors"
	"testing"
)

// TestEDHOC_5_Order calls every step at every wrong moment.
func TestEDHOC_5_Order(t *testing.T) {
	idI, idR := testIdentity(t, Suite2), testIdentity(t, Suite2)
	iniSteps := []func(*Initiator) error{
		func(i *Initiator) error { _, err := i.Message1([]Suite{Suite2}, []byte{1}, nil); return err },
		func(i *Initiator) error { _, err := i.Message2([]byte{0x40}); return err },
		func(i *Initiator) error { _, err := i.Authenticate(idR.Cred, idR.Signer.Public()); return err },
		func(i *Initiator) error { _, err := i.Message3(idI, nil); return err },
		func(i *Initiator) error { _, err := i.Message4([]byte{0x40}); return err },
		func(i *Initiator) error { _, err := i.Export(1, nil, 1); return err },
	}
	for at := range iniSteps {
		for _, done := range []bool{false, true} {
			var ini *Initiator
			if done {
				ini, _ = exchange(t, Suite2, idI, idR)
				if at == 5 {
					continue // an export is what a finished exchange is for
				}
			} else {
				var err error
				if ini, err = NewInitiator(Config{Suites: []Suite{Suite2}}); err != nil {
					t.Fatal(err)
				}
				if at == 0 {
					continue
				}
			}
			if err := iniSteps[at](ini); !errors.Is(err, ErrStep) {
				t.Errorf("Initiator step %d, finished %v: %v", at, done, err)
			}
		}
	}
	resSteps := []func(*Responder) error{
		func(r *Responder) error { _, err := r.Message1([]byte{0}); return err },
		func(r *Responder) error { _, err := r.Message2([]byte{1}, idR, nil); return err },
		func(r *Responder) error { _, err := r.Message3([]byte{0x40}); return err },
		func(r *Responder) error { _, err := r.Authenticate(idI.Cred, idI.Signer.Public()); return err },
		func(r *Responder) error { _, err := r.Message4(nil); return err },
		func(r *Responder) error { _, err := r.Export(1, nil, 1); return err },
	}
	for at := range resSteps {
		_, res := exchange(t, Suite2, idI, idR)
		if at < 5 {
			if err := resSteps[at](res); !errors.Is(err, ErrStep) {
				t.Errorf("Responder step %d when finished: %v", at, err)
			}
		}
		res, err := NewResponder(Config{Suites: []Suite{Suite2}})
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 {
			if err := resSteps[at](res); !errors.Is(err, ErrStep) {
				t.Errorf("Responder step %d at first: %v", at, err)
			}
		}
	}
}

// TestEDHOC_5_Plaintext2: HKDF-Expand ends at 8,160 bytes, and message_2 with it,
// in a suite with short shares and in that with long ones.
func TestEDHOC_5_Plaintext2(t *testing.T) {
	for _, s := range []Suite{Suite2, SuiteHybrid} {
		id := testIdentity(t, s)
		p, _ := s.params()
		const rest = 1 + 1 + 66 + 1 + 3 // C_R, kid, Signature_2, EAD label, head of its value
		for _, n := range []int{MaxPlaintext2, MaxPlaintext2 + 1} {
			ini, m1 := begun(t, s)
			res, err := NewResponder(Config{Suites: []Suite{s}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := res.Message1(m1); err != nil {
				t.Fatal(err)
			}
			m2, err := res.Message2([]byte{1}, id, []EAD{{Label: 1, Value: make([]byte, n-rest)}})
			if n > MaxPlaintext2 {
				if !errors.Is(err, ErrTooLong) {
					t.Errorf("%v: PLAINTEXT_2 of %d bytes: %v", s, n, err)
				}
				continue
			}
			if err != nil || len(m2) != 3+p.gy+n {
				t.Fatalf("%v: message_2 has %d bytes, %v", s, len(m2), err)
			}
			if _, err := ini.Message2(m2); err != nil {
				t.Fatal(err)
			}
			if ead, err := ini.Authenticate(id.Cred, id.Signer.Public()); err != nil || len(ead[0].Value) != n-rest {
				t.Errorf("%v: %v", s, err)
			}
		}
		ini, m1 := begun(t, s)
		m, err := parseMessage1(m1)
		if err != nil {
			t.Fatal(err)
		}
		gy, _, err := Fresh{}.Answer(s, m.gx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ini.Message2(bstr(append(gy, make([]byte, MaxPlaintext2+1)...))); !errors.Is(err, ErrTooLong) {
			t.Errorf("%v: a message_2 that is too long: %v", s, err)
		}
	}
}

// TestEDHOC_5_EADItems: a message has at most 16 items of external authorization
// data, when it is read and when it is made.
func TestEDHOC_5_EADItems(t *testing.T) {
	id := testIdentity(t, Suite2)
	many := make([]EAD, maxEAD+1)
	if items, err := parseEAD(encodeEAD(many[:maxEAD])); err != nil || len(items) != maxEAD {
		t.Errorf("%d items: %v", maxEAD, err)
	}
	if _, err := parseEAD(encodeEAD(many)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d items: %v", maxEAD+1, err)
	}
	ini, err := NewInitiator(Config{Suites: []Suite{Suite2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ini.Message1([]Suite{Suite2}, []byte{1}, many); !errors.Is(err, ErrTooLong) {
		t.Errorf("message_1: %v", err)
	}
	_, m1 := begun(t, Suite2)
	res, err := NewResponder(Config{Suites: []Suite{Suite2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message1(m1); err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message2([]byte{1}, id, many); !errors.Is(err, ErrTooLong) {
		t.Errorf("message_2: %v", err)
	}
	if _, err := (&Initiator{step: verified2}).Message3(id, many); !errors.Is(err, ErrTooLong) {
		t.Errorf("message_3: %v", err)
	}
	if _, err := (&Responder{step: verified3}).Message4(many); !errors.Is(err, ErrTooLong) {
		t.Errorf("message_4: %v", err)
	}
}

func TestEDHOC_TagLen(t *testing.T) {
	for s, want := range map[Suite]int{Suite0: 8, Suite2: 8, Suite3: 16, Suite6: 16, SuiteHybrid: 16, 1: 0, -21: 0} {
		if got := s.TagLen(); got != want || s.Known() != (want > 0) {
			t.Errorf("%v: tag of %d bytes, known %v", s, got, s.Known())
		}
	}
}

func TestEDHOC_5_Limits(t *testing.T) {
	id := testIdentity(t, Suite2)
	_, m1 := begun(t, Suite2)
	res, err := NewResponder(Config{Suites: []Suite{Suite2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message1(m1); err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message2([]byte{1}, id, []EAD{{Label: 1, Value: make([]byte, MaxPlaintext2)}}); !errors.Is(err, ErrTooLong) {
		t.Errorf("long PLAINTEXT_2: %v", err)
	}
	for _, suite := range []Suite{Suite2, Suite6} {
		p, _ := suite.params()
		s, err := start(p, sha256.Sum256(m1), make([]byte, 32), make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		res = &Responder{step: verified3, sched: s}
		longest := MaxMessage - 3 - suite.TagLen() - 4 // head of message_4; label and head of the value
		if _, err := res.Message4([]EAD{{Label: 1, Value: make([]byte, longest+1)}}); !errors.Is(err, ErrTooLong) {
			t.Errorf("%v: message_4 that is one byte too long: %v", suite, err)
		}
		if m4, err := res.Message4([]EAD{{Label: 1, Value: make([]byte, longest)}}); err != nil || len(m4) != MaxMessage {
			t.Errorf("%v: the longest message_4 has %d bytes, %v", suite, len(m4), err)
		}
	}
	for _, cfg := range []Config{{}, {Suites: []Suite{1}}, {Suites: []Suite{2, 2}}} {
		if _, err := NewInitiator(cfg); err == nil {
			t.Errorf("NewInitiator(%v) = nil", cfg.Suites)
		}
	}
	ini, err := NewInitiator(Config{Suites: []Suite{Suite6, Suite2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ini.Message1([]Suite{Suite2}, []byte{1}, nil); err == nil {
		t.Error("a preferred suite was left out")
	}
	if _, err := (IDCred{}).header(); err == nil {
		t.Error("a credential without a name")
	}
}

// TestEDHOC_5_OpenedAndMalformed: a message_3 or message_4 whose tag holds is the
// peer's own. What is malformed in it ends the exchange, unlike a stray message.
func TestEDHOC_5_OpenedAndMalformed(t *testing.T) {
	for _, s := range stages(t) {
		res, ini := &Responder{step: waiting3, suite: s.suite, sched: s.fresh()}, &Initiator{step: waiting4, suite: s.suite, sched: s.fresh()}
		stray := bstr(make([]byte, 40))
		_, err3 := res.Message3(stray)
		_, err4 := ini.Message4(stray)
		if errors.Is(err3, ErrOpened) || errors.Is(err4, ErrOpened) || res.step != waiting3 || ini.step != waiting4 {
			t.Errorf("%v: stray: %v, %v", s.suite, err3, err4)
		}
		m3, err1 := res.sched.seal(kdfK3, kdfIV3, []byte{0x61})
		m4, err2 := ini.sched.seal(kdfK4, kdfIV4, []byte{0x61})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		_, err3 = res.Message3(m3)
		_, err4 = ini.Message4(m4)
		if !errors.Is(err3, ErrOpened) || !errors.Is(err4, ErrOpened) || !errors.Is(err3, ErrMalformed) || !errors.Is(err4, ErrMalformed) {
			t.Errorf("%v: %v, %v", s.suite, err3, err4)
		}
		if _, err := res.Message3(m3); !errors.Is(err, ErrStep) {
			t.Errorf("%v: it goes on: %v", s.suite, err)
		}
	}
}

package edhoc

import (
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
	_, res = exchange(t, Suite2, id, id)
	res.step = verified3
	if _, err := res.Message4([]EAD{{Label: 1, Value: make([]byte, MaxMessage)}}); !errors.Is(err, ErrTooLong) {
		t.Errorf("long message_4: %v", err)
	}
	if _, err := res.Message4([]EAD{{Label: 1}}); err != nil {
		t.Errorf("a shorter one after that: %v", err)
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

package edhoc

import (
	"bytes"
	"errors"
	"testing"
)

// exporter is what both sides have once an exchange is done.
type exporter interface {
	Export(label uint64, context []byte, n int) ([]byte, error)
	KeyUpdate(context []byte) error
}

func exportOf(t testing.TB, e exporter) []byte {
	t.Helper()
	b, err := e.Export(40000, nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEDHOC_H_KeyUpdate: both sides stay together while they update with the
// same contexts, and every export differs from all before.
func TestEDHOC_H_KeyUpdate(t *testing.T) {
	for _, s := range everySuite() {
		ini, res := exchange(t, s, testIdentity(t, s), testIdentity(t, s))
		var before [][]byte
		for _, context := range [][]byte{{1}, {1}, nil, []byte("an event"), {2}} {
			a, b := exportOf(t, ini), exportOf(t, res)
			if !bytes.Equal(a, b) {
				t.Fatalf("%v: after %d updates exports differ", s, len(before))
			}
			for i, old := range before {
				if bytes.Equal(a, old) {
					t.Errorf("%v: the export after %d updates is that after %d", s, len(before), i)
				}
			}
			before = append(before, a)
			if err := errors.Join(ini.KeyUpdate(context), res.KeyUpdate(context)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(ini.KeyUpdate([]byte{1}), res.KeyUpdate([]byte{2})); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(exportOf(t, ini), exportOf(t, res)) {
			t.Errorf("%v: two contexts, one export", s)
		}
	}
}

// TestEDHOC_H_OnlyWhenDone: before message_4 was sent or verified there is
// nothing to update, and after Close neither.
func TestEDHOC_H_OnlyWhenDone(t *testing.T) {
	idI, idR := testIdentity(t, Suite6), testIdentity(t, Suite6)
	cfg := Config{Suites: []Suite{Suite6}}
	ini, m1 := begun(t, Suite6)
	res, err := NewResponder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	none := func(at string, sides ...exporter) {
		t.Helper()
		for _, e := range sides {
			if err := e.KeyUpdate(nil); !errors.Is(err, ErrStep) {
				t.Errorf("%s: %T.KeyUpdate = %v", at, e, err)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = res.Message1(m1)
	must(err)
	none("message_1", ini, res)
	m2, err := res.Message2([]byte{1}, idR, nil)
	must(err)
	_, err = ini.Message2(m2)
	must(err)
	_, err = ini.Authenticate(idR.Cred, idR.Signer.Public())
	must(err)
	m3, err := ini.Message3(idI, nil)
	must(err)
	none("message_3", ini, res)
	_, err = res.Message3(m3)
	must(err)
	_, err = res.Authenticate(idI.Cred, idI.Signer.Public())
	must(err)
	exportOf(t, ini)
	exportOf(t, res)
	none("before message_4", ini, res)
	m4, err := res.Message4(nil)
	must(err)
	none("message_4 not read yet", ini)
	_, err = ini.Message4(m4)
	must(err)
	must(errors.Join(ini.KeyUpdate(nil), res.KeyUpdate(nil)))
	ini.Close()
	res.Close()
	none("after Close", ini, res)
}

// TestEDHOC_H_ForwardSecrecy: what a side keeps after an update leads to no key
// before it. The keys it had are overwritten, not only let go.
func TestEDHOC_H_ForwardSecrecy(t *testing.T) {
	ini, res := exchange(t, Suite6, testIdentity(t, Suite6), testIdentity(t, Suite6))
	for _, s := range []*schedule{&ini.sched, &res.sched} {
		if s.prk.b != nil || s.prk.mac != nil {
			t.Error("PRK_2e is kept after message_4; PRK_out follows from it")
		}
		out, exp := s.out.b, s.exp.b
		if err := s.update([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if *out != [hashLen]byte{} || *exp != [hashLen]byte{} {
			t.Error("a key of before the update is still in memory")
		}
		if s.out.b == out || s.exp.b == exp || *s.out.b == [hashLen]byte{} || *s.exp.b == [hashLen]byte{} {
			t.Error("there is no new key")
		}
	}
}

// TestEDHOC_Close_Overwrites: Close leaves no pseudorandom key and no plaintext,
// wherever the exchange stands.
func TestEDHOC_Close_Overwrites(t *testing.T) {
	ini, res := exchange(t, Suite2, testIdentity(t, Suite2), testIdentity(t, Suite2))
	kept := []*[hashLen]byte{ini.sched.out.b, ini.sched.exp.b, res.sched.out.b, res.sched.exp.b}
	ini.Close()
	res.Close()
	for i, b := range kept {
		if *b != [hashLen]byte{} {
			t.Errorf("key %d is still in memory", i)
		}
	}
	share := &watched{}
	ini, err := NewInitiator(Config{Suites: []Suite{Suite6}, Ephemeral: share})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ini.Message1([]Suite{Suite6}, []byte{1}, nil); err != nil {
		t.Fatal(err)
	}
	ini.Close()
	if share.closed != 1 {
		t.Errorf("a share that waits was closed %d times", share.closed)
	}
	claimed, m1 := begun(t, Suite2)
	if res, err = NewResponder(Config{Suites: []Suite{Suite2}}); err != nil {
		t.Fatal(err)
	}
	if _, err := res.Message1(m1); err != nil {
		t.Fatal(err)
	}
	m2, err := res.Message2([]byte{1}, testIdentity(t, Suite2), []EAD{{Label: 1, Value: []byte("word")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimed.Message2(m2); err != nil {
		t.Fatal(err)
	}
	prk, raw := claimed.sched.prk.b, claimed.raw
	claimed.Close()
	if *prk != [hashLen]byte{} || !bytes.Equal(raw, make([]byte, len(raw))) {
		t.Error("PRK_2e or PLAINTEXT_2 is still in memory")
	}
}

// TestEDHOC_ShareIsUsedOnce: message_2, good or bad, ends the share.
func TestEDHOC_ShareIsUsedOnce(t *testing.T) {
	share := &watched{}
	ini, err := NewInitiator(Config{Suites: []Suite{Suite6}, Ephemeral: share})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ini.Message1([]Suite{Suite6}, []byte{1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ini.Message2(bstr(make([]byte, 80))); !errors.Is(err, ErrRejected) {
		t.Errorf("message_2 of zeros: %v", err)
	}
	if share.closed != 1 {
		t.Errorf("the share was closed %d times", share.closed)
	}
	ini.Close()
	if share.closed != 1 {
		t.Errorf("the share was closed again: %d", share.closed)
	}
	for _, s := range everySuite() {
		own, err := Fresh{}.Offer(s)
		if err != nil {
			t.Fatal(err)
		}
		gy, _, err := Fresh{}.Answer(s, own.Public())
		if err != nil {
			t.Fatal(err)
		}
		closeShare(own)
		if h, ok := own.(*hybridShare); ok && (h.kem != nil || h.dh.key != nil) {
			t.Error("a closed hybrid share still refers to its keys")
		}
		if z, err := own.Agree(gy); !errors.Is(err, ErrStep) || z != nil {
			t.Errorf("%v: a closed share agrees: %v", s, err)
		}
	}
}

// watched counts how often its share is closed.
type watched struct {
	Share
	closed int
}

func (w *watched) Offer(s Suite) (share Share, err error) {
	w.Share, err = Fresh{}.Offer(s)
	return w, err
}

func (w *watched) Answer(s Suite, gx []byte) (gy, gxy []byte, err error) {
	return Fresh{}.Answer(s, gx)
}

func (w *watched) Close() { w.closed++ }

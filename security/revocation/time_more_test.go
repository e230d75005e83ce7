package revocation

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// exampleMore are the worked examples of a relay and a reset.
func exampleMore(t *testing.T) (relay, reset []byte) {
	t.Helper()
	var nonce, asked [NonceLen]byte
	for i := range nonce {
		asked[i], nonce[i] = byte(i), byte(16+i)
	}
	token, err := SignTime(exampleKey(t), []byte("certificate"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), asked)
	must(t, err)
	relay, err = SignTimeRelay(exampleKey(t), []byte("certificate"), TimeRelay{Nonce: nonce, Token: token, Asked: asked, Elapsed: 3_600_000})
	must(t, err)
	reset, err = SignTimeReset(exampleKey(t), []byte("certificate"), TimeReset{Class: 4097, MaxLo: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli(), Serial: 7})
	must(t, err)
	return relay, reset
}

func TestTime_WorkedExamplesOfRelayAndReset(t *testing.T) {
	relay, reset := exampleMore(t)
	checkBlocks(t, timePage, map[string][]byte{"relay": relay, "reset": reset})
}

func TestTime_RelayIsBoundToItsAsker(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	signer, member, other := d.Party(pki.TimeSigner), d.Party(pki.HomeServer), d.Party(pki.HomeServer)
	v := &pki.Verifier{Trust: d.Trust}
	peer, err := v.Verify(member.Chain, d.Now, pki.HomeServer)
	must(t, err)
	asked, nonce := [NonceLen]byte{1}, [NonceLen]byte{2}
	token, err := SignTime(signer.Key, signer.Leaf(), d.Now, asked)
	must(t, err)
	make1 := func(key *pkitest.Party, r TimeRelay) []byte {
		data, err := SignTimeRelay(key.Key, key.Leaf(), r)
		must(t, err)
		return data
	}
	good := TimeRelay{Nonce: nonce, Token: token, Asked: asked, Elapsed: MaxRelayAge}
	at, elapsed, err := VerifyTimeRelay(make1(member, good), peer, signer.Chain, v, nonce)
	if err != nil || at != d.Now.UnixMilli() || elapsed != MaxRelayAge {
		t.Fatalf("%d %d %v", at, elapsed, err)
	}
	for name, tc := range map[string]struct {
		data  []byte
		peer  *pki.Peer
		chain [][]byte
		nonce [NonceLen]byte
	}{
		"another asker":              {make1(member, good), peer, signer.Chain, [NonceLen]byte{3}},
		"signed by another":          {make1(other, good), peer, signer.Chain, nonce},
		"nobody verified":            {make1(member, good), new(pki.Peer), signer.Chain, nonce},
		"a token of no time signer":  {make1(member, good), peer, member.Chain, nonce},
		"older than a day":           {make1(member, TimeRelay{Nonce: nonce, Token: token, Asked: asked, Elapsed: MaxRelayAge + 1}), peer, signer.Chain, nonce},
		"a token for another nonce":  {make1(member, TimeRelay{Nonce: nonce, Token: token, Asked: nonce}), peer, signer.Chain, nonce},
		"no token":                   {make1(member, TimeRelay{Nonce: nonce, Asked: asked}), peer, signer.Chain, nonce},
		"cut":                        {make1(member, good)[:50], peer, signer.Chain, nonce},
		"more":                       {append(make1(member, good), 0), peer, signer.Chain, nonce},
		"a token itself for a relay": {token, peer, signer.Chain, nonce},
	} {
		if _, _, err := VerifyTimeRelay(tc.data, tc.peer, tc.chain, v, tc.nonce); !errors.Is(err, ErrTime) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTime_ResetOfTheRootOnly(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	root := d.CAs[pkitest.RootClass].Signer
	want := TimeReset{Class: 4097, MaxLo: 5, Serial: 7}
	data, err := SignTimeReset(root, d.Root, want)
	must(t, err)
	if got, err := VerifyTimeReset(data, d.Trust); err != nil || got != want || !got.For(4097) || got.For(4098) || !(TimeReset{}).For(4098) {
		t.Fatalf("%+v %v", got, err)
	}
	forged, err := SignTimeReset(d.Key(), d.Root, want)
	must(t, err)
	signer := d.Party(pki.TimeSigner)
	byTimeSigner, err := SignTimeReset(signer.Key, signer.Leaf(), want)
	must(t, err)
	for name, bad := range map[string][]byte{"forged": forged, "of a time signer": byTimeSigner, "cut": data[:len(data)-1], "more": append(bytes.Clone(data), 0), "nothing": nil} {
		if _, err := VerifyTimeReset(bad, d.Trust); !errors.Is(err, ErrTime) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []TimeReset{{MaxLo: -1, Serial: 1}, {MaxLo: maxTime + 1, Serial: 1}, {Serial: 0}, {Serial: maxResetSerial + 1}} {
		if _, err := SignTimeReset(root, d.Root, bad); !errors.Is(err, ErrTime) {
			t.Errorf("signed %+v: %v", bad, err)
		}
	}
}

func FuzzTimeObjects(f *testing.F) {
	d := pkitest.New(f, pkitest.Start())
	member := d.Party(pki.HomeServer)
	v := &pki.Verifier{Trust: d.Trust}
	peer, err := v.Verify(member.Chain, d.Now, pki.HomeServer)
	if err != nil {
		f.Fatal(err)
	}
	relay, err := SignTimeRelay(member.Key, member.Leaf(), TimeRelay{Token: []byte{1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(relay)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := VerifyTimeRelay(data, peer, member.Chain, v, [NonceLen]byte{}); err == nil {
			t.Errorf("%x holds", data)
		}
		if _, err := VerifyTimeReset(data, d.Trust); err == nil {
			t.Errorf("%x holds", data)
		}
	})
}

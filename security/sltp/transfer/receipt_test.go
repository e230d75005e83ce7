package transfer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// exampleKey is the destination's key of the page's signed examples, with its device ID.
func exampleKey(tb testing.TB) (*ecdsa.PrivateKey, ident.Device) {
	tb.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{5}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return key, ident.DeviceOf(spki)
}

// signedExamples is the RECEIPT, the CLOSED and the HEAD of the page.
func signedExamples(tb testing.TB) [][]byte {
	tb.Helper()
	key, id := exampleKey(tb)
	tid := exampleTID()
	tid.Dst = id
	hash := [32]byte(bytes.Repeat([]byte{4}, 32))
	leaf := []byte("certificate")
	receipt, err1 := SignReceipt(key, leaf, Statement{TID: tid, Verdict: Refused, Reason: "NOT_MEMBER", XferHash: hash, Epoch: 6})
	closed, err2 := SignReceipt(key, leaf, Statement{TID: tid, Verdict: Installed, XferHash: hash, Closed: true, Low: 1, Epoch: 6, Head: []byte{1}})
	head, err3 := SignHead(key, leaf, Head{Device: id, Incarnation: tid.Incarnation, Counter: 7, Hash: hash, Epoch: 6})
	if err := errors.Join(err1, err2, err3); err != nil {
		tb.Fatal(err)
	}
	return [][]byte{receipt, closed, head}
}

func TestTransfer_1_SignedExamples(t *testing.T) {
	page := pageExamples(t)[3:6]
	for i, got := range signedExamples(t) {
		if i >= len(page) || !bytes.Equal(got, page[i]) {
			t.Errorf("signed example %d is\n%x", i, got)
		}
	}
	if len(page) != 3 {
		t.Fatalf("%d signed examples on the page, want 3", len(page))
	}
	key, id := exampleKey(t)
	r, err := parseReceipt(page[0], id, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	want := Statement{TID: r.TID, Verdict: Refused, Reason: "NOT_MEMBER", XferHash: r.XferHash, Epoch: 6}
	if d := cmp.Diff(want, r.Statement, cmp.AllowUnexported(ident.Transfer{})); d != "" {
		t.Error(d)
	}
	if r, err = parseReceipt(page[1], id, &key.PublicKey); err != nil || !r.Closed || !r.Installed() || r.Low != 1 || r.Epoch != 0 || r.Head != nil {
		t.Errorf("CLOSED: %+v, %v", r, err)
	}
}

func TestTransfer_1_ReceiptIsTheDestinations(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dst, other := d.Party(pki.Device), d.Party(pki.Device)
	tid := exampleTID()
	tid.Dst = d.Peer(dst).ID()
	sign := func(p *pkitest.Party, s Statement) []byte {
		data, err := SignReceipt(p.Key, p.Leaf(), s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	s := Statement{TID: tid, Verdict: Installed, XferHash: [32]byte{1}}
	good := sign(dst, s)
	r, err := ParseReceipt(good, d.Peer(dst))
	if err != nil || !r.Installed() || !bytes.Equal(r.Bytes(), good) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := ParseReceipt(sign(other, s), d.Peer(other)); !errors.Is(err, ErrReceipt) {
		t.Errorf("another's statement about it: %v", err)
	}
	if _, err := ParseReceipt(sign(other, s), d.Peer(dst)); !errors.Is(err, ErrReceipt) {
		t.Errorf("another's signature: %v", err)
	}
	for _, p := range []*pki.Peer{nil, {}} {
		if _, err := ParseReceipt(good, p); !errors.Is(err, pki.ErrNotVerified) {
			t.Errorf("a peer that nobody verified: %v", err)
		}
		if _, err := ParseHead(good, p); err == nil {
			t.Error("a head of a peer that nobody verified")
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := ParseReceipt(bad, d.Peer(dst)); err == nil {
			t.Fatalf("byte %d changed: accepted", i)
		}
	}
	h := Head{Device: tid.Dst, Counter: 1}
	data, err := SignHead(dst.Key, dst.Leaf(), h)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseHead(data, d.Peer(dst)); err != nil || got != h {
		t.Errorf("head: %+v, %v", got, err)
	}
	if _, err := ParseHead(data, d.Peer(other)); !errors.Is(err, ErrReceipt) {
		t.Errorf("another's head: %v", err)
	}
	if _, err := ParseReceipt(data, d.Peer(dst)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a head as a receipt: %v", err)
	}
}

// TestTransfer_1_StatementsThatNobodyMakes are neither signed nor read.
func TestTransfer_1_StatementsThatNobodyMakes(t *testing.T) {
	key, id := exampleKey(t)
	tid := exampleTID()
	tid.Dst = id
	hash := [32]byte{1}
	for name, s := range map[string]Statement{
		"unknown verdict":           {TID: tid, Verdict: 4, XferHash: hash},
		"RECEIPT UNKNOWN":           {TID: tid, Verdict: Unknown},
		"installed nothing":         {TID: tid, Verdict: Installed},
		"installed with a reason":   {TID: tid, Verdict: Installed, Reason: "X", XferHash: hash},
		"refused without a reason":  {TID: tid, Verdict: Refused, XferHash: hash},
		"reason too long":           {TID: tid, Verdict: Refused, Reason: string(make([]byte, MaxReason+1)), XferHash: hash},
		"RECEIPT with low":          {TID: tid, Verdict: Installed, XferHash: hash, Low: 1},
		"CLOSED above low":          {TID: tid, Verdict: Installed, XferHash: hash, Closed: true},
		"CLOSED UNKNOWN with hash":  {TID: tid, Verdict: Unknown, XferHash: hash, Closed: true, Low: 1},
		"CLOSED with a reason":      {TID: tid, Verdict: Refused, Reason: "X", XferHash: hash, Closed: true, Low: 1},
		"sequence number 0":         {TID: ident.Transfer{Src: tid.Src, Dst: id}, Verdict: Installed, XferHash: hash},
		"to itself":                 {TID: ident.Transfer{Src: id, Dst: id, Seq: 1}, Verdict: Installed, XferHash: hash},
		"sequence number too large": {TID: ident.Transfer{Src: tid.Src, Dst: id, Seq: MaxSeq + 1}, Verdict: Installed, XferHash: hash},
	} {
		if _, err := SignReceipt(key, nil, s); err == nil {
			t.Errorf("%s: signed", name)
		}
		obj, payload := ObjectReceipt, any(receiptWire{Type: typeReceipt, TID: s.TID, Verdict: s.Verdict, Reason: s.Reason, Hash: s.XferHash})
		if s.Closed {
			obj, payload = ObjectClosed, closedWire{Type: typeClosed, TID: s.TID, Verdict: s.Verdict, Hash: s.XferHash, Low: s.Low}
		}
		if s.Low > 0 && !s.Closed || s.Closed && s.Reason != "" {
			continue // cannot be written down
		}
		data, err := wire.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		if data, err = wire.NewSign1(key, nil, obj, data); err != nil {
			t.Fatal(err)
		}
		if _, err := parseReceipt(data, id, &key.PublicKey); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func TestTransfer_1_BodiesThatNobodyMakes(t *testing.T) {
	zero := int64(0)
	ok := Body{Op: OpIssue, Chain: [][]byte{{1}}}
	if _, err := ok.Encode(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Body){
		"operation 0":     func(b *Body) { b.Op = 0 },
		"operation 6":     func(b *Body) { b.Op = 6 },
		"no license":      func(b *Body) { b.Chain = nil },
		"five licenses":   func(b *Body) { b.Chain = [][]byte{{1}, {1}, {1}, {1}, {1}} },
		"empty license":   func(b *Body) { b.Chain = [][]byte{{}} },
		"nothing of it":   func(b *Body) { b.Amounts = map[uint64]uint64{1: 0} },
		"hold until 1970": func(b *Body) { b.HoldUntil = &zero },
		"too long":        func(b *Body) { b.Bundle = make([]byte, MaxBody) },
	} {
		b := ok
		change(&b)
		if _, err := b.Encode(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	all := ok
	hold := int64(1_800_000_000_000)
	all.Amounts, all.HoldUntil, all.State = map[uint64]uint64{1: All, 3: 2}, &hold, []byte{9}
	data, err := all.Encode()
	if err != nil || !bytes.Contains(data, []byte("\x63all")) {
		t.Fatalf("%x, %v", data, err)
	}
	back, err := ParseBody(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&all, back); d != "" {
		t.Error(d)
	}
	for name, in := range map[string]string{
		"another text":     "\x86\x04\x81\x41\xaa\xf6\xa1\x01\x63any\xf6\xf6",
		"All as a number":  "\x86\x04\x81\x41\xaa\xf6\xa1\x01\x1b\xff\xff\xff\xff\xff\xff\xff\xff\xf6\xf6",
		"negative amount":  "\x86\x04\x81\x41\xaa\xf6\xa1\x01\x20\xf6\xf6",
		"no amounts":       "\x86\x04\x81\x41\xaa\xf6\xf6\xf6\xf6",
		"empty bundle":     "\x86\x04\x81\x41\xaa\xf6\xa0\xf6\x40",
		"trailing byte":    "\x86\x04\x81\x41\xaa\xf6\xa0\xf6\xf6\x00",
		"five elements":    "\x85\x04\x81\x41\xaa\xf6\xa0\xf6",
		"indefinite array": "\x9f\x04\x81\x41\xaa\xf6\xa0\xf6\xf6\xff",
	} {
		if _, err := ParseBody([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzParseReceipt: what is read breaks no rule and has one payload.
func FuzzParseReceipt(f *testing.F) {
	for _, data := range signedExamples(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, sig, err := readReceipt(in); err == nil {
			if _, again, err := s.payload(); err != nil || !bytes.Equal(again, sig.Payload) {
				t.Errorf("payload %x encodes again as %x (%v)", sig.Payload, again, err)
			}
		}
		if h, sig, err := readHead(in); err == nil {
			if again, err := wire.Marshal(h); err != nil || !bytes.Equal(again, sig.Payload) {
				t.Errorf("head %x encodes again as %x (%v)", sig.Payload, again, err)
			}
		}
	})
}

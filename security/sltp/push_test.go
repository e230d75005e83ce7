package sltp

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// opens lets a party's endpoint open pushes.
func opens(c *Config, p *pkitest.Party) { c.Delivery, c.DeliveryCert = p.Delivery, p.DelLeaf }

func newPushHouse(t testing.TB, edit ...func(src, dst *Config)) *house {
	h := newHouse(t, edit...)
	dst := h.dst.cfg
	opens(&dst, h.home)
	h.dst = h.endpoint(dst)
	return h
}

func (h *house) tid(seq uint64) ident.Transfer {
	return ident.Transfer{Src: h.src.cfg.Self, Dst: h.dst.cfg.Self, Incarnation: ident.Incarnation{3}, Seq: seq}
}

// xfer is an XFER with the layout of docs/spec/transfer.md, and a hold or none.
func xfer(t testing.TB, tid ident.Transfer, hold any) Body {
	t.Helper()
	inner, err := wire.Marshal([]any{1, [][]byte{secretLicense}, nil, map[uint64]uint64{1: 2}, hold, secretBundle})
	if err != nil {
		t.Fatal(err)
	}
	body, err := wire.Marshal([]any{1, tid, 0, [32]byte{4}, inner, nil})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// pushed is a good push of a body.
func (h *house) pushed(p Push) Message {
	h.t.Helper()
	if p.Expires.IsZero() {
		p.Expires = h.now.Add(maxPushLife)
	}
	m, err := h.src.Push(h.domain.Peer(h.home), h.home.DelLeaf, p, true, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func TestSLTP_3_Push(t *testing.T) {
	epoch := pki.Epoch{Generation: 1, Number: 4}
	h := newPushHouse(t, func(src, dst *Config) {
		src.Status = func() Status { return Status{Epoch: epoch} }
		dst.Status = func() Status { return Status{Epoch: epoch} }
	})
	want := Push{TID: h.tid(7), Body: xfer(t, h.tid(7), nil)}
	m := h.pushed(want)
	if !IsPush(m.Bytes) || m.CID != nil || bytes.Contains(m.Bytes, secretBundle[:8]) || bytes.Contains(m.Bytes, secretLicense[:8]) {
		t.Error("not a push, or in clear")
	}
	for range 2 { // the transfer machine knows repetitions
		got, err := h.dst.OpenPush(m.Bytes, 0, h.now.Add(maxPushLife-time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		want.Epoch, want.TimeMS, want.Expires = epoch, h.now.UnixMilli(), got.Push.Expires
		if diff := cmp.Diff(want, got.Push); diff != "" || got.Peer.ID() != h.src.cfg.Self || !got.Push.Expires.Equal(h.now.Add(maxPushLife)) {
			t.Errorf("%s %+v", diff, got)
		}
	}
	if _, ev := h.dst.Receive(m, h.now); asAlert(event[EventDropped](t, ev).Err).Code != AlertUnsupported {
		t.Error("Receive took a push")
	}
	// By reference, after an exchange.
	short, err := h.src.Push(h.domain.Peer(h.home), h.home.DelLeaf, Push{TID: h.tid(8), Body: xfer(t, h.tid(8), nil), Expires: h.now.Add(time.Hour)}, false, h.now)
	if err != nil || len(short.Bytes) > len(m.Bytes)-len(h.issuer.Leaf()) {
		t.Fatalf("%d bytes, %v", len(short.Bytes), err)
	}
	if _, err := h.dst.OpenPush(short.Bytes, 0, h.now); asAlert(err).Code != AlertSendChain {
		t.Errorf("the chain of a stranger: %v", err)
	}
	h.sessions()
	if _, err := h.dst.OpenPush(short.Bytes, 0, h.now); err != nil {
		t.Errorf("by reference: %v", err)
	}
}

// TestSLTP_3_PushNeedsASecureClock: loans, and moves that end.
func TestSLTP_3_PushNeedsASecureClock(t *testing.T) {
	h := newPushHouse(t)
	lend, err := wire.Marshal([]any{9, h.tid(1), []byte{1}, [][]byte{{2}}, 1, 5, secretBundle})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := wire.Marshal([]any{1, h.tid(1), 0, [32]byte{}, []byte{0x80}, nil})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		body  Body
		needs bool
	}{
		"LEND": {lend, true}, "MOVE with hold": {xfer(t, h.tid(1), 9), true}, "MOVE without": {xfer(t, h.tid(1), nil), false},
		"what cannot be read": {odd, true},
	} {
		m := h.pushed(Push{TID: h.tid(1), Body: tc.body})
		for quality := range uint8(4) {
			want := Alert(0)
			if tc.needs && quality < 3 {
				want = AlertClock
			}
			_, err := h.dst.OpenPush(m.Bytes, quality, h.now)
			if got := code(err); got != want {
				t.Errorf("%s, quality %d: %v, want %v", name, quality, err, want)
			}
		}
	}
	h.now = h.now.Add(maxPushSkew + time.Minute)
	m := h.pushed(Push{TID: h.tid(1), Body: xfer(t, h.tid(1), nil)})
	h.now = h.now.Add(-maxPushSkew - time.Minute)
	if _, err := h.dst.OpenPush(m.Bytes, 3, h.now); code(err) != AlertClock {
		t.Errorf("a push of tomorrow: %v", err)
	}
	if _, err := h.dst.OpenPush(m.Bytes, 2, h.now); code(err) != 0 {
		t.Errorf("a clock that is not set: %v", err)
	}
}

func code(err error) Alert {
	if err == nil {
		return 0
	}
	return asAlert(err).Code
}

// forge signs a push that an honest source would not make.
func (h *house) forge(from *pkitest.Party, edit func(p *pushPayload), seal func(p *pushPayload)) []byte {
	h.t.Helper()
	rogue := h.endpoint(h.config(from))
	body := xfer(h.t, h.tid(1), nil)
	head := pushHead{
		Version: 1, TID: h.tid(1), Dst: h.dst.cfg.Self, Cert: wire.X5T(h.home.DelLeaf), Time: h.now.UnixMilli(),
		Expires: h.now.Add(time.Hour).UnixMilli(),
	}
	p := pushPayload{Version: head.Version, TID: head.TID, Dst: head.Dst, Cert: head.Cert, Time: head.Time, Expires: head.Expires}
	edit(&p)
	if p.TID.Seq == 1 { // a sealed body of that very transfer, so that only the push is wrong
		body = xfer(h.t, p.TID, nil)
	}
	m, err := rogue.signPush(p.head(), h.home.Delivery.PublicKey(), h.home.DelLeaf, body, true)
	if err != nil {
		h.t.Fatal(err)
	}
	if seal == nil {
		return m.Bytes
	}
	_, _, p, err = parsePush(m.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	seal(&p)
	payload, err := wire.Marshal(p)
	if err != nil {
		h.t.Fatal(err)
	}
	obj, err := wire.NewSign1(from.Key, from.Leaf(), ObjectPush, payload)
	if err != nil {
		h.t.Fatal(err)
	}
	msg, err := wire.Marshal(pushMessage{Number: numberPush, Object: obj, Chain: from.Chain})
	if err != nil {
		h.t.Fatal(err)
	}
	return msg
}

func TestSLTP_3_PushRejected(t *testing.T) {
	h := newPushHouse(t)
	other := h.domain.Party(pki.LicenseIssuer)
	none := func(*pushPayload) {}
	for _, tc := range []struct {
		name string
		from *pkitest.Party
		edit func(p *pushPayload) // before sealing
		seal func(p *pushPayload) // after it, signed all the same
		want Alert
	}{
		{"good", h.issuer, none, nil, 0},
		{"another version", h.issuer, func(p *pushPayload) { p.Version = 2 }, nil, AlertRejected},
		{"for another", h.issuer, func(p *pushPayload) { p.Dst[0] ^= 1; p.TID.Dst = p.Dst }, nil, AlertIdentity},
		{"of a transfer to another", h.issuer, func(p *pushPayload) { p.TID.Dst[0] ^= 1 }, nil, AlertRejected},
		{"to another certificate", h.issuer, func(p *pushPayload) { p.Cert[0] ^= 1 }, nil, AlertIdentity},
		{"of another source's transfer", other, none, nil, AlertIdentity},
		{"31 days", h.issuer, func(p *pushPayload) { p.Expires = p.Time + 31*24*3600*1000 }, nil, AlertRejected},
		{"ends before it begins", h.issuer, func(p *pushPayload) { p.Expires = p.Time }, nil, AlertRejected},
		{"over", h.issuer, func(p *pushPayload) { p.Time -= 7200_000; p.Expires = p.Time + 3600_000 }, nil, AlertExpired},
		{"later epoch", h.issuer, func(p *pushPayload) { p.Epoch = 1 }, nil, AlertStaleEpoch},
		{"no epoch", h.issuer, func(p *pushPayload) { p.Epoch = 1 << 63 }, nil, AlertRejected},
		{"another transfer than the body's", h.issuer, func(p *pushPayload) { p.TID.Seq = 9 }, nil, AlertRejected},
		{"of a content provider", h.domain.Party(pki.ContentProvider), none, nil, AlertCertificate},
		{"of the destination itself", h.home, func(p *pushPayload) { p.TID.Src = p.Dst }, nil, AlertIdentity},
		{"another time than was sealed", h.issuer, none, func(p *pushPayload) { p.Expires++ }, AlertRejected},
		{"another number than was sealed", h.issuer, none, func(p *pushPayload) { p.TID.Seq++ }, AlertRejected},
		{"another key share", h.issuer, none, func(p *pushPayload) { p.Enc[64] ^= 1 }, AlertRejected},
		{"another ciphertext", h.issuer, none, func(p *pushPayload) { p.CT[0] ^= 1 }, AlertRejected},
		{"no ciphertext", h.issuer, none, func(p *pushPayload) { p.CT = nil }, AlertRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := h.dst.OpenPush(h.forge(tc.from, tc.edit, tc.seal), 3, h.now)
			if code(err) != tc.want || (err != nil) != (got.Peer == nil) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
	// The chain beside the object is of the right key, and another certificate is named.
	msg := h.forge(h.issuer, none, nil)
	m, obj, _, err := parsePush(msg)
	if err != nil {
		t.Fatal(err)
	}
	if m.Object, err = wire.NewSign1(h.issuer.Key, other.Leaf(), ObjectPush, obj.Payload); err != nil {
		t.Fatal(err)
	}
	if msg, err = wire.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if _, err := h.dst.OpenPush(msg, 3, h.now); code(err) != AlertIdentity {
		t.Errorf("another certificate named: %v", err)
	}
	if len(h.dst.known.byID) != 0 || len(h.dst.byHandle) != 0 {
		t.Error("a push left something behind")
	}
}

// TestSLTP_3_PushTampered changes, cuts and lengthens a push at every byte that
// is not the chain's.
func TestSLTP_3_PushTampered(t *testing.T) {
	h := newPushHouse(t)
	h.sessions()
	m, err := h.src.Push(h.domain.Peer(h.home), h.home.DelLeaf, Push{TID: h.tid(1), Body: xfer(t, h.tid(1), nil), Expires: h.now.Add(time.Hour)}, false, h.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.dst.OpenPush(m.Bytes, 0, h.now); err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) {
		t.Helper()
		if _, err := h.dst.OpenPush(b, 3, h.now); err == nil {
			t.Fatalf("accepted %x", b)
		} else if a, ok := errors.AsType[*AlertError](err); !ok || a.Code == AlertInternal {
			t.Fatalf("no alert: %v", err)
		}
	}
	for i := range m.Bytes {
		b := slices.Clone(m.Bytes)
		b[i] ^= 1 << (i % 8)
		try(b)
		try(m.Bytes[:i])
	}
	try(append(slices.Clone(m.Bytes), 0))
	try(make([]byte, MaxMessage+1))
}

func TestSLTP_3_PushCalls(t *testing.T) {
	h := newPushHouse(t)
	to, day := h.domain.Peer(h.home), h.now.Add(24*time.Hour)
	good := Push{TID: h.tid(1), Body: xfer(t, h.tid(1), nil), Expires: day}
	for name, tc := range map[string]struct {
		to   *pki.Peer
		cert []byte
		edit func(*Push)
	}{
		"no peer":                 {nil, h.home.DelLeaf, func(*Push) {}},
		"another's delivery key":  {to, h.issuer.DelLeaf, func(*Push) {}},
		"the signing certificate": {to, h.home.Leaf(), func(*Push) {}},
		"another source":          {to, h.home.DelLeaf, func(p *Push) { p.TID.Src[0]++ }},
		"another destination":     {to, h.home.DelLeaf, func(p *Push) { p.TID.Dst[0]++ }},
		"31 days":                 {to, h.home.DelLeaf, func(p *Push) { p.Expires = h.now.Add(31 * 24 * time.Hour) }},
		"a LICENSE":               {to, h.home.DelLeaf, func(p *Push) { p.Body = licenseReply(t).Body }},
		"a body of another":       {to, h.home.DelLeaf, func(p *Push) { p.Body = xfer(t, h.tid(2), nil) }},
		"no body":                 {to, h.home.DelLeaf, func(p *Push) { p.Body = nil }},
	} {
		p := good
		tc.edit(&p)
		if m, err := h.src.Push(tc.to, tc.cert, p, true, h.now); err == nil || m.Bytes != nil {
			t.Errorf("%s: pushed", name)
		}
	}
	if _, err := h.src.OpenPush(h.pushed(good).Bytes, 3, h.now); code(err) != AlertUnsupported {
		t.Errorf("without a delivery key: %v", err)
	}
	cfg := h.config(h.home)
	cfg.Delivery, cfg.DeliveryCert = h.home.Delivery, h.issuer.DelLeaf
	if _, err := NewEndpoint(cfg); err == nil {
		t.Error("a delivery certificate of another key")
	}
}

// held is a delivery key that does ECDH and shows nothing else, like a token's.
type held struct {
	ecdh.KeyExchanger
	used int
}

func (k *held) ECDH(pub *ecdh.PublicKey) ([]byte, error) {
	k.used++
	return k.KeyExchanger.ECDH(pub)
}

func TestSLTP_3_PushOpensWithAToken(t *testing.T) {
	key := &held{}
	h := newPushHouse(t)
	cfg := h.dst.cfg
	key.KeyExchanger, cfg.Delivery = h.home.Delivery, key
	if _, err := h.endpoint(cfg).OpenPush(h.pushed(Push{TID: h.tid(1), Body: xfer(t, h.tid(1), nil)}).Bytes, 0, h.now); err != nil || key.used != 1 {
		t.Errorf("%v, key used %d times", err, key.used)
	}
}

func FuzzPush(f *testing.F) {
	l := readModes(f)
	good := l.get(f, "PUSH")
	_, sig, payload, err := parsePush(good)
	if err != nil {
		f.Fatal(err)
	}
	h := modesHouse(f, l)
	h.exchangeFixed()
	f.Add(good, uint8(3))
	f.Add(sig.Payload, uint8(0))
	f.Add([]byte(h.modesPush().Body), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, quality uint8) {
		round(t, data, func(b []byte) (m pushMessage, err error) { m, _, _, err = parsePush(b); return m, err }, func(m pushMessage) ([]byte, error) { return wire.Marshal(m) })
		if got, err := h.dst.OpenPush(data, quality%4, h.now); err == nil && (got.Push.TID != payload.TID || !bytes.Equal(got.Push.Body, l.get(t, "PUSH_plaintext"))) {
			t.Errorf("accepted %x", data)
		}
		if checkPushed(data, payload.TID) == nil && timed(data) && data[1] == numberXFER && bytes.Equal(data, l.get(t, "PUSH_plaintext")) {
			t.Error("a move without end needs no clock")
		}
	})
}

package sltp

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// packedOf names a party by its chain, packed.
func packedOf(t testing.TB, p *pkitest.Party) edhoc.Identity {
	t.Helper()
	id := identityOf(p)
	var err error
	if id.ID, err = edhoc.PackedChain(p.Chain); err != nil {
		t.Fatal(err)
	}
	return id
}

// hashOf names a party by x5t.
func hashOf(p *pkitest.Party) edhoc.Identity {
	id := identityOf(p)
	id.ID = edhoc.X5T(p.Leaf())
	return id
}

// form says how a party named itself.
func form(id edhoc.IDCred) string {
	switch {
	case id.Packed != nil:
		return "packed"
	case id.Chain != nil:
		return "x5chain"
	}
	return "x5t"
}

func packedItem() edhoc.EAD { return edhoc.EAD{Label: labelPacked} }

func says(ead []edhoc.EAD) bool {
	return slices.ContainsFunc(ead, func(it edhoc.EAD) bool { return cmp.Equal(it, packedItem()) })
}

// TestSLTP_Packed_EverySuite: between two that know packed chains both travel
// packed; where one of them does not, the exchange is as long as it was before.
func TestSLTP_Packed_EverySuite(t *testing.T) {
	for _, suite := range []Suite{edhoc.Suite2, edhoc.Suite3, edhoc.Suite6, edhoc.SuiteHybrid} {
		t.Run(suite.String(), func(t *testing.T) {
			var size [4]int
			for i := range size {
				h := newHouse(t, func(src, dst *Config) {
					src.Suites, dst.Suites = []Suite{suite}, []Suite{suite}
					src.PlainChains, dst.PlainChains = i&1 != 0, i&2 != 0
				})
				src, dst, trace := h.sessions()
				for _, m := range trace {
					size[i] += len(m.Bytes)
				}
				seq, m, err := h.dst.Send(dst, app(t, 7), h.now)
				if err != nil {
					t.Fatal(err)
				}
				_, ev := h.deliver(h.src, m)
				if got := event[EventApp](t, ev); got.Handle != src || got.Seq != seq {
					t.Errorf("%+v", got)
				}
			}
			const offer, der = 3, 4 * 6 // an item; what signatures in certificates differ by
			if packed, plain := size[0], size[3]; packed > plain-700 || size[1] > plain+offer+der || size[2] > plain+der || size[1] < plain-der || size[2] < plain-der {
				t.Errorf("both pack %d, the source does not %d, the destination does not %d, neither %d", packed, size[1], size[2], plain)
			}
		})
	}
}

// TestSLTP_Packed_Source: message_2 is packed when EAD_1 says so, and otherwise
// EAD_2 says so where it is known.
func TestSLTP_Packed_Source(t *testing.T) {
	for _, tc := range []struct {
		offer, held, plain bool
		form               string
		says               bool
	}{
		{offer: false, form: "x5chain"},
		{offer: false, held: true, form: "x5t"},
		{offer: true, form: "packed"}, // which says it
		{offer: true, held: true, form: "x5t", says: true},
		{offer: true, plain: true, form: "x5chain"},
		{offer: true, held: true, plain: true, form: "x5t"},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			h := newHouse(t, func(src, _ *Config) { src.PlainChains = tc.plain })
			r := newRogue(t, h.home)
			hi := hello{maxSize: MaxMessage}
			if tc.held {
				hi.have = h.src.x5t[:]
			}
			item, err := hi.encode()
			if err != nil {
				t.Fatal(err)
			}
			ead := []edhoc.EAD{{Label: labelHello, Value: item}}
			if tc.offer {
				ead = append(ead, packedItem())
			}
			m2 := h.one(h.src, r.message1(ead))
			m3 := r.message3(m2, h.issuer, requestItem(t, honest(t, h)))
			if form(r.named) != tc.form || says(r.heard) != tc.says || !tc.held && !cmp.Equal(r.named.Chain, h.issuer.Chain) {
				t.Errorf("message_2 by %s, %+v", form(r.named), r.heard)
			}
			_, ev := h.deliver(h.src, m3)
			event[EventRequest](t, ev)
		})
	}
}

// honest is a request to the house's source.
func honest(t testing.TB, h *house) Request {
	r := request(t)
	r.Dst = h.src.cfg.Self
	return r
}

// TestSLTP_Packed_Destination: message_3 is packed when message_2 was, or when
// EAD_2 says so, and this side had said it first.
func TestSLTP_Packed_Destination(t *testing.T) {
	for _, tc := range []struct {
		name   string
		plain  bool
		packed bool // message_2 is
		says   bool // EAD_2 does
		form   string
	}{
		{"a source that knows none", false, false, false, "x5chain"},
		{"a packed message_2", false, true, false, "packed"},
		{"x5chain, and EAD_2 says it", false, false, true, "packed"},
		{"both", false, true, true, "packed"},
		{"said to one who did not ask", true, false, true, "x5chain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, func(_, dst *Config) { dst.PlainChains = tc.plain })
			_, m1 := h.open()
			r := newRogue(t, h.issuer)
			if tc.packed {
				r.id = packedOf(t, h.issuer)
			}
			ead := statusItem(t, PeerStatus{})
			if tc.says {
				ead = append(ead, packedItem())
			}
			m3 := h.one(h.dst, r.message2(m1, ead))
			if says(r.heard) == tc.plain {
				t.Errorf("EAD_1 is %+v", r.heard)
			}
			r.message4(m3, h.home, nil)
			if form(r.named) != tc.form || !cmp.Equal(r.named.Chain, h.home.Chain) {
				t.Errorf("message_3 by %s", form(r.named))
			}
		})
	}
}

// TestSLTP_Packed_Refused: a packed chain that was not asked for, and an item
// in another form than the page has, end the exchange, and nothing is kept.
func TestSLTP_Packed_Refused(t *testing.T) {
	twice, valued := []edhoc.EAD{packedItem(), packedItem()}, []edhoc.EAD{{Label: labelPacked, Value: []byte{}}}
	for _, tc := range []struct {
		name  string
		plain bool
		id    func(testing.TB, *pkitest.Party) edhoc.Identity
		more  []edhoc.EAD
		alert Alert
	}{
		{name: "not asked for", plain: true, id: packedOf, alert: AlertRejected},
		{name: "the item twice", more: twice, alert: AlertRejected},
		{name: "the item with a value", more: valued, alert: AlertRejected},
		{name: "the item critical", more: []edhoc.EAD{{Label: -labelPacked}}, alert: AlertUnsupported},
	} {
		t.Run("message_2: "+tc.name, func(t *testing.T) {
			h := newHouse(t, func(_, dst *Config) { dst.PlainChains = tc.plain })
			_, m1 := h.open()
			r := newRogue(t, h.issuer)
			if tc.id != nil {
				r.id = tc.id(t, h.issuer)
			}
			out, ev := h.deliver(h.dst, r.message2(m1, append(statusItem(t, PeerStatus{}), tc.more...)))
			failed(t, out, ev, tc.alert, "")
			if len(h.dst.byHandle) != 0 || len(h.dst.known.byID) != 0 {
				t.Error("something is kept")
			}
		})
		t.Run("to the source: "+tc.name, func(t *testing.T) {
			h := newHouse(t)
			r := newRogue(t, h.home)
			m1 := r.message1(append(helloItem(t), tc.more...))
			if tc.id == nil {
				out, ev := h.deliver(h.src, m1)
				if got := event[EventDropped](t, ev); asAlert(got.Err).Code != tc.alert || sent(t, out) != tc.alert {
					t.Errorf("%v, %v", got.Err, out)
				}
			} else {
				r.id = tc.id(t, h.home)
				out, ev := h.deliver(h.src, r.message3(h.one(h.src, m1), h.issuer, requestItem(t, honest(t, h))))
				failed(t, out, ev, tc.alert, "")
			}
			if len(h.src.byHandle) != 0 || h.src.halfOpen != 0 || len(h.src.known.byID) != 0 {
				t.Error("something is kept")
			}
		})
	}
}

// TestSLTP_Packed_Mutated: whatever is changed in a packed chain, under a
// signature that holds, either the same certificates come out or nothing does,
// and nothing is kept.
func TestSLTP_Packed_Mutated(t *testing.T) {
	h := newHouse(t)
	good := packedOf(t, h.home)
	same := 0
	for i := range good.ID.Packed {
		for _, bit := range []byte{0x01, 0x80} {
			r := newRogue(t, h.home)
			r.id = good
			r.id.ID.Packed = slices.Clone(good.ID.Packed)
			r.id.ID.Packed[i] ^= bit
			m3 := r.message3(h.one(h.src, r.message1(append(helloItem(t), packedItem()))), h.issuer, requestItem(t, honest(t, h)))
			out, ev := h.deliver(h.src, m3)
			if chain, err := edhoc.Unpack(r.id.ID.Packed); err == nil && cmp.Equal(chain, h.home.Chain) {
				same++
				h.src.Close(event[EventRequest](t, ev).Handle)
				continue
			}
			if got := event[EventFailed](t, ev); got.Alert != AlertRejected && got.Alert != AlertCertificate || sent(t, out) != got.Alert {
				t.Fatalf("byte %d: %v, %v", i, got.Err, out)
			}
			if len(h.src.byHandle) != 0 || h.src.halfOpen != 0 {
				t.Fatalf("byte %d: an exchange is kept", i)
			}
		}
	}
	if same > len(good.ID.Packed)/10 {
		t.Errorf("%d changes of %d bytes changed nothing", same, len(good.ID.Packed))
	}
}

// TestSLTP_Packed_OtherForm: a packed chain has many forms, and each is taken
// and signed as it travels.
func TestSLTP_Packed_OtherForm(t *testing.T) {
	h := newHouse(t)
	r := newRogue(t, h.home)
	r.id = packedOf(t, h.home)
	plain, err := edhoc.Unpack(r.id.ID.Packed)
	if err != nil {
		t.Fatal(err)
	}
	value := []byte{0x80 | byte(len(plain))}
	for _, der := range plain {
		value = append(append(value, 0x59, byte(len(der)>>8), byte(len(der))), der...)
	}
	runs := []byte{byte(len(value) >> 8), byte(len(value))}
	for part := range slices.Chunk(value, 64) {
		runs = append(append(runs, byte(len(part)-1)), part...)
	}
	r.id.ID.Packed = runs
	m3 := r.message3(h.one(h.src, r.message1(append(helloItem(t), packedItem()))), h.issuer, requestItem(t, honest(t, h)))
	_, ev := h.deliver(h.src, m3)
	if got := event[EventRequest](t, ev); got.Peer.ID() != h.dst.cfg.Self {
		t.Errorf("%v", got.Peer.ID())
	}
}

// TestSLTP_Packed_Stripped: who takes the offer out of message_1 ends the
// exchange; nobody is talked into longer messages unseen.
func TestSLTP_Packed_Stripped(t *testing.T) {
	h := newHouse(t)
	_, m1 := h.open()
	m1[0].Bytes = m1[0].Bytes[:len(m1[0].Bytes)-3]
	out, ev := h.deliver(h.dst, h.one(h.src, m1))
	if got := event[EventFailed](t, ev); got.Alert != AlertRejected || len(out) != 0 {
		t.Errorf("%v, %v", got.Err, out)
	}
}

// TestSLTP_Packed_SendChain: after SEND_CHAIN the chain that is sent is packed,
// in either direction, although the exchange before offered nothing.
func TestSLTP_Packed_SendChain(t *testing.T) {
	t.Run("the source forgot", func(t *testing.T) {
		h := newHouse(t)
		_, _, first := h.sessions()
		h.src.known = newPeers(8)
		_, m1 := h.open()
		short := h.one(h.dst, h.one(h.src, m1))
		out, ev := h.deliver(h.src, short)
		if got := event[EventFailed](t, ev); got.Alert != AlertSendChain || sent(t, out) != AlertSendChain {
			t.Fatalf("%v", got.Err)
		}
		m3 := h.one(h.dst, h.one(h.src, h.one(h.dst, out)))
		if d := len(m3[0].Bytes) - len(first[2].Bytes); d != 0 {
			t.Errorf("message_3 is %d bytes longer than the first, packed one", d)
		}
		_, ev = h.deliver(h.src, m3)
		event[EventRequest](t, ev)
	})
	t.Run("the destination forgot on the way", func(t *testing.T) {
		h := newHouse(t)
		_, _, first := h.sessions()
		_, m1 := h.open()
		m2 := h.one(h.src, m1)
		h.dst.known = newPeers(8)
		out, _ := h.deliver(h.dst, m2) // SEND_CHAIN, and a new message_1
		if len(out) != 2 {
			t.Fatalf("%d messages", len(out))
		}
		m2 = h.one(h.src, out[1:])
		if d := len(m2[0].Bytes) - len(first[1].Bytes); d != 0 {
			t.Errorf("message_2 is %d bytes longer than the first, packed one", d)
		}
		_, ev := h.deliver(h.src, h.one(h.dst, m2))
		event[EventRequest](t, ev)
	})
}

// TestSLTP_Packed_ByReference: where both are known, nothing is offered and the
// messages are what they were.
func TestSLTP_Packed_ByReference(t *testing.T) {
	h := newHouse(t)
	h.sessions()
	_, m1 := h.open()
	r := newRogue(t, h.issuer)
	r.id = hashOf(h.issuer)
	m3 := h.one(h.dst, r.message2(m1, statusItem(t, PeerStatus{})))
	r.message4(m3, h.home, nil)
	if says(r.heard) || form(r.named) != "x5t" {
		t.Errorf("EAD_1 %+v, message_3 by %s", r.heard, form(r.named))
	}
}

// TestSLTP_Packed_TooLong: a chain above the limit of packed ones goes as x5chain.
func TestSLTP_Packed_TooLong(t *testing.T) {
	h := newHouse(t)
	chain := append([][]byte{h.home.Leaf()}, slices.Repeat([][]byte{longCertificate(t, h.home)}, 7)...)
	h.dst = h.endpoint(Config{Signer: h.home.Key, Chain: chain, Verifier: h.src.cfg.Verifier, Suites: h.src.cfg.Suites})
	_, m1 := h.open()
	r := newRogue(t, h.issuer)
	r.id = packedOf(t, h.issuer)
	m3 := h.one(h.dst, r.message2(m1, statusItem(t, PeerStatus{})))
	r.message4(m3, h.home, nil)
	if form(r.named) != "x5chain" || !cmp.Equal(r.named.Chain, chain) {
		t.Errorf("message_3 by %s", form(r.named))
	}
}

// longCertificate is one that no profile has.
func longCertificate(t *testing.T, p *pkitest.Party) []byte {
	t.Helper()
	junk := make([]byte, edhoc.MaxUnpacked/7)
	_, _ = rand.Read(junk)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "long"}, NotAfter: vectorTime().AddDate(1, 0, 0),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: junk}},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, p.Key.Public(), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

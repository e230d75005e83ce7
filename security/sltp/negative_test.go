package sltp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// negative is a message that must not be accepted. The receiver is brought to
// where it waits for message number At of the first exchange.
type negative struct {
	Name    string `json:"name"`
	At      int    `json:"at"` // 1 and 3: to the Responder; 2 and 4: to the Initiator
	Message string `json:"message"`
	Result  string `json:"result"`           // "failed": the exchange is over; "dropped": it goes on
	Alert   int    `json:"alert"`            // of the receiver
	Answer  string `json:"answer,omitempty"` // error message to the peer
	Plain   bool   `json:"plain,omitempty"`  // of packed-negative.json: the Initiator's EAD_1 has no item 62228
}

// before brings a fresh house to where message n is awaited and returns who awaits it.
func before(t testing.TB, l *lines, n int, edit ...func(src, dst *Config)) (h *house, e *Endpoint, id []byte) {
	t.Helper()
	h = vectorHouse(t, l, edit...)
	if n == 1 {
		return h, h.src, nil
	}
	_, m, err := h.dst.Open(h.src.cfg.Self, vectorRequest(t), h.now)
	if err != nil {
		t.Fatal(err)
	}
	if n == 2 {
		return h, h.dst, l.get(t, "C_I_1")
	}
	m = h.one(h.src, m)
	if n == 3 {
		return h, h.src, l.get(t, "C_R_1")
	}
	h.one(h.dst, m)
	return h, h.dst, l.get(t, "C_I_1")
}

// run delivers a negative vector and reports what came of it.
func (v negative) run(t testing.TB, l *lines, edit ...func(src, dst *Config)) negative {
	t.Helper()
	h, e, id := before(t, l, v.At, edit...)
	msg, err := hex.DecodeString(v.Message)
	if err != nil {
		t.Fatal(err)
	}
	out, ev := e.Receive(Message{CID: id, Bytes: msg}, h.now)
	if len(ev) != 1 || len(out) > 1 {
		t.Fatalf("%s: %v, %v", v.Name, out, ev)
	}
	switch ev := ev[0].(type) {
	case EventFailed:
		v.Result, v.Alert = "failed", int(ev.Alert)
	case EventDropped:
		v.Result, v.Alert = "dropped", int(asAlert(ev.Err).Code)
	default:
		t.Fatalf("%s: accepted: %+v", v.Name, ev)
	}
	v.Answer = ""
	if len(out) == 1 {
		v.Answer = hex.EncodeToString(out[0].Bytes)
	}
	return v
}

func TestSLTP_Vectors_Negative(t *testing.T) {
	data, err := os.ReadFile(conversationFile)
	if err != nil {
		t.Fatal(err)
	}
	l := readLines(t, data)
	if data, err = os.ReadFile(negativeFile); err != nil {
		t.Fatal(err)
	}
	var all []negative
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Errorf("%d negative vectors", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			if diff := cmp.Diff(v, v.run(t, l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// negatives makes the messages of the negative vectors.
func negatives(t *testing.T, l *lines) []negative {
	var all []negative
	add := func(name string, at int, msg []byte) {
		all = append(all, negative{Name: name, At: at, Message: hex.EncodeToString(msg)})
	}
	first := func(n int) []byte { return slices.Clone(l.get(t, fmt.Sprintf("message_%d_1", n))) }
	flip := func(b []byte, i int) []byte { b[i] ^= 1; return b }
	negatives1(t, l, add)
	add("message_1 cut", 1, first(1)[:40])
	add("message_1 with method 1", 1, append([]byte{0x01}, first(1)[1:]...))
	negatives2(t, l, add)
	add("message_2 cut", 2, first(2)[:len(first(2))-1])
	add("message_2 with another key share", 2, flip(first(2), 3+31))
	negatives3(t, l, add)
	add("message_3 cut", 3, first(3)[:len(first(3))-1])
	add("message_3 with a bit changed", 3, flip(first(3), 100))
	negatives4(t, l, add)
	add("message_4 with a bit changed", 4, flip(first(4), 20))
	add("message_4 empty", 4, []byte{0x40})
	return all
}

func negatives1(t *testing.T, l *lines, add func(string, int, []byte)) {
	for _, tc := range []struct {
		name string
		edit func(*rogue) []edhoc.EAD
	}{
		{"message_1 without hello", func(*rogue) []edhoc.EAD { return nil }},
		{"message_1 with a hello of version 2", func(*rogue) []edhoc.EAD {
			return []edhoc.EAD{{Label: labelHello, Value: []byte{0x83, 2, 0x19, 0x10, 0, 0}}}
		}},
		{"message_1 with an unknown critical item", func(*rogue) []edhoc.EAD { return append(helloItem(t), edhoc.EAD{Label: -1}) }},
		{"message_1 with suite 6", func(r *rogue) []edhoc.EAD { r.suite = []Suite{edhoc.Suite6}; return helloItem(t) }},
		{"message_1 with a connection ID of 4 bytes", func(r *rogue) []edhoc.EAD { r.cid = []byte{1, 2, 3, 4}; return helloItem(t) }},
	} {
		r := newRogue(t, l.party(t, "home"))
		ead := tc.edit(r)
		add(tc.name, 1, r.message1(ead)[0].Bytes)
	}
}

func negatives2(t *testing.T, l *lines, add func(string, int, []byte)) {
	m1 := []Message{{Bytes: l.get(t, "message_1_1")}}
	good := statusItem(t, PeerStatus{})
	byHash := identityOf(l.party(t, "issuer"))
	byHash.ID = edhoc.X5T(l.get(t, "issuer_cert_0"))
	wrongKey := identityOf(l.party(t, "issuer"))
	wrongKey.Signer = l.party(t, "device").Key
	byKID := identityOf(l.party(t, "issuer"))
	byKID.ID = edhoc.IDCred{KID: []byte("issuer")}
	for _, tc := range []struct {
		name string
		id   edhoc.Identity
		ead  []edhoc.EAD
	}{
		{"message_2 of another source", identityOf(l.party(t, "device")), good},
		{"message_2 of a content provider", identityOf(l.party(t, "provider")), good},
		{"message_2 of the Initiator itself", identityOf(l.party(t, "home")), good},
		{"message_2 by a hash that is not held", byHash, good},
		{"message_2 by a key ID", byKID, good},
		{"message_2 signed with another key", wrongKey, good},
		{"message_2 without status", identityOf(l.party(t, "issuer")), nil},
		{"message_2 that demands a later epoch", identityOf(l.party(t, "issuer")), statusItem(t, PeerStatus{MinEpoch: pki.Epoch{Generation: 2}})},
	} {
		r := newRogue(t, l.party(t, "issuer"))
		r.id = tc.id
		add(tc.name, 2, r.message2(m1, tc.ead)[0].Bytes)
	}
}

func negatives3(t *testing.T, l *lines, add func(string, int, []byte)) {
	good := vectorRequest(t)
	good.Dst, good.Epoch = idOf(l.party(t, "issuer")), pki.Epoch{Generation: 1, Number: 6}
	other := good
	other.Dst = idOf(l.party(t, "device"))
	h, err := hello{maxSize: MaxMessage, epoch: good.Epoch}.encode()
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := identityOf(l.party(t, "home"))
	wrongKey.Signer = l.party(t, "device").Key
	byHash := identityOf(l.party(t, "home"))
	byHash.ID = edhoc.X5T(l.get(t, "home_cert_0"))
	for _, tc := range []struct {
		name string
		id   edhoc.Identity
		ead  []edhoc.EAD
	}{
		{"message_3 with a request for another source", identityOf(l.party(t, "home")), requestItem(t, other)},
		{"message_3 of a content provider", identityOf(l.party(t, "provider")), requestItem(t, good)},
		{"message_3 by a hash that is not held", byHash, requestItem(t, good)},
		{"message_3 signed with another key", wrongKey, requestItem(t, good)},
		{"message_3 without request", identityOf(l.party(t, "home")), nil},
	} {
		r := newRogue(t, l.party(t, "home"))
		r.id, r.cid, r.eph = tc.id, l.get(t, "C_I_1"), &script{t, [][]byte{l.get(t, "eph_I_1")}}
		if m1 := r.message1([]edhoc.EAD{{Label: labelHello, Value: h}}); !bytes.Equal(m1[0].Bytes, l.get(t, "message_1_1")) {
			t.Fatal("another message_1")
		}
		m2 := []Message{{Bytes: l.get(t, "message_2_1")}}
		add(tc.name, 3, r.message3(m2, l.party(t, "issuer"), tc.ead)[0].Bytes)
	}
}

func negatives4(t *testing.T, l *lines, add func(string, int, []byte)) {
	st := vectorStatus()
	status := statusItem(t, PeerStatus{Epoch: st.Epoch, Head: st.Head, TimeMS: vectorTime().UnixMilli(), MinEpoch: st.MinEpoch})
	for _, tc := range []struct {
		name string
		edit func(*Reply) bool // false: no reply at all
	}{
		{"message_4 that replies to another request", func(r *Reply) bool { r.ReqID = ident.Request{1}; return true }},
		{"message_4 without reply", func(*Reply) bool { return false }},
	} {
		r := newRogue(t, l.party(t, "issuer"))
		r.cid, r.eph = l.get(t, "C_R_1"), &script{t, [][]byte{l.get(t, "eph_R_1")}}
		if m2 := r.message2([]Message{{Bytes: l.get(t, "message_1_1")}}, status); !bytes.Equal(m2[0].Bytes, l.get(t, "message_2_1")) {
			t.Fatal("another message_2")
		}
		reply := vectorReply(t)
		reply.ReqID = vectorRequest(t).ReqID
		var ead []edhoc.EAD
		if tc.edit(&reply) {
			body, err := reply.encode()
			if err != nil {
				t.Fatal(err)
			}
			ead = []edhoc.EAD{{Label: labelReply, Value: body}}
		}
		add(tc.name, 4, r.message4([]Message{{Bytes: l.get(t, "message_3_1")}}, l.party(t, "home"), ead)[0].Bytes)
	}
}

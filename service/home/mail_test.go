package home_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// written is a letter of the form that a module writes, with n bytes of content:
// below 24, or 256 and more.
func written(text string, n int) []byte {
	body := append([]byte(text), make([]byte, max(n-len(text), 0))...)
	out := []byte{0x83, 0x39, 0xf3, 0x15} // [-62230, bytes, []]. Source: docs/spec/transfer.md.
	if len(body) < 24 {
		out = append(out, 0x40|byte(len(body)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, 0x59), uint16(len(body))) //nolint:gosec // of a test
	}
	return append(append(out, body...), 0x80)
}

// house is a home with two members, over modules that do what a test says.
type house struct {
	*home.Home
	t             *testing.T
	m             *hometest.Module
	c             *clock
	dir           string
	tablet, phone ident.Device
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, m: hometest.New(t, nil), c: newClock(), dir: t.TempDir()}
	h.Home = open(t, h.dir, h.m, h.c)
	h.tablet, h.phone = h.join("Tablet", []byte("delivery")), h.join("Phone", []byte("delivery"))
	return h
}

// join pairs a device and approves it.
func (h *house) join(name string, delivery []byte) ident.Device {
	h.t.Helper()
	return h.joinAs(name, delivery, hometest.Certificate(h.t, name))
}

// joinAs is join for the device with this certificate.
func (h *house) joinAs(name string, delivery, leaf []byte) ident.Device {
	h.t.Helper()
	nonce := [home.NonceSize]byte{9, 8, 7}
	commit := home.Commit(nonce)
	got, err := h.OpenPairing(h.t.Context(), home.PairingOffer{Chain: [][]byte{leaf}, Delivery: delivery, Commit: commit[:], Name: name})
	if err == nil {
		err = h.RevealPairing(h.t.Context(), got.ID, nonce[:])
	}
	if err == nil {
		facts := home.PairingFacts{DeviceKey: spki(h.t, leaf), HomeKey: spki(h.t, got.Leaf), DeviceNonce: nonce, HomeNonce: [home.NonceSize]byte(got.Nonce)}
		_, err = h.Approve(h.t.Context(), got.ID, facts.Code())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	for _, d := range h.Devices() {
		if d.Name == name && cmp.Equal(d.Chain, [][]byte{leaf}) {
			return d.ID
		}
	}
	h.t.Fatalf("%s is no member", name)
	return ident.Device{}
}

func (h *house) restart() { h.Home = open(h.t, h.dir, h.m, h.c) }

// prepared restarts the house with letters in the tablet's box.
func (h *house) prepared(letters []home.Letter) {
	h.t.Helper()
	data, err := json.Marshal(map[string]any{"next": len(letters) + 1, "boxes": map[ident.Device][]home.Letter{h.tablet: letters}})
	if err == nil {
		err = os.WriteFile(filepath.Join(h.dir, "mail.json"), data, 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.restart()
}

// carry gives the house a letter in a frame and returns its answer.
func (h *house) carry(from, to ident.Device, topic byte, letter []byte) lrp.Frame {
	h.t.Helper()
	body, err := lrp.SLTP{Message: letter}.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	got := h.FrameBy(h.t.Context(), lrp.Arrival{Signed: lrp.Addr(from)}, lrp.Frame{
		Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(to), Src: lrp.Addr(from), Tx: lrp.Tx{topic},
		Seq: uint64(h.c.now.UnixNano()), Expires: h.c.now.Add(time.Hour).UnixMilli(), Body: body, //nolint:gosec // after 1970
	})
	if len(got) != 1 {
		h.t.Fatalf("%d answers, want 1", len(got))
	}
	return got[0]
}

// kept fails unless the house took a letter for another.
func (h *house) kept(from, to ident.Device, topic byte, letter []byte) {
	h.t.Helper()
	if got := h.carry(from, to, topic, letter); got.Type != lrp.TypeAck {
		h.t.Fatalf("answer %+v, want an acknowledgement", got)
	}
}

// refused fails unless the house says why it did not take a letter.
func (h *house) refused(want lrp.Code, from, to ident.Device, topic byte, letter []byte) {
	h.t.Helper()
	got := h.carry(from, to, topic, letter)
	e, err := lrp.ParseError(got.Body)
	if got.Type != lrp.TypeError || err != nil || e.Code != want {
		h.t.Fatalf("answer %+v (%v, %v), want %v", got, e, err, want)
	}
}

// box fails unless exactly these letters wait for a member.
func (h *house) box(id ident.Device, after uint64, want ...[]byte) []home.Letter {
	h.t.Helper()
	got := h.LettersFor(id, after)
	var bodies [][]byte
	for i, l := range got {
		if bodies = append(bodies, l.Bytes); i > 0 && l.Number <= got[i-1].Number {
			h.t.Errorf("numbers %d, %d do not ascend", got[i-1].Number, l.Number)
		}
	}
	if !slices.EqualFunc(bodies, want, bytes.Equal) {
		h.t.Fatalf("%d letters wait, want %d or others", len(bodies), len(want))
	}
	return got
}

// TestLRP_7_LettersWaitForTheirMember: until they are a week old or made useless
// by a newer one of their writer and topic, also over a restart.
func TestLRP_7_LettersWaitForTheirMember(t *testing.T) {
	h := newHouse(t)
	one, two, three, other := written("one", 0), written("two", 0), written("three", 0), written("other", 0)
	h.kept(h.phone, h.tablet, 1, one)
	h.kept(h.phone, h.tablet, 2, two)
	third := h.join("Third", nil)
	h.kept(third, h.tablet, 1, other) // of another writer: it replaces nothing
	first := h.box(h.tablet, 0, one, two, other)
	if first[0].From != h.phone || first[2].From != third {
		t.Errorf("from %v and %v", first[0].From, first[2].From)
	}
	h.box(h.phone, 0)
	h.kept(h.phone, h.tablet, 1, three)
	h.restart()
	h.box(h.tablet, 0, two, other, three)
	h.box(h.tablet, first[2].Number, three) // taken once, the others are not given again
	h.c.now = h.c.now.Add(home.MailLife)
	h.kept(h.phone, h.tablet, 4, one)
	h.c.now = h.c.now.Add(time.Second)
	h.box(h.tablet, 0, one)
	h.restart()
	h.box(h.tablet, 0, one)
	h.kept(h.phone, h.tablet, 5, two) // the old ones are gone from the disk, too
	files, err := os.ReadDir(filepath.Join(h.dir, "mail"))
	if err != nil || len(files) != 2 {
		t.Errorf("%d letters are on the disk (%v), want 2", len(files), err)
	}
}

// TestLRP_7_NumbersGoOnWithoutTheFile: the house is restored from a backup, where
// no letters are. What it keeps then is new to its members.
func TestLRP_7_NumbersGoOnWithoutTheFile(t *testing.T) {
	h := newHouse(t)
	one, two := written("one", 0), written("two", 0)
	h.kept(h.phone, h.tablet, 1, one)
	last := h.box(h.tablet, 0, one)[0].Number
	if err := os.RemoveAll(filepath.Join(h.dir, "mail")); err != nil {
		t.Fatal(err)
	}
	h.c.now = h.c.now.Add(time.Minute)
	h.restart()
	h.kept(h.phone, h.tablet, 2, two)
	h.box(h.tablet, last, two)
}

// TestLRP_7_FullBoxRefusesTheNewcomer: a source has so much of a box, and a box
// so much of the disk. Nothing that waits is put out, and what replaces a letter
// is taken all the same.
func TestLRP_7_FullBoxRefusesTheNewcomer(t *testing.T) {
	for _, tc := range []struct {
		name    string
		sources int
		size    int
		fits    int
	}{
		{"letters of a source", 1, 10, 32},
		{"bytes of a source", 1, 60 << 10, 8},
		{"letters of a member", 16, 10, 256},
		{"bytes of a member", 16, 60 << 10, 68},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			var writers []ident.Device
			for i := range tc.sources {
				writers = append(writers, h.join(fmt.Sprint("Writer ", i), nil))
			}
			source := func(i int) ident.Device { return writers[i%len(writers)] }
			var all [][]byte
			var before []home.Letter // all but the last two are there from the start: each costs a file of all
			for i := range tc.fits {
				all = append(all, written(fmt.Sprint(i), tc.size))
				if i < tc.fits-2 {
					topic := lrp.Tx{byte(i)}
					before = append(before, home.Letter{Number: uint64(i + 1), From: source(i), Topic: topic[:], At: h.c.now, Bytes: all[i]})
				}
			}
			h.prepared(before)
			for i := tc.fits - 2; i < tc.fits; i++ {
				h.kept(source(i), h.tablet, byte(i), all[i])
			}
			h.refused(lrp.CodeFull, source(tc.fits), h.tablet, 0xff, written("newcomer", tc.size))
			h.box(h.tablet, 0, all...)
			h.restart()
			h.refused(lrp.CodeFull, source(tc.fits), h.tablet, 0xff, written("newcomer", tc.size))
			h.box(h.tablet, 0, all...)
			h.kept(source(tc.fits), h.phone, 0xff, written("to another", 10))
			newer := written("newer", tc.size)
			h.kept(source(0), h.tablet, 0, newer)
			h.box(h.tablet, 0, append(all[1:], newer)...)
			h.c.now = h.c.now.Add(home.MailLife + time.Second)
			h.kept(source(tc.fits), h.tablet, 0xff, written("newcomer", 10))
			h.box(h.tablet, 0, written("newcomer", 10))
		})
	}
}

// TestLRP_7_LettersFindTheirWay: the house's own are read at once, and answered;
// a member's are kept; a stranger's are for nobody here.
func TestLRP_7_LettersFindTheirWay(t *testing.T) {
	h := newHouse(t)
	reply, onward := written("reply", 0), written("onward", 0)
	var read [][]byte
	h.m.OnPost = func(letter []byte) (trem.Handed, error) {
		read = append(read, letter)
		return trem.Handed{Letters: []trem.Letter{{To: h.phone, Topic: [16]byte{1}, Bytes: reply}, {To: h.tablet, Topic: [16]byte{2}, Bytes: onward}}}, nil
	}
	one := written("one", 0)
	got := h.carry(h.phone, h.m.State.Device, 1, one)
	if s, err := lrp.ParseSLTP(got.Body); got.Type != lrp.TypeSLTP || err != nil || !cmp.Equal(s.Message, reply) {
		t.Errorf("answer %+v (%v)", got, err)
	}
	if !cmp.Equal(read, [][]byte{one}) {
		t.Errorf("the module read %d letters", len(read))
	}
	if l := h.box(h.tablet, 0, onward); l[0].From != h.m.State.Device {
		t.Errorf("a letter of the house's module is from %v", l[0].From)
	}
	h.box(h.phone, 0)
	h.m.OnPost = func([]byte) (trem.Handed, error) {
		return trem.Handed{}, &trem.Error{Code: trem.CodeRejected, Text: "no"}
	}
	if got := h.carry(h.phone, h.m.State.Device, 2, one); got.Type != lrp.TypeError {
		t.Errorf("a letter that the module rejects: %+v", got)
	}
	if got := h.carry(h.phone, ident.Device{0xee}, 3, one); got.Type != lrp.TypeError {
		t.Errorf("a letter to a stranger: %+v", got)
	}
	h.box(ident.Device{0xee}, 0)
	late := lrp.Frame{Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(h.tablet), Src: lrp.Addr(h.phone), Tx: lrp.Tx{9}, Expires: h.c.now.UnixMilli()}
	var err error
	if late.Body, err = (lrp.SLTP{Message: one}).Encode(); err != nil {
		t.Fatal(err)
	}
	if got := h.FrameBy(t.Context(), lrp.Arrival{Signed: late.Src}, late); len(got) != 1 || got[0].Type != lrp.TypeError {
		t.Errorf("a frame whose time is over: %+v", got)
	}
	h.box(h.tablet, 0, onward)
}

// TestLRP_7_TheHouseWritesAgain: what a member has not answered is written once
// more when the letter that waits for it is a day old, and not before.
func TestLRP_7_TheHouseWritesAgain(t *testing.T) {
	h := newHouse(t)
	first, second := written("first", 0), written("second", 0)
	pending := func(bytes []byte, says uint64) {
		h.m.Lock()
		defer h.m.Unlock()
		h.m.Pending = trem.Handed{Letters: []trem.Letter{{To: h.tablet, Topic: [16]byte{1}, Bytes: bytes, Again: true, Says: says}}}
	}
	ask := func() {
		if _, err := h.Transfers(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pending(first, 1)
	ask()
	h.box(h.tablet, 0, first)
	pending(second, 1)
	h.c.now = h.c.now.Add(24*time.Hour - time.Second)
	ask()
	h.box(h.tablet, 0, first)
	h.c.now = h.c.now.Add(time.Second)
	ask()
	h.box(h.tablet, 0, second)
	recall := written("recall", 0) // it says something else: that does not wait
	pending(recall, 2)
	ask()
	h.box(h.tablet, 0, recall)
}

// TestLRP_7_RecipientOf: by name or ID; two of a name, none, and one that
// nothing can be sealed to are told apart.
func TestLRP_7_RecipientOf(t *testing.T) {
	h := newHouse(t)
	twin, old := h.join("Phone", []byte("delivery")), h.join("Old", nil)
	for _, tc := range []struct {
		name string
		want ident.Device
		err  error
	}{
		{"Tablet", h.tablet, nil},
		{h.phone.String(), h.phone, nil},
		{twin.String(), twin, nil},
		{home.HouseName, h.m.State.Device, nil},
		{"Phone", ident.Device{}, home.ErrAmbiguous},
		{"tablet", ident.Device{}, home.ErrUnknown},
		{"", ident.Device{}, home.ErrUnknown},
		{"Old", ident.Device{}, home.ErrNoCard},
		{old.String(), ident.Device{}, home.ErrNoCard},
	} {
		got, err := h.RecipientOf(t.Context(), tc.name, "")
		if !errors.Is(err, tc.err) || tc.err == nil && err != nil || got.ID != tc.want {
			t.Errorf("%q: %v, %v, want %v, %v", tc.name, got.ID, err, tc.want, tc.err)
		}
		if err == nil && tc.want != h.m.State.Device && string(got.Card.Delivery) != "delivery" {
			t.Errorf("%q: card %+v", tc.name, got.Card)
		}
	}
	h.restart()
	if got, err := h.RecipientOf(t.Context(), "Tablet", ""); err != nil || got.ID != h.tablet || len(got.Card.Chain) != 1 {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}

// TestLRP_7_HandOverToAMember: the order is for the member's card, and its letter
// waits in the member's box. A refusal leaves nothing there.
func TestLRP_7_HandOverToAMember(t *testing.T) {
	h := newHouse(t)
	letter := written("a title", 0)
	order := trem.HandOver{Op: trem.OpLend, Content: "urn:film", ForMS: 1000}
	if _, err := h.HandOver(t.Context(), order, "Tablet"); err == nil {
		t.Error("handed over what the module has not")
	}
	h.m.OnHandOver = func(in trem.HandOver) (trem.Handed, error) {
		if string(in.To.Delivery) != "delivery" || in.Op != order.Op || in.ForMS != order.ForMS || in.Content != order.Content {
			t.Errorf("order %+v", in)
		}
		return trem.Handed{Transfer: ident.Transfer{Dst: h.tablet, Seq: 1}, Letters: []trem.Letter{{To: h.tablet, Topic: [16]byte{1}, Bytes: letter}}}, nil
	}
	if _, err := h.HandOver(t.Context(), order, "Nobody"); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("to nobody: %v", err)
	}
	h.box(h.tablet, 0)
	got, err := h.HandOver(t.Context(), order, "Tablet")
	if err != nil || got.Transfer.Dst != h.tablet {
		t.Fatalf("%+v, %v", got, err)
	}
	h.restart()
	h.box(h.tablet, 0, letter)
}

// TestLRP_8_WhoDoesNotProveItself: the address in a frame is nobody's word. Without
// a proof, and with that of a stranger, nothing gets into a member's box, and nobody is
// crowded out of it.
func TestLRP_8_WhoDoesNotProveItself(t *testing.T) {
	h := newHouse(t)
	body, err := lrp.SLTP{Message: written("one", 0)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := lrp.Frame{Version: 1, Type: lrp.TypeSLTP, Dst: lrp.Addr(h.tablet), Src: lrp.Addr(h.phone), Tx: lrp.Tx{1}, Expires: h.c.now.Add(time.Hour).UnixMilli(), Body: body}
	leaf, key := hometest.Keyed(t, "stranger")
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	stranger := ident.DeviceOf(cert.RawSubjectPublicKeyInfo)
	who := hometest.Who(leaf, key, stranger, h.m.State.Device)
	carry := func(ctx context.Context, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
		return h.FrameBy(ctx, lrp.Arrival{Link: link}, f), nil
	}
	if _, _, err := lrp.Introduce(t.Context(), *who, h.c.now, carry); err == nil {
		t.Error("a stranger is taken for somebody of the house")
	}
	asStranger := f
	asStranger.Src = lrp.Addr(stranger)
	for name, got := range map[string][]lrp.Frame{
		"no proof":                 h.Frame(t.Context(), f),
		"signed by another member": h.FrameBy(t.Context(), lrp.Arrival{Signed: lrp.Addr(h.tablet)}, f),
		"signed by a stranger":     h.FrameBy(t.Context(), lrp.Arrival{Signed: lrp.Addr(stranger)}, asStranger),
		"on a link of nobody":      h.FrameBy(t.Context(), lrp.Arrival{Link: lrp.LinkID{1}}, f),
	} {
		if len(got) != 1 || !lrp.Unproven(got[0], got) {
			t.Errorf("%s: %+v, want UNPROVEN", name, got)
		}
	}
	h.box(h.tablet, 0)
	if err := h.ProvenMember(t.Context(), lrp.LinkID{1}); !errors.Is(err, home.ErrUnproven) {
		t.Errorf("a link of nobody: %v", err)
	}
}

// TestLRP_8_AMemberProvesItself: on its link it leaves letters, waits for its own
// and gets them when they come, until it is put out of the house.
func TestLRP_8_AMemberProvesItself(t *testing.T) {
	h := newHouse(t)
	leaf, key := hometest.Keyed(t, "television")
	tv := h.joinAs("Television", []byte("delivery"), leaf)
	who := hometest.Who(leaf, key, tv, h.m.State.Device)
	carry := func(ctx context.Context, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
		return h.FrameBy(ctx, lrp.Arrival{Link: link}, f), nil
	}
	link, _, err := lrp.Introduce(t.Context(), *who, h.c.now, carry)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.ProvenAs(t.Context(), link, tv), h.ProvenMember(t.Context(), link)); err != nil {
		t.Error(err)
	}
	if err := h.ProvenAs(t.Context(), link, h.phone); !errors.Is(err, home.ErrUnproven) {
		t.Errorf("as another: %v", err)
	}
	body, err := lrp.SLTP{Message: written("one", 0)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := lrp.Frame{Version: 1, Type: lrp.TypeSLTP, Dst: lrp.Addr(h.tablet), Src: lrp.Addr(tv), Tx: lrp.Tx{1}, Expires: h.c.now.Add(time.Hour).UnixMilli(), Body: body}
	if got := h.FrameBy(t.Context(), lrp.Arrival{Link: link}, f); got[0].Type != lrp.TypeAck {
		t.Errorf("%+v", got)
	}
	came := make(chan []lrp.Kept, 1)
	go func() {
		kept, _ := h.Wait(t.Context(), link, 0)
		came <- kept
	}()
	time.Sleep(20 * time.Millisecond)
	h.kept(h.phone, tv, 7, written("for the television", 0))
	if kept := <-came; len(kept) != 1 || kept[0].Frame.Src != lrp.Addr(h.phone) {
		t.Errorf("%+v", kept)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if kept, err := h.Wait(ctx, link, 1<<62); err != nil || len(kept) != 0 {
		t.Errorf("nothing more: %+v, %v", kept, err)
	}
	if _, err := h.Wait(t.Context(), lrp.LinkID{}, 0); !errors.Is(err, lrp.ErrProof) {
		t.Errorf("on no link: %v", err)
	}
	if err := h.RemoveDevice(t.Context(), tv); err != nil {
		t.Fatal(err)
	}
	if err := h.ProvenMember(t.Context(), link); !errors.Is(err, home.ErrUnproven) {
		t.Errorf("put out of the house: %v", err)
	}
	f.Tx = lrp.Tx{2}
	if got := h.FrameBy(t.Context(), lrp.Arrival{Link: link}, f); got[0].Type != lrp.TypeAck {
		t.Errorf("what is to be closed goes on: %+v", got)
	}
}

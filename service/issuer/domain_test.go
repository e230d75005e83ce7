package issuer_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// fakeRoll is the roll of fakeTREM, as JSON. Its rules are the few that a host sees.
type fakeRoll struct {
	Domain     ident.Domain
	Generation uint64
	Devices    uint64
	Members    []trem.RollMember
}

// Roll does one operation; a letter is the ID of the device that leaves by it, and seen
// is where a host's roll is too old.
func (f *fakeTREM) Roll(_ context.Context, o trem.RollOrder) (trem.Rolled, error) {
	r := fakeRoll{Domain: ident.NewDomain(), Generation: 1, Devices: o.Devices}
	out := trem.Rolled{Device: o.Device}
	if len(o.Roll) > 0 {
		if err := json.Unmarshal(o.Roll, &r); err != nil {
			return out, &trem.Error{Code: trem.CodeRejected, Text: "roll"}
		}
		f.mu.Lock()
		old := r.Generation < f.rolls
		if may := old && f.accepted && o.Op == trem.RollCreate; may {
			r.Generation, r.Members, old = f.rolls, nil, false // said again it is the same one
		} else if o.Op == trem.RollCreate {
			old = true
		}
		f.mu.Unlock()
		if old {
			if f.stale != nil {
				f.stale()
			}
			return out, &trem.Error{Code: trem.CodeState, Text: "roll"}
		}
	}
	at := func(id ident.Device) int {
		return slices.IndexFunc(r.Members, func(m trem.RollMember) bool { return m.Device == id })
	}
	put := func(id ident.Device) {
		if n := at(id); n >= 0 {
			r.Members, r.Generation = slices.Delete(r.Members, n, n+1), r.Generation+1
		}
	}
	switch o.Op {
	case trem.RollAdmit:
		id, err := idOf(o.Who.Chain[0])
		if err != nil {
			return out, err
		}
		if out.Device = id; at(id) >= 0 {
			break
		}
		if uint64(len(r.Members)) >= r.Devices {
			return out, &trem.RefusalError{Decision: fullDecision}
		}
		r.Members = append(r.Members, trem.RollMember{Device: id, Index: uint64(len(r.Members)) + 1})
	case trem.RollRemove:
		put(o.Device)
	case trem.RollLetter:
		put(ident.Device(o.Letter[5:21]))
	case trem.RollSeen:
		if at(o.Device) < 0 {
			return out, &trem.Error{Code: trem.CodeRejected, Text: "membership: not of this domain"}
		}
	case trem.RollCreate, trem.RollCard:
	}
	if f.before != nil {
		f.before()
	}
	var err error
	out.Domain, out.Generation, out.Members = r.Domain, r.Generation, r.Members
	if at(out.Device) >= 0 {
		out.Membership, out.Manager = []byte("membership"), [][]byte{[]byte("shop")}
	}
	out.Roll, err = json.Marshal(r)
	return out, err
}

// fullDecision is what a module says of a domain that has no place.
var fullDecision = license.Decision{Reasons: []license.Reason{{Code: license.DestNotAllowed, Constraint: "DOMAIN_DEVICES", Have: "2 devices of the house", Need: "fewer than 2"}}}

func idOf(der []byte) (ident.Device, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return ident.Device{}, err
	}
	return ident.DeviceOf(c.RawSubjectPublicKeyInfo), nil
}

// leaving is what fakeTREM takes for a LEFT of a device.
func leaving(id ident.Device) []byte {
	b, err := wire.Marshal([]any{sltp.NumberLetter, id[:], [][]byte{}})
	if err != nil {
		panic(err)
	}
	return b
}

// proves has a device prove itself on a link of its own.
func (s *shop) proves(n newcomer) lrp.LinkID { return n.proves(s.t, s.Issuer, lrp.Addr(self), s.now) }

// proves has it prove itself to an issuer on a link of its own.
func (n newcomer) proves(t *testing.T, to *issuer.Issuer, at lrp.Addr, now time.Time) lrp.LinkID {
	t.Helper()
	web := httptest.NewServer(&lrphttp.Server{Frames: to.FrameBy})
	defer web.Close()
	c := &lrphttp.Client{URL: web.URL, Now: func() time.Time { return now }, Who: &lrp.Introduction{
		Self: lrp.Addr(n.id), Relay: at, Hello: lrp.DefaultHello("http"),
		Sign: func(_ context.Context, link lrp.LinkID, to lrp.Addr, hello [32]byte) (lrp.Proof, error) {
			signed, err := pki.SignLink(n.Key, n.Leaf(), pki.LinkStatement{Link: link, Relay: ident.Device(to), Hello: hello})
			return lrp.Proof{Leaf: n.Leaf(), Statement: signed}, err
		},
	}}
	link, err := c.Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// newcomer is a device that wants to join.
type newcomer struct {
	*pkitest.Party
	id ident.Device
}

func (s *shop) newcomer(d *pkitest.Domain) newcomer {
	s.t.Helper()
	p := d.Party(pki.Device)
	id, err := idOf(p.Leaf())
	if err != nil {
		s.t.Fatal(err)
	}
	return newcomer{p, id}
}

// asks is what it shows with a code, made for an issuer.
func (n newcomer) asks(t *testing.T, name string, code issuer.ClaimCode, at ident.Device) issuer.Joining {
	t.Helper()
	j := issuer.Joining{Chain: n.Chain, Delivery: n.Leaf(), Hardware: issuer.Machine(at, []byte(name)), Name: name}
	s, err := j.Statement(code, at)
	if err == nil {
		j.Proof, err = pki.SignLink(n.Key, n.Leaf(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// club is a domain at a shop, with the code to join it.
func club(t *testing.T, devices uint64) (s *shop, d issuer.Domain, code issuer.ClaimCode) {
	t.Helper()
	s = newShop(t)
	d, err := s.CreateDomain(t.Context(), issuer.NewDomain{Devices: devices})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, err = s.JoinCode(t.Context(), d.Domain, false); err != nil {
		t.Fatal(err)
	}
	return s, d, code
}

// A device joins by a code, also when the answer was lost and after a restart, gets
// licenses as long as it is a member, and nothing once it was put out.
func TestDomain_Spec10_JoinAndRemove(t *testing.T) {
	s, d, code := club(t, 2)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	tablet, phone, third := s.newcomer(ca), s.newcomer(ca), s.newcomer(ca)
	for range 2 {
		a, err := s.Join(ctx, customer, code, tablet.asks(t, " tablet\x00", code, self))
		if err != nil || string(a.Membership) != "membership" {
			t.Fatalf("%+v, %v", a, err)
		}
		s.open()
	}
	if _, err := s.Join(ctx, customer, code, phone.asks(t, "phone", code, self)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Join(ctx, customer, code, third.asks(t, "third", code, self)); !errors.Is(err, issuer.ErrFull) {
		t.Errorf("a third of two: %v", err)
	}
	got, err := s.Domain(ctx, d.Domain)
	if err != nil || len(got.Members) != 2 || got.Members[0].Name != "tablet" || got.Members[0].Device != tablet.id {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := s.Grant(ctx, issuer.Grant{Domain: d.Domain, Content: film, Terms: rental, Remaining: 2}); err != nil {
		t.Fatal(err)
	}
	ask := request(1)
	ask.Member, ask.Domain, ask.Peer = true, d.Domain, home
	if got := s.send(ask); got != "refused NOT_MEMBER" {
		t.Errorf("a stranger: %q", got)
	}
	ask.Peer = tablet.id
	s.trem.dst = tablet.id
	if got := s.send(ask); got[:7] != "license" || len(s.trem.last.Roll) == 0 {
		t.Errorf("a member: %q, roll %q", got, s.trem.last.Roll)
	}
	act := &issuer.Act{Entry: audit.Entry{At: 1, Action: "device.remove", Actor: "owner", Subject: "it"}}
	if err := s.RemoveDevice(issuer.WithAct(ctx, act), d.Domain, tablet.id); err != nil || !act.Done() {
		t.Fatalf("%v, logged %v", err, act.Done())
	}
	ask.Request = ident.Request{2}
	if got := s.send(ask); got != "refused NOT_MEMBER" {
		t.Errorf("put out: %q", got)
	}
	ask.Peer, ask.Generation = phone.id, 1
	s.trem.dst = phone.id
	if s.send(ask); s.trem.last.Info.Subject.Generation != 2 {
		t.Errorf("a license of generation %d after one was put out", s.trem.last.Info.Subject.Generation)
	}
	if err := s.RemoveDomain(ctx, d.Domain); err != nil {
		t.Fatal(err)
	}
	ask.Request = ident.Request{3}
	if got := s.send(ask); got != "refused NOT_MEMBER" {
		t.Errorf("of no domain: %q", got)
	}
	if g := s.grants(); len(g) != 1 || !g[0].Revoked {
		t.Errorf("its grants go on: %+v", g)
	}
}

// A code is of one domain and one day, the newest one counts; who guesses is stopped,
// and nobody joins with what another one has shown.
func TestDomain_Spec10_CodesAndProofs(t *testing.T) {
	s, d, old := club(t, 8)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	tablet, thief := s.newcomer(ca), s.newcomer(ca)
	code, _, err := s.JoinCode(ctx, d.Domain, false)
	if err != nil || code == old {
		t.Fatalf("%v", err)
	}
	if _, err := s.Join(ctx, customer, old, tablet.asks(t, "tablet", old, self)); !errors.Is(err, issuer.ErrCodeUnknown) {
		t.Errorf("the code before: %v", err)
	}
	stolen := tablet.asks(t, "tablet", code, self)
	stolen.Name = "phone"
	mixed := tablet.asks(t, "tablet", code, self)
	mixed.Chain = thief.Chain
	elsewhere := tablet.asks(t, "tablet", code, home)
	long := tablet.asks(t, "tablet", code, self)
	long.Chain = slices.Repeat(long.Chain, 5)
	for name, j := range map[string]issuer.Joining{"a changed request": stolen, "another one's certificates": mixed, "made for another issuer": elsewhere} {
		if _, err := s.Join(ctx, customer, code, j); !errors.Is(err, issuer.ErrNotItself) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Join(ctx, customer, code, long); !errors.Is(err, issuer.ErrTerms) {
		t.Errorf("too many certificates: %v", err)
	}
	for range 12 {
		_, err = s.Join(ctx, customer, old, tablet.asks(t, "tablet", old, self))
	}
	if !errors.Is(err, issuer.ErrGuessing) {
		t.Errorf("after a dozen wrong codes: %v", err)
	}
	s.now = s.now.Add(issuer.JoinCodeLife)
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); !errors.Is(err, issuer.ErrCodeExpired) {
		t.Errorf("a day later: %v", err)
	}
}

// Devices that join at once are all members: nobody's roll overwrites another one's.
func TestDomain_Spec10_JoinsTogether(t *testing.T) {
	s, d, code := club(t, 8)
	ca := pkitest.New(t, pkitest.Start())
	var all sync.WaitGroup
	for range 6 {
		j := s.newcomer(ca).asks(t, "device", code, self)
		all.Go(func() {
			if _, err := s.Join(context.WithoutCancel(t.Context()), customer, code, j); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := s.Domain(t.Context(), d.Domain); err != nil || len(got.Members) != 6 {
		t.Errorf("%d members, %v", len(got.Members), err)
	}
}

// A license whose issuer limits the devices of a house goes to a domain that is as narrow.
func TestDomain_Spec10_LimitsOfALicense(t *testing.T) {
	s, d, code := club(t, 5)
	ctx := t.Context()
	tablet := s.newcomer(pkitest.New(t, pkitest.Start()))
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); err != nil {
		t.Fatal(err)
	}
	s.trem.dst = tablet.id
	for n, c := range []struct{ limit, want string }{{"; DOMAIN_DEVICES=4", "refused DOMAIN_FULL"}, {"; DOMAIN_DEVICES=5; DOMAIN_NEW=9", "refused DOMAIN_FULL"}, {"; DOMAIN_DEVICES=5", "license"}} {
		if _, err := s.Grant(ctx, issuer.Grant{Domain: d.Domain, Content: film, Terms: rental + c.limit}); err != nil {
			t.Fatal(err)
		}
		ask := request(byte(10 + n))
		ask.Member, ask.Domain, ask.Peer = true, d.Domain, tablet.id
		if got := s.send(ask); got != c.want && got[:7] != c.want {
			t.Errorf("%s: %q, want %s", c.limit, got, c.want)
		}
	}
}

// A letter waits for a device of the same domain, from one that has proven itself; a
// word to the issuer itself that a device leaves takes it off the list.
func TestDomain_Spec10_Letters(t *testing.T) {
	s, d, code := club(t, 8)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	tablet, phone, stranger := s.newcomer(ca), s.newcomer(ca), s.newcomer(ca)
	for name, n := range map[string]newcomer{"tablet": tablet, "phone": phone} {
		if _, err := s.Join(ctx, customer, code, n.asks(t, name, code, self)); err != nil {
			t.Fatal(err)
		}
	}
	letter := func(from, to ident.Device, topic byte, text []byte) lrp.Frame {
		body, err := lrp.SLTP{Message: text}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return lrp.Frame{
			Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(to), Src: lrp.Addr(from), Tx: lrp.Tx{topic}, Seq: 1, Expires: s.now.Add(time.Hour).UnixMilli(), Body: body,
		}
	}
	send := func(by lrp.LinkID, f lrp.Frame) string {
		out := s.FrameBy(ctx, lrp.Arrival{Link: by}, f)
		if len(out) != 1 {
			return ""
		}
		if out[0].Type == lrp.TypeError {
			e, _ := lrp.ParseError(out[0].Body)
			return e.Error()
		}
		return out[0].Type.String()
	}
	text := leaving(tablet.id)
	if got := send(lrp.LinkID{}, letter(tablet.id, phone.id, 1, text)); got == "ACK" {
		t.Error("a letter of who proves nothing waits")
	}
	at := s.proves(tablet)
	for _, topic := range []byte{1, 2, 1} {
		if got := send(at, letter(tablet.id, phone.id, topic, text)); got != "ACK" {
			t.Errorf("letter %d: %s", topic, got)
		}
	}
	if got := send(at, letter(tablet.id, stranger.id, 1, text)); got == "ACK" {
		t.Error("a letter for a stranger waits")
	}
	if _, err := s.LettersFor(ctx, at, phone.id, 0); !errors.Is(err, issuer.ErrUnproven) {
		t.Errorf("another one's letters: %v", err)
	}
	mine := s.proves(phone)
	box, err := s.LettersFor(ctx, mine, phone.id, 0)
	if err != nil || len(box) != 2 || box[0].From != tablet.id || box[1].Topic != [16]byte{1} || !slices.Equal(box[0].Bytes, text) {
		t.Errorf("%d letters, %v", len(box), err)
	}
	if id, name, card, err := s.CardOf(ctx, mine, "TABLET"); err != nil || id != tablet.id || name != "tablet" || len(card.Chain) != len(tablet.Chain) || len(card.Membership) == 0 {
		t.Errorf("%v %s %+v %v", id, name, card, err)
	}
	if _, _, _, err := s.CardOf(ctx, lrp.LinkID{}, "tablet"); !errors.Is(err, issuer.ErrUnproven) {
		t.Errorf("a card for who proves nothing: %v", err)
	}
	s.FrameBy(ctx, lrp.Arrival{Link: at}, letter(tablet.id, self, 9, text))
	if got, err := s.Domain(ctx, d.Domain); err != nil || len(got.Members) != 1 || got.Generation != 2 {
		t.Errorf("after it left: %+v, %v", got, err)
	}
	for n := range byte(lrp.MaxMailSource + 1) {
		got := send(mine, letter(phone.id, tablet.id, n, text))
		if got == "ACK" {
			t.Fatal("a letter waits for one that left")
		}
	}
}

// Two devices of one name are told apart by their IDs, and neither is given for the other.
func TestDomain_Spec10_DevicesOfOneName(t *testing.T) {
	s, _, code := club(t, 8)
	ctx, ca := t.Context(), pkitest.New(t, pkitest.Start())
	mine, first, second := s.newcomer(ca), s.newcomer(ca), s.newcomer(ca)
	for _, c := range []struct {
		who  newcomer
		name string
	}{{mine, "phone"}, {first, "Tablet"}, {second, "tablet"}} {
		if _, err := s.Join(ctx, customer, code, c.who.asks(t, c.name, code, self)); err != nil {
			t.Fatal(err)
		}
	}
	at := s.proves(mine)
	if id, _, _, err := s.CardOf(ctx, at, "tablet"); !errors.Is(err, issuer.ErrConflict) || !strings.Contains(err.Error(), "2 devices") {
		t.Errorf("by the name that two have: %v, %v", id, err)
	}
	for _, d := range []newcomer{first, second} {
		if id, _, card, err := s.CardOf(ctx, at, d.id.String()); err != nil || id != d.id || !slices.Equal(card.Chain[0], d.Leaf()) {
			t.Errorf("by its ID: %v, want %v, %v", id, d.id, err)
		}
	}
	if _, _, _, err := s.CardOf(ctx, at, "nobody"); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("a name that nobody has: %v", err)
	}
}

// A code whose place another one takes while the module works admits nobody.
func TestDomain_Spec10_ACodeThatIsOverMeanwhile(t *testing.T) {
	s, d, code := club(t, 8)
	ctx := t.Context()
	tablet := s.newcomer(pkitest.New(t, pkitest.Start()))
	s.trem.before = func() {
		s.trem.before = nil
		if _, _, err := s.JoinCode(ctx, d.Domain, false); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Join(ctx, customer, code, tablet.asks(t, "tablet", code, self)); !errors.Is(err, issuer.ErrCodeUnknown) {
		t.Errorf("%v, want that the code is unknown", err)
	}
	if got, err := s.Domain(ctx, d.Domain); err != nil || len(got.Members) != 0 {
		t.Errorf("%d members, %v", len(got.Members), err)
	}
}

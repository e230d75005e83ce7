package issuer_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

var (
	self  = ident.Device{0x10}
	home  = ident.Device{0x20}
	house = ident.Domain{0x30}
	start = time.UnixMilli(1_795_521_600_000)
)

const film = ident.Content("urn:lares:film:1")

// fakeTREM stands for an input TREM: an SLTP message is the JSON of the event
// that it leads to, an answer is a line of text. As the real one it does one
// command at a time.
type fakeTREM struct {
	mu         sync.Mutex
	epoch      uint64
	key        string // changes what licenses hash to
	prepared   int
	registered int
	released   []string
	last       trem.Terms // that were prepared
	marks      [][16]byte // that the database may have
	rolls      uint64     // generation below which a roll is too old
	forgot     bool       // accepted, every roll is too old
	accepted   bool       // the operator has accepted that the database was put back
	in         byte       // incarnation; 0 stands for 1
	failPrep   error
	failRel    error
	before     func()       // a license is made; nil = nothing
	stale      func()       // a roll was too old; nil = nothing
	dst        ident.Device // of licenses that count; zeros: home
}

func (f *fakeTREM) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: self, Issuer: "shop", Incarnation: f.incarnation(), Epoch: f.epoch}, nil
}

func (f *fakeTREM) incarnation() ident.Incarnation { return ident.Incarnation{max(f.in, 1)} }

func (f *fakeTREM) Book(_ context.Context, b trem.Book) (trem.Booked, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	older := len(f.marks) > 0 && !slices.Contains(f.marks, b.Have)
	switch {
	case b.How == trem.BookLook:
		return trem.Booked{Incarnation: f.incarnation(), Renewed: older, Forgot: f.forgot}, nil
	case b.How == trem.BookAccept:
		if f.accepted, f.in = true, max(f.in, 1)+1; f.forgot {
			f.rolls, f.forgot = 1<<32, false
		}
	case older:
		return trem.Booked{}, &trem.Error{Code: trem.CodeState, Text: "another database"}
	}
	f.marks = [][16]byte{b.Have, b.Next}
	return trem.Booked{Incarnation: f.incarnation(), Renewed: b.How == trem.BookAccept}, nil
}

// CheckReturn takes the ID of the license for the proof.
func (f *fakeTREM) CheckReturn(_ context.Context, p trem.Proof) (trem.Return, error) {
	if len(p.Object) != ident.Size || len(p.Chain) != 1 {
		return trem.Return{}, &trem.Error{Code: trem.CodeRejected, Text: "handed in: signature"}
	}
	return trem.Return{License: ident.License(p.Object), Issuer: "shop", Device: ident.Device(p.Chain[0])}, nil
}

func (f *fakeTREM) RegisterKeys(_ context.Context, sealed []byte) (ident.Content, error) {
	f.registered++
	id, ok := strings.CutPrefix(string(sealed), "keys of ")
	if !ok {
		return "", &trem.Error{Code: trem.CodeRejected, Text: "key delivery: not for this module"}
	}
	return ident.Content(id), nil
}

func (f *fakeTREM) Receive(_ context.Context, m trem.SLTPMessage) (trem.Received, error) {
	var ev trem.Event
	if err := json.Unmarshal(m.Bytes, &ev); err != nil {
		return trem.Received{}, &trem.Error{Code: trem.CodeMalformed, Text: "message"}
	}
	return trem.Received{Events: []trem.Event{ev}}, nil
}

func (f *fakeTREM) Prepare(_ context.Context, t trem.Terms) (trem.Prepared, error) {
	if f.before != nil {
		f.before()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failPrep != nil {
		return trem.Prepared{}, f.failPrep
	}
	f.prepared++
	f.last = t
	if _, err := wire.Marshal(t); err != nil { // it goes through a pipe
		return trem.Prepared{}, err
	}
	b, err := wire.Marshal(t.Info)
	if err != nil {
		return trem.Prepared{}, err
	}
	p := trem.Prepared{Hash: sha256.Sum256(append(b, f.key...))}
	p.Sealed = fmt.Appendf(nil, "license %v seq %d plays %d", t.Info.ID, t.Seq, t.Plays)
	if t.Seq != 0 {
		p.Transfer = ident.Transfer{Src: self, Dst: cmp.Or(f.dst, home), Incarnation: f.incarnation(), Seq: t.Seq}
		p.XferHash = sha256.Sum256(p.Sealed)
	}
	return p, nil
}

func (f *fakeTREM) Release(_ context.Context, _ uint64, sealed []byte) ([]trem.SLTPMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failRel != nil {
		return nil, f.failRel
	}
	f.released = append(f.released, string(sealed))
	return say(string(sealed)), nil
}

func (f *fakeTREM) Refuse(_ context.Context, _ uint64, code string, _ int64) ([]trem.SLTPMessage, error) {
	return say("refused " + code), nil
}

func (f *fakeTREM) Done(_ context.Context, d trem.Done) ([]trem.SLTPMessage, error) {
	return say(fmt.Sprintf("done %d low %d", d.Transfer.Seq, d.Low)), nil
}

func say(s string) []trem.SLTPMessage { return []trem.SLTPMessage{{Bytes: []byte(s)}} }

// shop is an issuer under test.
type shop struct {
	*issuer.Issuer
	t     *testing.T
	trem  *fakeTREM
	store *store.Store
	path  string
	now   time.Time
	key   issuer.ClaimKey
	lost  bool // the answer to each commit is

	noticeKey []byte
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, trem: &fakeTREM{epoch: 7}, path: filepath.Join(t.TempDir(), "issuer.db"), now: start, key: claimKey(t, 1)}
	s.open()
	if _, err := s.RegisterContent(t.Context(), []byte("keys of "+string(film))); err != nil {
		t.Fatal(err)
	}
	return s
}

// open starts the issuer anew on the same database.
func (s *shop) open() {
	s.t.Helper()
	var err error
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.store, err = store.OpenSQLite(s.t.Context(), s.path); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.store.Close() })
	var db issuer.Store = storetest.Twice{Store: s.store}
	if s.lost {
		db = storetest.Lost{Store: s.store}
	}
	s.Issuer, err = issuer.New(s.t.Context(), issuer.Config{TREM: s.trem, Store: issuer.Audited(db), Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), ClaimKey: s.key, NoticeKey: s.noticeKey})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) grant(terms string, licenses uint64) issuer.Grant {
	s.t.Helper()
	g, err := s.Grant(s.t.Context(), issuer.Grant{Domain: house, Content: film, Terms: terms, Remaining: licenses})
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

// send lets the household's TREM cause an event and returns what came back.
func (s *shop) send(ev trem.Event) string {
	s.t.Helper()
	return answerTo(s.t, s.Issuer, s.now, ev)
}

func answerTo(t testing.TB, i *issuer.Issuer, now time.Time, ev trem.Event) string {
	t.Helper()
	m, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	body, err := lrp.SLTP{Message: m}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	tx := lrp.NewTransaction(lrp.Addr(self), lrp.Addr(home), now, lrp.Life)
	var out []string
	for _, f := range i.Handle(t.Context(), tx.Next(lrp.TypeSLTP, body)) {
		if f.Type == lrp.TypeError {
			e, _ := lrp.ParseError(f.Body)
			return e.Error()
		}
		m, err := lrp.ParseSLTP(f.Body)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m.Message))
	}
	return strings.Join(out, "; ")
}

func request(n byte) trem.Event {
	return trem.Event{
		Kind: trem.EventRequest, Peer: home, Request: ident.Request{n}, Content: string(film), Domain: house, Generation: 1, Body: []byte{n},
	}
}

func receipt(seq uint64, sealed string, installed bool) trem.Event {
	return trem.Event{
		Kind: trem.EventReceipt, Peer: home, Installed: installed, XferHash: sha256.Sum256([]byte(sealed)),
		Transfer: ident.Transfer{Src: self, Dst: home, Incarnation: ident.Incarnation{1}, Seq: seq},
	}
}

func (s *shop) licenses() []issuer.License {
	s.t.Helper()
	return s.licensesOf(house)
}

func (s *shop) licensesOf(d ident.Domain) (out []issuer.License) {
	s.t.Helper()
	err := s.store.View(s.t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
		out, err = r.Licenses(ctx, d)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *shop) remaining(id issuer.GrantID) (n uint64) {
	s.t.Helper()
	err := s.store.Update(s.t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		g, err := tx.Grant(ctx, issuer.GrantKey{Domain: house, Grant: id})
		n = g.Remaining
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) grants() (out []issuer.Grant) {
	s.t.Helper()
	err := s.store.View(s.t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
		out, err = r.Grants(ctx, issuer.GrantKey{}, 1000)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

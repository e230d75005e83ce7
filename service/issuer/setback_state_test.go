package issuer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

// wipedTREM refuses every command with the code that an older database has, too.
type wipedTREM struct{ *fakeTREM }

var errWiped = &trem.Error{Code: trem.CodeState, Text: "this module is wiped"}

func (wipedTREM) Book(context.Context, trem.Book) (trem.Booked, error) {
	return trem.Booked{}, errWiped
}

func (wipedTREM) Roll(context.Context, trem.RollOrder) (trem.Rolled, error) {
	return trem.Rolled{}, errWiped
}

// A module that was wiped, or is not enrolled, says nothing of the database: the issuer
// gives its reason, and not that an operator has to accept an older database.
func TestIssuer_Spec7_AWipedModuleIsNoSetBack(t *testing.T) {
	s, d, _ := club(t, 8)
	wiped, err := issuer.New(t.Context(), issuer.Config{
		TREM: wipedTREM{s.trem}, Store: s.store, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler), NoticeKey: s.noticeKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, list := wiped.Domain(t.Context(), d.Domain)
	for what, err := range map[string]error{"the database": wiped.Book(t.Context()), "a list": list} {
		if !errors.Is(err, errWiped) || errors.Is(err, issuer.ErrSetBack) {
			t.Errorf("%s: %v, want what the module said", what, err)
		}
	}
}

// That an operator accepted an older database stands in its log, with the incarnation
// before and the new one; where there was nothing to accept, nothing does.
func TestIssuer_Spec7_AcceptingIsLogged(t *testing.T) {
	s := newShop(t)
	accept := func() *issuer.Act {
		t.Helper()
		act := &issuer.Act{Entry: audit.Entry{At: 1, Action: "db.accept-setback", Actor: "owner"}}
		if _, err := s.AcceptSetBack(issuer.WithAct(t.Context(), act)); err != nil {
			t.Fatal(err)
		}
		return act
	}
	was := s.trem.incarnation()
	s.setBack(func() {})
	act := accept()
	if want := was.String() + " " + s.trem.incarnation().String(); !act.Done() || act.Entry.Subject != want || was == s.trem.incarnation() {
		t.Errorf("in the log %v: %q, want %q", act.Done(), act.Entry.Subject, want)
	}
	if again := accept(); again.Done() {
		t.Error("what was not accepted is in the log")
	}
}

// The log says once an hour that a domain is not served, however often its devices ask.
func TestDomain_Spec12_AnOldListIsSaidOnceAnHour(t *testing.T) {
	s, d, _ := club(t, 8)
	var log bytes.Buffer
	i, err := issuer.New(t.Context(), issuer.Config{TREM: s.trem, Store: s.store, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.trem.rolls = 6
	ask := request(1)
	ask.Member, ask.Domain, ask.Peer = true, d.Domain, ident.Device{0x77}
	for n, want := range []int{1, 1, 1, 2} {
		if got := answerTo(t, i, s.now, ask); got != "refused UNAVAILABLE" {
			t.Fatal(got)
		}
		if said := strings.Count(log.String(), "domain not served"); said != want {
			t.Errorf("asked %d times: said %d times, want %d", n+1, said, want)
		}
		if n == 2 {
			s.now = s.now.Add(time.Hour)
		}
	}
}

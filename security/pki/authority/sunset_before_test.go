package authority_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki/authority"
)

// waits is the name of the notice that waits, as the operator reads it.
func waits(t testing.TB, a *authority.Authority) string {
	t.Helper()
	w := a.Issuers()[0].Waits
	if w == nil {
		t.Fatal("no notice waits")
	}
	return w.Notice[:authority.NoticeDigits]
}

// sentTest is an authority that an issuer sends to, a second later each time.
type sentTest struct {
	*testing.T
	dir *memory
	*authority.Authority
	*sender
	now time.Time
}

func newSentTest(t *testing.T) *sentTest {
	s := &sentTest{T: t, dir: newMemory(), now: start().Add(time.Hour)}
	s.Authority = ceremony(t, s.dir)
	s.sender = newSender(t, s.Authority)
	must(t, s.Publish(s.now))
	return s
}

// again opens the authority anew, as each command does.
func (s *sentTest) again() {
	s.T.Helper()
	a, err := authority.Open(s.dir)
	must(s.T, err)
	s.Authority = a
}

func (s *sentTest) take(statement []byte) (authority.Taken, error) {
	s.T.Helper()
	s.again()
	s.now = s.now.Add(time.Second)
	return s.Take(s.sends(statement, s.now), s.now)
}

func (s *sentTest) is(name string, statement []byte, want authority.SentState) {
	s.T.Helper()
	if got, err := s.take(statement); err != nil || got.State != want {
		s.T.Errorf("%s: %+v, %v; want %v", name, got, err, want)
	}
}

func (s *sentTest) isRefused(name string, statement []byte, says string) {
	s.T.Helper()
	if got, err := s.take(statement); !errors.Is(err, authority.ErrSunset) || !strings.Contains(err.Error(), says) {
		s.T.Errorf("%s: %+v, %v; want %q", name, got, err, says)
	}
}

func (s *sentTest) ahead(days int) []byte { return s.notice(s.T, s.now.AddDate(0, 0, days)) }

// TestSunset_3_RefusedStaysRefused: whatever the issuer says in between.
func TestSunset_3_RefusedStaysRefused(t *testing.T) {
	s := newSentTest(t)
	a, b := s.ahead(40), s.ahead(50)
	s.is("A", a, authority.SentWaits)
	must(t, s.RefuseSent("shop.example", waits(t, s.Authority), s.now))
	s.isRefused("A again", a, "operator refused")
	s.is("B", b, authority.SentWaits)
	s.isRefused("A behind B", a, "operator refused")
	s.is("B waits still", b, authority.SentWaits)
	s.is("B taken back", s.withdrawal(t, b), authority.SentWithdrawn)
	s.isRefused("A behind a withdrawal", a, "operator refused")
	s.is("A taken back", s.withdrawal(t, a), authority.SentWithdrawn)
	s.isRefused("A behind its withdrawal", a, "operator refused")
	s.is("B again", b, authority.SentWaits)
	must(t, s.RefuseSent("shop.example", waits(t, s.Authority), s.now))
	s.isRefused("A behind a second refusal", a, "operator refused")
	s.isRefused("and B", b, "operator refused")
}

// TestSunset_3_OperatorDecidesWhatHeRead: a notice that came after he looked neither
// stands nor is refused by his word.
func TestSunset_3_OperatorDecidesWhatHeRead(t *testing.T) {
	s := newSentTest(t)
	s.is("A", s.ahead(40), authority.SentWaits)
	read, whole := waits(t, s.Authority), s.Issuers()[0].Waits.Notice
	if was := s.Issuers()[0].Waits.Replaced; was != "" {
		t.Errorf("the first replaces %s", was)
	}
	s.is("B", s.ahead(50), authority.SentWaits)
	if was := s.Issuers()[0].Waits.Replaced; was != whole {
		t.Errorf("B replaces %q, want %s", was, whole)
	}
	now := waits(t, s.Authority)
	for name, do := range map[string]func(string) error{
		"stand":  func(n string) error { return s.StandSent("shop.example", n, s.now) },
		"refuse": func(n string) error { return s.RefuseSent("shop.example", n, s.now) },
	} {
		for given, says := range map[string]string{read: "another one than you named", now[:15]: "16 digits", "": "16 digits", now + "0": "another one"} {
			if given == now+"0" && strings.HasPrefix(s.Issuers()[0].Waits.Notice, given) {
				continue
			}
			if err := do(given); !errors.Is(err, authority.ErrSunset) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s %q: %v", name, given, err)
			}
		}
	}
	if got := waits(t, s.Authority); got != now {
		t.Errorf("%s waits", got)
	}
	must(t, s.StandSent("shop.example", strings.ToUpper(now), s.now))
	s.again()
	if i := s.Issuers()[0]; i.Waits != nil || i.Effective.IsZero() {
		t.Errorf("%+v", i)
	}
}

// TestSunset_3_WithdrawnByFile: file and network are about the same notice.
func TestSunset_3_WithdrawnByFile(t *testing.T) {
	for _, stands := range []bool{false, true} {
		s := newSentTest(t)
		a, b := s.ahead(40), s.ahead(50)
		s.is("A", a, authority.SentWaits)
		if stands {
			must(t, s.StandSent("shop.example", waits(t, s.Authority), s.now))
			s.is("A stands", a, authority.SentStands)
		}
		for name, w := range map[string][]byte{"of another": s.withdrawal(t, b), "by another key": newNotary(t).withdrawal(t, a), "no withdrawal": a} {
			if err := s.Withdraw("shop.example", w, s.now); !errors.Is(err, authority.ErrSunset) {
				t.Errorf("stands %v, %s: %v", stands, name, err)
			}
		}
		must(t, s.Withdraw("shop.example", s.withdrawal(t, a), s.now))
		s.is("A, which its host sends again", a, authority.SentWithdrawn)
		if i := s.Issuers()[0]; i.Waits != nil || !i.Effective.IsZero() {
			t.Errorf("stands %v: %+v", stands, i)
		}
		if err := s.Withdraw("shop.example", s.withdrawal(t, a), s.now); !errors.Is(err, authority.ErrSunset) {
			t.Errorf("stands %v: withdrawn twice: %v", stands, err)
		}
		s.is("another", b, authority.SentWaits)
		s.is("taken back by the network", s.withdrawal(t, b), authority.SentWithdrawn)
		s.is("and A is meant again", a, authority.SentWaits)
	}
	// What the operator has by a file only may be on its way by the network, too.
	s := newSentTest(t)
	a := s.ahead(40)
	must(t, s.Stand(a, s.point, s.now))
	must(t, s.Withdraw("shop.example", s.withdrawal(t, a), s.now))
	s.is("A, late", a, authority.SentWithdrawn)
}

// TestSunset_3_WaitsNotForEver: until its day is too near, or another one stands.
func TestSunset_3_WaitsNotForEver(t *testing.T) {
	s := newSentTest(t)
	a := s.ahead(40)
	s.is("A", a, authority.SentWaits)
	if s.Issuers()[0].Waits.Late(s.now) {
		t.Error("40 days ahead is late")
	}
	s.now = s.now.AddDate(0, 0, 10)
	must(t, s.Publish(s.now))
	if !s.Issuers()[0].Waits.Late(s.now.Add(time.Second)) {
		t.Error("less than 30 days ahead is not late")
	}
	s.isRefused("A, too late", a, "announce a later day")
	s.again()
	if w := s.Issuers()[0].Waits; w != nil {
		t.Errorf("waits for ever: %+v", w)
	}
	b, c := s.ahead(50), s.ahead(60)
	s.is("B", b, authority.SentWaits)
	must(t, s.Stand(c, s.point, s.now))
	s.again()
	if i := s.Issuers()[0]; i.Waits != nil {
		t.Errorf("waits beside another one that stands: %+v", i.Waits)
	}
	s.isRefused("B beside C", b, "withdraws that first")
	s.is("C", c, authority.SentStands)
	must(t, s.Withdraw("shop.example", s.withdrawal(t, c), s.now))
	s.is("B is meant again", b, authority.SentWaits)
	waits(t, s.Authority)
}

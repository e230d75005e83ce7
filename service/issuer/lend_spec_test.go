package issuer_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// TestCopies_Spec3_WorkedExample lives through the page's example and writes it down.
func TestCopies_Spec3_WorkedExample(t *testing.T) {
	s := library(t, 1)
	a, b, c := ident.Domain{0xa}, ident.Domain{0xb}, ident.Domain{0xc}
	names := map[ident.Domain]string{a: "A", b: "B", c: "C"}
	const day = 24 * time.Hour
	days := func(ms int64) string {
		d := time.UnixMilli(ms).Sub(start)
		if d%day != 0 {
			return fmt.Sprintf("%d+", d/day)
		}
		return fmt.Sprint(int64(d / day))
	}
	var out strings.Builder
	at := func(d time.Duration, text string, args ...any) {
		s.now = start.Add(d)
		fmt.Fprintf(&out, "%-5s %s\n", days(s.now.UnixMilli()), fmt.Sprintf(text, args...))
	}
	lend := func(d ident.Domain) string {
		l, err := s.Lend(t.Context(), film, d)
		if err != nil {
			t.Fatal(err)
		}
		return names[d] + " has it until " + days(l.Until)
	}
	hold := func(d ident.Domain) string {
		h, err := s.PlaceHold(t.Context(), film, d)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s waits, turn %d", names[d], h.Turn)
	}
	offered := func() string {
		v, err := s.Copies(t.Context(), film)
		if err != nil || v.Free != 0 || len(v.Loans) > 0 || v.Holds[0].OfferedUntil == 0 {
			t.Fatalf("%+v, %v", v, err)
		}
		return fmt.Sprintf("offered to %s, until %s", names[v.Holds[0].Domain], days(v.Holds[0].OfferedUntil))
	}
	at(0, "%s", lend(a))
	s.fetch(a, 1)
	s.now = start.Add(day)
	at(day, "%s", hold(b))
	s.now = start.Add(2 * day)
	at(2*day, "%s", hold(c))
	s.now = start.Add(5 * day)
	if _, err := s.RenewLoan(t.Context(), film, a); !errors.Is(err, issuer.ErrAwaited) {
		t.Fatal(err)
	}
	at(5*day, "A renews: awaited")
	s.now = start.Add(14 * day)
	if v, err := s.Copies(t.Context(), film); err != nil || v.Free != 0 || len(v.Loans) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	at(14*day, "A's license has ended; the copy is not free yet")
	s.now = start.Add(14*day + loanGuard)
	at(14*day+loanGuard, "ten minutes later it is %s", offered())
	s.now = start.Add(17*day + loanGuard)
	at(17*day+loanGuard, "B has not come: %s", offered())
	s.now = start.Add(18 * day)
	at(18*day, "%s", lend(c))
	page, err := os.ReadFile("../../docs/spec/copies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "### Worked example: one copy")
	parts := strings.Split(after, "```")
	if !ok || len(parts) < 3 || parts[1] != "\n"+out.String() {
		t.Errorf("the page has%s, this library\n%s", parts[1], out.String())
	}
}

package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/lares-drm/lares/license/ident"
)

func copyChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"copies.md 2", "loans and offers together are never more than the copies, whoever asks at once", at, checkStock},
		{"copies.md 2", "who waits is offered a copy in their turn, and nobody overtakes", at, checkTurns},
		{"copies.md 2", "there cannot be fewer copies than are out", at, func(ctx context.Context, s *subject) error {
			lib, err := s.library(ctx, 1)
			if err != nil {
				return err
			}
			defer lib.close(ctx)
			if _, err := lib.lend(ctx, ident.NewDomain()); err != nil {
				return err
			}
			a, err := s.operate(ctx, http.MethodPost, "/api/v1/copies", lib.stock(lib.out))
			if err == nil {
				err = wantProblem("one copy fewer than is out", a, http.StatusConflict, "conflict")
			}
			return err
		}},
		{"copies.md 2", "a loan is not renewed while somebody waits", at, func(ctx context.Context, s *subject) error {
			lib, err := s.library(ctx, 1)
			if err != nil {
				return err
			}
			defer lib.close(ctx)
			first, err := lib.lend(ctx, lib.house(0))
			if err != nil {
				return err
			}
			renewed, err := lib.do(ctx, "copies/renew", lib.house(0))
			if err == nil && (renewed.Grant != first.Grant || renewed.Until < first.Until) {
				err = fmt.Errorf("renewed: expected the same grant, and no earlier end, seen %+v after %+v", renewed, first)
			}
			if err == nil {
				_, err = lib.do(ctx, "holds", lib.house(1))
			}
			if err == nil {
				err = lib.refused(ctx, "copies/renew", lib.house(0), "awaited")
			}
			return err
		}},
	}
}

// loan is what lending a copy gives, and waiting for one.
type loan struct {
	Domain       ident.Domain `json:"domain"`
	Grant        string       `json:"grant"`
	Until        int64        `json:"until"` // Unix ms
	Turn         uint64       `json:"turn"`
	OfferedUntil int64        `json:"offered_until"` // Unix ms; 0 = waits
}

// shelf is a title's copies as operators see them.
type shelf struct {
	Copies  int    `json:"copies"`
	Offer   string `json:"offer"`
	Free    int    `json:"free"`
	Waiting int    `json:"waiting"`
	Loans   []loan `json:"loans"`
	Holds   []loan `json:"holds"`
}

// library is the judge's copies of a title: so many more than are out.
type library struct {
	*subject
	out    int // from before, which come back by themselves
	copies int
	houses [4]ident.Domain
}

// lent is the judge's offer that copies are lent by.
const lent = "conform-loan"

// library has the issuer lend so many copies of the title, for a minute each. A title
// that has copies of the library's own is left alone.
func (s *subject) library(ctx context.Context, copies int) (*library, error) {
	if err := s.sells("shelf", "help", "read"); err != nil {
		return nil, err
	}
	lib := &library{subject: s}
	for n := range lib.houses {
		lib.houses[n] = ident.NewDomain()
	}
	have, found, err := lib.view(ctx)
	if err != nil {
		return nil, err
	}
	if found && have.Offer != lent {
		return nil, lacking("the title has copies of the library's own: give --title one that has none")
	}
	if err := s.offer(ctx, lent, "loan", "PLAY"); err != nil {
		return nil, err
	}
	lib.out = lib.empty(ctx, have)
	lib.copies = lib.out + copies
	return lib, s.post(ctx, "/api/v1/copies", lib.stock(lib.copies), &struct{}{})
}

// empty takes back what can be, of an earlier judge too, and returns how many copies stay out.
func (lib *library) empty(ctx context.Context, have shelf) (out int) {
	for _, h := range have.Holds {
		_, _ = lib.do(ctx, "holds/cancel", h.Domain) // a copy may have become its
	}
	for _, l := range have.Loans {
		if _, err := lib.do(ctx, "copies/return", l.Domain); err != nil { // it was fetched
			out++
		}
	}
	return out
}

// close leaves a title with the copies that are out, which are those that were fetched;
// there cannot be fewer. Without one it has none to lend.
func (lib *library) close(ctx context.Context) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	have, _, err := lib.view(ctx)
	if err == nil {
		_ = lib.post(ctx, "/api/v1/copies", lib.stock(lib.empty(ctx, have)), &struct{}{}) // of the judge's own
	}
}

func (lib *library) house(n int) ident.Domain { return lib.houses[n] }

func (lib *library) stock(copies int) map[string]any {
	return map[string]any{"content": lib.cfg.Title, "copies": copies, "offer": lent, "period_ms": 60_000, "window_ms": 60_000}
}

func (lib *library) about(domain ident.Domain) map[string]any {
	return map[string]any{"content": lib.cfg.Title, "domain": domain}
}

// do does something for a household.
func (lib *library) do(ctx context.Context, what string, domain ident.Domain) (l loan, err error) {
	return l, lib.post(ctx, "/api/v1/"+what, lib.about(domain), &l)
}

func (lib *library) lend(ctx context.Context, domain ident.Domain) (loan, error) {
	l, err := lib.do(ctx, "copies/lend", domain)
	if err == nil && (l.Grant == "" || l.Domain != domain || l.Until == 0) {
		err = fmt.Errorf("a copy lent: expected the household's loan with its grant and its end, seen %+v", l)
	}
	return l, err
}

func (lib *library) refused(ctx context.Context, what string, domain ident.Domain, code string) error {
	a, err := lib.operate(ctx, http.MethodPost, "/api/v1/"+what, lib.about(domain))
	if err != nil {
		return err
	}
	return wantProblem(what, a, http.StatusConflict, code)
}

// view reads the title's copies, and holds them against the invariant.
func (lib *library) view(ctx context.Context) (v shelf, found bool, err error) {
	a, err := lib.operate(ctx, http.MethodGet, "/api/v1/copies?content="+url.QueryEscape(string(lib.cfg.Title)), nil)
	if err != nil || a.status == http.StatusNotFound {
		return v, false, err
	}
	var page struct {
		Copies []shelf `json:"copies"`
	}
	if a.status != http.StatusOK || decode(a, &page) != nil || len(page.Copies) != 1 {
		return v, false, fmt.Errorf("a title's copies: expected HTTP status 200 and the title, seen %d, %.120q", a.status, a.body)
	}
	v = page.Copies[0]
	offers := 0
	for _, h := range v.Holds {
		if h.OfferedUntil != 0 {
			offers++
		}
	}
	switch {
	case len(v.Loans)+offers > v.Copies:
		err = fmt.Errorf("expected no more than the %d copies, seen %d loans and %d offers", v.Copies, len(v.Loans), offers)
	case v.Free != v.Copies-len(v.Loans)-offers, v.Waiting != len(v.Holds)-offers:
		err = fmt.Errorf("of %d copies with %d loans, %d offers and %d holds: seen %d free and %d that wait", v.Copies, len(v.Loans), offers, len(v.Holds), v.Free, v.Waiting)
	case v.Free > 0 && v.Waiting > 0:
		err = fmt.Errorf("expected that a free copy is offered to who waits, seen %d free and %d that wait", v.Free, v.Waiting)
	}
	return v, true, err
}

func checkStock(ctx context.Context, s *subject) error {
	const copies = 2
	lib, err := s.library(ctx, copies)
	if err != nil {
		return err
	}
	defer lib.close(ctx)
	var answers [racers]answer
	var errs [racers]error
	var houses [racers]ident.Domain
	var wg sync.WaitGroup
	for n := range houses {
		houses[n] = ident.NewDomain()
		wg.Go(func() {
			answers[n], errs[n] = s.operate(ctx, http.MethodPost, "/api/v1/copies/lend", lib.about(houses[n]))
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	got := 0
	for n, a := range answers {
		if a.status != http.StatusOK {
			if err := wantProblem("a copy for each of several at once", a, http.StatusConflict, "no_copy"); err != nil {
				return err
			}
			continue
		}
		got++
		var first loan
		again, err := lib.lend(ctx, houses[n])
		if err == nil && (decode(a, &first) != nil || first != again) {
			err = fmt.Errorf("lent again to who has it: expected the loan that stands, %+v, seen %+v", first, again)
		}
		if err != nil {
			return err
		}
	}
	if got != copies {
		return fmt.Errorf("%d copies for %d households at once: expected %d loans, seen %d", copies, racers, copies, got)
	}
	v, _, err := lib.view(ctx)
	if err == nil && (v.Free != 0 || v.Copies != lib.copies) {
		err = fmt.Errorf("afterwards: expected %d copies and none free, seen %d and %d", lib.copies, v.Copies, v.Free)
	}
	return err
}

func checkTurns(ctx context.Context, s *subject) error {
	lib, err := s.library(ctx, 1)
	if err != nil {
		return err
	}
	defer lib.close(ctx)
	if _, err := lib.lend(ctx, lib.house(0)); err != nil {
		return err
	}
	first, err := lib.do(ctx, "holds", lib.house(1))
	if err != nil {
		return err
	}
	second, err := lib.do(ctx, "holds", lib.house(2))
	if err == nil && (first.Turn >= second.Turn || first.OfferedUntil != 0 || second.OfferedUntil != 0) {
		err = fmt.Errorf("two that wait: expected ascending turns and no offer, seen %+v and %+v", first, second)
	}
	if err == nil {
		err = lib.refused(ctx, "copies/lend", lib.house(1), "no_copy")
	}
	if err == nil {
		_, err = lib.do(ctx, "copies/return", lib.house(0))
	}
	if err != nil {
		return err
	}
	v, _, err := lib.view(ctx)
	if err != nil {
		return err
	}
	for _, h := range v.Holds {
		if offered := h.OfferedUntil != 0; offered != (h.Domain == lib.house(1)) {
			return fmt.Errorf("a copy came back: expected an offer to turn %d alone, seen turn %d offered: %v", first.Turn, h.Turn, offered)
		}
	}
	if len(v.Holds) != 2 {
		return fmt.Errorf("a copy came back: expected two holds, seen %d", len(v.Holds))
	}
	for _, n := range []int{2, 3} {
		if err := lib.refused(ctx, "copies/lend", lib.house(n), "no_copy"); err != nil {
			return fmt.Errorf("who is not next: %w", err)
		}
	}
	if _, err = lib.lend(ctx, lib.house(1)); err == nil {
		_, _, err = lib.view(ctx)
	}
	return err
}

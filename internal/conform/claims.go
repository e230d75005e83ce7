package conform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// A code of the worked example of docs/spec/claim-code.md; nobody here gave it out.
const example = "DFKKB0FR9E2G"

func claimChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"claim-code.md 3", "a code that was never given out is refused with a code_ problem", at, func(ctx context.Context, s *subject) error {
			a, err := s.redeem(ctx, example, ident.NewDomain())
			if err == nil {
				err = wantCode("a code that nobody gave out", a)
			}
			return err
		}},
		{"claim-code.md 1", "one wrong symbol, and two that changed places, are code_mistyped", at, func(ctx context.Context, s *subject) error {
			var errs []error
			for what, code := range map[string]string{"one wrong symbol": "DFKKB0FR9E2H", "two that changed places": "FDKKB0FR9E2G", "eleven symbols": example[:11]} {
				a, err := s.redeem(ctx, code, ident.NewDomain())
				if err == nil {
					err = wantProblem(what, a, http.StatusUnprocessableEntity, "code_mistyped")
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}},
		{"claim-code.md 5", "unknown fields, and more than 256 KiB, are refused", at, func(ctx context.Context, s *subject) error {
			a, err := s.ask(ctx, http.MethodPost, pathRedeem, typeJSON, []byte(`{"code": "`+example+`", "more": 1}`))
			if err == nil && (a.status < 400 || a.status >= 500) {
				err = fmt.Errorf("an unknown field: expected a refusal, seen HTTP status %d", a.status)
			}
			b, err2 := s.ask(ctx, http.MethodPost, pathRedeem, typeJSON, []byte(`{"code": "`+strings.Repeat("7", 300<<10)+`"}`))
			if err2 == nil {
				err2 = wantProblem("300 KiB", b, http.StatusRequestEntityTooLarge, "too_large")
			}
			return errors.Join(err, err2)
		}},
		{"claim-code.md 6", "the claim page loads nothing from elsewhere and tells nobody its address", at, func(ctx context.Context, s *subject) error {
			return s.pageAt(ctx, "/c")
		}},
		{"claim-code.md 2", "codes asked for again under one Idempotency-Key are the same, and another order under it is a conflict", at, checkBatch},
		{"claim-code.md 3", "a code is redeemed once: by one household, whoever shows it at once, for one grant", at, checkOnce},
		{"claim-code.md 3", "a code that the shop has withdrawn is code_void, and gives nothing", at, checkVoid},
		{"claim-code.md 3", "a code whose end has come is code_expired, and gives nothing", at, checkExpired},
		{"claim-code.md 6", "the page of a code shows what it is for, and redeems nothing", at, checkCodePage},
	}
}

const pathRedeem = "/api/v1/claims/redeem"

// redeem shows a code as a household.
func (s *subject) redeem(ctx context.Context, code string, domain ident.Domain) (answer, error) {
	return s.by(ctx, "", http.MethodPost, pathRedeem, map[string]any{"code": code, "domain": domain})
}

// wantCode wants one of the refusals of claim codes.
func wantCode(what string, a answer) error {
	var p struct {
		Code string `json:"code"`
	}
	if a.status < 400 || a.status >= 500 || a.typ != "application/problem+json" || decode(a, &p) != nil || !strings.HasPrefix(p.Code, "code_") {
		return fmt.Errorf("%s: expected a problem with a code that begins with code_, seen HTTP status %d, %.80q", what, a.status, a.body)
	}
	return nil
}

// batch is claim codes that were made.
type batch struct {
	ID      string `json:"batch"`
	Created int64  `json:"created_at"` // Unix ms, by the issuer's clock
	Claims  []struct {
		Code  string `json:"code"`
		URL   string `json:"url"`
		Index uint64 `json:"index"`
		State string `json:"state"`
	} `json:"claims"`
}

// rental is the judge's offer that codes are made for.
const rental = "conform-rental"

func (s *subject) offer(ctx context.Context, id, kind, terms string) error {
	return s.post(ctx, "/api/v1/offers", map[string]any{"id": id, "content": s.cfg.Title, "kind": kind, "name": "Conformance", "terms": terms}, &struct{}{})
}

// codes makes claim codes, by the operator's leave.
func (s *subject) codes(ctx context.Context, n int, expires int64, key string) (b batch, err error) {
	if err := s.sells("shelf", "sell", "read"); err != nil {
		return b, err
	}
	if err := s.offer(ctx, rental, "rental", "PLAY; PLAY_COUNT=1"); err != nil {
		return b, err
	}
	err = s.post(ctx, "/api/v1/claims", map[string]any{"offer": rental, "codes": n, "expires_at": expires}, &b, "Idempotency-Key", key)
	if err == nil && (b.ID == "" || len(b.Claims) != n) {
		err = fmt.Errorf("%d claim codes: expected a batch of so many, seen %d", n, len(b.Claims))
	}
	return b, err
}

// withdraw ends what is left of a batch.
func (s *subject) withdraw(ctx context.Context, b batch) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	_ = s.post(ctx, "/api/v1/claims/"+b.ID+"/void", struct{}{}, &struct{}{}) // of the judge's own
}

func newKeyOf(what string) string { return "conform " + what + " " + ident.NewRequest().String() }

func checkBatch(ctx context.Context, s *subject) error {
	key := newKeyOf("batch")
	first, err := s.codes(ctx, 2, 0, key)
	if err != nil {
		return err
	}
	defer s.withdraw(ctx, first)
	again, err := s.codes(ctx, 2, 0, key)
	if err != nil {
		return err
	}
	for n := range first.Claims {
		if first.ID != again.ID || again.Claims[n].Code != first.Claims[n].Code || first.Claims[n].State != "open" {
			return errors.New("the same order again: expected the same batch with the same codes, open, seen others")
		}
	}
	a, err := s.operate(ctx, http.MethodPost, "/api/v1/claims", map[string]any{"offer": rental, "codes": 3}, "Idempotency-Key", key)
	if err == nil {
		err = wantProblem("another order under the key", a, http.StatusConflict, "conflict")
	}
	return err
}

// redeemed is what a household has for a code.
type redeemed struct {
	Grant   string        `json:"grant"`
	Content ident.Content `json:"content"`
	Terms   string        `json:"terms"`
}

// shown shows a code and wants what it is for. An issuer that turns this network away,
// since somebody there guesses, is not judged.
func (s *subject) shown(ctx context.Context, what, code string, domain ident.Domain) (r redeemed, err error) {
	a, err := s.redeem(ctx, code, domain)
	if err != nil {
		return r, err
	}
	if a.status == http.StatusTooManyRequests && wantProblem(what, a, http.StatusTooManyRequests, "code_guessing") == nil {
		return r, lacking("too many wrong codes came from here: come again in %s s", a.header.Get("Retry-After"))
	}
	if a.status != http.StatusOK || decode(a, &r) != nil || r.Grant == "" || r.Content != s.cfg.Title {
		return r, fmt.Errorf("%s: expected HTTP status 200 and its grant, seen %d, %.120q", what, a.status, a.body)
	}
	return r, nil
}

// racers is how many households show one code, or ask for one copy, at once.
const racers = 8

func checkOnce(ctx context.Context, s *subject) error {
	b, err := s.codes(ctx, 1, 0, newKeyOf("once"))
	if err != nil {
		return err
	}
	defer s.withdraw(ctx, b)
	code := b.Claims[0].Code
	var houses [racers]ident.Domain
	var answers [racers]answer
	var errs [racers]error
	var wg sync.WaitGroup
	for n := range houses {
		houses[n] = ident.NewDomain()
		wg.Go(func() { answers[n], errs[n] = s.redeem(ctx, code, houses[n]) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	var has []ident.Domain
	var first redeemed
	for n, a := range answers {
		if a.status != http.StatusOK {
			if err := wantCode("shown by several at once", a); err != nil {
				return err
			}
			continue
		}
		has = append(has, houses[n])
		if err := decode(a, &first); err != nil {
			return fmt.Errorf("shown by several at once: expected a grant, seen %.80q", a.body)
		}
	}
	if len(has) == 0 { // it says why
		_, err := s.shown(ctx, "a new code", code, houses[0])
		return cmpOr(err, func() error { return errors.New("shown by several at once: expected one grant, seen none") })
	}
	if len(has) > 1 {
		return fmt.Errorf("shown by several at once: expected one grant, seen %d", len(has))
	}
	again, err := s.shown(ctx, "shown again", code, has[0])
	if err == nil && first != again {
		err = fmt.Errorf("shown again by the same household: expected grant %s, seen %s", first.Grant, again.Grant)
	}
	if err != nil {
		return err
	}
	a, err := s.redeem(ctx, code, ident.NewDomain())
	if err == nil {
		err = wantProblem("shown by another household", a, http.StatusConflict, "code_taken")
	}
	if err != nil {
		return err
	}
	return s.has(ctx, has[0], 1)
}

// has wants that a household of the judge's has so many grants.
func (s *subject) has(ctx context.Context, domain ident.Domain, want int) error {
	all, err := s.grantsOf(ctx, domain)
	if err == nil && len(all) != want {
		err = fmt.Errorf("what the household was granted: expected %d grants, seen %d", want, len(all))
	}
	return err
}

func checkVoid(ctx context.Context, s *subject) error {
	b, err := s.codes(ctx, 2, 0, newKeyOf("void"))
	if err != nil {
		return err
	}
	defer s.withdraw(ctx, b)
	var n struct {
		Void uint64 `json:"void"`
	}
	for _, want := range []uint64{1, 0} {
		if err := s.post(ctx, "/api/v1/claims/"+b.ID+"/void", map[string]any{"index": b.Claims[0].Index}, &n); err != nil {
			return err
		}
		if n.Void != want {
			return fmt.Errorf("one code withdrawn, and again: expected %d, seen %d", want, n.Void)
		}
	}
	domain := ident.NewDomain()
	a, err := s.redeem(ctx, b.Claims[0].Code, domain)
	if err == nil {
		err = wantProblem("a code that was withdrawn", a, http.StatusGone, "code_void")
	}
	if err == nil {
		err = s.has(ctx, domain, 0)
	}
	if err == nil {
		_, err = s.shown(ctx, "the other code of the batch", b.Claims[1].Code, domain)
	}
	return err
}

// soonOver lists for how long the code of checkExpired can be redeemed: the longer ones
// for an issuer that is so slow that the time is over before it is asked. Source: local.
func soonOver() []time.Duration {
	return []time.Duration{400 * time.Millisecond, 2 * time.Second, 10 * time.Second}
}

// brief makes a code whose end is soon, and waits until it has come.
func (s *subject) brief(ctx context.Context, lasts time.Duration) (b batch, err error) {
	clock, err := s.codes(ctx, 1, 0, newKeyOf("clock")) // what time it is there
	if err != nil {
		return b, err
	}
	s.withdraw(ctx, clock)
	if b, err = s.codes(ctx, 1, clock.Created+lasts.Milliseconds(), newKeyOf("expired")); err != nil {
		return b, err
	}
	select {
	case <-ctx.Done():
		return b, ctx.Err()
	case <-time.After(lasts + 200*time.Millisecond):
		return b, nil
	}
}

func checkExpired(ctx context.Context, s *subject) error {
	var b batch
	var err error
	for _, lasts := range soonOver() {
		var no *unjudged
		if b, err = s.brief(ctx, lasts); err == nil || errors.As(err, &no) {
			break
		}
	}
	if err != nil {
		return err
	}
	defer s.withdraw(ctx, b)
	domain := ident.NewDomain()
	a, err := s.redeem(ctx, b.Claims[0].Code, domain)
	if err == nil {
		err = wantProblem("a code whose end has come", a, http.StatusGone, "code_expired")
	}
	if err == nil {
		err = s.has(ctx, domain, 0)
	}
	return err
}

func checkCodePage(ctx context.Context, s *subject) error {
	b, err := s.codes(ctx, 1, 0, newKeyOf("page"))
	if err != nil {
		return err
	}
	defer s.withdraw(ctx, b)
	path := pathOf(b.Claims[0].URL)
	if !strings.HasPrefix(path, "/c/") {
		return fmt.Errorf("expected the URL of a page below /c/, seen %.80q", path)
	}
	for range 2 {
		if err := s.pageAt(ctx, path); err != nil {
			return err
		}
	}
	var row batch
	if err := s.get(ctx, "/api/v1/claims/"+b.ID, &row); err != nil {
		return err
	}
	if len(row.Claims) != 1 || row.Claims[0].State != "open" || row.Claims[0].Code != "" {
		return fmt.Errorf("the code after its page was read: expected it open, and not in the list, seen %+v", row.Claims)
	}
	_, err = s.shown(ctx, "the code of the page", b.Claims[0].Code, ident.NewDomain())
	return err
}

// pathOf is the path of a URL that the issuer gave, on the server that is judged.
func pathOf(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		_, path, _ := strings.Cut(rest, "/")
		return "/" + path
	}
	return url
}

var elsewhere = regexp.MustCompile(`(?i)(?:src|href|action)\s*=\s*["']?(?:https?:)?//`)

// pageAt wants a page for people that loads nothing from elsewhere.
func (s *subject) pageAt(ctx context.Context, path string) error {
	a, err := s.wantStatus(ctx, path[:min(len(path), 3)], http.MethodGet, path, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	switch {
	case a.typ != "text/html":
		return fmt.Errorf("expected text/html, seen %q", a.typ)
	case elsewhere.Match(a.body):
		return fmt.Errorf("expected no address of elsewhere, seen %q", elsewhere.Find(a.body))
	case a.header.Get("Referrer-Policy") != "no-referrer":
		return fmt.Errorf("expected Referrer-Policy: no-referrer, seen %q", a.header.Get("Referrer-Policy"))
	case !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'"):
		return fmt.Errorf("expected a Content-Security-Policy with default-src 'none', seen %q", a.header.Get("Content-Security-Policy"))
	}
	return nil
}

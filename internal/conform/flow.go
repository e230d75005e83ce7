package conform

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

func flowChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"issuer-store.md 5", "a household without a grant is refused with NO_GRANT, each time", at, func(ctx context.Context, s *subject) error {
			if s.cfg.House == nil {
				return lacking("the judge has no certificate of this trust domain: give --ca and --voucher")
			}
			request := ident.NewRequest()
			for range 2 {
				ev, err := s.fetch(ctx, "conform-"+ident.Content(ident.NewLicense().String()), request)
				if err != nil {
					return err
				}
				if i := slices.IndexFunc(ev, func(e trem.Event) bool { return e.Kind == trem.EventRefused }); i < 0 || ev[i].Code != "NO_GRANT" {
					return fmt.Errorf("expected the refusal NO_GRANT, seen %s", seen(ev))
				}
			}
			return nil
		}},
		{"issuer-store.md 4", "an order said twice under one Idempotency-Key is one grant, another one under it a conflict", at, checkOrder},
		{"issuer-store.md 5", "a counted license is given once, and its request repeated is closed", at, checkFetch},
		{"issuer-store.md 5", "a grant that is used up is EXHAUSTED", at, func(ctx context.Context, s *subject) error {
			if err := s.means(); err != nil {
				return err
			}
			if _, err := s.granted(ctx); err != nil {
				return err
			}
			if _, err := s.fetch(ctx, s.cfg.Title, requestOf("once")); err != nil {
				return err
			}
			ev, err := s.fetch(ctx, s.cfg.Title, ident.NewRequest())
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(ev, func(e trem.Event) bool { return e.Kind == trem.EventRefused }); i < 0 || ev[i].Code != "EXHAUSTED" {
				return fmt.Errorf("expected the refusal EXHAUSTED, seen %s", seen(ev))
			}
			return nil
		}},
	}
}

// means refuses to judge what only an operator can set up.
func (s *subject) means() error {
	if s.cfg.House == nil || s.cfg.Key == "" || s.cfg.Title == "" {
		return lacking("the judge cannot grant itself something: give --ca, --voucher, --key and --title")
	}
	return nil
}

func (s *subject) fetch(ctx context.Context, id ident.Content, request ident.Request) ([]trem.Event, error) {
	if s.authKey != nil {
		return nil, lacking("this server asks houses for an account, and the judge's house shows none")
	}
	return s.cfg.House.Fetch(ctx, s.about.Device, s.about.Issuer, id, request)
}

func seen(ev []trem.Event) string {
	names := map[trem.EventKind]string{
		trem.EventInstalled: "installed", trem.EventRefused: "refused", trem.EventClosed: "closed", trem.EventFailed: "failed", trem.EventDropped: "dropped",
	}
	out := "nothing"
	for i, e := range ev {
		if i == 0 {
			out = ""
		}
		out += fmt.Sprintf("[%s %s%s]", names[e.Kind], e.Code, e.Text)
	}
	return out
}

// requestOf is a request ID that a name stands for.
func requestOf(name string) (r ident.Request) {
	copy(r[:], "conform "+name)
	return r
}

type grantAnswer struct {
	ID     string       `json:"id"`
	Domain ident.Domain `json:"domain"`
}

// grant orders one counted license for the judge's house, under a key.
func (s *subject) grant(ctx context.Context, key, terms string) (answer, error) {
	domain, err := s.cfg.House.Domain(ctx, s.about.Issuer)
	if err != nil {
		return answer{}, err
	}
	body, err := json.Marshal(map[string]any{"domain": domain, "content": s.cfg.Title, "kind": "rental", "terms": terms, "licenses": 1})
	if err != nil {
		return answer{}, err
	}
	return s.ask(ctx, http.MethodPost, "/api/v1/grants", typeJSON, body, "Authorization", "Bearer "+s.cfg.Key, "Idempotency-Key", "conform "+key+" "+domain.String())
}

func (s *subject) granted(ctx context.Context) (g grantAnswer, err error) {
	a, err := s.grant(ctx, "once", "PLAY; PLAY_COUNT=2")
	if err == nil && (a.status != http.StatusOK || decode(a, &g) != nil || g.ID == "") {
		err = fmt.Errorf("grant: expected HTTP status 200 and a grant with an ID, seen %d, %.80q", a.status, a.body)
	}
	return g, err
}

func checkOrder(ctx context.Context, s *subject) error {
	if err := s.means(); err != nil {
		return err
	}
	first, err := s.granted(ctx)
	if err != nil {
		return err
	}
	again, err := s.granted(ctx)
	if err != nil {
		return err
	}
	if first != again {
		return fmt.Errorf("the same order again: expected grant %s, seen %s", first.ID, again.ID)
	}
	a, err := s.grant(ctx, "once", "PLAY; PLAY_COUNT=3")
	if err == nil {
		err = wantProblem("another order under the key", a, http.StatusConflict, "conflict")
	}
	return err
}

func checkFetch(ctx context.Context, s *subject) error {
	if err := s.means(); err != nil {
		return err
	}
	if _, err := s.granted(ctx); err != nil {
		return err
	}
	first, err := s.fetch(ctx, s.cfg.Title, requestOf("once"))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(first, func(e trem.Event) bool { return e.Kind == trem.EventInstalled || e.Kind == trem.EventClosed }) {
		return fmt.Errorf("expected that it is installed, seen %s", seen(first))
	}
	again, err := s.fetch(ctx, s.cfg.Title, requestOf("once"))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(again, func(e trem.Event) bool { return e.Kind == trem.EventClosed }) || slices.ContainsFunc(again, func(e trem.Event) bool { return e.Kind == trem.EventInstalled }) {
		return fmt.Errorf("the request repeated: expected that it is closed and nothing is installed, seen %s", seen(again))
	}
	return nil
}

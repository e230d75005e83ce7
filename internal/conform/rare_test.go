package conform_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/conform"
)

const (
	described = "the issuer's API is described where it is served: each operation with its answers and its problems"
	layouts   = "lists and documents have the layout that the description gives them"
	roles     = "an operator may do what the role says, and nobody both sells and revokes but the owner"
	chain     = "the operators' log is a chain from its first entry to its closing head, and the issuer finds none broken"
	pressure  = "who finds no place is told so with 503 busy and a Retry-After, and is served afterwards"
	expired   = "a code whose end has come is code_expired, and gives nothing"
	nobody    = "the status of a license that nobody has is a problem 404"
)

// TestConform_StaysAtItsHost: a server whose paths go on with its host's name does not
// send the judge, or its key, elsewhere.
func TestConform_StaysAtItsHost(t *testing.T) {
	var elsewhere atomic.Int64
	there := newShop(t)
	there.fault = func(http.ResponseWriter, *http.Request, http.Handler) { elsewhere.Add(1) }
	away := "@" + strings.TrimPrefix(there.url, "http://") + "/"
	s := newShop(t)
	for name, f := range map[string]fault{
		described: at("GET", "/api/v1/openapi.json", says(`"/api/v1/offers"`, `"`+away+`"`)),
		nobody:    at("GET", "/api/v1/about", changed(func(v map[string]any) { v["status"] = away + "{domain}/{license}" })),
	} {
		s.fault = f
		all := s.judged(t, conform.Config{Key: owner, Title: film})
		if r := all[name]; r.Verdict != conform.Failed || !strings.Contains(r.Reason, "begin") {
			t.Errorf("%s: %s %s", name, r.Verdict, r.Reason)
		}
		if n := elsewhere.Swap(0); n != 0 {
			t.Errorf("%s: %d requests went to another host", name, n)
		}
	}
}

// TestConform_FindsWhatIsRare: faults of one role, of what is for everyone, and of how
// somebody is turned away; and what looks like one.
func TestConform_FindsWhatIsRare(t *testing.T) {
	busy := func(status int, code, after string) fault {
		return at("GET", "/api/v1/about", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := held(r, next)
			if rec.Code == http.StatusServiceUnavailable {
				rec.Code = status
				rec.Header().Set("Retry-After", after)
			}
			pass(w, rec, strings.Replace(rec.Body.String(), `"status":503,"code":"busy"`, `"status":429,"code":"`+code+`"`, 1))
		})
	}
	for what, c := range map[string]struct {
		clause string
		fault  fault
		want   conform.Verdict
	}{
		"support may revoke, too": {roles, at("GET", "/api/v1/whoami", changed(func(v map[string]any) {
			if scopes, _ := v["scopes"].([]any); v["role"] == "support" {
				v["scopes"] = append(scopes, "revoke")
			}
		})), conform.Failed},
		"security may not take the log out": {roles, at("GET", "/api/v1/whoami", changed(func(v map[string]any) {
			if scopes, _ := v["scopes"].([]any); v["role"] == "security" {
				v["scopes"] = slices.DeleteFunc(scopes, func(s any) bool { return s == "audit" })
			}
		})), conform.Failed},
		"about has a member more": {layouts, at("GET", "/api/v1/about", changed(func(v map[string]any) { v["conform"] = 1 })), conform.Failed},
		"an export of years":      {chain, at("GET", "/api/v1/audit/export", answers(200, "application/jsonl", strings.Repeat("{}\n", 11<<20))), conform.NotRun},
		"429 without a time":      {pressure, busy(429, "busy", ""), conform.Failed},
		"429 for another reason":  {pressure, busy(429, "code_guessing", "2"), conform.Failed},
		"429 busy":                {pressure, busy(429, "busy", "2"), conform.Passed},
		"408 for a body that does not come": {pressure, at("POST", "/api/v1/claims/redeem", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Connection", "close") // else it waits for the body
			w.WriteHeader(http.StatusRequestTimeout)
		}), conform.Inapplicable},
	} {
		s := newShop(t)
		s.fault = c.fault
		all := s.judged(t, conform.Config{Key: owner, Title: film, Only: c.clause})
		if r := all[c.clause]; r.Verdict != c.want {
			t.Errorf("%s: %s %s, want %s", what, r.Verdict, r.Reason, c.want)
		}
	}
}

// TestConform_ASlowIssuer: it is not failed for a code whose end has come before it was
// asked for.
func TestConform_ASlowIssuer(t *testing.T) {
	s := newShop(t)
	s.fault = at("POST", "/api/v1/claims", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		time.Sleep(500 * time.Millisecond)
		next.ServeHTTP(w, r)
	})
	for name, r := range s.judged(t, conform.Config{Key: owner, Title: film, Only: expired}) {
		if r.Verdict != conform.Passed {
			t.Errorf("%s: %s %s", name, r.Verdict, r.Reason)
		}
	}
}

// TestConform_TidiesWhenGivenUp: a judge that is stopped while a copy is lent, codes are
// out, and a key is in force, leaves none of them.
func TestConform_TidiesWhenGivenUp(t *testing.T) {
	s := newShop(t)
	for clause, f := range map[string]func(stop fault) fault{
		"there cannot be fewer copies than are out":                    func(stop fault) fault { return at("POST", "/api/v1/copies/lend", stop) },
		"an API key that was revoked is over at once":                  func(stop fault) fault { return at("GET", "/api/v1/whoami", stop) },
		"the page of a code shows what it is for, and redeems nothing": func(stop fault) fault { return at("GET", "/c/*", stop) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		first := clause != "an API key that was revoked is over at once" // its own key is asked about before
		s.fault = f(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := held(r, next)
			if first {
				cancel()
			}
			first = true
			pass(w, rec, rec.Body.String())
		})
		if _, err := s.judge(ctx, conform.Config{Key: owner, Title: film, Only: clause}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want that it is given up", clause, err)
		}
		cancel()
	}
	s.fault = nil
	see := func(path string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+owner)
		return held(r, s.doors).Body.String()
	}
	if got := see("/api/v1/copies"); !strings.Contains(got, `"copies":0`) {
		t.Errorf("copies afterwards: %s", got)
	}
	if got := see("/api/v1/keys"); !strings.Contains(got, `"revoked_at":`) || strings.Contains(got, `"revoked_at":0`) {
		t.Errorf("keys afterwards: %s", got)
	}
	_, rest, _ := strings.Cut(see("/api/v1/claims"), `"batch":"`)
	made, _, _ := strings.Cut(rest, `"`)
	if got := see("/api/v1/claims/" + made); !strings.Contains(got, `"state":"void"`) {
		t.Errorf("codes afterwards: %s", got)
	}
}

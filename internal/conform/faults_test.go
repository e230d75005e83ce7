package conform_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/internal/conform"
)

func jsonTime(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

// fault answers a request in the server's place.
type fault func(http.ResponseWriter, *http.Request, http.Handler)

// at breaks the requests of one operation; others go through. "*" stands for one
// segment of the path.
func at(method, path string, f fault) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == method && like(r.URL.Path, path) {
			f(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func like(path, pattern string) bool {
	a, b := strings.Split(path, "/"), strings.Split(pattern, "/")
	if len(a) != len(b) {
		return false
	}
	for n := range b {
		if b[n] != "*" && a[n] != b[n] {
			return false
		}
	}
	return true
}

// held is what the server answers to a request.
func held(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec
}

func pass(w http.ResponseWriter, rec *httptest.ResponseRecorder, body string) {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write([]byte(body))
}

// says puts other words into what the server answers.
func says(old, instead string) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := held(r, next)
		pass(w, rec, strings.ReplaceAll(rec.Body.String(), old, instead))
	}
}

// answers is another answer than the server's, whose work is done.
func answers(status int, typ, body string) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		held(r, next)
		w.Header().Set("Content-Type", typ)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// refused turns refusals with a code into something else.
func refused(code string, status int, body string) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := held(r, next)
		if !strings.Contains(rec.Body.String(), `"code":"`+code+`"`) {
			pass(w, rec, rec.Body.String())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// changed edits the server's answer as JSON.
func changed(edit func(map[string]any)) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := held(r, next)
		var v map[string]any
		if json.Unmarshal(rec.Body.Bytes(), &v) != nil {
			pass(w, rec, rec.Body.String())
			return
		}
		edit(v)
		data, _ := json.Marshal(v)
		pass(w, rec, string(data))
	}
}

// without leaves a header of the answer out.
func without(name string) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := held(r, next)
		rec.Header().Del(name)
		pass(w, rec, rec.Body.String())
	}
}

// once lets the server do something the first time, and says the same ever after.
func once() fault {
	var first atomic.Pointer[httptest.ResponseRecorder]
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := held(r, next)
		if rec.Code == http.StatusOK {
			first.CompareAndSwap(nil, rec)
		}
		if f := first.Load(); f != nil {
			rec = f
		}
		pass(w, rec, rec.Body.String())
	}
}

// asOwner asks as the owner, whoever asks: who is admitted is not looked at.
func asOwner(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r.Header.Set("Authorization", "Bearer "+owner)
	next.ServeHTTP(w, r)
}

// faults are servers with one fault each, by the clause that it breaks.
func faults() map[string]fault {
	const granted = `{"grant":"00000000000000000000000000000000","content":"urn:lares:film:1","terms":"PLAY"}`
	list := func(key string, edit func(map[string]any)) func(map[string]any) {
		return func(v map[string]any) {
			rows, _ := v[key].([]any)
			for _, row := range rows {
				if one, ok := row.(map[string]any); ok {
					edit(one)
				}
			}
		}
	}
	var revokedKey atomic.Pointer[string]
	return map[string]fault{
		"the issuer says who it is and where status documents are": nil, // asked before any clause: TestConform_About
		"supervisors get 204 of /healthz and 200 of /readyz":       at("GET", "/healthz", answers(200, "text/plain", "ok")),
		"without its token the operator's interface is shut": at("GET", "/api/v1/offers", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("Authorization") == "Bearer conform" { // any token will do
				r.Header.Set("Authorization", "Bearer "+owner)
			}
			next.ServeHTTP(w, r)
		}),
		"the issuer's API is described where it is served: each operation with its answers and its problems": at("GET", "/api/v1/openapi.json", says(`"operationId": "redeem-claim"`, `"operationId": "about"`)),
		"what takes a key by that description is 401 for who shows none": at("POST", "/api/v1/copies/lend", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("Authorization") == "" {
				asOwner(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		}),
		"lists and documents have the layout that the description gives them": at("GET", "/api/v1/offers", changed(list("offers", func(o map[string]any) { delete(o, "terms") }))),
		"an unknown query parameter is refused": at("GET", "/api/v1/about", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.URL.RawQuery = ""
			next.ServeHTTP(w, r)
		}),
		"a GET has an ETag, and who shows it is answered 304":                                    at("GET", "/api/v1/about", without("Etag")),
		"what is not there is a problem 404":                                                     at("GET", "/api/v1/conform", answers(404, "text/plain", "404 page not found")),
		"an operator may do what the role says, and nobody both sells and revokes but the owner": at("GET", "/api/v1/whoami", changed(func(v map[string]any) { v["role"] = "viewer" })),
		"a reader may look, and is forbidden all else":                                           at("POST", "/api/v1/holds/cancel", refused("forbidden", 200, "{}")),
		"an API key that was revoked is over at once": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			// It is remembered for a while who somebody is.
			if r.URL.Path != "/api/v1/whoami" || strings.HasSuffix(r.Header.Get("Authorization"), owner) {
				next.ServeHTTP(w, r)
				return
			}
			rec := held(r, next)
			if text := rec.Body.String(); rec.Code == 200 {
				revokedKey.Store(&text)
			}
			if text := revokedKey.Load(); text != nil {
				rec.Code = 200
				pass(w, rec, *text)
				return
			}
			pass(w, rec, rec.Body.String())
		},
		"two operators revoke: who proposed it cannot approve it, and until then nothing is done": at("POST", "/api/v1/proposals/*/approve", refused("second_operator", 200, `{"state":"done"}`)),
		"the operators' log is a chain from its first entry to its closing head, and the issuer finds none broken": at("GET", "/api/v1/audit/export", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := held(r, next)
			if lines := bytes.SplitAfter(rec.Body.Bytes(), []byte("\n")); len(lines) > 3 { // an entry is left out
				pass(w, rec, string(bytes.Join(slices.Delete(lines, 2, 3), nil)))
				return
			}
			pass(w, rec, rec.Body.String())
		}),
		"what an operator does stands in it, by whom, and nothing of it is a secret": at("GET", "/api/v1/audit", changed(func(v map[string]any) {
			if entries, ok := v["entries"].([]any); ok {
				v["entries"] = slices.DeleteFunc(entries, func(e any) bool { return e.(map[string]any)["action"] == "key.revoke" })
			}
		})),
		"a code that was never given out is refused with a code_ problem": at("POST", "/api/v1/claims/redeem", refused("code_unknown", 200, granted)),
		"one wrong symbol, and two that changed places, are code_mistyped": at("POST", "/api/v1/claims/redeem", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := held(r, next)
			pass(w, rec, strings.Replace(rec.Body.String(), "code_mistyped", "code_unknown", 1))
		}),
		"unknown fields, and more than 256 KiB, are refused":                       at("POST", "/api/v1/claims/redeem", refused("too_large", 200, granted)),
		"the claim page loads nothing from elsewhere and tells nobody its address": at("GET", "/c", without("Referrer-Policy")),
		"codes asked for again under one Idempotency-Key are the same, and another order under it is a conflict": at("POST", "/api/v1/claims", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.Header.Get("Idempotency-Key"), "batch") {
				r.Header.Del("Idempotency-Key")
			}
			next.ServeHTTP(w, r)
		}),
		"a code is redeemed once: by one household, whoever shows it at once, for one grant": at("POST", "/api/v1/claims/redeem", refused("code_taken", 200, granted)),
		"a code that the shop has withdrawn is code_void, and gives nothing":                 at("POST", "/api/v1/claims/redeem", refused("code_void", 200, granted)),
		"a code whose end has come is code_expired, and gives nothing":                       at("POST", "/api/v1/claims/redeem", refused("code_expired", 200, granted)),
		"the page of a code shows what it is for, and redeems nothing": at("GET", "/c/*", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			code := strings.TrimPrefix(r.URL.Path, "/c/")
			body := `{"code":"` + code + `","domain":"30000000000000000000000000000000"}`
			in := httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/api/v1/claims/redeem", strings.NewReader(body))
			in.Header.Set("Content-Type", "application/json")
			held(in, next) // whoever looks at the page has it
			next.ServeHTTP(w, r)
		}),
	}
}

// moreFaults are those of a library, of documents, of a test issuer and under pressure.
func moreFaults() map[string]fault {
	const loan = `{"domain":"30000000000000000000000000000000","grant":"01000000000000000000000000000000","until":9}`
	var turnedAway atomic.Int64
	known := func(f fault, want bool) fault {
		return at("GET", "/status/v1/*/*", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/"+issuedLicense.String()) == want {
				f(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	only := func(query string, f fault) fault {
		return at("GET", "/test", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.RawQuery == query {
				f(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	return map[string]fault{
		"loans and offers together are never more than the copies, whoever asks at once": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			switch { // many ask at once: one copy too many goes out
			case r.Method == "POST" && r.URL.Path == "/api/v1/copies":
				turnedAway.Store(0)
			case r.URL.Path == "/api/v1/copies/lend" && turnedAway.Add(1) > 6:
				refused("no_copy", 200, loan)(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		},
		"who waits is offered a copy in their turn, and nobody overtakes": at("POST", "/api/v1/holds", changed(func(v map[string]any) { v["turn"] = 1 })),
		"there cannot be fewer copies than are out":                       at("POST", "/api/v1/copies", refused("conflict", 200, "{}")),
		"a loan is not renewed while somebody waits":                      at("POST", "/api/v1/copies/renew", refused("awaited", 200, loan)),

		"the status of a license that nobody has is a problem 404": known(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := held(r, next)
			pass(w, rec, strings.Replace(rec.Body.String(), "not_found", "gone", 1))
		}, false),
		"it is not renewed and not returned either":                                                at("POST", "/status/v1/*/*/return", answers(200, "application/json", "{}")),
		"the documents of what was issued have a state, and only the links that are allowed in it": known(changed(func(v map[string]any) { v["status"] = "revoked" }), true),
		// These two take a house of the judge's: internal/cli breaks them before real servers.
		"the status document of a counted license that was fetched is active, without links": nil,
		"a loan's document has the link to renew while nobody waits, and only then":          nil,

		"a test issuer says that it is one, and what it issues is of lares-test": only("permission=PLAY", changed(func(v map[string]any) { v["test"] = false })),
		"one URL gives licenses of one policy, under a new code each time":       only("permission=PLAY&count=2", once()),
		"the failure that a URL names is what happens at its doors":              at("POST", "/test/s/*/api/v1/claims/redeem", refused("code_void", 200, "{}")),
		"a URL that says something twice, or what nobody knows, is refused":      only("count=many", refused("scenario", 200, "{}")),
		"who finds no place is told so with 503 busy and a Retry-After, and is served afterwards": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Path == "/api/v1/about" {
				without("Retry-After")(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		},
	}
}

// TestConform_EachFaultFailsItsClause: a server with one fault fails the clause about
// it, and no other one.
func TestConform_EachFaultFailsItsClause(t *testing.T) {
	all := faults()
	maps.Copy(all, moreFaults())
	for name := range newShop(t).judged(t, conform.Config{}) {
		if _, known := all[name]; !known {
			t.Errorf("no server breaks the clause: %s", name)
		}
	}
	seen := map[string]map[string]conform.Result{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(8) // they mostly wait, for codes to end
	for name, f := range all {
		if f == nil {
			continue
		}
		s := newShop(t)
		s.fault = f
		g.Go(func() error {
			got, err := s.judge(t.Context(), conform.Config{Key: owner, Title: film})
			mu.Lock()
			defer mu.Unlock()
			seen[name] = got
			return err
		})
	}
	ok(t, g.Wait())
	for name, got := range seen {
		if fails := broken(got); !slices.Equal(fails, []string{name}) {
			t.Errorf("%s: fails: %q", name, fails)
			for _, n := range append(fails, name) {
				t.Logf("%s: %s %s", n, got[n].Verdict, got[n].Reason)
			}
		}
	}
}

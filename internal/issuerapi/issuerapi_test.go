package issuerapi_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/issuerapi"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/issuer"
)

var update = flag.Bool("update", false, "write docs/api/issuer.json anew")

const document = "../../docs/api/issuer.json"

// What is documented is what is served: the document is made of the program.
func TestOpenAPI_TheCommittedDocumentIsTheProgram(t *testing.T) {
	got, err := issuerapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(document, got, 0o644); err != nil { //nolint:gosec // a page of the documentation
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/api/issuer.json is not what the program serves: go test ./internal/issuerapi -run OpenAPI -update")
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Security   []map[string][]string
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(got, &doc); err != nil || doc.OpenAPI != "3.1.0" || len(doc.Paths) < 30 {
		t.Fatalf("%v, version %s, %d paths", err, doc.OpenAPI, len(doc.Paths))
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			named := map[string]bool{}
			for _, p := range o.Parameters {
				named[p.In+p.Name] = true
			}
			for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !named["path"+m[1]] { // else it would be read as zeros
					t.Errorf("%s %s does not read {%s}", method, path, m[1])
				}
			}
			open := path == "/api/v1/about" || path == "/api/v1/claims/redeem" || path == "/api/v1/domains/join" || strings.HasPrefix(path, issuer.StatusPath)
			if open == (len(o.Security) > 0) {
				t.Errorf("%s %s: for everyone %v, security %v", method, path, open, o.Security)
			}
		}
	}
}

func TestProblems_Spec4_ThePageHasEveryCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/issuer-api.md")
	if err != nil {
		t.Fatal(err)
	}
	inPage := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z_]+) \| ([0-9]{3}) \|`).FindAllStringSubmatch(string(page), -1) {
		inPage[m[1]] = m[2]
	}
	codes := issuerapi.Codes()
	for code, status := range codes {
		if inPage[code] != fmt.Sprint(status) {
			t.Errorf("the page says %q of %s, the program %d", inPage[code], code, status)
		}
	}
	if len(inPage) != len(codes) {
		t.Errorf("the page has %d codes, the program %d", len(inPage), len(codes))
	}
}

const film = ident.Content("urn:lares:film:1")

var house, other = ident.Domain{0x30}, ident.Domain{0x40}

// module is all that the API needs of a TREM.
type module struct{ issuer.TREM }

func (module) Status(context.Context) (trem.Status, error) {
	return trem.Status{Device: ident.Device{1}, Issuer: "shop", Incarnation: ident.Incarnation{1}, Epoch: 7}, nil
}

func (module) RegisterKeys(_ context.Context, sealed []byte) (ident.Content, error) {
	if id, ok := strings.CutPrefix(string(sealed), "keys of "); ok {
		return ident.Content(id), nil
	}
	return "", &trem.Error{Code: trem.CodeRejected, Text: "key delivery: not for this module"}
}

// CheckReturn takes the ID of the license for the proof, of the device of zeros.
func (module) CheckReturn(_ context.Context, p trem.Proof) (trem.Return, error) {
	return trem.Return{License: ident.License(p.Object), Issuer: "shop"}, nil
}

// Roll stands for a module with one device in each domain: a roll is its domain.
func (module) Roll(_ context.Context, o trem.RollOrder) (trem.Rolled, error) {
	out := trem.Rolled{Roll: o.Roll, Generation: 1, Members: []trem.RollMember{{Device: ident.Device{7}, Index: 1}}}
	switch {
	case o.Op == trem.RollCreate && o.Devices > 64:
		return out, &trem.Error{Code: trem.CodeRejected, Text: "domain: too many"}
	case o.Op == trem.RollCreate:
		out.Roll, out.Members = []byte{0xd0, byte(o.Devices)}, nil
	case o.Op == trem.RollRemove && o.Device != (ident.Device{7}):
		return out, &trem.Error{Code: trem.CodeUnknown, Text: "no such member"}
	case o.Op == trem.RollRemove:
		out.Members, out.Generation = nil, 2
	}
	copy(out.Domain[:], out.Roll)
	return out, nil
}

// shop is an API under test, on a store of its own.
type shop struct {
	http.Handler
	t    testing.TB
	db   *store.Store
	desk *operator.Desk
	key  *ecdsa.PrivateKey
	now  time.Time
}

const owner = "the owner's token"

func newShop(t testing.TB, twoPersons bool) *shop {
	t.Helper()
	s := &shop{t: t, now: time.UnixMilli(1_795_521_600_000)}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "issuer.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.db = db
	now := func() time.Time { return s.now }
	claim, err := issuer.NewClaimKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	twice := storetest.Twice{Store: db}
	i, err := issuer.New(t.Context(), issuer.Config{TREM: module{}, Store: issuer.Audited(twice), Now: now, ClaimKey: claim})
	if err != nil {
		t.Fatal(err)
	}
	s.desk, err = operator.NewDesk(operator.Config{Store: storetest.TwiceOperators{Store: db.Operators()}, Now: now, OwnerHash: sha256.Sum256([]byte(owner)), Key: s.key, Issuer: "shop", TwoPersons: twoPersons})
	if err != nil {
		t.Fatal(err)
	}
	s.Handler, err = issuerapi.New(issuerapi.Config{
		Issuer: i, Store: twice, Desk: s.desk, TREM: module{}, Now: now, FramesPath: "/lrp/v1/frames", Frames: http.NotFoundHandler(), URL: "https://shop.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.must(owner, "POST", "/api/v1/contents", map[string]any{"keys": []byte("keys of " + string(film))})
	s.must(owner, "POST", "/api/v1/offers", map[string]any{"id": "rent", "content": film, "terms": "PLAY; PLAY_COUNT=2"})
	return s
}

func (s *shop) send(token, method, path string, in any, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			s.t.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, &body)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	isDescribed(s.t, method, path, w)
	return w
}

func (s *shop) ask(token, method, path string, in any, header ...string) (status int, out map[string]any) {
	s.t.Helper()
	w := s.send(token, method, path, in, header...)
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w.Code, out
}

func (s *shop) must(token, method, path string, in any, header ...string) map[string]any {
	s.t.Helper()
	status, out := s.ask(token, method, path, in, header...)
	if status != 200 {
		s.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

func (s *shop) newKey(role operator.Role) (token, id string) {
	s.t.Helper()
	out := s.must(owner, "POST", "/api/v1/keys", map[string]any{"name": string(role), "role": role, "expires_at": s.now.Add(time.Hour).UnixMilli()})
	return out["token"].(string), out["id"].(string)
}

func (s *shop) grant() string {
	s.t.Helper()
	return s.must(owner, "POST", "/api/v1/grants", map[string]any{"domain": house, "offer": "rent"})["id"].(string)
}

// Every operation is asked by every role: what its scope allows, and no more.
func TestOperators_Spec2_RolesAndScopes(t *testing.T) {
	s := newShop(t, false)
	data, err := issuerapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, role := range operator.Roles() {
		token, _ := s.newKey(role)
		for path, methods := range doc.Paths {
			for method, o := range methods {
				if len(o.Security) == 0 {
					continue
				}
				may := false
				for _, scope := range role.Scopes() {
					may = may || string(scope) == o.Security[0]["token"][0]
				}
				at := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "zz")
				got := s.send(token, strings.ToUpper(method), at, nil).Code
				if (got == http.StatusForbidden) == may || got == http.StatusUnauthorized {
					t.Errorf("%s: %s %s: %d, may %v", role, method, path, got, may)
				}
				n++
			}
		}
	}
	if n < 100 {
		t.Errorf("%d questions", n)
	}
}

func TestOperators_Spec1_KeysEnd(t *testing.T) {
	s := newShop(t, false)
	token, id := s.newKey(operator.Security)
	if out := s.must(token, "GET", "/api/v1/whoami", nil); out["actor"] != "key:"+id || out["alone"] != false {
		t.Errorf("whoami: %v", out)
	}
	for name, wrong := range map[string]string{
		"none": "", "another": strings.Replace(token, id, "0000000000000000", 1), "short": token[:len(token)-1], "long": token + "A",
		"other secret": token[:len(token)-2] + map[bool]string{true: "BA", false: "AA"}[strings.HasSuffix(token, "AA")],
	} {
		if status, out := s.ask(wrong, "GET", "/api/v1/whoami", nil); status != 401 || out["code"] != "unauthorized" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	session, err := s.desk.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := s.desk.SignIn(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := s.desk.Session(t.Context(), cookie); err != nil || o.Actor() != "key:"+id {
		t.Errorf("%v, %v", o, err)
	}
	s.must(owner, "POST", "/api/v1/keys/"+id+"/revoke", map[string]any{})
	if status, _ := s.ask(token, "GET", "/api/v1/whoami", nil); status != 401 {
		t.Errorf("a revoked key: %d", status)
	}
	if _, err := s.desk.Session(t.Context(), cookie); err == nil {
		t.Error("a session outlives its key")
	}
	short, _ := s.newKey(operator.Viewer)
	s.now = s.now.Add(time.Hour)
	if status, _ := s.ask(short, "GET", "/api/v1/whoami", nil); status != 401 {
		t.Errorf("a key whose time is over: %d", status)
	}
	for name, in := range map[string]map[string]any{
		"no role":       {"name": "x", "role": "god", "expires_at": s.now.Add(time.Hour).UnixMilli()},
		"foreign scope": {"name": "x", "role": "viewer", "scopes": []string{"sell"}, "expires_at": s.now.Add(time.Hour).UnixMilli()},
		"for ever":      {"name": "x", "role": "viewer", "expires_at": s.now.Add(9e5 * time.Hour).UnixMilli()},
		"over":          {"name": "x", "role": "viewer", "expires_at": s.now.UnixMilli()},
		"two lines":     {"name": "x\ny", "role": "viewer", "expires_at": s.now.Add(time.Hour).UnixMilli()},
	} {
		if status, out := s.ask(owner, "POST", "/api/v1/keys", in); status != 422 {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if out := s.send(owner, "GET", "/api/v1/keys", nil).Body.String(); strings.Contains(out, "lares_key_") || strings.Contains(out, "hash") {
		t.Errorf("the list gives secrets away: %s", out)
	}
}

func TestOperators_Spec3_TwoRevoke(t *testing.T) {
	s := newShop(t, true)
	g := s.grant()
	path := "/api/v1/grants/" + house.String() + "/" + g + "/revoke"
	ada, _ := s.newKey(operator.Security)
	bert, _ := s.newKey(operator.Security)
	seller, _ := s.newKey(operator.Issuing)
	revoked := func() bool {
		rows := s.must(owner, "GET", "/api/v1/households/"+house.String(), nil)["grants"].([]any)
		return rows[0].(map[string]any)["revoked"].(bool)
	}
	if status, _ := s.ask(seller, "POST", path, map[string]any{}); status != 403 {
		t.Errorf("who sells revokes: %d", status)
	}
	status, out := s.ask(ada, "POST", path, map[string]any{"reason": "sold twice"}, "Idempotency-Key", "1")
	if status != 202 || out["done"] != false || revoked() {
		t.Fatalf("%d %v, revoked %v", status, out, revoked())
	}
	id := out["proposal"].(map[string]any)["id"].(string)
	if _, again := s.ask(ada, "POST", path, map[string]any{"reason": "sold twice"}, "Idempotency-Key", "1"); again["proposal"].(map[string]any)["id"] != id {
		t.Errorf("the same key: %v", again)
	}
	approve := func(token, id string) (int, any) {
		status, out := s.ask(token, "POST", "/api/v1/proposals/"+id+"/approve", map[string]any{})
		return status, out["code"]
	}
	if status, code := approve(ada, id); status != 409 || code != "second_operator" || revoked() {
		t.Errorf("who proposed approves: %d %v", status, code)
	}
	if status, _ := approve(seller, id); status != 403 {
		t.Errorf("who sells approves: %d", status)
	}
	if status, code := approve(bert, id); status != 200 || !revoked() {
		t.Errorf("the second one: %d %v", status, code)
	}
	if status, code := approve(bert, id); status != 409 || code != "decided" {
		t.Errorf("twice: %d %v", status, code)
	}
	// The owner is held to it as well, and time ends a proposal.
	s.now = s.now.Add(time.Minute)
	if status, out = s.ask(owner, "POST", "/api/v1/households/"+house.String()+"/revoke", map[string]any{}); status != 202 {
		t.Fatalf("%d %v", status, out)
	}
	late := out["proposal"].(map[string]any)["id"].(string)
	s.now = s.now.Add(operator.ProposalLife - time.Hour)
	s.now = s.now.Add(time.Hour - time.Second)
	if list := s.must(owner, "GET", "/api/v1/proposals", nil)["proposals"].([]any); list[0].(map[string]any)["state"] != "open" {
		t.Errorf("%v", list)
	}
	s.now = s.now.Add(time.Second)
	fresh, _ := s.newKey(operator.Security)
	if status, code := approve(fresh, late); status != 409 || code != "decided" {
		t.Errorf("after a day: %d %v", status, code)
	}
	if list := s.must(owner, "GET", "/api/v1/proposals", nil)["proposals"].([]any); list[0].(map[string]any)["state"] != "lapsed" {
		t.Errorf("%v", list)
	}
}

// A process that dies between the approval and the deed: the same operator
// approves again.
func TestOperators_Spec3_ADeedThatFailedIsDoneAgain(t *testing.T) {
	s := newShop(t, true)
	ada, _ := s.newKey(operator.Security)
	bert, _ := s.newKey(operator.Security)
	a, err := s.desk.Authenticate(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.desk.Authenticate(t.Context(), bert)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.desk.Propose(t.Context(), a, "x", "y", "", "")
	if err != nil {
		t.Fatal(err)
	}
	dies := func(context.Context, operator.Proposal) error { return context.Canceled }
	if _, err := s.desk.Approve(t.Context(), b, p.ID, dies); err == nil {
		t.Error("a deed that failed is done")
	}
	if _, err := s.desk.Approve(t.Context(), a, p.ID, dies); err == nil {
		t.Error("another one goes on")
	}
	n := 0
	got, err := s.desk.Approve(t.Context(), b, p.ID, func(context.Context, operator.Proposal) error { n++; return nil })
	if err != nil || got.State != operator.Done || n != 1 {
		t.Errorf("%+v, %v, done %d times", got, err, n)
	}
}

func TestOperators_Spec1_OwnerRevokesAlone(t *testing.T) {
	s := newShop(t, false)
	g := s.grant()
	if out := s.must(owner, "POST", "/api/v1/grants/"+house.String()+"/"+g+"/revoke", nil); out["done"] != true {
		t.Errorf("%v", out)
	}
	if out := s.must(owner, "POST", "/api/v1/households/"+house.String()+"/revoke", nil); out["done"] != true {
		t.Errorf("%v", out)
	}
	if status, out := s.ask(owner, "POST", "/api/v1/households/"+other.String()+"/revoke", nil); status != 404 {
		t.Errorf("a household of nobody: %d %v", status, out)
	}
}

// license puts an issued license of a grant into the store, as a household's
// request does.
func (s *shop) license(grant string) ident.License {
	s.t.Helper()
	var id issuer.GrantID
	if err := id.UnmarshalText([]byte(grant)); err != nil {
		s.t.Fatal(err)
	}
	l := issuer.License{Domain: house, ID: ident.License{9}, Grant: id, State: issuer.Delivered, Version: 1, IssuedAt: s.now.UnixMilli()}
	err := s.db.Update(s.t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		if _, err := tx.Debit(ctx, issuer.GrantKey{Domain: house, Grant: id}); err != nil {
			return err
		}
		_, err := tx.PutLicense(ctx, l)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return l.ID
}

func TestOperators_Spec4_RebindIsOnce(t *testing.T) {
	s := newShop(t, false)
	g := s.grant()
	l := s.license(g)
	path := "/api/v1/licenses/" + house.String() + "/" + l.String()
	if out := s.must(owner, "GET", path, nil); out["status"] != "active" {
		t.Errorf("status: %v", out)
	}
	for range 2 {
		if out := s.must(owner, "POST", path+"/rebind", map[string]any{"to": other}); out["done"] != true {
			t.Errorf("%v", out)
		}
	}
	grants := s.must(owner, "GET", "/api/v1/households/"+other.String(), nil)["grants"].([]any)
	if len(grants) != 1 || grants[0].(map[string]any)["remaining"] != 1.0 || grants[0].(map[string]any)["offer"] != "rent" {
		t.Errorf("the new house has %v", grants)
	}
	if out := s.must(owner, "GET", path, nil); out["status"] != "revoked" {
		t.Errorf("the old house: %v", out)
	}
	if status, out := s.ask(owner, "POST", path+"/rebind", map[string]any{"to": ident.Domain{0x50}}); status != 409 {
		t.Errorf("to a third house: %d %v", status, out)
	}
	if status, _ := s.ask(owner, "POST", path+"/rebind", map[string]any{"to": house}); status != 422 {
		t.Errorf("to itself: %d", status)
	}
	if list := s.must(owner, "GET", "/api/v1/households", nil)["households"].([]any); len(list) != 2 {
		t.Errorf("households: %v", list)
	}
}

func TestAPI_Spec3_EntityTags(t *testing.T) {
	s := newShop(t, false)
	first := s.send(owner, "GET", "/api/v1/offers/rent", nil)
	tag := first.Header().Get("ETag")
	if again := s.send(owner, "GET", "/api/v1/offers/rent", nil, "If-None-Match", `"x", `+tag); again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("%d %s", again.Code, again.Body)
	}
	offer := map[string]any{"id": "rent", "content": film, "terms": "PLAY; PLAY_COUNT=3"}
	if status, out := s.ask(owner, "POST", "/api/v1/offers", offer, "If-Match", `"other"`); status != 412 || out["code"] != "changed" {
		t.Errorf("%d %v", status, out)
	}
	s.must(owner, "POST", "/api/v1/offers", offer, "If-Match", tag)
	if status, _ := s.ask(owner, "POST", "/api/v1/offers", offer, "If-Match", tag); status != 412 {
		t.Errorf("what was changed meanwhile: %d", status)
	}
	if after := s.send(owner, "GET", "/api/v1/offers/rent", nil, "If-None-Match", tag); after.Code != 200 {
		t.Errorf("what was changed: %d", after.Code)
	}
}

func TestAPI_Spec3_EveryListHasPages(t *testing.T) {
	s := newShop(t, false)
	const n = 203
	for i := range n {
		s.must(owner, "POST", "/api/v1/contents", map[string]any{"keys": fmt.Appendf(nil, "keys of urn:%03d", i)})
		s.must(owner, "POST", "/api/v1/offers", map[string]any{"id": fmt.Sprintf("o%03d", i), "content": film, "terms": "PLAY"})
		s.must(owner, "POST", "/api/v1/grants", map[string]any{"domain": ident.Domain{1, byte(i)}, "offer": "rent"})
	}
	for list, want := range map[string]int{"contents": n + 1, "offers": n + 1, "grants": n, "households": n, "audit": 3*n + 2} {
		member := map[string]string{"audit": "entries"}[list]
		if member == "" {
			member = list
		}
		seen, path := map[string]bool{}, "/api/v1/"+list
		for pages := 0; path != "" && pages < 20; pages++ {
			out := s.must(owner, "GET", path, nil)
			for _, row := range out[member].([]any) {
				seen[fmt.Sprint(row)] = true
			}
			path = ""
			if next, ok := out["next"].(string); ok {
				path = "/api/v1/" + list + "?after=" + next
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d on all pages, want %d", list, len(seen), want)
		}
	}
}

// What operators do is in the log, in the order in which they did it, and an
// export of it holds.
func TestAudit_Spec1_EveryChangeIsLogged(t *testing.T) {
	s := newShop(t, false)
	g := s.grant()
	batch := s.must(owner, "POST", "/api/v1/claims", map[string]any{"offer": "rent"})["batch"].(string)
	s.must(owner, "POST", "/api/v1/claims/"+batch+"/resend", map[string]any{})
	s.must(owner, "POST", "/api/v1/claims/"+batch+"/resend", map[string]any{"index": 0}) // to a customer who lost it: not logged
	s.must(owner, "POST", "/api/v1/claims/"+batch+"/void", map[string]any{})
	s.must(owner, "POST", "/api/v1/grants/"+house.String()+"/"+g+"/revoke", nil)
	s.now = s.now.Add(30 * time.Hour)
	s.newKey(operator.Viewer)
	var got []string
	for _, e := range s.must(owner, "GET", "/api/v1/audit", nil)["entries"].([]any) {
		got = append(got, e.(map[string]any)["action"].(string))
	}
	if want := "key.new grant.revoke claim.void claim.resend claim.new grant.add offer.put content.add"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", got, want)
	}
	out := s.send(owner, "GET", "/api/v1/audit/export", nil)
	report, err := audit.VerifyExport(out.Body, s.key.Public())
	if err != nil || len(report.Faults) != 0 || report.Entries != 8 || report.Heads != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if out := s.must(owner, "GET", "/api/v1/audit/verify", nil); len(out["faults"].([]any)) != 0 {
		t.Errorf("%v", out)
	}
}

// Everything that is sent is answered, with a code, and never with an inner error.
func FuzzAPI(f *testing.F) {
	s := newShop(f, false)
	for _, seed := range [][3]string{
		{"POST", "/api/v1/claims/redeem", `{"code":"ABCD-EFGH-JKMN","domain":"30000000000000000000000000000000"}`},
		{"POST", "/api/v1/grants", `{"domain":"30000000000000000000000000000000","offer":"rent","tiers":[1],"licenses":2,"expires_at":1}`},
		{"POST", "/api/v1/offers", `{"id":"x","content":"urn:lares:film:1","kind":"loan","terms":"PLAY; END_TIME=2027-01-01T00:00:00Z"}`},
		{"POST", "/api/v1/copies", `{"content":"urn:lares:film:1","copies":1,"offer":"x","period_ms":1,"window_ms":1}`},
		{"POST", "/api/v1/keys", `{"name":"x","role":"viewer","scopes":["read"],"expires_at":1795521700000}`},
		{"POST", "/api/v1/licenses/30000000000000000000000000000000/09000000000000000000000000000000/rebind", `{"to":"40000000000000000000000000000000"}`},
		{"GET", "/api/v1/grants?after=AAAA", ``},
		{"GET", "/api/v1/audit?after=7", ``},
		{"GET", "/status/v1/a/b", ``},
		{"GET", "/api/v1/copies?content=x&after=y", ``},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]), true)
		f.Add(seed[0], seed[1], []byte(seed[2]), false)
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte, signed bool) {
		if (method != "GET" && method != "POST") || !strings.HasPrefix(path, "/") {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI, r.RemoteAddr = path, "192.0.2.1:9"
		r.Header.Set("Content-Type", "application/json")
		if signed {
			r.Header.Set("Authorization", "Bearer "+owner)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if kind := w.Header().Get("Content-Type"); strings.HasSuffix(kind, "json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %s", method, path, w.Body)
		}
	})
}

// A domain is made with a code, is listed and shown; a device is put out and the domain
// ended by two, and both stand in the log.
func TestDomains_Spec10_FromMakingToTheEnd(t *testing.T) {
	s := newShop(t, false)
	made := s.must(owner, "POST", "/api/v1/domains", map[string]any{"devices": 5, "new_a_year": 4})
	id := made["domain"].(string)
	if made["devices"] != 5.0 || made["new_a_year"] != 4.0 || len(made["code"].(string)) != 14 {
		t.Errorf("%v", made)
	}
	again := s.must(owner, "POST", "/api/v1/domains/"+id+"/code", map[string]any{"idle": true})
	if again["code"] == made["code"] || again["expires_at"] != float64(s.now.Add(24*time.Hour).UnixMilli()) {
		t.Errorf("another code: %v", again)
	}
	if list := s.must(owner, "GET", "/api/v1/domains", nil)["domains"].([]any); len(list) != 1 || list[0].(map[string]any)["domain"] != id {
		t.Errorf("%v", list)
	}
	if got := s.must(owner, "GET", "/api/v1/domains/"+id, nil)["members"].([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	device := ident.Device{7}.String()
	for _, q := range []struct {
		path string
		want int
	}{
		{"/api/v1/domains/" + id + "/devices/" + other.String() + "/remove", http.StatusNotFound},
		{"/api/v1/domains/" + other.String() + "/devices/" + device + "/remove", http.StatusNotFound},
		{"/api/v1/domains/" + other.String() + "/end", http.StatusNotFound},
		{"/api/v1/domains/" + other.String() + "/code", http.StatusNotFound},
		{"/api/v1/domains/join", http.StatusUnprocessableEntity},
	} {
		if got := s.send(owner, "POST", q.path, map[string]any{}).Code; got != q.want {
			t.Errorf("%s: %d, want %d", q.path, got, q.want)
		}
	}
	for _, path := range []string{"/house/v1/letters/" + device + "?after=0", "/house/v1/recipients/phone"} {
		if got := s.send("", "GET", path, nil).Code; got != http.StatusForbidden {
			t.Errorf("%s: %d to who proves nothing", path, got)
		}
	}
	two, _ := s.newKey(operator.Security)
	if got := s.send(two, "POST", "/api/v1/domains/"+id+"/devices/"+device+"/remove", map[string]any{}).Code; got != http.StatusAccepted {
		t.Errorf("by one of two: %d", got)
	}
	s.must(owner, "POST", "/api/v1/domains/"+id+"/devices/"+device+"/remove", map[string]any{})
	s.must(owner, "POST", "/api/v1/domains/"+id+"/end", map[string]any{})
	if got := s.send(owner, "GET", "/api/v1/domains/"+id, nil).Code; got != http.StatusNotFound {
		t.Errorf("after its end: %d", got)
	}
	log := s.send(owner, "GET", "/api/v1/audit", nil).Body.String()
	for _, act := range []string{"domain.new", "domain.code", "device.remove", "domain.end"} {
		if !strings.Contains(log, act) {
			t.Errorf("the log has no %s", act)
		}
	}
}

// A store may read a page more than once: what is on it stands there once.
func TestLists_Spec3_APageThatIsReadTwice(t *testing.T) {
	s := newShop(t, false)
	s.must(owner, "POST", "/api/v1/offers", map[string]any{"id": "lend", "content": film, "kind": "loan", "terms": "PLAY"})
	s.must(owner, "POST", "/api/v1/copies", map[string]any{"content": film, "copies": 1, "offer": "lend", "period_ms": 60_000, "window_ms": 60_000})
	s.must(owner, "POST", "/api/v1/grants", map[string]any{"domain": house, "offer": "rent"})
	for path, name := range map[string]string{"/api/v1/copies": `"copies":1`, "/api/v1/households": house.String()} {
		if n := strings.Count(s.send(owner, "GET", path, nil).Body.String(), name); n != 1 {
			t.Errorf("%s names it %d times", path, n)
		}
	}
}

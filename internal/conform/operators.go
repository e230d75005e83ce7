package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/license/ident"
)

// Roles of operators and their scopes. Source: docs/spec/operators.md section 2.
const (
	viewer   = "viewer"
	support  = "support"
	issuing  = "issuer"
	security = "security"
)

func scopesOf(role string) []string {
	return map[string][]string{
		viewer: {"read"}, support: {"read", "help"}, issuing: {"read", "help", "sell", "shelf"}, security: {"read", "revoke", "audit", "operators"},
	}[role]
}

// whoami is what an operator's key is.
type whoami struct {
	Actor  string   `json:"actor"`
	Role   string   `json:"role"`
	Scopes []string `json:"scopes"`
}

// by asks with a key; none: as a stranger. The body is nil or becomes JSON.
func (s *subject) by(ctx context.Context, key, method, path string, body any, header ...string) (answer, error) {
	if key != "" {
		header = append(header, "Authorization", "Bearer "+key)
	}
	if body == nil {
		return s.ask(ctx, method, path, "", nil, header...)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	return s.ask(ctx, method, path, typeJSON, data, header...)
}

// operate asks with the key that the judge was given.
func (s *subject) operate(ctx context.Context, method, path string, body any, header ...string) (answer, error) {
	return s.by(ctx, s.cfg.Key, method, path, body, header...)
}

// get and post do something as the operator, want HTTP status 200, and read the answer into v.
func (s *subject) get(ctx context.Context, path string, v any) error {
	return s.want(ctx, s.cfg.Key, http.MethodGet, path, nil, v)
}

func (s *subject) post(ctx context.Context, path string, body, v any, header ...string) error {
	return s.want(ctx, s.cfg.Key, http.MethodPost, path, body, v, header...)
}

func (s *subject) want(ctx context.Context, key, method, path string, body, v any, header ...string) error {
	a, err := s.by(ctx, key, method, path, body, header...)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || a.typ != typeJSON {
		return fmt.Errorf("%s %s: expected HTTP status 200 and JSON, seen %d, %.120q", method, path, a.status, a.body)
	}
	if err := decode(a, v); err != nil {
		return fmt.Errorf("%s %s: expected the layout of its page, seen %.120q", method, path, a.body)
	}
	return nil
}

// allowed wants that the judge has an operator's key, which may do what a check does.
func (s *subject) allowed(scopes ...string) error {
	if s.cfg.Key == "" {
		return lacking("only an operator can see it: give --key")
	}
	for _, scope := range scopes {
		if s.scopes != nil && !slices.Contains(s.scopes, scope) {
			return lacking("the key that was given may not: it takes one with the scope %s", scope)
		}
	}
	return nil
}

// sells wants that the judge may try a title, too.
func (s *subject) sells(scopes ...string) error {
	if err := s.allowed(scopes...); err != nil {
		return err
	}
	if s.cfg.Title == "" {
		return lacking("it sells or lends something: give --title, one that is for trials")
	}
	return nil
}

func cmpOr(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// newKey makes an API key of a role; end revokes it.
func (s *subject) newKey(ctx context.Context, role string) (id, token string, end func() error, err error) {
	var made struct {
		ID    string `json:"id"`
		Token string `json:"token"`
	}
	err = s.post(ctx, "/api/v1/keys", map[string]any{"name": "conform", "role": role, "expires_at": s.cfg.Now().Add(time.Hour).UnixMilli()}, &made)
	if err == nil && (made.ID == "" || made.Token == "") {
		err = errors.New("a new API key: expected its ID and its token, seen none")
	}
	end = func() error {
		ctx, cancel := afterwards(ctx)
		defer cancel()
		return s.post(ctx, "/api/v1/keys/"+made.ID+"/revoke", nil, &struct{}{})
	}
	return made.ID, made.Token, end, err
}

func operatorChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"operators.md 2", "an operator may do what the role says, and nobody both sells and revokes but the owner", at, checkWhoami},
		{"operators.md 2", "a reader may look, and is forbidden all else", at, func(ctx context.Context, s *subject) error {
			if err := cmpOr(s.allowed("operators"), s.described); err != nil {
				return err
			}
			_, reader, end, err := s.newKey(ctx, viewer)
			if err != nil {
				return err
			}
			defer end() //nolint:errcheck // it ends by itself
			if err := s.want(ctx, reader, http.MethodGet, "/api/v1/grants", nil, &struct{}{}); err != nil {
				return fmt.Errorf("a reader: %w", err)
			}
			return s.refusesAll(ctx, reader, func(o *operation) bool { return o.scope() != "" && o.scope() != "read" }, http.StatusForbidden, "forbidden")
		}},
		{"operators.md 1", "an API key that was revoked is over at once", at, func(ctx context.Context, s *subject) error {
			if err := s.allowed("operators"); err != nil {
				return err
			}
			_, token, end, err := s.newKey(ctx, viewer)
			if err != nil {
				return err
			}
			if err := s.want(ctx, token, http.MethodGet, "/api/v1/whoami", nil, &whoami{}); err != nil {
				return errors.Join(fmt.Errorf("a new API key: %w", err), end())
			}
			if err := end(); err != nil {
				return err
			}
			a, err := s.by(ctx, token, http.MethodGet, "/api/v1/whoami", nil)
			if err == nil {
				err = wantProblem("a key that was revoked", a, http.StatusUnauthorized, "unauthorized")
			}
			return err
		}},
		{"operators.md 3", "two operators revoke: who proposed it cannot approve it, and until then nothing is done", at, checkTwo},
	}
}

func checkWhoami(ctx context.Context, s *subject) error {
	if err := s.allowed(); err != nil {
		return err
	}
	var who whoami
	if err := s.get(ctx, "/api/v1/whoami", &who); err != nil {
		return err
	}
	if who.Actor == "" || len(who.Scopes) == 0 {
		return fmt.Errorf("expected who asks and their scopes, seen %q with %d", who.Actor, len(who.Scopes))
	}
	role := scopesOf(who.Role)
	for _, scope := range who.Scopes {
		if !slices.Contains(role, scope) && (who.Actor != "owner" || who.Role != "") {
			return fmt.Errorf("expected scopes of role %q, %v, seen %q", who.Role, role, scope)
		}
	}
	if s.allowed("operators") != nil {
		return nil //nolint:nilerr // it makes no keys: its own role was all there is to see
	}
	for _, name := range []string{viewer, support, issuing, security} {
		if err := s.checkRole(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// checkRole wants that a new key of a role may do what the role says, and no more.
func (s *subject) checkRole(ctx context.Context, role string) error {
	_, token, end, err := s.newKey(ctx, role)
	if err != nil {
		return err
	}
	defer end() //nolint:errcheck // it ends by itself
	var who whoami
	if err := s.want(ctx, token, http.MethodGet, "/api/v1/whoami", nil, &who); err != nil {
		return fmt.Errorf("a new key of role %s: %w", role, err)
	}
	want := slices.Sorted(slices.Values(scopesOf(role)))
	if seen := slices.Sorted(slices.Values(who.Scopes)); who.Role != role || !slices.Equal(seen, want) {
		return fmt.Errorf("a new key of role %s: expected that role and %q, seen %q and %q", role, want, who.Role, seen)
	}
	return nil
}

// proposal is what waits for a second operator.
type proposal struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

func checkTwo(ctx context.Context, s *subject) error {
	if err := s.sells("operators", "sell"); err != nil {
		return err
	}
	domain := ident.NewDomain()
	var g grantAnswer
	if err := s.post(ctx, "/api/v1/grants", map[string]any{"domain": domain, "content": s.cfg.Title, "kind": "rental", "terms": "PLAY; PLAY_COUNT=1"}, &g); err != nil {
		return err
	}
	_, first, end, err := s.newKey(ctx, security)
	if err != nil {
		return err
	}
	defer end() //nolint:errcheck // it ends by itself
	_, second, end2, err := s.newKey(ctx, security)
	if err != nil {
		return err
	}
	defer end2() //nolint:errcheck // as above
	a, err := s.by(ctx, first, http.MethodPost, "/api/v1/grants/"+domain.String()+"/"+g.ID+"/revoke", map[string]any{"reason": "conform"})
	if err != nil {
		return err
	}
	var waits struct {
		Done     bool     `json:"done"`
		Proposal proposal `json:"proposal"`
	}
	if a.status != http.StatusAccepted || decode(a, &waits) != nil || waits.Done || waits.Proposal.ID == "" {
		return fmt.Errorf("one operator revokes: expected HTTP status 202 and a proposal, seen %d, %.120q", a.status, a.body)
	}
	if err := s.revoked(ctx, domain, "with one operator's word", false); err != nil {
		return err
	}
	path := "/api/v1/proposals/" + waits.Proposal.ID
	if a, err = s.by(ctx, first, http.MethodPost, path+"/approve", nil); err == nil {
		err = wantProblem("who proposed it approves it", a, http.StatusConflict, "second_operator")
	}
	if err == nil {
		err = s.revoked(ctx, domain, "approved by who proposed it", false)
	}
	var p proposal
	if err == nil {
		err = s.want(ctx, second, http.MethodPost, path+"/approve", nil, &p)
	}
	if err == nil && p.State != "done" {
		err = fmt.Errorf("another one approves it: expected the state done, seen %.20q", p.State)
	}
	if err == nil {
		err = s.revoked(ctx, domain, "with two operators' word", true)
	}
	if err != nil {
		return err
	}
	if a, err = s.by(ctx, first, http.MethodPost, path+"/withdraw", nil); err == nil {
		err = wantProblem("what was done is withdrawn", a, http.StatusConflict, "decided")
	}
	return err
}

// revoked wants that the one grant of a household of the judge's is over, or is not.
func (s *subject) revoked(ctx context.Context, domain ident.Domain, when string, want bool) error {
	all, err := s.grantsOf(ctx, domain)
	if err == nil && (len(all) != 1 || all[0].Revoked != want) {
		err = fmt.Errorf("%s: expected one grant, revoked %v, seen %d: %+v", when, want, len(all), all)
	}
	return err
}

// grantRow is a grant as operators see it.
type grantRow struct {
	ID      string `json:"id"`
	Terms   string `json:"terms"`
	Revoked bool   `json:"revoked"`
}

// grantsOf are a household's; one that was granted nothing has none.
func (s *subject) grantsOf(ctx context.Context, domain ident.Domain) ([]grantRow, error) {
	var out struct {
		Grants []grantRow `json:"grants"`
	}
	a, err := s.operate(ctx, http.MethodGet, "/api/v1/households/"+domain.String(), nil)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotFound {
		return nil, nil
	}
	if a.status != http.StatusOK || decode(a, &out) != nil {
		return nil, fmt.Errorf("a household: expected HTTP status 200 and its grants, seen %d, %.80q", a.status, a.body)
	}
	return out.Grants, nil
}

func auditChecks() []check {
	at := []Role{Issuer}
	return []check{
		{"audit.md 2, 3, 4", "the operators' log is a chain from its first entry to its closing head, and the issuer finds none broken", at, checkChain},
		{"audit.md 1", "what an operator does stands in it, by whom, and nothing of it is a secret", at, checkEntry},
	}
}

func checkChain(ctx context.Context, s *subject) error {
	if err := s.allowed("audit", "read"); err != nil {
		return err
	}
	a, err := s.operate(ctx, http.MethodGet, "/api/v1/audit/export", nil)
	if errors.Is(err, errLong) {
		return lacking("the export is longer than the %d MiB that the judge reads: verify it by itself", maxAnswer>>20)
	}
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || a.typ != "application/jsonl" {
		return fmt.Errorf("/api/v1/audit/export: expected HTTP status 200 and application/jsonl, seen %d, %q", a.status, a.typ)
	}
	taken, err := audit.VerifyExport(bytes.NewReader(a.body), nil)
	if err != nil {
		return fmt.Errorf("the export: expected one of audit.md section 4: %w", err)
	}
	if len(taken.Faults) > 0 {
		return fmt.Errorf("the export: entry %d: %s", taken.Faults[0].Seq, taken.Faults[0].What)
	}
	var found audit.Report
	if err := s.get(ctx, "/api/v1/audit/verify", &found); err != nil {
		return err
	}
	if found.Faults == nil || len(found.Faults) > 0 || found.Entries < taken.Entries {
		return fmt.Errorf("/api/v1/audit/verify: expected %d entries or more and no fault, seen %d and %v", taken.Entries, found.Entries, found.Faults)
	}
	return nil
}

func checkEntry(ctx context.Context, s *subject) error {
	if err := s.allowed("operators", "read"); err != nil {
		return err
	}
	var who whoami
	if err := s.get(ctx, "/api/v1/whoami", &who); err != nil {
		return err
	}
	id, token, end, err := s.newKey(ctx, viewer)
	if err == nil {
		err = end()
	}
	if err != nil {
		return err
	}
	var page struct {
		Entries []audit.Entry `json:"entries"`
	}
	if err := s.get(ctx, "/api/v1/audit", &page); err != nil {
		return err
	}
	var acts []string
	for n, e := range page.Entries {
		if n > 0 && page.Entries[n-1].Prev != e.Hash() {
			return fmt.Errorf("entry %d: expected the hash of entry %d as its prev", page.Entries[n-1].Seq, e.Seq)
		}
		if strings.Contains(e.Subject, token) {
			return fmt.Errorf("entry %d: expected IDs, seen a key's token", e.Seq)
		}
		if e.Actor == who.Actor && strings.HasPrefix(e.Subject, id) {
			acts = append(acts, e.Action)
		}
	}
	if !slices.Equal(acts, []string{"key.revoke", "key.new"}) {
		return fmt.Errorf("a key made and revoked: expected key.revoke and key.new by %q, newest first, seen %q", who.Actor, acts)
	}
	return nil
}

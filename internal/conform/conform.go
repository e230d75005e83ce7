package conform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Role is what a server is.
type Role string

// The roles. A server may have several.
const (
	Issuer    Role = "issuer"
	Home      Role = "home server"
	Authority Role = "authority"
	// TestIssuer is an issuer of any policy and any failure (docs/guide/test-issuer.md).
	TestIssuer Role = "test issuer"
)

// Verdict is what became of a check.
type Verdict string

// The verdicts.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"
	Inapplicable Verdict = "not applicable"
	// NotRun: it applies, and the judge was not given what it takes.
	NotRun Verdict = "NOT RUN"
)

// Result is one clause, judged.
type Result struct {
	Statement string  `json:"statement"` // of docs/standard.md, such as SERV-4
	Clause    string  `json:"clause"`    // page and section of docs/spec
	Name      string  `json:"name"`      // what must hold, as a sentence
	Verdict   Verdict `json:"verdict"`
	Reason    string  `json:"reason,omitempty"` // failed: what was expected and seen; else: why
}

// Household is a module of the judge, certified in the server's trust domain, with
// which whole flows are made. Nil: they do not apply.
type Household interface {
	// Fetch asks the issuer for a license of a content under a request ID and
	// returns what it led to.
	Fetch(ctx context.Context, peer ident.Device, issuer ident.Issuer, content ident.Content, request ident.Request) ([]trem.Event, error)
	// Domain is what the issuer knows the judge's house by.
	Domain(ctx context.Context, issuer ident.Issuer) (ident.Domain, error)
}

// Config says who is judged.
type Config struct {
	URL   string           // required, without a path
	HTTP  *http.Client     // default: one without redirects
	Now   func() time.Time // required
	House Household        // for whole flows at an issuer
	Key   string           // of an operator of the issuer, for what only operators see and do
	Title ident.Content    // that the issuer has, to be granted, sold and lent; with Key
	// Account is shown to a server that asks for one. The zero one: the judge has none.
	Account lrp.Account
	// Members are two devices of the judge's that are members of the house. None: what
	// only members may do is not judged.
	Members []lrp.Introduction
	Only    string // the name of one clause to judge; empty: all
}

// check is one clause.
type check struct {
	clause, name string
	roles        []Role // that it applies to; none: all
	run          func(ctx context.Context, s *subject) error
}

// stated is a check with the statement of docs/standard.md that it is a part of.
type stated struct {
	check
	statement string
}

func of(statement string, lists ...[]check) (out []stated) {
	for _, c := range slices.Concat(lists...) {
		out = append(out, stated{c, statement})
	}
	return out
}

// unjudged is why a check comes to no verdict about the server.
type unjudged struct {
	verdict Verdict
	why     string
}

func (e *unjudged) Error() string { return e.why }

// without says why a clause does not apply, lacking what the judge was not given.
func without(format string, args ...any) error {
	return &unjudged{Inapplicable, fmt.Sprintf(format, args...)}
}

func lacking(format string, args ...any) error {
	return &unjudged{NotRun, fmt.Sprintf(format, args...)}
}

// patience bounds one check, and tidying what the judge clears away behind it, also
// when the check, or the whole judging, was given up. Source: local.
const (
	patience = 60 * time.Second
	tidying  = 5 * time.Second
)

// afterwards is the time to clear something away.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), tidying)
}

// checks are all of them. What makes an issuer turn others away comes last.
func checks() []stated {
	return slices.Concat(
		of("LRP-1", bindingChecks()), of("LRP-6", helloChecks()), of("LRP-4", frameChecks()), of("LRP-7", accountChecks()), of("SLTP-4", sltpChecks()),
		of("LAYER-3", gossipChecks(), mailChecks()), of("SERV-1", issuerChecks()), of("SERV-9", apiChecks(), operatorChecks(), auditChecks()),
		of("SERV-4", claimChecks()), of("SERV-5", copyChecks()), of("SERV-2", flowChecks()), of("SERV-6", statusChecks()), of("SERV-10", trialChecks()),
		of("CA-3", revocationChecks()), of("TREM-9", timeChecks()), of("SERV-3", pressureChecks()))
}

// Run judges a server and reports each clause as it is done. Its error is that
// there is nobody to judge.
func Run(ctx context.Context, cfg Config, report func(Result)) error {
	if cfg.URL == "" || cfg.Now == nil {
		return errors.New("conform: URL and Now are required")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	s := &subject{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/"), self: me()}
	if err := s.meet(ctx); err != nil {
		return err
	}
	if err := s.greet(ctx); err != nil {
		return err
	}
	s.readAPI(ctx)
	for _, c := range checks() {
		if cfg.Only != "" && c.name != cfg.Only {
			continue
		}
		r := Result{Statement: c.statement, Clause: c.clause, Name: c.name, Verdict: Passed}
		err := s.judge(context.WithValue(ctx, clauseKey{}, c.name), &c.check)
		var no *unjudged
		switch {
		case errors.As(err, &no):
			r.Verdict, r.Reason = no.verdict, no.why
		case err != nil:
			r.Verdict, r.Reason = Failed, err.Error()
		}
		report(r)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

type clauseKey struct{}

// CheckOf names the check that a request of the judge belongs to: for tests of the
// judge, whose servers break one clause at a time.
func CheckOf(ctx context.Context) string {
	name, _ := ctx.Value(clauseKey{}).(string)
	return name
}

func (s *subject) judge(ctx context.Context, c *check) error {
	if len(c.roles) > 0 && !slices.ContainsFunc(c.roles, func(r Role) bool { return slices.Contains(s.roles, r) }) {
		return without("this server is %s, and the clause is about %s", list(s.roles), list(c.roles))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.run(ctx, s)
}

func list(roles []Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " or ")
}

// subject is the server that is judged.
type subject struct {
	cfg   Config
	base  string
	roles []Role
	addr  lrp.Addr // of its module
	self  lrp.Addr // of the judge, where it has shown an account
	// authKey is what accounts are sealed to; nil: it asks for none.
	authKey []byte
	api     *document // that the issuer serves; nil: none that can be read
	scopes  []string  // of the operator's key, as the issuer says; nil: it does not say
	about   struct {
		Name   string       `json:"name"`
		Issuer ident.Issuer `json:"issuer"`
		Device ident.Device `json:"device"`
		Status string       `json:"status"`
	}
}

// answer is what came back, whole.
type answer struct {
	status int
	typ    string
	header http.Header
	body   []byte
}

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 32 << 20

// errLong: nobody's answer is so long, but what has grown with the years.
var errLong = fmt.Errorf("expected at most %d MiB, seen more", maxAnswer>>20)

// ask sends one request. The path may be the server's word: what does not begin with /
// would go on with the host's name, and the judge, with its key, to another host.
func (s *subject) ask(ctx context.Context, method, path, typ string, body []byte, header ...string) (answer, error) {
	if !strings.HasPrefix(path, "/") {
		return answer{}, fmt.Errorf("expected a path that begins with /, seen %.80q", path)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(string(body)))
	if err != nil {
		return answer{}, err
	}
	if typ != "" {
		req.Header.Set("Content-Type", typ)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: no answer: %w", method, path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: the answer breaks off: %w", method, path, err)
	}
	if len(data) > maxAnswer {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, errLong)
	}
	return answer{status: res.StatusCode, typ: mediaType(res), header: res.Header, body: data}, nil
}

func mediaType(res *http.Response) string {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return kind
}

// wantStatus asks and wants one of some HTTP statuses.
func (s *subject) wantStatus(ctx context.Context, what, method, path, typ string, body []byte, want ...int) (answer, error) {
	a, err := s.ask(ctx, method, path, typ, body)
	if err == nil && !slices.Contains(want, a.status) {
		err = fmt.Errorf("%s: expected HTTP status %s, seen %d", what, numbers(want), a.status)
	}
	return a, err
}

func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", " or "), "[]")
}

// meet finds out who answers at the URL.
func (s *subject) meet(ctx context.Context) error {
	if a, err := s.ask(ctx, http.MethodGet, "/api/v1/about", "", nil); err != nil {
		return fmt.Errorf("conform: nobody answers at %s: %w", s.base, err)
	} else if a.status == http.StatusOK && decode(a, &s.about) == nil && s.about.Device != (ident.Device{}) {
		s.roles, s.addr = append(s.roles, Issuer), lrp.Addr(s.about.Device)
	}
	var house struct {
		ID ident.Device `json:"id"`
	}
	if a, err := s.ask(ctx, http.MethodGet, "/house/v1/recipients/house", "", nil); err == nil && a.status == http.StatusOK && decode(a, &house) == nil {
		s.roles, s.addr = append(s.roles, Home), lrp.Addr(house.ID)
	}
	if a, err := s.ask(ctx, http.MethodGet, "/test", "", nil); err == nil && a.status == http.StatusOK && slices.Contains(s.roles, Issuer) {
		s.roles = append(s.roles, TestIssuer)
	}
	if a, err := s.ask(ctx, http.MethodGet, "/rsl/v1/head", "", nil); err == nil && a.status == http.StatusOK && !slices.Contains(s.roles, Home) {
		s.roles = append(s.roles, Authority)
	}
	if len(s.roles) == 0 {
		return fmt.Errorf("conform: at %s is no issuer (/api/v1/about), no home server (/house/v1/recipients/house) and no authority (/rsl/v1/head)", s.base)
	}
	return nil
}

package testissuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/service/issuer"
)

// Limits of a scenario. Source: local, docs/guide/test-issuer.md.
const (
	maxQuery = 2048             // bytes
	maxDelay = 30 * time.Second // before an answer
	maxLose  = 100              // answers
)

// ErrScenario is a URL that describes nothing.
var ErrScenario = errors.New("testissuer: not a scenario")

// Scenario is what a URL asks for.
type Scenario struct {
	Terms string // of the license
	Kind  issuer.Kind
	Tiers []uint64
	Fail  Failure
	query string // canonical
}

// Failure is what goes wrong.
type Failure struct {
	Revoked   bool          // the grant ends as soon as it is there
	Exhausted bool          // all licenses of the grant are issued
	Code      string        // "void", "expired": what is wrong with the claim code
	Status    int           // of HTTP, instead of an answer of the module; 0: none
	Retry     time.Duration // Retry-After beside it
	Delay     time.Duration // before each answer of the module
	Cut       bool          // the connection ends without an answer
	Garbage   bool          // bytes that are no frame
	Truncate  bool          // half of the answer
	Flip      bool          // one bit of the answer is another
	Lose      int           // so many answers are lost on their way back, then none
}

// Parameter is one thing that a URL can say.
type Parameter struct {
	Name  string
	Means string // for the page
	set   func(s *Scenario, p *parts, value string, now time.Time) error
}

// parts are the statements of the terms, in the order in which they must stand.
type parts struct{ play, after, policy []string }

// statement is a parameter that becomes one condition of PLAY.
func statement(key string) func(*Scenario, *parts, string, time.Time) error {
	return func(_ *Scenario, p *parts, v string, _ time.Time) error {
		p.play = append(p.play, key+"="+v)
		return nil
	}
}

func policy(key string) func(*Scenario, *parts, string, time.Time) error {
	return func(_ *Scenario, p *parts, v string, _ time.Time) error {
		p.policy = append(p.policy, key+"="+v)
		return nil
	}
}

// when is a condition whose value is a time, or a time from now on such as -1h.
func when(key string, to func(*parts, string)) func(*Scenario, *parts, string, time.Time) error {
	return func(_ *Scenario, p *parts, v string, now time.Time) error {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			d, err := time.ParseDuration(v)
			if err != nil {
				return errors.New("want a time such as 2027-01-31T00:00:00Z, or from now on such as 2h or -2h")
			}
			at = now.Add(d)
		}
		to(p, key+"="+at.UTC().Truncate(time.Second).Format(time.RFC3339))
		return nil
	}
}

func inPlay(p *parts, s string)   { p.play = append(p.play, s) }
func inPolicy(p *parts, s string) { p.policy = append(p.policy, s) }

// flag is a failure that is there or not.
func flag(at func(*Failure) *bool) func(*Scenario, *parts, string, time.Time) error {
	return func(s *Scenario, _ *parts, v string, _ time.Time) (err error) {
		*at(&s.Fail), err = strconv.ParseBool(v)
		return err
	}
}

func span(at func(*Failure) *time.Duration) func(*Scenario, *parts, string, time.Time) error {
	return func(s *Scenario, _ *parts, v string, _ time.Time) error {
		d, err := time.ParseDuration(v)
		if err == nil && (d < 0 || d > maxDelay) {
			err = fmt.Errorf("want 0s to %v", maxDelay)
		}
		*at(&s.Fail) = d
		return err
	}
}

// Parameters are all that a URL can say. Each has a row in docs/guide/test-issuer.md.
func Parameters() []Parameter {
	return []Parameter{
		{"permission", "what is allowed: PLAY, COPY, MOVE, TRANSFER, LEND, with commas; default PLAY", permissions},
		{"begin", "plays from this time on", when("START_TIME", inPlay)},
		{"end", "plays until this time; 2s is a license that is over when it is looked at", when("END_TIME", inPlay)},
		{"interval", "plays for so long from the first start", statement("INTERVAL")},
		{"count", "plays so often", statement("PLAY_COUNT")},
		{"accumulated", "plays for so long in all", statement("ACCUMULATED")},
		{"maxres", "no more pixels than WIDTHxHEIGHT", resolution},
		{"output", "only on outputs that are protected so: HDCP_1, HDCP_2_2, HDCP_2_2_T1, HDCP_2_3", statement("OUTPUT_PROTECTION")},
		{"region", "only in these countries, with commas", func(_ *Scenario, p *parts, v string, _ time.Time) error {
			p.after = append(p.after, "TERRITORY="+v)
			return nil
		}},
		{"export", "may go to these systems, such as clearkey", func(_ *Scenario, p *parts, v string, _ time.Time) error {
			p.after = append(p.after, "EXPORT="+v)
			return nil
		}},
		{"kind", "purchase, rental, subscription, loan, gift, coupon, preview", func(s *Scenario, _ *parts, v string, _ time.Time) error {
			if s.Kind = issuer.Kind(v); !slices.Contains(issuer.Kinds(), s.Kind) {
				return fmt.Errorf("there are %v", issuer.Kinds())
			}
			return nil
		}},
		{"tiers", "keys of these tiers only: AUDIO, SD, HD, UHD, with commas", tiers},
		{"level", "only in modules of at least this level, 1 to 3", policy("MIN_LEVEL")},
		{"anchor", "only in modules of at least this anchor, 0 to 2; default 0", policy("MIN_ANCHOR")},
		{"storage", "is kept for so long", policy("STORAGE_DURATION")},
		{"closed", "is over at this time, whatever else it says", when("HARD_END", inPolicy)},
		{"slice", "keys are released for so long at a time", policy("SLICE")},
		{"mode", "finish or stop: what becomes of a film that plays when the time is over", policy("EXPIRY_MODE")},
		{"revoked", "true: the grant is revoked before the license is fetched", flag(func(f *Failure) *bool { return &f.Revoked })},
		{"exhausted", "true: all licenses of the grant are issued already", flag(func(f *Failure) *bool { return &f.Exhausted })},
		{"code", "void or expired: what is wrong with the claim code", func(s *Scenario, _ *parts, v string, _ time.Time) error {
			if s.Fail.Code = v; v != "void" && v != "expired" {
				return errors.New("want void or expired")
			}
			return nil
		}},
		{"http", "the module's door answers with this status, 400 to 599", func(s *Scenario, _ *parts, v string, _ time.Time) (err error) {
			if s.Fail.Status, err = strconv.Atoi(v); err == nil && (s.Fail.Status < 400 || s.Fail.Status > 599) {
				err = errors.New("want 400 to 599")
			}
			return err
		}},
		{"retry", "Retry-After beside http, at most 30s", span(func(f *Failure) *time.Duration { return &f.Retry })},
		{"delay", "each answer of the module comes so late, at most 30s", span(func(f *Failure) *time.Duration { return &f.Delay })},
		{"cut", "true: the connection ends without an answer", flag(func(f *Failure) *bool { return &f.Cut })},
		{"garbage", "true: the answer is no frame", flag(func(f *Failure) *bool { return &f.Garbage })},
		{"truncate", "true: half of the answer comes", flag(func(f *Failure) *bool { return &f.Truncate })},
		{"flip", "true: one bit of the answer is another", flag(func(f *Failure) *bool { return &f.Flip })},
		{"lose", "so many answers are lost after their work is done, then none; at most 100", func(s *Scenario, _ *parts, v string, _ time.Time) (err error) {
			if s.Fail.Lose, err = strconv.Atoi(v); err == nil && (s.Fail.Lose < 0 || s.Fail.Lose > maxLose) {
				err = fmt.Errorf("want 0 to %d", maxLose)
			}
			return err
		}},
	}
}

func permissions(_ *Scenario, p *parts, v string, _ time.Time) error {
	for name := range strings.SplitSeq(v, ",") {
		switch name {
		case "PLAY": // always
		case "COPY":
			p.after = append(p.after, "COPY=FREE")
		case "MOVE":
			p.after = append(p.after, "MOVE=ANY")
		case "TRANSFER":
			p.after = append(p.after, "TRANSFER=1")
		case "LEND":
			p.after = append(p.after, "LEND")
		default:
			return fmt.Errorf("%q is none of PLAY, COPY, MOVE, TRANSFER, LEND", name)
		}
	}
	return nil
}

func resolution(_ *Scenario, p *parts, v string, _ time.Time) error {
	w, h, ok := strings.Cut(v, "x")
	x, err1 := strconv.ParseUint(w, 10, 16)
	y, err2 := strconv.ParseUint(h, 10, 16)
	if !ok || err1 != nil || err2 != nil || x*y == 0 {
		return errors.New("want WIDTHxHEIGHT, such as 1280x720")
	}
	p.play = append(p.play, fmt.Sprintf("RESOLUTION<=%d", x*y))
	return nil
}

func tiers(s *Scenario, _ *parts, v string, _ time.Time) error {
	for name := range strings.SplitSeq(v, ",") {
		var t license.Tier
		if err := t.UnmarshalText([]byte(name)); err != nil || t == 0 {
			return fmt.Errorf("%q is none of AUDIO, SD, HD, UHD", name)
		}
		s.Tiers = append(s.Tiers, uint64(t))
	}
	return nil
}

// Parse reads a query. Each parameter stands once, and no other one at all.
func Parse(query string, now time.Time) (*Scenario, error) {
	if len(query) > maxQuery {
		return nil, fmt.Errorf("%w: at most %d bytes", ErrScenario, maxQuery)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: malformed", ErrScenario)
	}
	s := &Scenario{query: q.Encode()}
	p := parts{play: []string{"PLAY"}, policy: []string{}}
	known := Parameters()
	for name, values := range q {
		if len(values) != 1 || !slices.ContainsFunc(known, func(k Parameter) bool { return k.Name == name }) {
			return nil, fmt.Errorf("%w: %q is no parameter, or stands twice", ErrScenario, name)
		}
		if strings.ContainsAny(values[0], ";\n\r") {
			return nil, fmt.Errorf("%w: %s: one value", ErrScenario, name)
		}
	}
	for _, k := range known {
		if !q.Has(k.Name) {
			continue
		}
		if err := k.set(s, &p, q.Get(k.Name), now); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrScenario, k.Name, err)
		}
	}
	if !q.Has("anchor") { // modules of a test have no hardware
		p.policy = append(p.policy, "MIN_ANCHOR=0")
	}
	// LEND begins a unit that the conditions behind it belong to: it stands last.
	slices.SortStableFunc(p.after, func(a, b string) int { return strings.Compare(lendLast(a), lendLast(b)) })
	s.Terms = strings.Join(slices.Concat(p.play, p.after, p.policy), "; ")
	if _, _, err := issuer.ReadTerms(s.Terms); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	return s, nil
}

func lendLast(s string) string {
	if s == "LEND" {
		return "1"
	}
	return "0"
}

// Query is the scenario as it was asked for, in one order.
func (s *Scenario) Query() string { return s.query }

// path is the scenario as a part of a URL's path, and scenarioOf reads it.
func (s *Scenario) path() string { return base64.RawURLEncoding.EncodeToString([]byte("q" + s.query)) }

func scenarioOf(path string, now time.Time) (*Scenario, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(path)
	if err != nil || len(b) == 0 || b[0] != 'q' {
		return nil, ErrScenario
	}
	return Parse(string(b[1:]), now)
}

// offer is the ID of the scenario's offer.
func (s *Scenario) offer() string {
	sum := sha256.Sum256([]byte(s.query))
	return "test-" + hex.EncodeToString(sum[:8])
}

package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// ErrTerms is returned for terms that no license can have.
var ErrTerms = errors.New("issuer: terms do not make a license")

// terms is a text form, split into what a license has two fields for.
type terms struct {
	text   string
	code   permission.Code
	policy license.Policy
	units  *permission.Units
	end    sunsetTerms
	// written are the policy's statements, as they stand in text.
	written []string
}

// parseTerms reads terms in text form: the statements of a permission code
// (permission.ParseText) and, in any place, those of the policy: DURATION,
// STORAGE_DURATION, RESUME_WINDOW, CLOCK_GRACE, SLICE (durations such as 48h),
// HARD_END (a time such as 2026-11-24T18:00:00Z), ON_FIRST_USE=replace|cap,
// EXPIRY_MODE=finish|stop, MIN_LEVEL=1..3, MIN_ANCHOR=0..2 and
// BACKUP=none|issuer|household; and of the end of the service
// SUNSET=rebind|release|none, SILENCE (a duration) and FREE_AFTER (a time).
func parseTerms(text string) (terms, error) {
	var t terms
	var code []string
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		key, value, _ := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		mine, err := policyStatement(&t.policy, key, value)
		if !mine {
			mine, err = t.end.statement(key, value)
		}
		switch {
		case err != nil:
			return t, fmt.Errorf("%w: %s: %w", ErrTerms, part, err)
		case mine:
			t.written = append(t.written, key+"="+value)
		case part != "":
			code = append(code, part)
		}
	}
	units, err := permission.ParseText(strings.Join(code, "; "))
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrTerms, err)
	}
	if len(units.Usage) == 0 {
		return t, fmt.Errorf("%w: they allow nothing", ErrTerms)
	}
	t.units = units
	t.text = t.join()
	if t.code, err = units.Encode(); err != nil {
		return t, fmt.Errorf("%w: %w", ErrTerms, err)
	}
	return t, nil
}

// join writes units and policy as one text.
func (t *terms) join() string {
	return strings.Join(append([]string{t.units.Text()}, t.written...), "; ")
}

func policyStatement(p *license.Policy, key, value string) (mine bool, err error) {
	var ms int64
	var n uint64
	switch key {
	case "DURATION":
		p.Duration, err = duration(value)
	case "STORAGE_DURATION":
		p.StorageDuration, err = duration(value)
	case "RESUME_WINDOW":
		p.ResumeWindow, err = duration(value)
	case "SLICE":
		p.Slice, err = duration(value)
	case "CLOCK_GRACE":
		if value != "0" {
			ms, err = duration(value)
		}
		p.ClockGrace = &ms
	case "HARD_END":
		p.HardEnd, err = moment(value)
	case "ON_FIRST_USE":
		n, err = oneOf(value, "replace", "cap")
		p.OnFirstUse = license.OnFirstUse(n)
	case "EXPIRY_MODE":
		n, err = oneOf(value, "finish", "stop")
		p.ExpiryMode = license.ExpiryMode(n)
	case "BACKUP":
		n, err = oneOf(value, "none", "issuer", "household")
		p.Backup = license.Backup(n)
	case "MIN_LEVEL":
		p.MinLevel, err = strconv.ParseUint(value, 10, 8)
	case "MIN_ANCHOR":
		n, err = strconv.ParseUint(value, 10, 8)
		p.MinAnchor = &n
	case "DOMAIN_DEVICES":
		domainRule(p).Devices, err = strconv.ParseUint(value, 10, 32)
	case "DOMAIN_NEW":
		domainRule(p).NewAYear, err = strconv.ParseUint(value, 10, 32)
	default:
		return false, nil
	}
	return true, err
}

func domainRule(p *license.Policy) *license.DomainRule {
	if p.Domain == nil {
		p.Domain = new(license.DomainRule)
	}
	return p.Domain
}

// oneOf returns the place of a word, from 1.
func oneOf(value string, words ...string) (uint64, error) {
	for i, w := range words {
		if w == value {
			return uint64(i) + 1, nil
		}
	}
	return 0, fmt.Errorf("want %s", strings.Join(words, " or "))
}

// duration and moment have the syntax of the permission code's text form.
func duration(s string) (int64, error) {
	u, err := permission.ParseText("PLAY; INTERVAL=" + s)
	if err != nil {
		return 0, err
	}
	return u.Usage[0].Interval, nil
}

func moment(s string) (int64, error) {
	u, err := permission.ParseText("PLAY; END_TIME=" + s)
	if err != nil {
		return 0, err
	}
	return u.Usage[0].EndTime, nil
}

// placeholder stands in a trial license for the certificate; the keys and the
// content's duration, which only the TREM knows, are made up as well.
const placeholder = "trial"

// trial makes a license of the terms with a throw-away key, so that terms which
// no license can have are refused when they are granted and not when they are used.
func trial(info license.Info) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	info.Keys = []license.KeyRef{{KID: ident.Key{1}, Tier: license.TierAudio, BPS: 1}}
	if info.Policy.Duration == 0 {
		info.Policy.Duration = 1000 * 60
	}
	if _, err := license.Sign(key, []byte(placeholder), &info); err != nil {
		return fmt.Errorf("%w: %w", ErrTerms, err)
	}
	return nil
}

// info is the license that a grant makes for a household of a generation.
func (g *Grant) info(issuer ident.Issuer, id ident.License, generation uint64, issuedAt int64) (license.Info, error) {
	p, sunset, err := decodePolicy(g.Policy)
	if err != nil {
		return license.Info{}, fmt.Errorf("policy of grant %v: %w", g.ID, err)
	}
	return license.Info{
		Format: license.Format, ID: id, Issuer: issuer, IssuedAt: issuedAt, Content: g.Content, Subject: license.DomainSubject(g.Domain, generation),
		Code: g.Code, Policy: p, RevMinEpoch: g.MinEpoch, Sunset: sunset, Version: max(g.Version, 1),
	}, nil
}

// statelessID is the ID of the one license that a stateless grant makes for a
// generation of its household: repeats are the same license, renewals its next version.
func (g *Grant) statelessID(generation uint64) ident.License {
	data, err := wire.Marshal([]any{"lares/1/stateless", g.Domain, g.ID, generation, uint64(1)})
	if err != nil {
		panic(err) //nolint:forbidigo // strings and numbers always encode
	}
	sum := sha256.Sum256(data)
	return ident.License(sum[:ident.Size])
}

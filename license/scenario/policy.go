package scenario

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// policy reads the names of field 8 of docs/spec/license.md.
func policy(p *license.Policy, value string) error {
	o := opts{}
	o.span("duration_ms", &p.Duration)
	o.span("storage_duration", &p.StorageDuration)
	word(o, "on_first_use", &p.OnFirstUse, "REPLACE", "CAP")
	o.when("hard_end", &p.HardEnd)
	word(o, "expiry_mode", &p.ExpiryMode, "FINISH", "STOP")
	o.maybeSpan("finish_tail", &p.FinishTail)
	o.maybeSpan("first_use_threshold", &p.FirstUseThreshold)
	o.span("count_threshold", &p.CountThreshold)
	o.span("resume_window", &p.ResumeWindow)
	o.span("slice_ms", &p.Slice)
	o.maybeSpan("clock_grace", &p.ClockGrace)
	o.yes("embargo_strict", &p.EmbargoStrict)
	o.maybeNumber("min_anchor", &p.MinAnchor)
	word(o, "output_evidence", &p.OutputEvidence, "HOST", "TREM")
	o.number("min_level", &p.MinLevel)
	word(o, "stale", &p.Stale, "WARN", "DENY")
	word(o, "accumulated_by", &p.AccumulatedBy, "WALL", "MEDIA")
	word(o, "backup", &p.Backup, "NONE", "ISSUER", "HOUSEHOLD")
	regionPolicy(o, p)
	rightsPolicy(o, p)
	otherPolicy(o, p)
	var words []string
	for _, w := range tokens(value) {
		key, v, _ := strings.Cut(w, "=")
		if _, err := strconv.ParseUint(key, 10, 32); err != nil {
			words = append(words, w)
		} else if err := unknownPolicy(p, key, v); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	if err := o.read(words); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	return nil
}

// rule is *p, made when it is nil.
func rule[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// word is an option whose value is one of names, numbered from 1.
func word[T ~uint64](o opts, name string, into *T, names ...string) {
	lazyWord(o, name, func() *T { return into }, names...)
}

func lazyWord[T ~uint64](o opts, name string, into func() *T, names ...string) {
	o[name] = func(v string) error {
		i := slices.Index(names, v)
		if i < 0 {
			return fmt.Errorf("%q: want %s", v, strings.Join(names, " or "))
		}
		*into() = T(i + 1)
		return nil
	}
}

// when is an option whose value is a time.
func (o opts) when(name string, into *int64) {
	o[name] = func(v string) error {
		m, err := parseMoment(v)
		*into = m.in(issued(), issued())
		return err
	}
}

func (o opts) maybeSpan(name string, into **int64) {
	o[name] = func(v string) error {
		ms, err := parseDuration(v)
		*into = &ms
		return err
	}
}

func (o opts) maybeNumber(name string, into **uint64) {
	o[name] = func(v string) error {
		n, err := parseNumber(v)
		*into = &n
		return err
	}
}

// lazyYes, lazyNumber and lazySpan make the rule that their value belongs to.
func (o opts) lazyYes(name string, into func() *bool) {
	o[name] = func(v string) (err error) {
		*into(), err = parseYes(v)
		return err
	}
}

func (o opts) lazyNumber(name string, into func() *uint64) {
	o[name] = func(v string) (err error) {
		*into(), err = parseNumber(v)
		return err
	}
}

func (o opts) lazySpan(name string, into func() *int64) {
	o[name] = func(v string) (err error) {
		*into(), err = parseDuration(v)
		return err
	}
}

func regionPolicy(o opts, p *license.Policy) {
	list := func(v string, into *[]string) error {
		*into = strings.Split(v, "+")
		slices.Sort(*into)
		return nil
	}
	o.add("region.deny", func(v string) error { return list(v, &rule(&p.Region).Deny) })
	o.add("region.areas", func(v string) error { return list(v, &rule(&p.Region).Areas) })
	lazyWord(o, "region.phase", func() *license.RegionPhase { return &rule(&p.Region).Phase }, "ISSUE", "FIRST_USE", "EACH_USE")
	lazyWord(o, "region.unknown", func() *license.UnknownRegion { return &rule(&p.Region).Unknown }, "ALLOW", "DENY")
	o.add("region.roam_days", func(v string) error {
		n, err := parseNumber(v)
		rule(&p.Region).RoamDays = &n
		return err
	})
}

// ids reads IDs joined by "+", sorted: names of devices, or "home".
func ids(v string) ([]ident.Device, error) {
	var out []ident.Device
	for s := range strings.SplitSeq(v, "+") {
		id, err := deviceID(s)
		if s == "home" {
			var d ident.Domain
			d, err = domainID(s)
			id = ident.Device(d)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b ident.Device) int { return bytes.Compare(a[:], b[:]) })
	return out, nil
}

func rightsPolicy(o opts, p *license.Policy) {
	list := func(name string, into func() *[]ident.Device) {
		o.add(name, func(v string) (err error) {
			*into(), err = ids(v)
			return err
		})
	}
	countersign := []string{"NONE", "DOMAIN", "ISSUER"}
	dests := []string{"DOMAIN", "ANY", "LIST"}
	o.lazyYes("copy.per_instance", func() *bool { return &rule(&p.Copy).PerInstance })
	o.lazyYes("copy.no_child_move", func() *bool { return &rule(&p.Copy).NoChildMove })
	lazyWord(o, "copy.child", func() *license.ChildCopies { return &rule(&p.Copy).Child }, "NO_MORE", "INHERIT_LESS", "CUSTOM")
	lazyWord(o, "copy.dests", func() *license.Dests { return &rule(&p.Copy).Dests }, dests...)
	list("copy.list", func() *[]ident.Device { return &rule(&p.Copy).List })
	lazyWord(o, "copy.countersign", func() *license.Countersigned { return &rule(&p.Copy).Countersign }, countersign...)
	o.add("copy.code", func(v string) error {
		u, err := permission.ParseText(strings.Trim(v, "()"))
		if err != nil {
			return err
		}
		rule(&p.Copy).Code, err = u.Encode()
		return err
	})
	o.lazySpan("transfer.cooldown", func() *int64 { return &rule(&p.Transfer).Cooldown })
	lazyWord(o, "transfer.countersign", func() *license.Countersigned { return &rule(&p.Transfer).Countersign }, countersign...)
	o.lazyYes("transfer.region", func() *bool { return &rule(&p.Transfer).Region })
	o.lazyYes("lend.overlap", func() *bool { return &rule(&p.Lend).Overlap })
	o.lazyNumber("lend.plays", func() *uint64 { return &rule(&p.Lend).Plays })
	lazyWord(o, "lend.dests", func() *license.Dests { return &rule(&p.Lend).Dests }, dests...)
	list("lend.list", func() *[]ident.Device { return &rule(&p.Lend).List })
	o.add("lend.grants", func(v string) error {
		for s := range strings.SplitSeq(v, "+") {
			q, err := parseAction(s)
			if err != nil {
				return err
			}
			rule(&p.Lend).Grants = append(rule(&p.Lend).Grants, q)
		}
		return nil
	})
}

// otherPolicy: concurrency, report, domain, overlay, renew.
func otherPolicy(o opts, p *license.Policy) {
	o.lazyNumber("concurrency.max", func() *uint64 { return &rule(&p.Concurrency).Max })
	lazyWord(o, "concurrency.on_full", func() *license.OnFull { return &rule(&p.Concurrency).OnFull }, "ASK_TAKEOVER", "BLOCK_NEW", "TAKEOVER_OLDEST")
	o.lazyYes("concurrency.offline_counts", func() *bool { return &rule(&p.Concurrency).Offline })
	lazyWord(o, "report.what", func() *license.ReportKind { return &rule(&p.Report).What }, "STARTED", "MINUTES")
	o.add("report.to", func(v string) error { rule(&p.Report).To = v; return nil })
	o.add("report.until", func(v string) error {
		m, err := parseMoment(v)
		rule(&p.Report).Until = m.in(issued(), issued())
		return err
	})
	o.lazyNumber("domain.devices", func() *uint64 { return &rule(&p.Domain).Devices })
	o.lazyNumber("domain.new_a_year", func() *uint64 { return &rule(&p.Domain).NewAYear })
	lazyWord(o, "overlay.text", func() *uint64 { return &rule(&p.Overlay).Text }, "NAME", "CODE")
	o.lazyNumber("overlay.opacity", func() *uint64 { return &rule(&p.Overlay).Opacity })
	o.lazyNumber("overlay.every_s", func() *uint64 { return &rule(&p.Overlay).EveryS })
	o.lazySpan("renew.after", func() *int64 { return &rule(&p.Renew).After })
	o.lazySpan("renew.retry", func() *int64 { return &rule(&p.Renew).Retry })
	o.lazySpan("renew.recovery", func() *int64 { return &rule(&p.Renew).Recovery })
	o.lazyYes("renew.even_if_expired", func() *bool { return &rule(&p.Renew).Expired })
	o.lazyYes("renew", func() *bool { rule(&p.Renew); return new(bool) })
}

// unknownPolicy is NUMBER=0xHEX: a key that nobody knows, with its CBOR.
func unknownPolicy(p *license.Policy, key, value string) error {
	n, _ := strconv.ParseUint(key, 10, 32)
	b, err := hex.DecodeString(strings.TrimPrefix(value, "0x"))
	if err != nil || len(b) == 0 {
		return fmt.Errorf("%s=%s: want CBOR in hexadecimal, such as %s=0xf5", key, value, key)
	}
	if p.Other == nil {
		p.Other = map[uint64]wire.RawMessage{}
	}
	p.Other[n] = b
	return nil
}

// outputRules reads the names of docs/spec/license.md, "Output rules".
func outputRules(words []string) ([]byte, error) {
	var r license.OutputRules
	var raw []byte
	o := opts{}
	rule := func(name string, into func() *license.Rule, values map[string]license.Rule) {
		o.add(name, func(v string) error {
			x, ok := values[v]
			if !ok {
				return fmt.Errorf("%q: want another of license.md, \"Output rules\"", v)
			}
			*into() = x
			return nil
		})
	}
	o.add("digital", func(v string) (err error) {
		r.Digital, err = parseProtection(v)
		return err
	})
	rule("analog", func() *license.Rule { return &r.Analog }, map[string]license.Rule{"ALLOW": 0, "DENY": 1, "SD_ONLY": 2, "CGMS_NEVER": 3})
	rule("wireless", func() *license.Rule { return &r.Wireless }, map[string]license.Rule{"ALLOW": 0, "DENY": 1, "PROTECTED": 4})
	rule("unknown", func() *license.Rule { r.Unknown = new(license.Rule); return r.Unknown }, map[string]license.Rule{"ALLOW": 0, "DENY": 1, "CONSTRAIN": 5})
	o.add("on_violation", func(v string) error {
		i := slices.Index([]string{"DOWNGRADE", "BLOCK_OUTPUT", "STOP"}, v)
		if i < 0 {
			return fmt.Errorf("%q: want DOWNGRADE, BLOCK_OUTPUT or STOP", v)
		}
		r.OnViolation = license.OnViolation(i)
		return nil
	})
	o.number("constrain_pixels", &r.Constrain)
	o.number("min_trem_level", &r.MinLevel)
	o.number("max_pixels", &r.MaxPixels)
	o.number("max_fps", &r.MaxFPS)
	o.span("settle", &r.Settle)
	o.add("rules", func(v string) (err error) {
		raw, err = hex.DecodeString(strings.TrimPrefix(v, "0x"))
		return err
	})
	if err := o.read(words); err != nil || raw != nil {
		return raw, err
	}
	return r.Encode()
}

// parseProtection reads NONE, HDCP_1 and so on.
func parseProtection(v string) (permission.Protection, error) {
	for p := permission.ProtectNone; p <= permission.ProtectHDCP23; p++ {
		if p.String() == v {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is no protection: NONE, HDCP_1, HDCP_2_2, HDCP_2_2_T1 or HDCP_2_3", v)
}

// parseAction reads PLAY, RENDER and so on.
func parseAction(s string) (p permission.Permission, err error) {
	if err := p.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("%q is no action: PLAY, RENDER, COPY, MOVE, TRANSFER, LEND or EXPORT", s)
	}
	return p, nil
}

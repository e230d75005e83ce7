package scenario

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// verb is one word for what happens: how its words are read, and whether
// something can be expected of it.
type verb struct {
	name string
	asks bool
	read func(words []string) (action, error)
}

// verbs is the vocabulary, in the order of docs/spec/scenario.md.
func verbs() []verb {
	return []verb{
		{"ask", true, readInput(permission.Play, evaluate)},
		{"choose", true, readChoose},
		{"start", true, readInput(permission.Play, start)},
		{"watch", true, readWatch},
		{"read", true, readRead},
		{"stop", true, readName(stop)},
		{"crash", true, readName(crash)},
		{"wait", false, readWait},
		{"use", false, readUse},
		{"reserve", true, readInput(permission.Copy, reserve)},
		{"commit", true, readSettle(true)},
		{"release", true, readSettle(false)},
		{"give", true, readGive(true)},
		{"take-back", true, readGive(false)},
		{"derive", true, readDerive},
		{"renew", true, readRenew},
		{"deny", true, readName(deny)},
		{"state", true, readState},
		{"clock", false, readClock},
		{"issuer-time", false, readIssuerTime},
		{"display", false, readDisplay},
		{"plug", false, readPlug},
		{"unplug", false, readUnplug},
		{"device", false, readDevice},
		{"member", false, readMember},
		{"leave", false, readLeave},
		{"users", false, readUsers},
		{"accepted", false, readAccepted},
		{"compromised", false, readCompromised},
		{"status", false, readStatus},
		{"revoke", false, readRevoke},
		{"region", false, readRegion},
		{"slot", false, readSlot},
		{"offline", false, readOffline(true)},
		{"online", false, readOffline(false)},
		{"sunset", false, readSunset},
		{"grace", false, readGrace},
	}
}

// parseAct reads what happens in a step.
func parseAct(word string, rest []string) (action, bool, error) {
	var names []string
	for _, v := range verbs() {
		if v.name == word {
			act, err := v.read(rest)
			if err != nil {
				err = fmt.Errorf("%s: %w", word, err)
			}
			return act, v.asks, err
		}
		names = append(names, v.name)
	}
	return nil, false, fmt.Errorf("%q is nothing that can happen; a story knows %s", word, strings.Join(names, ", "))
}

// pairs takes "key NAME" out of the words.
func pairs(words []string, keys ...string) (values map[string]string, rest []string, err error) {
	values = map[string]string{}
	for i := 0; i < len(words); i++ {
		if !slices.Contains(keys, words[i]) {
			rest = append(rest, words[i])
			continue
		}
		if i+1 == len(words) || !isName(words[i+1]) {
			return nil, nil, fmt.Errorf("behind %q stands a name", words[i])
		}
		if values[words[i]] != "" {
			return nil, nil, fmt.Errorf("%q stands twice", words[i])
		}
		values[words[i]] = words[i+1]
		i++
	}
	return values, rest, nil
}

// ask is a request, as a story writes it.
type ask struct {
	with, under string
	req         license.Request
	kid         string // a tier, or hexadecimal

	from, until moment // the person's hours, where until was said
	hours       bool
}

// readRequest reads an action, "with NAME", and the options of a request.
func readRequest(words []string, action permission.Permission) (*ask, error) {
	names, words, err := pairs(words, "with", "under")
	if err != nil {
		return nil, err
	}
	a := &ask{with: names["with"], under: names["under"], req: license.Request{Action: action}}
	if len(words) > 0 && words[0] == strings.ToUpper(words[0]) {
		if a.req.Action, err = parseAction(words[0]); err != nil {
			return nil, err
		}
		words = words[1:]
	}
	return a, a.options().read(words)
}

func (a *ask) options() opts {
	q, o := &a.req, opts{}
	o.add("tier", func(v string) error {
		if err := q.Tier.UnmarshalText([]byte(v)); err != nil || v == "" {
			return fmt.Errorf("%q is no tier: AUDIO, SD, HD, UHD or CUSTOM_64 and above", v)
		}
		return nil
	})
	o.text("kid", &a.kid)
	o.add("part", func(v string) (err error) {
		if q.Part, err = hex.DecodeString(v); err != nil || len(q.Part) == 0 || len(q.Part) > ident.MaxOpaque {
			return fmt.Errorf("%q: want hexadecimal digits", v)
		}
		return nil
	})
	o.span("from", &q.From)
	o.number("fps", &q.FPS)
	for name, into := range map[string]*bool{"confirm": &q.Confirm, "consent": &q.Consent, "overlay": &q.Overlay, "takeover": &q.Takeover, "again": &q.Again} {
		o.yes(name, into)
	}
	choice(o, "form", &q.Form, "still", "print", "text")
	choice(o, "countersigned", &q.Countersigned, "none", "domain", "issuer")
	o.span("for", &q.For)
	a.destOptions(o)
	a.personOptions(o)
	return o
}

// maxYears bounds ages and ratings. Source: local.
const maxYears = 99

// personOptions: who of the household asks, and what the title is rated.
func (a *ask) personOptions(o opts) {
	person := func() *license.Person { return rule(&a.req.Person) }
	years := func(name string, into func() *uint8) {
		o.add(name, func(v string) error {
			n, err := parseNumber(v)
			if err != nil || n > maxYears {
				return fmt.Errorf("%q: want years, 0 to %d", v, maxYears)
			}
			*into() = uint8(n)
			return nil
		})
	}
	years("age", func() *uint8 { return &person().Age })
	years("rated", func() *uint8 { return &person().Rated })
	o.add("hours", func(v string) (err error) {
		from, until, _ := strings.Cut(v, "..")
		person()
		a.hours = true
		if a.from, err = parseMoment(from); err == nil {
			a.until, err = parseMoment(until)
		}
		return err
	})
	o.add("handles", func(v string) (err error) {
		person().Handles, err = parseYes(v)
		return err
	})
}

// choice is an option whose value is one of names, numbered from 1.
func choice[T ~uint8 | ~uint64](o opts, name string, into *T, names ...string) {
	o[name] = func(v string) error {
		i := slices.Index(names, v)
		if i < 0 {
			return fmt.Errorf("%q: want %s", v, strings.Join(names, ", "))
		}
		*into = T(i + 1)
		return nil
	}
}

// destOptions: where a right is to go, or what renders it.
func (a *ask) destOptions(o opts) {
	dest := func() *license.Dest { return rule(&a.req.Dest) }
	o.add("dest", func(v string) (err error) {
		d := dest()
		d.Level, d.Anchor = max(d.Level, 1), max(d.Anchor, 1)
		if v == "home" {
			d.Domain, _ = domainID("home")
			v = "tv"
		}
		d.Device, err = deviceID(v)
		return err
	})
	o.add("domain", func(v string) (err error) {
		dest().Domain, err = domainID(v)
		return err
	})
	small := func(name string, most uint64, into func() *uint8) {
		o.add(name, func(v string) error {
			n, err := parseNumber(v)
			if err != nil || n > most {
				return fmt.Errorf("%q: want 0 to %d", v, most)
			}
			*into() = uint8(n) //nolint:gosec // at most 3
			return nil
		})
	}
	small("level", 3, func() *uint8 { return &dest().Level })
	small("anchor", 2, func() *uint8 { return &dest().Anchor })
	o.add("country", func(v string) error {
		dest().Country = v
		return nil
	})
	o.add("renderer", func(v string) error {
		dest().Renderer = v
		return nil
	})
	o.add("system", func(v string) error {
		dest().System = v
		return nil
	})
	o.add("clear", func(v string) (err error) {
		dest().Clear, err = parseYes(v)
		return err
	})
}

// input is the instance that is asked, and what is asked of it.
func (a *ask) input(r *run) (*instance, license.Input, error) {
	in, err := r.instance(a.with)
	if err != nil {
		return nil, license.Input{}, err
	}
	q := a.req
	if a.kid != "" {
		if q.KID, err = in.key(a.kid); err != nil {
			return nil, license.Input{}, err
		}
	}
	if a.hours {
		p := *q.Person
		p.From, p.Until = a.from.in(r.zero, r.now), a.until.in(r.zero, r.now)
		q.Person = &p
	}
	return in, r.input(in, q), nil
}

// key finds a key of the instance's license by its tier, or by its KID.
func (in *instance) key(s string) (ident.Key, error) {
	var have []string
	for i := range in.lic.Info().Keys {
		k := &in.lic.Info().Keys[i]
		if k.Tier.String() == s || hexKey(k.KID) == s {
			return k.KID, nil
		}
		have = append(have, k.Tier.String())
	}
	var kid ident.Key
	if len(s) == 2*ident.Size && kid.UnmarshalText([]byte(s)) == nil {
		return kid, nil
	}
	return kid, fmt.Errorf("license %s has no key %q; it has %s", in.name, s, strings.Join(have, ", "))
}

// readName reads a verb that asks for nothing but which license.
func readName(do func(*run, *outcome, *instance) error) func([]string) (action, error) {
	return func(words []string) (action, error) {
		names, words, err := pairs(words, "with")
		if err != nil || len(words) > 0 {
			return nil, fmt.Errorf("want nothing, or the name of a license behind with")
		}
		return func(r *run, out *outcome) error {
			in, err := r.instance(names["with"])
			if err != nil {
				return err
			}
			return do(r, out, in)
		}, nil
	}
}

// readInput reads a verb of one license and one request, whose action is p when
// it names none, and does it with the input that the two make.
func readInput(p permission.Permission, do func(*run, *outcome, *ask, *instance, license.Input) error) func([]string) (action, error) {
	return func(words []string) (action, error) {
		a, err := readRequest(words, p)
		if err != nil {
			return nil, err
		}
		return func(r *run, out *outcome) error {
			in, x, err := a.input(r)
			if err != nil {
				return err
			}
			return do(r, out, a, in, x)
		}, nil
	}
}

func evaluate(r *run, out *outcome, a *ask, in *instance, x license.Input) error {
	d := new(license.Decision)
	out.in, out.decision = in, d
	if a.under == "" {
		out.vec = r.vecInput("evaluate", in, &x)
		license.Evaluate(in.lic, &x, d)
		return nil
	}
	above, err := r.instance(a.under)
	if err != nil {
		return err
	}
	out.vec = r.vecInput("chain", in, &x)
	out.vec.Chain = []string{in.name, above.name}
	license.EvaluateChain([]*license.License{in.lic, above.lic}, &x, d)
	return nil
}

// readChoose: of all licenses of the story, or of those that are named first.
func readChoose(words []string) (action, error) {
	var names []string
	for len(words) > 0 && isName(words[0]) && (&ask{}).options()[words[0]] == nil {
		names, words = append(names, words[0]), words[1:]
	}
	a, err := readRequest(words, permission.Play)
	if err != nil {
		return nil, err
	}
	return func(r *run, out *outcome) error {
		among := r.inst
		if len(names) > 0 {
			among = nil
		}
		for _, n := range names {
			in, err := r.instance(n)
			if err != nil {
				return err
			}
			among = append(among, in)
		}
		return r.choose(a, among, out)
	}, nil
}

func (r *run) choose(a *ask, among []*instance, out *outcome) error {
	var list []license.Candidate
	for i, in := range among {
		x := r.input(in, a.req)
		if i == 0 {
			out.vec = r.vecInput("choose", nil, &x)
		}
		d := in.lic.Evaluate(x)
		list = append(list, license.Candidate{License: in.lic, State: in.mem, Decision: &d})
		out.vec.Among = append(out.vec.Among, in.name)
		out.vec.Inputs = append(out.vec.Inputs, vInput{in.name, each(x.Env.Keys, hexKey), x.Clock.LoIss})
	}
	best := license.Choose(list)
	if best < 0 {
		return fmt.Errorf("there is nothing to choose from")
	}
	out.choice, out.decision = among[best].name, list[best].Decision
	out.vec.Expect.Choice = &out.choice
	return nil
}

// readUse names the license that the steps from here on mean.
func readUse(words []string) (action, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("want the name of a license")
	}
	return func(r *run, _ *outcome) error {
		in, err := r.instance(words[0])
		if err == nil {
			r.current = in.name
		}
		return err
	}, nil
}

// readWait: time passes.
func readWait(words []string) (action, error) {
	var ms int64
	var err error
	if len(words) > 0 {
		ms, err = parseDuration(words[0])
	}
	if err != nil || len(words) > 1 {
		return nil, fmt.Errorf("want nothing or one duration behind it")
	}
	return func(r *run, _ *outcome) error {
		r.now = min(r.now+ms, maxTime)
		return nil
	}, nil
}

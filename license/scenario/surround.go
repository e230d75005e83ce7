package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// changes makes an action of edits of what surrounds the licenses.
func changes(list *[]func(r *run)) action {
	return func(r *run, _ *outcome) error {
		for _, f := range *list {
			f(r)
		}
		return nil
	}
}

// time is an option whose value is a time of the story.
func (o opts) time(name string, list *[]func(r *run), set func(r *run, at int64)) {
	o.add(name, func(v string) error {
		if v == "none" {
			*list = append(*list, func(r *run) { set(r, 0) })
			return nil
		}
		m, err := parseMoment(v)
		*list = append(*list, func(r *run) { set(r, m.in(r.zero, r.now)) })
		return err
	})
}

// readClock: secure, lost, free, unset, back DUR, ahead DUR, unsynced=, lo=, relayed=.
func readClock(words []string) (action, error) {
	var list []func(r *run)
	o := opts{}
	do := func(name string, f func(r *run)) {
		o.add(name, func(string) error {
			list = append(list, f)
			return nil
		})
	}
	do("secure", func(r *run) { r.w.secure() })
	do("lost", func(r *run) { r.w.lose(r.now, license.Anchored) })
	do("free", func(r *run) { r.w.lose(r.now, license.Free) })
	do("unset", func(r *run) { r.w.lose(r.now, license.Unset) })
	shift := func(name string, sign int64) {
		o.add(name, func(v string) error {
			ms, err := parseDuration(v)
			list = append(list, func(r *run) {
				r.w.os = max(min(r.w.os+sign*ms, maxTime), -maxTime)
				r.w.follow(r.now)
			})
			return err
		})
	}
	shift("back", -1)
	shift("ahead", 1)
	o.add("unsynced", func(v string) error {
		ms, err := parseDuration(v)
		list = append(list, func(r *run) { r.w.unsynced, r.w.since = ms, r.now })
		return err
	})
	o.time("lo", &list, func(r *run, at int64) {
		r.w.lo = at
		r.w.follow(r.now)
	})
	o.add("relayed", func(v string) error {
		n, err := parseNumber(v)
		if err != nil || n > 3 {
			return fmt.Errorf("%q: want a level, 0 to 3", v)
		}
		list = append(list, func(r *run) { r.w.relayed = uint8(n) }) //nolint:gosec // 0 to 3
		return nil
	})
	// "back 3d" reads better than back=3d.
	for i := 0; i+1 < len(words); i++ {
		if words[i] == "back" || words[i] == "ahead" {
			words = slices.Concat(words[:i], []string{words[i] + "=" + words[i+1]}, words[i+2:])
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("want secure, lost, free, unset, back or ahead")
	}
	return changes(&list), o.read(words)
}

// readIssuerTime: a time that an issuer has signed.
func readIssuerTime(words []string) (action, error) {
	if len(words) != 1 && (len(words) != 3 || words[1] != "of") {
		return nil, fmt.Errorf("want a time, and perhaps \"of\" and an issuer")
	}
	m, err := parseMoment(words[0])
	return func(r *run, _ *outcome) error {
		in, err := r.instance("")
		if err != nil {
			return err
		}
		issuer := in.lic.Info().Issuer
		if len(words) == 3 {
			issuer = ident.Issuer(words[2])
		}
		r.w.issuers[issuer] = m.in(r.zero, r.now)
		return nil
	}, err
}

// readOutput reads CLASS [PROTECTION] [evidence=TREM] [plugged=TIME].
func readOutput(words []string) (license.Output, *moment, error) {
	out := license.Output{Evidence: license.EvidenceHost}
	if len(words) == 0 || words[0] != strings.ToUpper(words[0]) {
		return out, nil, fmt.Errorf("want INTERNAL, DIGITAL, ANALOG, WIRELESS, LINK, NETWORK or another class in capitals")
	}
	out.Class, words = license.OutputClass(words[0]), words[1:]
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		p, err := parseProtection(words[0])
		if err != nil {
			return out, nil, err
		}
		out.Protection, words = p, words[1:]
	}
	o := opts{}
	var m *moment
	word(o, "evidence", &out.Evidence, "HOST", "TREM")
	o.add("plugged", func(v string) error {
		at, err := parseMoment(v)
		m = &at
		return err
	})
	return out, m, o.read(words)
}

func readDisplay(words []string) (action, error) {
	x, m, err := readOutput(words)
	return func(r *run, _ *outcome) error {
		r.w.display = x
		if m != nil {
			r.w.display.Plugged = m.in(r.zero, r.now)
		}
		return nil
	}, err
}

// maxOutputs bounds the further outputs. Source: local.
const maxOutputs = 16

func readPlug(words []string) (action, error) {
	if len(words) == 0 || !isName(words[0]) {
		return nil, fmt.Errorf("want a name for the output, then its class: plug monitor DIGITAL HDCP_1")
	}
	x, m, err := readOutput(words[1:])
	return func(r *run, _ *outcome) error {
		o := output{words[0], x}
		if m != nil {
			o.Plugged = m.in(r.zero, r.now)
		}
		r.w.further = slices.DeleteFunc(slices.Clone(r.w.further), func(o output) bool { return o.name == words[0] })
		r.w.further = append(r.w.further, o)
		if len(r.w.further) > maxOutputs {
			return fmt.Errorf("more than %d outputs", maxOutputs)
		}
		return nil
	}, err
}

func readUnplug(words []string) (action, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("want the name of an output")
	}
	return func(r *run, _ *outcome) error {
		n := len(r.w.further)
		r.w.further = slices.DeleteFunc(slices.Clone(r.w.further), func(o output) bool { return o.name == words[0] })
		if len(r.w.further) == n {
			return fmt.Errorf("no output %q is plugged in", words[0])
		}
		return nil
	}, nil
}

// readDevice: id=, level=, anchor=, holds=.
func readDevice(words []string) (action, error) {
	var list []func(r *run)
	o := opts{}
	o.add("id", func(v string) error {
		id, err := deviceID(v)
		list = append(list, func(r *run) { r.w.env.Device = id })
		return err
	})
	o.add("level", func(v string) error {
		n, err := parseNumber(v)
		if err != nil || n > 3 {
			return fmt.Errorf("%q: want 0 to 3", v)
		}
		list = append(list, func(r *run) { r.w.env.Level = uint8(n) }) //nolint:gosec // 0 to 3
		return nil
	})
	o.add("anchor", func(v string) error {
		n, err := parseNumber(v)
		if err != nil || n > 2 {
			return fmt.Errorf("%q: want 0 to 2", v)
		}
		list = append(list, func(r *run) { r.w.env.Anchor = uint8(n) }) //nolint:gosec // 0 to 2
		return nil
	})
	o.add("holds", func(v string) error {
		holds := strings.Split(v, "+")
		switch v {
		case "all":
			holds = nil
		case "none":
			holds = []string{}
		}
		list = append(list, func(r *run) { r.w.holds = holds })
		return nil
	})
	return changes(&list), o.read(words)
}

// readMember: the device belongs to a domain, "home" unless another is named.
func readMember(words []string) (action, error) {
	name := "home"
	if len(words) > 0 && isName(words[0]) && words[0] != "removed" {
		name, words = words[0], words[1:]
	}
	id, err := domainID(name)
	if err != nil {
		return nil, err
	}
	m := license.Membership{Domain: id, Generation: 1}
	var list []func(r *run)
	o := opts{}
	o.number("generation", &m.Generation)
	o.yes("removed", &m.Removed)
	o.time("not_after", &list, func(r *run, at int64) { r.w.env.Domains[len(r.w.env.Domains)-1].NotAfter = at })
	return func(r *run, out *outcome) error {
		r.w.leave(id)
		if len(r.w.env.Domains) == maxOutputs {
			return fmt.Errorf("more than %d memberships", maxOutputs)
		}
		r.w.env.Domains = append(r.w.env.Domains, m)
		return changes(&list)(r, out)
	}, o.read(words)
}

// leave ends the membership of a domain.
func (w *world) leave(id ident.Domain) {
	w.env.Domains = slices.DeleteFunc(slices.Clone(w.env.Domains), func(m license.Membership) bool { return m.Domain == id })
}

func readLeave(words []string) (action, error) {
	name := "home"
	if len(words) == 1 {
		name = words[0]
	}
	id, err := domainID(name)
	if len(words) > 1 {
		err = fmt.Errorf("want nothing, or the name of a domain")
	}
	return func(r *run, _ *outcome) error {
		r.w.leave(id)
		return nil
	}, err
}

func readUsers(words []string) (action, error) {
	var users []ident.User
	for _, s := range words {
		id, err := parseID(s)
		if err != nil {
			return nil, err
		}
		users = append(users, id)
	}
	if len(users) > maxOutputs {
		return nil, fmt.Errorf("more than %d users", maxOutputs)
	}
	return func(r *run, _ *outcome) error {
		r.w.env.Users = users
		return nil
	}, nil
}

func readGrace(words []string) (action, error) {
	var list []func(r *run)
	o := opts{}
	for i, name := range []string{"PURCHASE", "RENTAL", "SUBSCRIPTION", "LOAN", "FREE", "ADVERTISING", "POINTS", "GIFT"} {
		o.add(name, func(v string) error {
			ms, err := parseDuration(v)
			list = append(list, func(r *run) { r.w.grace(permission.ChargePurchase+permission.Charge(i), ms) }) //nolint:gosec // one of eight
			return err
		})
	}
	return changes(&list), o.read(words)
}

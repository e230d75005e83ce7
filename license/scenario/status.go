package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
)

func readAccepted(words []string) (action, error) {
	yes, epoch := true, uint64(0)
	o := opts{}
	o.add("no", func(string) error {
		yes = false
		return nil
	})
	o.number("epoch", &epoch)
	return func(r *run, _ *outcome) error {
		r.w.env.Accepted, r.w.env.AcceptedEpoch = yes, epoch
		return nil
	}, o.read(words)
}

func readCompromised(words []string) (action, error) {
	epoch := uint64(0)
	o := opts{}
	o.number("epoch", &epoch)
	return func(r *run, _ *outcome) error {
		r.w.env.CompromisedEpoch = epoch
		return nil
	}, o.read(words)
}

// readStatus: the revocation state that is known, and its age.
func readStatus(words []string) (action, error) {
	var list []func(r *run)
	o := opts{}
	o.add("epoch", func(v string) error {
		n, err := parseNumber(v)
		list = append(list, func(r *run) { r.w.env.RevEpoch = n })
		return err
	})
	o.add("age", func(v string) error {
		ms, err := parseDuration(v)
		list = append(list, func(r *run) { r.w.age, r.w.aged = ms, r.now })
		return err
	})
	return changes(&list), o.read(words)
}

// readRevoke replaces the list of what is revoked.
func readRevoke(words []string) (action, error) {
	known := []string{"device", "license", "issuer", "version"}
	if len(words) == 1 && words[0] == "nothing" {
		words = nil
	} else if len(words) == 0 || len(words) > len(known) || slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(known, w) }) {
		return nil, fmt.Errorf("want nothing, or some of %s", strings.Join(known, ", "))
	}
	return func(r *run, _ *outcome) error {
		r.w.env.Revoked = words
		return nil
	}, nil
}

// readRegion: a country, by whom and when it was asserted; or none.
func readRegion(words []string) (action, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("want a country such as CH, or none")
	}
	e := license.RegionEvidence{Country: words[0], Source: license.RegionHome}
	var list []func(r *run)
	o := opts{}
	choice(o, "by", &e.Source, "ISSUER", "HOME")
	o.time("at", &list, func(r *run, at int64) { r.w.env.Region.At = at })
	if words[0] == "none" && len(words) == 1 {
		return func(r *run, _ *outcome) error {
			r.w.env.Region = license.RegionEvidence{}
			return nil
		}, nil
	}
	if len(e.Country) != 2 || e.Country != strings.ToUpper(e.Country) {
		return nil, fmt.Errorf("%q is no country: two capital letters, or none", e.Country)
	}
	return func(r *run, out *outcome) error {
		e := e
		e.At = r.now
		r.w.env.Region = e
		return changes(&list)(r, out)
	}, o.read(words[1:])
}

// readSlot: what the keeper of the slots knows of one device.
func readSlot(words []string) (action, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("want the name of a device")
	}
	id, err := deviceID(words[0])
	if err != nil {
		return nil, err
	}
	var free, taken bool
	var list []func(r *run)
	at := func(r *run) *license.Slot { return &r.w.env.Slots[len(r.w.env.Slots)-1] }
	o := opts{}
	o.yes("free", &free)
	o.yes("taken", &taken)
	o.time("since", &list, func(r *run, ms int64) { at(r).Since = ms })
	o.time("seen", &list, func(r *run, ms int64) { at(r).Seen = ms })
	return func(r *run, out *outcome) error {
		slots := slices.DeleteFunc(slices.Clone(r.w.env.Slots), func(s license.Slot) bool { return s.Device == id })
		if !free {
			slots = append(slots, license.Slot{Device: id, Since: r.now, Seen: r.now, Taken: taken})
		}
		if len(slots) > maxOutputs {
			return fmt.Errorf("more than %d slots", maxOutputs)
		}
		if r.w.env.Slots = slots; free {
			return nil
		}
		return changes(&list)(r, out)
	}, o.read(words[1:])
}

func readOffline(offline bool) func([]string) (action, error) {
	return func(words []string) (action, error) {
		if len(words) > 0 {
			return nil, fmt.Errorf("want nothing behind it")
		}
		return func(r *run, _ *outcome) error {
			r.w.env.Offline = offline
			return nil
		}, nil
	}
}

// readSunset: a time, or none.
func readSunset(words []string) (action, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("want a time, or none")
	}
	if words[0] == "none" {
		return func(r *run, _ *outcome) error {
			r.w.env.SunsetAt = 0
			return nil
		}, nil
	}
	m, err := parseMoment(words[0])
	return func(r *run, _ *outcome) error {
		r.w.env.SunsetAt = m.in(r.zero, r.now)
		return nil
	}, err
}

package scenario

import (
	"maps"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// behindBy is how far, in ms, the system's clock may stand behind proven time
// before it is called behind. Source: evaluation.md, E1; vector: scenario.md.
const behindBy = 5 * minute

// world is what surrounds the licenses of a story: the clock and the Env.
type world struct {
	q        license.Quality
	lo       int64 // while the clock is not SECURE
	shift    int64 // of est, while the clock is not SECURE
	os       int64 // of the system's clock: what people set it back or ahead by
	unsynced int64 // at the time since
	since    int64
	relayed  uint8
	issuers  map[ident.Issuer]int64 // time that each issuer has signed

	env     license.Env // but Outputs, Keys, StatusAge
	holds   []string    // tiers and KIDs held; nil = all
	age     int64       // of the revocation state at the time aged
	aged    int64       // 0 = it does not age
	display license.Output
	further []output
}

// output is a further output, by its name in the story.
type output struct {
	name string
	license.Output
}

// newWorld is a paired device of the household, with proven time, its own
// screen, and all keys.
func newWorld(s *Scenario) world {
	first := s.specs[0].lic.Info()
	device, _ := deviceID("here")
	home, _ := domainID("home")
	w := world{
		q: license.Secure, issuers: map[ident.Issuer]int64{},
		env: license.Env{
			Accepted: true, Device: device, Domains: []license.Membership{{Domain: home, Generation: 1}}, Level: 1, Anchor: 1,
		},
		display: license.Output{Class: license.OutputInternal, Evidence: license.EvidenceHost},
	}
	if s.device != nil {
		w.bring(s.device)
	}
	if !s.loose {
		return w
	}
	switch sub := first.Subject; sub.Kind {
	case license.SubjectDomain:
		w.env.Domains[0] = license.Membership{Domain: sub.ID, Generation: sub.Generation}
	case license.SubjectDevice:
		w.env.Device = sub.ID
	case license.SubjectUser:
		w.env.Users = []ident.User{sub.ID}
	}
	w.env.RevEpoch = first.RevMinEpoch
	return w
}

// clock is a reading at the story's time, for a license of an issuer.
func (w *world) clock(now int64, issuer ident.Issuer) license.Clock {
	c := license.Clock{Lo: now, Est: now, Q: w.q, LoIss: w.issuers[issuer]}
	if w.q == license.Secure {
		c.Relayed, c.Behind, c.Unsynced = w.relayed, w.os < -behindBy, w.unsynced
		return c
	}
	c.Lo, c.Est, c.Unsynced = w.lo, now+w.shift, w.unsynced+now-w.since
	c.Behind = now+w.os < w.lo-behindBy
	return c
}

// secure proves the time: a sync sets the system's clock right, too.
func (w *world) secure() {
	w.q, w.os, w.shift, w.unsynced, w.relayed = license.Secure, 0, 0, 0, 0
}

// lose makes the clock less than SECURE; what was proven stays as lower bound.
func (w *world) lose(now int64, q license.Quality) {
	if w.q == license.Secure {
		w.lo, w.unsynced, w.since = now, 0, now
	}
	if q == license.Unset {
		w.lo = 0
	}
	w.q, w.relayed = q, 0
	w.follow(now)
}

// follow lets the estimate follow the system's clock, not below what is proven.
func (w *world) follow(now int64) { w.shift = max(w.os, w.lo-now) }

// surround is the Env for an instance's license.
func (w *world) surround(now int64, lic *license.License) license.Env {
	env := w.env
	env.Domains, env.Users, env.Slots = slices.Clone(env.Domains), slices.Clone(env.Users), slices.Clone(env.Slots)
	for _, o := range w.further {
		env.Outputs = append(env.Outputs, o.Output)
	}
	if w.aged != 0 {
		env.StatusAge = w.age + now - w.aged
	}
	for i := range lic.Info().Keys {
		k := &lic.Info().Keys[i]
		if w.holds == nil || slices.Contains(w.holds, k.Tier.String()) || slices.Contains(w.holds, hexKey(k.KID)) {
			env.Keys = append(env.Keys, k.KID)
		}
	}
	return env
}

// input is what an instance is judged by now.
func (r *run) input(in *instance, q license.Request) license.Input {
	q.Output = r.w.display
	return license.Input{State: in.mem, Clock: r.w.clock(r.now, in.lic.Info().Issuer), Env: r.w.surround(r.now, in.lic), Request: q}
}

// graces sets the device profile's grace of a charge model.
func (w *world) grace(c permission.Charge, ms int64) {
	next := map[permission.Charge]int64{}
	maps.Copy(next, w.env.Grace)
	next[c] = ms
	w.env.Grace = next
}

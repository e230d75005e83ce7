package license_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The invariants I3, I4, I7 and I8 of docs/spec/evaluation.md over random use:
// sessions of PLAY and RENDER, crashes, pauses, units that are taken, handed out
// and given back, refusals to renew. A machine keeps books of its own.

// tapes is what a session has let through, as the machine counts it.
type tapes struct {
	begun int64 // Unix ms
	bytes map[ident.Key]int64
	durs  map[ident.Key]int64
}

// media is the bytes at peak rate in ms: pictures add up, sound runs beside.
func (u *tapes) media() int64 {
	ms := func(kid ident.Key, bps int64) int64 { return (u.bytes[kid]*1000 + bps - 1) / bps }
	return max(ms(sdKID, 250_000)+ms(hdKID, 1_000_000), ms(audioKID, 16_000))
}

func (u *tapes) longest() int64 {
	out := int64(0)
	for _, d := range u.durs {
		out = max(out, d)
	}
	return out
}

type machine struct {
	rt        *rapid.T
	v         *viewer
	next      *license.License // the renewal
	usage     permission.UsageUnit
	render    uint64 // PLAY_COUNT of RENDER
	policy    license.Policy
	running   bool
	action    permission.Permission
	sliced    permission.Permission // whose the durable slice is
	use       tapes
	least     int64 // ms that were certainly used by all sessions
	most      int64 // ms that were used at most
	lost      int64 // sessions that ended in a crash
	plays     uint64
	rendered  uint64        // RENDER sessions, and renditions
	books     license.Share // what the machine handed out and did not get back
	taken     map[permission.Permission]uint64
	committed license.State
	before    int64 // settled in it
}

func drawMachine(rt *rapid.T) *machine {
	m := &machine{rt: rt, taken: map[permission.Permission]uint64{}, usage: permission.UsageUnit{
		Kind: permission.Playback, PlayCount: some(rt, "count", rapid.Uint64Range(1, 3)), Accumulated: some(rt, "accumulated", rapid.Int64Range(5_000, 300_000)),
		Interval: some(rt, "interval", rapid.Int64Range(hour, 3*hour)),
	}}
	u := &permission.Units{Usage: []permission.UsageUnit{m.usage}, Management: &permission.ManagementUnit{Copy: permission.CopyCounted, CopyCount: 3, Transfer: 2}}
	if m.render = some(rt, "renderings", rapid.Uint64Range(1, 3)); m.render != 0 {
		u.Usage = append(u.Usage, permission.UsageUnit{Kind: permission.Print, PlayCount: m.render})
	}
	u.Management.Timeline = some(rt, "no skip", rapid.Just(permission.TimelineNoSkip))
	code, err := u.Encode()
	if err != nil {
		rt.Fatal(err)
	}
	m.policy = license.Policy{
		Duration: rapid.Int64Range(2, 10).Draw(rt, "minutes") * minute, Slice: rapid.Int64Range(1, 20).Draw(rt, "slice") * second, MinAnchor: new(uint64),
		AccumulatedBy: license.AccumulatedBy(rapid.Uint64Range(1, 2).Draw(rt, "by")), CountThreshold: some(rt, "count threshold", rapid.Int64Range(1, 60_000)),
		FirstUseThreshold: some(rt, "first use threshold", ptr(rapid.Int64Range(0, 60_000))), Transfer: &license.TransferRule{Cooldown: hour, Countersign: license.CountersignNone},
	}
	lic := newLicense(rt, "PLAY", func(i *license.Info) { i.Code, i.Policy = code, m.policy })
	m.next = newLicense(rt, "PLAY", func(i *license.Info) { i.Code, i.Policy, i.Version = code, m.policy, 2 })
	m.v = newViewer(nil, lic, day0)
	m.v.in.Env.Anchor = rapid.Uint8Range(0, 2).Draw(rt, "anchor")
	m.v.in.Request.Dest = &license.Dest{Domain: domain, Level: 1, Anchor: 2, Renderer: "tv"}
	return m
}

func (m *machine) openPlay() uint64 {
	if p := m.v.in.State.OpenPlay; p != nil {
		return p.ID
	}
	return 0
}

func (m *machine) begin() {
	m.stop(false)
	m.action = rapid.SampledFrom([]permission.Permission{permission.Play, permission.Play, permission.Render}).Draw(m.rt, "action")
	m.v.in.Request.Action = m.action
	m.v.in.Request.Again = rare(m.rt, "again")
	before := m.openPlay()
	if m.running = m.v.begin(some(m.rt, "from", rapid.Int64Range(0, m.policy.Duration))).Allow; !m.running {
		return
	}
	m.sliced = m.action
	m.use = tapes{begun: m.v.now(), bytes: map[ident.Key]int64{}, durs: map[ident.Key]int64{}}
	if m.action == permission.Render {
		m.rendered++
	} else if m.openPlay() != before {
		m.plays++
	}
}

func (m *machine) extend() {
	if !m.running {
		return
	}
	key := rapid.SampledFrom(m.v.lic.Info().Keys).Draw(m.rt, "key")
	bytes := rapid.Int64Range(0, 3*int64(key.BPS)).Draw(m.rt, "bytes")   //nolint:gosec // a small number
	media := rapid.Int64Range(0, m.policy.Duration).Draw(m.rt, "media")  // anywhere
	dur := rapid.Int64Range(0, 5*second).Draw(m.rt, "duration")          // of the fragment
	m.v.wait(some(m.rt, "pause", rapid.Int64Range(0, 2*m.policy.Slice))) // before it
	before := m.openPlay()
	if !m.v.fragment(key.KID, bytes, media, dur).Allow {
		return
	}
	m.use.bytes[key.KID] += bytes
	m.use.durs[key.KID] += dur
	if m.openPlay() != before {
		m.plays++
	}
}

// stop ends the session, in a crash or not, and books what it used.
func (m *machine) stop(crash bool) {
	if crash {
		m.v.crash()
	}
	if !m.running {
		return
	}
	if m.running = false; crash {
		m.lost++
	} else {
		m.v.end()
	}
	if m.action == permission.Play {
		m.least += m.used(m.use.media())
		m.most += m.used(max(m.use.media(), m.v.now()-m.use.begun))
	}
}

// used is what ACCUMULATED counts of a session that used so many ms.
func (m *machine) used(ms int64) int64 {
	if m.policy.AccumulatedBy == license.AccumulatedMedia {
		return max(m.use.media(), m.use.longest())
	}
	return ms
}

// change makes a state durable that a transfer or a derivation wrote.
func (m *machine) change(s license.State, err error) {
	if err == nil {
		m.v.in.State, m.v.durable = s, s
	}
}

func (m *machine) handle() {
	s, p := m.v.in.State, rapid.SampledFrom([]permission.Permission{permission.Copy, permission.Transfer, permission.Render}).Draw(m.rt, "handled")
	share := license.Share{Plays: rapid.Uint64Range(0, 2).Draw(m.rt, "plays"), Copies: rapid.Uint64Range(0, 2).Draw(m.rt, "copies"), MS: some(m.rt, "ms", rapid.Int64Range(1, 100_000))}
	if m.usage.PlayCount == 0 {
		share.Plays = 0
	}
	switch rapid.IntRange(0, 8).Draw(m.rt, "handling") {
	case 0:
		next, err := m.v.lic.Give(s, share)
		if m.change(next, err); err == nil {
			m.books = license.Share{Plays: m.books.Plays + share.Plays, MS: m.books.MS + share.MS, Copies: m.books.Copies + share.Copies}
		}
	case 1:
		next, err := s.TakeBack(share)
		if m.change(next, err); err == nil {
			m.books = license.Share{Plays: m.books.Plays - share.Plays, MS: m.books.MS - share.MS, Copies: m.books.Copies - share.Copies}
		}
	case 2:
		next, err := s.Commit(p, m.v.now())
		if m.change(next, err); err == nil {
			m.taken[p]--
		}
	case 3:
		next, err := s.Release(p)
		if m.change(next, err); err == nil {
			m.taken[p]--
		}
	case 4:
		if rare(m.rt, "denied") {
			m.change(s.Deny(m.v.now()), nil)
		}
	case 5:
		m.change(m.next.Continue(m.v.lic, s))
	case 6:
		m.settle(s, share)
	case 7:
		if rare(m.rt, "released") {
			m.keep()
		}
	default:
		in := m.v.in
		in.Request.Action, in.Request.Form = p, license.FormStill
		if step := m.v.lic.Reserve(in); step.Decision.Allow && step.Commit {
			if p == permission.Render {
				m.rendered++
			}
			m.taken[p]++
			m.change(step.State, nil)
		}
	}
}

// settle ends a child that was handed out: what it spent is used up here.
func (m *machine) settle(s license.State, share license.Share) {
	spent := rapid.SampledFrom([]uint64{0, 1, 2, 50_000, math.MaxUint64}).Draw(m.rt, "spent")
	next, err := s.Settle(share, spent)
	if m.change(next, err); err != nil {
		return
	}
	m.books = license.Share{Plays: m.books.Plays - share.Plays, MS: m.books.MS - share.MS, Copies: m.books.Copies - share.Copies}
	m.plays += min(spent, share.Plays)
	ms := next.Acc - s.Acc
	if ms < 0 || ms > share.MS {
		m.rt.Fatalf("%d ms used up of a share of %d", ms, share.MS)
	}
	m.least, m.most = m.least+ms, m.most+ms
}

// keep is an arbiter's RELEASE, which gives back less than there was.
func (m *machine) keep() {
	m.stop(false)
	s := m.v.in.State
	next := m.v.lic.Keep(s, rapid.Uint64Range(0, 3).Draw(m.rt, "kept"))
	m.plays += next.Consumed[permission.Play] - s.Consumed[permission.Play]
	m.least, m.most = m.least+next.Acc-s.Acc, m.most+next.Acc-s.Acc
	m.change(next, nil)
}

func (m *machine) step() {
	switch rapid.SampledFrom([]string{"begin", "extend", "extend", "extend", "extend", "end", "crash", "wait", "handle", "handle"}).Draw(m.rt, "step") {
	case "begin":
		m.begin()
	case "extend":
		m.extend()
	case "end":
		m.stop(false)
	case "crash":
		m.stop(true)
	case "wait":
		m.v.wait(rapid.Int64Range(0, 20*hour).Draw(m.rt, "ms"))
	default:
		m.handle()
	}
}

// settled is the accumulated time without what the running slice has reserved.
func (m *machine) settled(s license.State) int64 {
	if s.Slice != nil && m.usage.Accumulated != 0 && m.sliced == permission.Play {
		return s.Acc - s.Slice.MS
	}
	return s.Acc
}

// monotone is I3 and I8.
func (m *machine) monotone() {
	was, is := m.committed, m.v.durable
	for p, n := range was.Consumed {
		if is.Consumed[p] < n {
			m.rt.Fatalf("%v consumed: %d after %d", p, is.Consumed[p], n)
		}
	}
	if is.Ver < was.Ver || is.LoLic < was.LoLic || m.settled(is) < m.before || is.Acc < 0 {
		m.rt.Fatalf("%+v (settled %d) after %+v (settled %d)", is, m.settled(is), was, m.before)
	}
	if was.FirstUse != 0 && is.FirstUse != was.FirstUse {
		m.rt.Fatalf("first use %d after %d", is.FirstUse, was.FirstUse)
	}
	if is.Ver == was.Ver && cmp.Diff(is, was) != "" {
		m.rt.Fatalf("another durable state of version %d", is.Ver)
	}
	b, err := is.Encode()
	if err != nil {
		m.rt.Fatal(err)
	}
	if back, err := license.ParseState(b); err != nil || cmp.Diff(is, back) != "" {
		m.rt.Fatalf("state %x: %v", b, err)
	}
	m.committed, m.before = is, m.settled(is)
}

// bounded is I4: what is durable covers what was let through, and a crash costs
// a slice at most, and the advance under an anchor of level 2.
func (m *machine) bounded() {
	s := m.v.durable
	if n := s.Consumed[permission.Play]; n > m.plays || s.Consumed[permission.Render] > m.rendered {
		m.rt.Fatalf("%v consumed; %d plays and %d renderings begun", s.Consumed, m.plays, m.rendered)
	}
	if m.usage.Accumulated == 0 {
		return
	}
	least, most, loss := m.least, m.most, m.policy.Slice
	if m.v.in.Env.Anchor == 2 {
		loss = max(loss, 10*minute)
	}
	most += m.lost * loss
	if m.running && m.action == permission.Play {
		least, most = least+m.used(m.use.media()), most+m.used(max(m.use.media(), m.v.now()-m.use.begun))+loss
	}
	if s.Acc < least || s.Acc > most {
		m.rt.Fatalf("accumulated %d, used at least %d, at most %d (%d crashes)", s.Acc, least, most, m.lost)
	}
}

// complete is I7: every unit is consumed, handed out, in progress, or left.
func (m *machine) complete() {
	s, in := m.v.durable, m.v.in
	in.State = s
	if got := (license.Share{Plays: s.Given[permission.Play], MS: s.GivenMS, Copies: s.Given[permission.Copy]}); got != m.books {
		m.rt.Fatalf("given %+v, want %+v", got, m.books)
	}
	for p, n := range m.taken {
		if s.Reserved[p] != n {
			m.rt.Fatalf("%v: %d in progress, want %d", p, s.Reserved[p], n)
		}
	}
	for p, n := range map[permission.Permission]uint64{permission.Play: m.usage.PlayCount, permission.Render: m.render, permission.Copy: 3, permission.Transfer: 2} {
		used := s.Consumed[p] + s.Given[p] + s.Reserved[p]
		if p == permission.Play && s.OpenPlay != nil && !s.OpenPlay.Charged {
			used++ // the open play holds one
		}
		if n != 0 && used > n {
			m.rt.Fatalf("%v: %d of %d: %+v", p, used, n, s)
		}
		in.Request.Action = p
		c := m.v.lic.Evaluate(in).Counters
		left := map[permission.Permission]*uint64{permission.Play: c.PlaysLeft, permission.Render: c.PlaysLeft, permission.Copy: c.CopiesLeft}[p]
		if n != 0 && left != nil && s.Consumed[p]+s.Given[p]+s.Reserved[p]+*left != n {
			m.rt.Fatalf("%v: %d left of %d: %+v", p, *left, n, s)
		}
		if total := m.usage.Accumulated; p == permission.Play && total != 0 && *c.MSLeft+s.Acc+s.GivenMS != total {
			m.rt.Fatalf("%d ms left of %d: %+v", *c.MSLeft, total, s)
		}
	}
}

// use runs the machine and checks after each step.
func use(t *testing.T, check func(*machine)) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMachine(rt)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			m.step()
			check(m)
		}
	})
}

// What was counted never decreases, whatever happens.
func TestEvaluator_E16_I3_CountedNeverDecreases(t *testing.T) { use(t, (*machine).monotone) }

// A crash charges no more than a slice, and nothing goes out uncharged.
func TestEvaluator_E16_I4_CrashesCostASlice(t *testing.T) { use(t, (*machine).bounded) }

// Allowances, what is in progress, what was consumed and the remainder are n.
func TestEvaluator_E16_I7_PartsAreTheWhole(t *testing.T) { use(t, (*machine).complete) }

// The first use is written once, at the start of a session or at a rendition.
func TestEvaluator_E16_I8_FirstUseIsWrittenOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMachine(rt)
		var starts []int64
		first := int64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			m.step()
			if m.running {
				starts = append(starts, m.v.ses.Start)
			}
			for _, s := range []license.State{m.v.in.State, m.v.durable} {
				if first != 0 && s.FirstUse != first || s.FirstUse != 0 && !slices.Contains(starts, s.FirstUse) {
					rt.Fatalf("first use %d after %d, sessions at %v", s.FirstUse, first, starts)
				}
			}
			first = m.v.durable.FirstUse
		}
	})
}

"""Sessions: Begin, Extend, End (docs/spec/evaluation.md, E4; docs/spec/state.md, Changes)."""

import lares_region
from lares_counts import in_first_tenth, ms_left, resumes, seen_to_ninety, threshold
from lares_decision import Input, add
from lares_evaluate import evaluate, left, no_skip
from lares_permission import PERMISSION, PLAY
from lares_state import OpenPlay
from lares_time import DENIED_TAIL, Window, running_end

SLICE_MS = 10000
FIRST_USE_THRESHOLD = 30000
ADVANCE_MS = 600000
MEDIA = 2


class Session:
    """What is known of a running session; it is gone after a crash."""

    def __init__(self, inp, unit):
        self.action, self.unit, self.began = inp.action, unit, inp.est
        self.tail, self.furthest = None, 0
        self.wall_used = self.wall_last = 0
        self.slice_end = None          # wall ms at which the running slice ends
        self.reserved = 0              # ms of this session that are durable
        self.acc_reserved = 0          # of it, what acc_ms already holds; more under an anchor of level 2
        self.by_media = bool(unit.accumulated) and inp.lic.policy.get("accumulated_by", 1) == MEDIA
        self.bytes, self.durations = {}, {}
        self.media = 0                 # used by bytes, ms
        self.own = 0                   # used by the fragments' own durations, ms
        self.reached = {}              # kid -> furthest media time in this play
        self.behind = set()            # kids still at the end of the old play
        self.resumed_at_end = False
        self.consumed_render = False

    def copy(self):
        twin = Session.__new__(Session)
        twin.__dict__.update(self.__dict__)
        for name in ("bytes", "durations", "reached"):
            setattr(twin, name, dict(getattr(self, name)))
        twin.behind = set(self.behind)
        return twin

    def under(self, new):
        """The session under a renewal (E5): with the first unit of the same kind and PART; None when it is over."""
        twin, part = self.copy(), self.unit.value("PART")
        units = [u for u in new.code.all(self.unit.tag) if u.value("PART") == part]
        if not units or not set(self.bytes) <= {k.kid.hex() for k in new.keys}:
            return None
        twin.unit, twin.tail = units[0], None
        return twin

    def metered(self, lic, state):
        """Whether Extend needs slices: counted, NO_SKIP, or INTERVAL until the first use is known."""
        return bool(self.unit.counted or no_skip(lic) or (self.unit.interval and not state.first_use))

    @property
    def acc_used(self):
        """Used, as ACCUMULATED counts it."""
        return max(self.own, self.media) if self.by_media else self.used

    @property
    def plays(self):
        """Whether the unit is a PLAY with PLAY_COUNT, which has open plays."""
        return self.unit.tag == PLAY and bool(self.unit.plays)

    def tick(self, wall):
        """Wall time inside slices up to wall."""
        if self.slice_end is not None:
            self.wall_used += max(min(wall, self.slice_end) - self.wall_last, 0)
        self.wall_last = max(wall, self.wall_last)

    @property
    def used(self):
        return max(self.wall_used, self.media)

    def count(self, lic, fragment):
        """The bytes and durations of one more fragment."""
        kid = fragment["kid"]
        self.bytes[kid] = self.bytes.get(kid, 0) + fragment["bytes"]
        self.durations[kid] = self.durations.get(kid, 0) + fragment["duration"]
        keys = {k.kid.hex(): k for k in lic.keys}
        pictures = others = 0
        for name, total in self.bytes.items():
            key = keys.get(name)
            if key is None or not key.bps:
                continue
            ms = -(-total * 1000 // key.bps)
            if key.picture:
                pictures += ms
            else:
                others = max(others, ms)
        self.media = max(pictures, others)
        self.own = max(self.durations.values())


def insist(inp, decision):
    """Begin without the confirmation, or without the consent (E3, E18)."""
    kinds = {c["kind"] for c in decision.confirm}
    if "STARTS_INTERVAL" in kinds and not inp.request["confirm"]:
        decision.refuse("NEEDS_CONFIRM", "STARTS_INTERVAL")
    if "METERED" in kinds and not inp.request["consent"]:
        decision.refuse("NEEDS_CONFIRM", "METERED")
    return decision.allow


def remember(inp, decision, state):
    """Consent and region; whether anything changed."""
    changed = lares_region.remember(inp, state)
    if any(c["kind"] == "METERED" for c in decision.confirm):
        state.consented = changed = True
    return changed


def begin(inp):
    """(decision, state or None, session or None)."""
    decision = evaluate(inp)
    if not decision.allow or not insist(inp, decision):
        return decision, None, None
    state, unit = inp.state.copy(), decision.unit
    changed = remember(inp, decision, state) or state.slice is not None
    state.slice = None
    session = Session(inp, unit)
    if session.plays:
        if resumes(inp):
            session.resumed_at_end = (seen_to_ninety(inp.lic, state.open_play.seen)
                                      and not in_first_tenth(inp.lic, inp.request["from"]))
        else:
            open_next(state, inp.est)
        changed = True
    if unit.accumulated and inp.env["anchor"] == 2:
        charge_time(inp, state, session, unit.accumulated, 1)
        state.slice = (inp.est, session.acc_reserved)
        changed = True
    if changed:
        touch(state, inp.est, session.plays)
        state.ver += 1
    return decision, state, session


def touch(state, now, plays):
    state.last_use = now
    if plays and state.open_play is not None:
        state.open_play.touched = max(state.open_play.touched, now)


def open_next(state, now):
    """The open play closes, the next one opens."""
    old = state.open_play
    if old is not None and not old.charged:
        state.uncharged_ms = add(state.uncharged_ms, old.rendered)
    number = old.id if old else state.consumed.get(PERMISSION["PLAY"], 0)
    state.open_play = OpenPlay(number + 1, 0, False, now)


def begins_again(lic, session, fragment):
    """E4, 4: a fragment of the first 10 % behind 90 %."""
    if not session.plays or not in_first_tenth(lic, fragment["media"]):
        return False
    return session.resumed_at_end or seen_to_ninety(lic, session.reached.get(fragment["kid"], 0))


def extend(inp, fragment, wall):
    """(decision, state or None, session, durable): one fragment {kid, bytes, duration, media}."""
    lic, old = inp.lic, inp.session
    session, state = old.copy(), inp.state.copy()
    request = dict(inp.request, kid=fragment["kid"], action=session.action)
    window = Window(lic, state, session.unit)
    if inp.est >= window.end and session.tail is None:
        session.tail = window.tail(session.furthest)
    running = Input(lic, inp.state, inp.clock, inp.env, request, session)
    decision = evaluate(running)
    if no_skip(lic):
        limit = max(session.furthest, state.seen) + lic.policy.get("slice_ms", SLICE_MS)
        if fragment["media"] > limit:
            decision.refuse("NO_GRANT", "TIMELINE")
    if not decision.allow:
        return decision, None, old, False
    session.tick(wall)
    durable = begins_again(lic, session, fragment)
    if durable:
        settle(state, session)
        env = dict(inp.env, slots=[], offline=False)
        decision = evaluate(Input(lic, state, inp.clock, env, dict(request, again=True), None))
        if not decision.allow:
            return decision, None, old, False
        next_play(state, session, fragment, running.est)
    before = (session.used, session.acc_used)
    session.count(lic, fragment)
    covered = (session.slice_end is not None and wall < session.slice_end and session.used <= session.reserved
               and (not session.unit.accumulated or session.acc_used <= session.acc_reserved))
    if session.metered(lic, state) and not covered:
        if further_slice(running, state, session, before, wall, decision):
            return decision, None, old, False
        durable = True
    durable = note_seen(lic, state, session, fragment) or durable
    state.ver += durable
    return decision, state, session, durable


def next_play(state, session, fragment, now):
    """The running slice has ended with the old play, which kept what was used of it."""
    open_next(state, now)
    state.slice, session.slice_end = None, None
    session.resumed_at_end = False
    session.behind = set(session.reached) - {fragment["kid"]}
    session.reached = {}


def note_seen(lic, state, session, fragment):
    """How far it was played; durable when the play reaches 90 %."""
    behind = fragment["media"] + fragment["duration"]
    kid = fragment["kid"]
    session.furthest = max(session.furthest, behind)
    if no_skip(lic):
        state.seen = max(state.seen, behind)
    if kid in session.behind:
        if not in_first_tenth(lic, fragment["media"]):
            return False
        session.behind.discard(kid)
    session.reached[kid] = max(session.reached.get(kid, 0), behind)
    play = state.open_play
    if not session.plays or behind <= play.seen:
        return False
    before, play.seen = play.seen, behind
    return seen_to_ninety(lic, behind) and not seen_to_ninety(lic, before)


def slice_end(inp, session, state):
    """A slice ends at `end`, then at the end of the tail, and at the end that a signed refusal sets."""
    window = Window(inp.lic, state, session.unit)
    until = add(inp.est, inp.lic.policy.get("slice_ms", SLICE_MS))
    until = min(until, window.end if inp.est < window.end else running_end(inp, window))
    if state.denied:
        until = min(until, add(state.denied, DENIED_TAIL))
    return until


def further_slice(inp, state, session, before, wall, decision):
    """A further slice: what is reserved grows; before is (used, acc_used) before it. True when it is refused."""
    lic, unit = inp.lic, session.unit
    until = slice_end(inp, session, state)
    length = max(until - inp.est, 0)
    target = max(before[0] + length, session.used)
    if unit.accumulated:
        most = session.acc_reserved + ms_left(state, unit.accumulated)
        needed = min(max(before[1] + length, session.acc_used), most)
        if most < session.acc_used or (not session.by_media and needed <= session.reserved):
            decision.refuse("TIME_EXHAUSTED", "ACCUMULATED", "BUY")
            return True
        if not session.by_media:
            target = min(target, needed)
            length = min(length, max(most - before[1], 0))
            until = min(until, add(inp.est, length))
        if not session.by_media or session.acc_used > session.acc_reserved:
            charge_time(inp, state, session, unit.accumulated, needed)
    growth = max(target - session.reserved, 0)
    session.reserved += growth
    if unit.stateful and not state.first_use:
        state.pending_ms += growth
        if state.pending_ms > lic.policy.get("first_use_threshold", FIRST_USE_THRESHOLD):
            state.first_use, state.pending_ms = session.began, 0
    if session.plays and charge(lic, state, unit, growth):
        decision.refuse("COUNT_EXHAUSTED", "PLAY_COUNT", "BUY")
        return True
    if unit.plays and not session.plays and not session.consumed_render:
        state.consumed[PERMISSION["RENDER"]] = state.consumed.get(PERMISSION["RENDER"], 0) + 1
        session.consumed_render = True
    if unit.stateful:
        held = session.acc_reserved - session.acc_used if unit.accumulated else session.reserved - session.used
        state.slice = (until, held)
    session.slice_end = wall + length
    touch(state, inp.est, session.plays)
    return False


def charge_time(inp, state, session, total, needed):
    """acc_ms holds at least `needed` of this session; under an anchor of level 2 in advance."""
    grow = needed - session.acc_reserved
    if grow <= 0:
        return
    if inp.env["anchor"] == 2:
        grow = max(grow, min(ADVANCE_MS, ms_left(state, total)))
    state.acc_ms += grow
    session.acc_reserved += grow


def charge(lic, state, unit, growth):
    """The open play grows; charged once it reaches the threshold. True when nothing is left to charge."""
    play = state.open_play
    play.rendered += growth
    if not play.charged and play.rendered + state.uncharged_ms >= threshold(lic):
        if left(state, PERMISSION["PLAY"], unit.plays) == 0:
            return True
        state.consumed[PERMISSION["PLAY"]] = state.consumed.get(PERMISSION["PLAY"], 0) + 1
        play.charged, state.uncharged_ms = True, 0
    return False


def settle(state, session):
    """What was reserved and not used is given back."""
    back = max(session.reserved - session.used, 0)
    session.reserved -= back
    if session.unit.accumulated:
        state.acc_ms = max(state.acc_ms - (session.acc_reserved - session.acc_used), 0)
        session.acc_reserved = session.acc_used
    if not state.first_use:
        state.pending_ms = max(state.pending_ms - back, 0)
    if session.plays and state.open_play is not None:
        state.open_play.rendered = max(state.open_play.rendered - back, 0)


def end(inp, wall):
    """The state after End."""
    session, state = inp.session, inp.state.copy()
    if not session.metered(inp.lic, state) and state.slice is None:
        return state
    session.tick(wall)
    settle(state, session)
    state.slice = None
    touch(state, inp.est, session.plays)
    state.ver += 1
    return state

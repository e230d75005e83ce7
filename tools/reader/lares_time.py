"""Clock, windows and ends (docs/spec/evaluation.md, E1 Clock, E3, E5 recovery)."""

from lares_decision import ANCHORED, HOUR, MINUTE, SECURE, UNSET, add
from lares_license import DOMAIN, NEVER, timed
from lares_permission import Unit

START_SLACK = 300000
DENIED_TAIL = 60000
CHARGE_VALUES = {n: i + 1 for i, n in enumerate(
    "PURCHASE RENTAL SUBSCRIPTION LOAN FREE ADVERTISING POINTS GIFT".split())}


class Window:
    """When a unit of a license may be used, for a state: storeEnd, end and its constraint (E3)."""

    def __init__(self, lic, state, unit):
        self.lic, self.state, self.unit = lic, state, unit or Unit(0x10)
        policy = lic.policy
        self.start = self.unit.value("START_TIME")
        self.interval = self.unit.interval
        self.hard_end = policy.get("hard_end", NEVER)
        self.end_time = self.unit.value("END_TIME", NEVER)
        storage = policy.get("storage_duration")
        self.storage_end = NEVER if storage is None else add(lic.issued_at, storage)
        self.store_end = min(self.end_time, self.storage_end)
        if "renew" in policy and not state.denied:
            self.store_end = add(self.store_end, self._recovery())
        self.end = self.end_with(state.first_use)

    def _recovery(self):
        own = self.lic.policy.inner("renew", "recovery")
        if own is not None:
            return own
        if self.lic.charge() == "SUBSCRIPTION":
            return 72 * HOUR
        return min(15 * MINUTE, max(self.store_end - self.lic.issued_at, 0))

    def end_with(self, first_use):
        """The end when the first use is at first_use (0: none)."""
        if not first_use or self.interval is None:
            return min(self.hard_end, self.store_end)
        over = add(first_use, self.interval)
        if self.lic.policy.get("on_first_use", 1) == 2:
            over = min(over, self.store_end)
        return min(self.hard_end, over)

    @property
    def timed(self):
        return timed(self.lic, self.unit)

    def constraint(self):
        """The first that equals end."""
        if self.end == self.hard_end:
            return "HARD_END"
        if self.state.first_use and self.interval and self.end == add(self.state.first_use, self.interval):
            return "INTERVAL"
        if self.end == self.end_time:
            return "END_TIME"
        if self.end == self.storage_end:
            return "STORAGE_DURATION"
        return "RECOVERY"

    @property
    def finish(self):
        """FINISH rather than STOP (license.md, policy key 9)."""
        stop = self.lic.live() or self.lic.charge() == "SUBSCRIPTION"
        return self.lic.policy.get("expiry_mode", 2 if stop else 1) == 1

    def tail(self, furthest):
        own = self.lic.policy.get("finish_tail")
        if own is not None:
            return own
        duration = self.lic.policy.get("duration_ms")
        if duration is None:
            return 4 * HOUR
        return min(max(duration - furthest, 0) * 3 // 2, 4 * HOUR)


def grace(inp):
    lic = inp.lic
    own = lic.policy.get("clock_grace")
    if own is not None:
        return own
    if lic.loan() or lic.live():
        return 0
    charge = CHARGE_VALUES.get(lic.charge())
    for entry in inp.env["grace"]:
        if entry["charge"] == charge:
            return entry["ms"]
    return 72 * HOUR if lic.charge() == "SUBSCRIPTION" else 24 * HOUR


def check_clock(found, window):
    """E1: CLOCK_BEHIND, CLOCK_STALE."""
    inp = found.inp
    if inp.clock["behind"]:
        found.warn("CLOCK_BEHIND", "CLOCK", "SYNC_TIME")
    if window.timed and inp.q < SECURE:
        allowed = grace(inp)
        if inp.q == UNSET or inp.clock["unsynced"] > allowed:
            found.refuse("CLOCK_STALE", "CLOCK_GRACE", "SYNC_TIME")
        else:
            found.flips("CLOCK_STALE", inp.passed(allowed - inp.clock["unsynced"] + 1))


def check_start(found, window):
    inp, start = found.inp, window.start
    if not start:
        return
    strict = inp.lic.policy.get("embargo_strict", False)
    begins = start if strict else max(start - START_SLACK, 1)
    if inp.est < begins:
        found.refuse("NOT_YET", "START_TIME", "WAIT_UNTIL", begins)
        found.flips("START_TIME", begins)
    if strict and inp.q < SECURE:
        found.refuse("CLOCK_STALE", "EMBARGO_STRICT", "SYNC_TIME")


def check_first_use(found):
    inp = found.inp
    if inp.est < inp.state.first_use:
        found.refuse("STATE_CLOCK_CONFLICT", "FIRST_USE", "CONTACT")
        found.flips("FIRST_USE", inp.state.first_use)


def check_membership(found, window):
    inp = found.inp
    if inp.running or inp.lic.subject_kind != DOMAIN or not window.timed:
        return
    for entry in inp.env["domains"]:
        if entry["domain"] == inp.subject and not entry["removed"] and entry["not_after"]:
            found.flips("MEMBERSHIP", entry["not_after"])
            if inp.est >= entry["not_after"]:
                found.refuse("SUBJECT_MISMATCH", "MEMBERSHIP", "RENEW")


def running_end(inp, window):
    """Until when the running session may go on: end, or the end of the tail; inp.session.tail fixes it."""
    session = inp.session
    if inp.state.denied:
        return window.end  # E5: without a tail
    if window.finish and session.began < window.end:
        if session.tail is not None:
            return add(window.end, session.tail)
        if inp.est >= window.end:
            return add(window.end, window.tail(session.furthest))
    return window.end


def check_end(found, window):
    inp = found.inp
    found.flips("END", window.end)
    if inp.est < window.end:
        return
    if inp.running:
        last = running_end(inp, window)
        if last > window.end:
            found.flips("FINISH_TAIL", last)
        if inp.est < last:
            return
    constraint = window.constraint()
    remedy = "RENEW" if inp.lic.charge() == "SUBSCRIPTION" else "BUY"
    found.refuse("INTERVAL_OVER" if constraint == "INTERVAL" else "EXPIRED", constraint, remedy)
    check_ahead(found, window.end)


def check_ahead(found, end):
    """E1: CLOCK_AHEAD, when an end has passed by the system's clock alone."""
    clock = found.inp.clock
    if clock["q"] == ANCHORED and max(clock["lo"], clock["lo_iss"], found.inp.state.lo_lic) < end:
        found.warn("CLOCK_AHEAD", "CLOCK", "SYNC_TIME")


def check_renewal(found):
    """E5: a signed refusal."""
    inp = found.inp
    if not inp.state.denied:
        return
    stops = add(inp.state.denied, DENIED_TAIL)
    if inp.running:
        found.flips("RENEWAL", stops)
    if not inp.running or inp.est >= stops:
        found.refuse("EXPIRED", "RENEWAL", "CONTACT")

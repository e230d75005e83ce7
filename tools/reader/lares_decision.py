"""Input and decision of an evaluation (docs/spec/scenario.md, license.md Decision, evaluation.md E1, E14)."""

from lares_license import NEVER
from lares_permission import PERMISSION

MINUTE, HOUR, DAY = 60000, 3600000, 86400000
UNSET, FREE, ANCHORED, SECURE = 0, 1, 2, 3
USES = ("PLAY", "RENDER")


def add(*terms):
    """A sum that saturates (evaluation.md, principles)."""
    return min(sum(terms), NEVER)


class Reason:
    def __init__(self, code, constraint, remedy="", earliest=0, closed=True):
        self.code, self.constraint, self.remedy = code, constraint, remedy
        self.earliest, self.closed = earliest, closed

    def json(self):
        return {"code": self.code, "constraint": self.constraint, "closed": self.closed,
                "earliest": self.earliest, "remedy": self.remedy}

    def __repr__(self):
        return "%s/%s%s" % (self.code, self.constraint, "" if self.closed else " (warns)")


class Input:
    """What an evaluation looks at besides license and state: clock, env and request of scenario.md."""

    def __init__(self, lic, state, clock, env, request, session=None):
        self.lic, self.state, self.clock, self.env, self.request = lic, state, clock, env, request
        self.session = session
        self.action = request["action"]
        self.permission = PERMISSION[self.action]
        self.est = max(clock["est"], clock["lo"], clock["lo_iss"], state.lo_lic)
        self.q = clock["q"]
        floor = max(1, lic.policy.get("min_level", 0))
        if self.q == SECURE and clock["relayed"] and floor > clock["relayed"]:
            self.q = ANCHORED

    def passed(self, ms):
        """When ms have passed (E1): a clock that a floor holds up goes on from its own estimate."""
        own = max(self.clock["est"], self.clock["lo"])
        return max(add(own, ms), self.est + 1)

    @property
    def use(self):
        return self.action in USES

    @property
    def running(self):
        return self.session is not None

    @property
    def subject(self):
        return self.lic.subject.hex()


class Findings:
    """What one part of the evaluation found."""

    def __init__(self, inp):
        self.inp = inp
        self.reasons, self.next, self.notes = [], [], []
        self.tier, self.kids, self.blocked, self.would_unlock = 0, [], [], []
        self.insufficient = False

    def refuse(self, code, constraint, remedy="", earliest=0):
        self.reasons.append(Reason(code, constraint, remedy, earliest))

    def warn(self, code, constraint, remedy=""):
        self.reasons.append(Reason(code, constraint, remedy, closed=False))

    def flips(self, change, at):
        """NAME@t is written when est < t < 2^53 - 1 (Notation)."""
        if self.inp.est < at < NEVER:
            self.next.append((at, change))

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    @property
    def closed(self):
        return sum(r.closed for r in self.reasons)

    @property
    def allow(self):
        return self.closed == 0 and not self.insufficient


class Decision:
    """The answer; `unit`, `end` and `starts` are for choosing among units and licenses and not part of it."""

    def __init__(self, common, chosen=None, others=()):
        parts = [common] + ([chosen] if chosen else [])
        self.reasons = []
        for reason in (r for p in parts for r in p.reasons):
            if reason.code != "CLOCK_AHEAD" or all(r.code != "CLOCK_AHEAD" for r in self.reasons):
                self.reasons.append(reason)
        self.notes = []
        for text in (n for p in parts for n in p.notes):
            if text not in self.notes:
                self.notes.append(text)
        entries = {e for p in parts + list(others) for e in p.next}
        self.next = sorted(entries)
        best = chosen or common
        self.tier, self.kids = best.tier, list(best.kids)
        self.blocked, self.would_unlock = list(best.blocked), list(best.would_unlock)
        self.allow = all(p.allow for p in parts)
        self.confirm = []
        self.counters = {"plays_left": None, "ms_left": None, "copies_left": None}
        self.unit = None
        self.end = NEVER
        self.chosen = chosen

    @property
    def valid_until(self):
        return self.next[0][0] if self.next else 0

    @property
    def closed(self):
        return sum(r.closed for r in self.reasons)

    def refuse(self, code, constraint, remedy=""):
        self.reasons.append(Reason(code, constraint, remedy))
        self.allow = False

    def flips(self, change, at, est):
        if est < at < NEVER:
            self.next = sorted(set(self.next) | {(at, change)})

    def json(self):
        from lares_license import tier_name
        return {"allow": self.allow, "tier": tier_name(self.tier), "kids": [k.hex() for k in self.kids],
                "valid_until": self.valid_until, "next": [{"at": t, "change": c} for t, c in self.next],
                "reasons": [r.json() for r in self.reasons], "confirm": self.confirm, "notes": self.notes,
                "would_unlock": [tier_name(t) for t in self.would_unlock], "blocked": self.blocked,
                "counters": self.counters}

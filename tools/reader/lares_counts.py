"""Counts, plays and accumulated time, as far as a decision shows them (docs/spec/evaluation.md, E4)."""

from lares_decision import HOUR, MINUTE, add
from lares_permission import MANAGEMENT, PERMISSION, PLAY

RESUME_WINDOW = 12 * HOUR


def left(state, permission, total):
    return max(total - state.used(permission), 0)


def copies(lic):
    """The number that COPY_COUNT allows, 1 with ONCE, or None where it is not limited."""
    mode = lic.code.copy_mode()
    if mode == "COUNTED":
        return lic.code.one(MANAGEMENT).value("COPY_COUNT")
    return 1 if mode == "ONCE" else None


def ms_left(state, total):
    return max(total - state.given_ms - state.acc_ms, 0)


def threshold(lic):
    """count_threshold: min(60 s, 5 % of duration_ms), at least one slice."""
    own = lic.policy.get("count_threshold")
    if own is not None:
        return own
    five = lic.policy.get("duration_ms", 20 * MINUTE) * 5 // 100
    return max(min(MINUTE, five), lic.policy.get("slice_ms", 10000))


def in_first_tenth(lic, media):
    return media * 10 < lic.policy.get("duration_ms", 0)


def seen_to_ninety(lic, media):
    duration = lic.policy.get("duration_ms", 0)
    return duration > 0 and media * 10 >= duration * 9


def closes_at(lic, play):
    return add(play.touched, lic.policy.get("resume_window", RESUME_WINDOW))


def resumes(inp):
    """Whether Begin resumes the open play (E4, 3 and 4)."""
    play, request = inp.state.open_play, inp.request
    if play is None or inp.est >= closes_at(inp.lic, play) or request["again"]:
        return False
    return not (in_first_tenth(inp.lic, request["from"]) and seen_to_ninety(inp.lic, play.seen))


def check_counts(found, unit):
    inp, state = found.inp, found.inp.state
    total = unit.plays
    if total and not inp.running:
        resumed = unit.tag == PLAY and resumes(inp)
        if not resumed and left(state, inp.permission, total) == 0:
            found.refuse("COUNT_EXHAUSTED", "PLAY_COUNT", "BUY")
    if total and unit.tag == PLAY and not inp.running and resumes(inp):
        found.flips("PLAY_CLOSES", closes_at(inp.lic, state.open_play))
    allowed = unit.accumulated
    if allowed and ms_left(state, allowed) == 0 and not inp.running:
        found.refuse("TIME_EXHAUSTED", "ACCUMULATED", "BUY")


def counters(inp, unit):
    state = inp.state
    shown = {"plays_left": None, "ms_left": None, "copies_left": None}
    if unit is not None and unit.plays:
        permission = PERMISSION["PLAY"] if unit.tag == PLAY else PERMISSION["RENDER"]
        shown["plays_left"] = left(state, permission, unit.plays)
    if unit is not None and unit.accumulated:
        shown["ms_left"] = ms_left(state, unit.accumulated)
    if copies(inp.lic) is not None:
        shown["copies_left"] = left(state, PERMISSION["COPY"], copies(inp.lic))
    return shown

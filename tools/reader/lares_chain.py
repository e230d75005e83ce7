"""A derived license with its ancestors (docs/spec/evaluation.md, E13, last paragraph)."""

from lares_decision import Findings, Input
from lares_evaluate import check_levels, covering, evaluate
from lares_license import NEVER
from lares_outputs import check_outputs
from lares_state import ZERO, decode
from lares_time import Window, check_ahead, check_start


def latest_end(lic, unit):
    """The latest end that any first use can lead to."""
    window = Window(lic, decode(ZERO), unit)
    if window.interval is None or window.store_end == NEVER:
        return window.end
    return max(window.end, window.end_with(window.store_end - 1))


def judge_ancestor(lic, inp):
    """Signature aside, subject, phase and state do not count; START_TIME, latest end, levels and outputs do."""
    held = [k.kid.hex() for k in lic.keys]  # the leaf's own evaluation says which keys are held
    own = Input(lic, decode(ZERO), inp.clock, dict(inp.env, keys=held), inp.request, inp.session)
    best = None
    for unit in covering(own):
        found = Findings(own)
        check_start(found, Window(lic, own.state, unit))
        end = latest_end(lic, unit)
        found.flips("END", end)
        if own.est >= end:
            found.refuse("EXPIRED", "PARENT", "BUY")
            check_ahead(found, end)
        check_levels(found, unit)
        check_outputs(found, unit)
        if best is None or found.closed < best.closed:
            best = found
    if best is None:
        best = Findings(own)
        granted = own.lic.code.grants(inp.action)
        best.refuse("NO_GRANT", "PART" if granted else inp.action, "BUY")
    return best


def evaluate_chain(inp, ancestors):
    """Leaf AND ancestors: reasons are joined, tier and keys are what all permit, valid_until the earliest."""
    decision = evaluate(inp)
    for lic in ancestors:
        found = judge_ancestor(lic, inp)
        told = [r.json() for r in decision.reasons]
        decision.reasons += [r for r in found.reasons if r.json() not in told]
        decision.next = sorted(set(decision.next) | set(found.next))
        decision.kids = [k for k in decision.kids if k in found.kids]
        decision.tier = min(decision.tier, found.tier)
        decision.allow = decision.allow and found.allow
    if not decision.allow:
        decision.confirm = []
    return decision

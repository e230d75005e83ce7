"""Changes of state outside of sessions (docs/spec/evaluation.md, E4, E5; docs/spec/state.md, Changes)."""

from lares_counts import copies, left, ms_left
from lares_evaluate import evaluate
from lares_permission import MANAGEMENT, PERMISSION, PLAY, RENDER
from lares_session import insist, remember


class Failed(Exception):
    """The change must not happen."""


def count_of(lic, action, unit=None):
    """How many an action has, or None where its count is not limited."""
    if action == "COPY":
        return copies(lic)
    if action == "TRANSFER":
        return lic.code.one(MANAGEMENT).value("TRANSFER")
    tag = {"PLAY": PLAY, "RENDER": RENDER}.get(action)
    units = [unit] if unit is not None else lic.code.all(tag)
    return next((u.plays for u in units if u.plays and u.tag == tag), None)


def reserve(inp):
    """(decision, state or None)."""
    decision = evaluate(inp)
    form = inp.action == "RENDER"
    if not decision.allow or (form and not insist(inp, decision)):
        return decision, None
    state, changed = inp.state.copy(), False
    if form:
        changed = remember(inp, decision, state)
        if decision.unit.interval and not state.first_use:
            state.first_use = changed = inp.est
    if count_of(inp.lic, inp.action, decision.unit) is not None:
        state.reserved[inp.permission] = state.reserved.get(inp.permission, 0) + 1
        changed = True
    state.ver += bool(changed)
    return decision, state


def commit(state, action, now):
    state, permission = state.copy(), PERMISSION[action]
    if not state.reserved.get(permission):
        raise Failed("nothing is reserved")
    state.reserved[permission] -= 1
    state.consumed[permission] = state.consumed.get(permission, 0) + 1
    if action == "TRANSFER":
        state.last_transfer = now
    state.ver += 1
    return state


def release(state, action):
    state, permission = state.copy(), PERMISSION[action]
    if not state.reserved.get(permission):
        raise Failed("nothing is reserved")
    state.reserved[permission] -= 1
    state.ver += 1
    return state


def give(lic, state, share):
    """An allowance is handed out: given + reserved + consumed + what is left = n."""
    state = state.copy()
    open_play = 1 if state.open_play is not None and not state.open_play.charged else 0
    for action, amount, held in (("PLAY", share["plays"], open_play), ("COPY", share["copies"], 0)):
        total = count_of(lic, action)
        if amount and (total is None or left(state, PERMISSION[action], total) - held < amount):
            raise Failed("not so many are left")
        if amount:
            state.given[PERMISSION[action]] = state.given.get(PERMISSION[action], 0) + amount
    if share["ms"]:
        total = next((u.accumulated for u in lic.code.units if u.tag in (PLAY, RENDER) and u.accumulated), None)
        if total is None or ms_left(state, total) < share["ms"]:
            raise Failed("not so much time is left")
        state.given_ms += share["ms"]
    state.next_index += 1
    state.ver += 1
    return state


def take_back(state, share):
    state = state.copy()
    for action, amount in (("PLAY", share["plays"]), ("COPY", share["copies"])):
        permission = PERMISSION[action]
        if state.given.get(permission, 0) < amount:
            raise Failed("not so many were given")
        if amount:
            state.given[permission] -= amount
    if state.given_ms < share["ms"]:
        raise Failed("not so much time was given")
    state.given_ms -= share["ms"]
    state.ver += 1
    return state


def deny(state, now):
    state = state.copy()
    state.denied = now
    state.ver += 1
    return state


def continue_with(lic, old, state):
    """The license lic takes over the state of an instance of the license old (license.md, Versions and continuation)."""
    renewal = lic.id == old.id and lic.version > old.version
    if lic.issuer != old.issuer or not (renewal or lic.continues == (old.issuer, old.id)):
        raise Failed("neither a renewal nor a continuation")
    if lic.content != old.content or (lic.subject_kind, lic.subject) != (old.subject_kind, old.subject):
        raise Failed("content or subject differ")
    state = state.copy()
    state.denied = 0
    state.ver += 1
    return state

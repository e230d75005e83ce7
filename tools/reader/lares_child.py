"""What a derived license must be, beside its parent (docs/spec/license.md, Parent, Narrower; evaluation.md, E8, E11).

This reader derives nothing. It says what is wrong with a child that somebody else has derived, as far as the pages
say it: [] when nothing is.
"""

from lares_cbor import decode as decode_cbor
from lares_chain import latest_end
from lares_counts import copies
from lares_decision import DAY, add
from lares_handling import generation
from lares_license import ALLOWANCE, COPY, EXPORT, LOAN, NEVER, allowance_id, decode_subject, usage_units
from lares_permission import ACTIONS, EXECUTE, PLAY, RENDER
from lares_state import ZERO, decode as decode_state
from lares_time import Window


class Faults(list):
    def need(self, good, what):
        if not good:
            self.append(what)


def check_parent(faults, parent, state, order, child):
    """Field 10, ID, subject."""
    field, kind = child.parent, order["kind"]
    faults.need(field["hash"] == parent.hash, "parent hash")
    faults.need(field["kind"] == kind, "kind")
    faults.need(field["index"] == order["index"], "index")
    faults.need(field["generation"] == generation(parent, state) + (kind == COPY), "copy generation")
    plays = next((u.plays for u in usage_units(parent, (PLAY,)) if u.plays), 0)
    faults.need(field["of"] == {COPY: copies(parent) or 0, ALLOWANCE: plays}.get(kind, 0), "of")
    if kind == ALLOWANCE:
        faults.need(child.id == allowance_id(field["hash"], kind, field["index"]), "license ID")
    if order["subject"]:
        wanted = decode_subject(decode_cbor(bytes.fromhex(order["subject"])))
        faults.need((child.subject_kind, child.subject, child.generation) == wanted, "subject")
    faults.need(child.issued_at == order["now"], "issued at")


def narrower_unit(own, state, above, unit, child, parent):
    """Whether a usage unit of the child is at most one of the parent's."""
    earlier = (unit.value("START_TIME") or 0) < (above.value("START_TIME") or 0)
    if earlier or latest_end(child, unit) > max(latest_end(parent, above), Window(parent, state, above).end):
        return False
    if above.interval and not unit.interval and Window(child, own, unit).end > add(child.issued_at, above.interval):
        return False
    for name, default in (("INTERVAL", NEVER), ("PLAY_COUNT", NEVER), ("ACCUMULATED", NEVER), ("RESOLUTION", NEVER)):
        # A window that has begun may be an absolute end.
        if name != "INTERVAL" and unit.value(name, default) > above.value(name, default):
            return False
    if unit.value("OUTPUT_PROTECTION", 0) < above.value("OUTPUT_PROTECTION", 0):
        return False
    return above.value("PART") in (None, unit.value("PART"))


def check_narrower(faults, parent, state, child):
    own = decode_state(ZERO)
    faults.need(child.issuer == parent.issuer, "issuer")
    faults.need(child.content == parent.content, "content")
    above = {k.kid: k for k in parent.keys}
    for key in child.keys:
        same = above.get(key.kid)
        faults.need(same and (same.tier, same.check) == (key.tier, key.check) and key.bps <= same.bps, "key " + key.kid.hex())
        faults.need(same and (not same.outputs or key.outputs), "output rules of key " + key.kid.hex())
    for unit in usage_units(child, (PLAY, RENDER, EXECUTE)):
        candidates = [u for u in parent.code.all(unit.tag) if narrower_unit(own, state, u, unit, child, parent)]
        faults.need(candidates, "unit 0x%02x is wider than every one of the parent" % unit.tag)
    for action in ACTIONS:
        faults.need(parent.code.grants(action) or not child.code.grants(action), action + " is granted")
    faults.need(set(child.code.systems) <= set(parent.code.systems), "systems")
    faults.need(child.policy.get("duration_ms") == parent.policy.get("duration_ms"), "duration_ms")
    for name in ("report", "overlay"):
        faults.need(name not in parent.policy or child.policy.get(name) == parent.policy.get(name), name)
    above = parent.policy.get("domain")
    own = child.policy.get("domain")
    faults.need(above is None or own is not None and own["devices"] <= above["devices"]
                and ("new_a_year" not in above or own.get("new_a_year", above["new_a_year"] + 1) <= above["new_a_year"]), "domain")
    faults.need("renew" in parent.policy or "renew" not in child.policy, "renew")


def check_loan(faults, parent, state, order, child):
    """E11: the child."""
    ends = [Window(parent, state, u).end for u in usage_units(parent, (PLAY, RENDER))]
    end = min(add(order["now"], order["for"]), max(ends, default=NEVER))
    faults.need(child.policy.get("hard_end") == end, "hard_end")
    faults.need(all(u.value("END_TIME") == end for u in usage_units(child)), "END_TIME")
    faults.need(child.policy.get("expiry_mode") == 2, "expiry_mode")
    grace = child.policy.get("clock_grace", 0)
    faults.need(grace <= (DAY if parent.policy.inner("lend", "overlap", False) else 0), "clock_grace")
    grants = set(parent.policy.inner("lend", "grants", [1]))
    faults.need({u.tag - PLAY + 1 for u in usage_units(child)} <= grants, "grants")


def check_copy(faults, parent, child):
    """E8: the child; COPY = NO_MORE is the default."""
    kind = parent.policy.inner("copy", "child", 1)
    if kind == 1:
        faults.need(child.code.copy_mode() in (None, "NO_MORE", "NEVER"), "COPY is not NO_MORE")
    moves = parent.code.grants("MOVE") and not parent.policy.inner("copy", "no_child_move", False)
    if kind != 3:
        faults.need(child.code.grants("MOVE") == moves, "MOVE")


def check_child(parent, state, order, child):
    """Everything that is wrong with the child."""
    faults = Faults()
    if child.parent is None:
        return ["no parent"]
    check_parent(faults, parent, state, order, child)
    if order["kind"] != EXPORT:
        check_narrower(faults, parent, state, child)
    if order["kind"] == LOAN:
        check_loan(faults, parent, state, order, child)
    if order["kind"] == COPY:
        check_copy(faults, parent, child)
    return list(faults)

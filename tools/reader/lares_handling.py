"""COPY, MOVE, TRANSFER, LEND, EXPORT (docs/spec/evaluation.md, E8 to E12)."""

import lares_region
from lares_counts import copies, left
from lares_decision import DAY, add
from lares_license import DOMAIN
from lares_permission import LEND, MANAGEMENT, PERMISSION, PLAY
from lares_policy import DEST_ANY, DEST_DOMAIN, DEST_LIST

COOLDOWN = DAY
LONGEST_LOAN = 14 * DAY
RELEASE = 2
NONE, BY_DOMAIN, BY_ISSUER = 1, 2, 3


def destination(inp):
    """The destination, or None."""
    dest = inp.request["dest"]
    return dest if dest and (dest["device"] or dest["domain"]) else None


def check_dest(found, dests, listed):
    inp, dest = found.inp, destination(found.inp)
    good = dest is not None
    if good and dests == DEST_DOMAIN:
        if inp.lic.subject_kind == DOMAIN:
            good = dest["domain"] == inp.subject
        else:
            good = dest["domain"] in {d["domain"] for d in inp.env["domains"] if not d["removed"]} - {""}
    if good and dests == DEST_LIST:
        good = bool({dest["device"], dest["domain"]} & {x.hex() for x in listed})
    if not good:
        found.refuse("DEST_NOT_ALLOWED", "DEST")


def check_dest_levels(found, unit):
    inp, dest = found.inp, found.inp.request["dest"]
    if not dest:
        return
    if dest["level"] < inp.lic.policy.get("min_level", 0):
        found.refuse("TREM_LEVEL", "DEST_LEVEL")
    if dest["anchor"] < min_anchor(inp.lic, unit):
        found.refuse("TREM_LEVEL", "DEST_ANCHOR")


def generation(lic, state):
    """The copy generation of an instance: the greater of its own field 10 and its state's (license.md, Parent)."""
    return max(state.generation, lic.parent["generation"] if lic.parent else 0)


def min_anchor(lic, unit):
    own = lic.policy.get("min_anchor")
    if own is not None:
        return own
    return 1 if (unit is not None and unit.counted) or lic.loan() else 0


def check_countersign(found, needed):
    if max(found.inp.request["countersigned"], NONE) < needed:
        found.refuse("DEST_NOT_ALLOWED", "COUNTERSIGN", "CONTACT")


def check_copy(found, unit):
    inp, lic, state = found.inp, found.inp.lic, found.inp.state
    instead = lic.code.grants("MOVE")
    total = copies(lic)
    if total is not None and left(state, PERMISSION["COPY"], total) == 0:
        found.refuse("COUNT_EXHAUSTED", "COPY_COUNT", "MOVE_INSTEAD" if instead else "BUY")
    if generation(lic, state) >= lic.code.one(MANAGEMENT).value("MAX_GENERATION", 1):
        found.refuse("GENERATION", "MAX_GENERATION", "MOVE_INSTEAD" if instead else "")
    check_dest(found, lic.policy.inner("copy", "dests", DEST_DOMAIN), lic.policy.inner("copy", "list", []))
    check_dest_levels(found, unit)
    check_countersign(found, lic.policy.inner("copy", "countersign", NONE))


def check_move(found, unit):
    scope = found.inp.lic.code.one(MANAGEMENT).value("MOVE")
    check_dest(found, DEST_DOMAIN if scope == 1 else DEST_ANY, [])
    check_dest_levels(found, unit)


def check_transfer(found, unit):
    inp, lic, state = found.inp, found.inp.lic, found.inp.state
    if left(state, PERMISSION["TRANSFER"], lic.code.one(MANAGEMENT).value("TRANSFER")) == 0:
        found.refuse("COUNT_EXHAUSTED", "TRANSFER", "BUY")
    if state.last_transfer:
        again = add(state.last_transfer, lic.policy.inner("transfer", "cooldown", COOLDOWN))
        if inp.est < again:
            found.refuse("NOT_YET", "TRANSFER_COOLDOWN", "WAIT_UNTIL", again)
            found.flips("COOLDOWN", again)
    check_dest(found, DEST_ANY, [])
    check_dest_levels(found, unit)
    check_countersign(found, lic.policy.inner("transfer", "countersign", BY_DOMAIN))
    if lic.policy.inner("transfer", "region", False):
        country = (inp.request["dest"] or {}).get("country", "")
        good = lares_region.permitted(lic, country) if country else lares_region.unknown_allowed(lic)
        if not good:
            found.refuse("REGION", "REGION", "CONTACT")


def check_lend(found, unit):
    inp, lic, state = found.inp, found.inp.lic, found.inp.state
    if state.loan is not None:
        found.refuse("LENT_OUT", "LEND_COUNT", "WAIT_UNTIL", state.loan["until"])
    counted = next((u for u in lic.code.all(PLAY) if u.plays), None)
    if counted is not None:
        free = left(state, PERMISSION["PLAY"], counted.plays)
        if state.open_play is not None and not state.open_play.charged:
            free -= 1
        if free < lic.policy.inner("lend", "plays", 1):
            found.refuse("COUNT_EXHAUSTED", "PLAY_COUNT", "BUY")
    longest = lic.code.all(LEND)[0].value("LEND_TIME", LONGEST_LOAN)
    if not 1 <= inp.request["for"] <= longest:
        found.refuse("NO_GRANT", "LEND_TIME")
    check_dest(found, lic.policy.inner("lend", "dests", DEST_ANY), lic.policy.inner("lend", "list", []))
    check_dest_levels(found, unit)


def check_export(found, _):
    code, dest = found.inp.lic.code, found.inp.request["dest"] or {}
    if dest.get("system", "") not in code.systems:
        found.refuse("DEST_NOT_ALLOWED", "EXPORT")
    if code.one(MANAGEMENT).value("ENCRYPTION") != RELEASE and dest.get("clear", False):
        found.refuse("DEST_NOT_ALLOWED", "ENCRYPTION")


CHECKS = {"COPY": check_copy, "MOVE": check_move, "TRANSFER": check_transfer, "LEND": check_lend, "EXPORT": check_export}

"""Evaluating a license (docs/spec/evaluation.md, E1 to E15, E18)."""

import lares_time
from lares_counts import check_counts, counters, left, resumes
from lares_decision import Decision, Findings, add
from lares_handling import CHECKS, min_anchor
from lares_license import DEVICE, DOMAIN, NEVER
from lares_outputs import check_outputs
from lares_permission import ACTOR, CLASSIFICATION, LEND, MANAGEMENT, EXPORT, PLAY, RENDER, Unit
from lares_region import check_region
from lares_state import CLOSED, ESCROW, LENT_OUT

SLOT_LAPSE = 180000
HOLD_SLACK = 300000
ASK_TAKEOVER, BLOCK_NEW, TAKEOVER_OLDEST = 1, 2, 3
HANDLING_UNIT = {"LEND": LEND, "EXPORT": EXPORT}


# E1: what does not depend on a unit.

def check_signature(found):
    env = found.inp.env
    if not env["accepted"]:
        found.refuse("BAD_SIGNATURE", "SIGNATURE", "CONTACT")
    if env["compromised_epoch"] and env["accepted_epoch"] >= env["compromised_epoch"]:
        found.refuse("BAD_SIGNATURE", "KEY_COMPROMISE", "CONTACT")


def check_subject(found):
    inp = found.inp
    kind = inp.lic.subject_kind
    remedy = None  # of a mismatch; "" is none
    if kind == DOMAIN:
        entry = next((d for d in inp.env["domains"] if d["domain"] == inp.subject), None)
        if entry is None or entry["removed"]:
            remedy = "CONTACT"
        elif entry["generation"] < inp.lic.generation:
            remedy = "RENEW"
    elif kind == DEVICE:
        remedy = None if inp.env["device"] == inp.subject else ""
    else:
        remedy = None if inp.subject in inp.env["users"] else ""
    if remedy is not None:
        found.refuse("SUBJECT_MISMATCH", "SUBJECT", remedy)


def check_revocation(found):
    inp, lic = found.inp, found.inp.lic
    for what in inp.env["revoked"]:
        found.refuse("REVOKED", what, "CONTACT")
    if inp.env["rev_epoch"] < lic.rev_min_epoch:
        found.refuse("STATUS_STALE", "REV_MIN_EPOCH", "RENEW")
    if lic.rev_max_age and inp.env["status_age"] > lic.rev_max_age:
        if lic.policy.get("stale", 1) == 2:
            found.refuse("STATUS_STALE", "REV_MAX_AGE", "RENEW")
        else:
            found.warn("STATUS_STALE", "REV_MAX_AGE", "RENEW")
    elif lic.rev_max_age:
        found.flips("STATUS_STALE", inp.passed(lic.rev_max_age - inp.env["status_age"] + 1))
    sunset = inp.env["sunset_at"]
    if sunset and inp.est >= sunset:
        found.warn("SUNSET", "SUNSET")
    elif sunset:
        found.flips("SUNSET", sunset)


def check_phase(found):
    inp, state = found.inp, found.inp.state
    if state.phase == ESCROW:
        found.refuse("LOCKED_IN_MOVE", "PHASE", "RESUME_MOVE")
    elif state.phase == LENT_OUT:
        found.refuse("LENT_OUT", "PHASE", "WAIT_UNTIL", state.loan["until"] if state.loan else 0)
    elif state.phase == CLOSED:
        found.refuse("MOVED_AWAY", "PHASE", "CONTACT")
    elif state.transfer is not None and state.transfer["unconfirmed"]:
        if inp.action != "PLAY":
            found.refuse("LOCKED_IN_MOVE", "UNCONFIRMED", "RESUME_MOVE")
        hold = state.transfer["hold_until"]
        if hold:
            found.flips("HOLD_UNTIL", hold - HOLD_SLACK)
            if inp.q < 3 or inp.est + HOLD_SLACK >= hold:
                found.refuse("LOCKED_IN_MOVE", "HOLD_UNTIL", "RESUME_MOVE")


def check_person(found):
    """E19: one of the household's people, and what it allows them."""
    inp, person = found.inp, found.inp.request.get("person")
    if person is None:
        return
    if not inp.use:
        if not person["handles"]:
            found.refuse("PERSON", "HANDLING", "ASK_ADULT")
        return
    if person["age"] < person["rated"]:
        found.refuse("PERSON", "RATING", "ASK_ADULT")
    if person["until"]:
        found.flips("HOURS", person["from"])
        found.flips("HOURS", person["until"])
        if inp.est < person["from"]:
            found.refuse("PERSON", "HOURS", "WAIT_UNTIL", person["from"])
        elif not inp.est < person["until"]:
            found.refuse("PERSON", "HOURS", "ASK_ADULT")


def check_grant(found):
    """E2; says whether the action is granted at all."""
    inp, code = found.inp, found.inp.lic.code
    if inp.action == "COPY" and code.copy_mode() == "NO_MORE":
        found.refuse("GENERATION", "COPY", "MOVE_INSTEAD" if code.grants("MOVE") else "")
        return False
    if not code.grants(inp.action):
        found.refuse("NO_GRANT", inp.action, "BUY")
        return False
    dest = inp.request["dest"] or {}
    if inp.action == "RENDER" and not inp.request["form"] and not dest.get("renderer", ""):
        found.refuse("DEST_NOT_ALLOWED", "RENDERER")
    return True


# Unknown items, E2 last paragraph.

def check_unknown(found):
    """Critical unknowns that stand at every action, and notes of those that are ignored."""
    lic = found.inp.lic
    for unit in lic.code.units:
        if not unit.known and unit.tag != 0:
            name = "unit 0x%02x" % unit.tag
            if PLAY <= unit.tag <= EXPORT:
                found.refuse("UNKNOWN_CRITICAL", name, "CONTACT")
            else:
                found.note("ignored: " + name)
        elif unit.tag in (ACTOR, MANAGEMENT):
            check_unknown_items(found, unit)
        elif unit.tag == CLASSIFICATION:
            for tag in unit.unknown_items():
                found.note("ignored: unit 0x02 item 0x%02x" % tag)
    for key in lic.policy.unknown:
        if key % 2:
            found.refuse("UNKNOWN_CRITICAL", "policy %d" % key, "CONTACT")
        else:
            found.note("ignored: policy %d" % key)


def check_unknown_items(found, unit):
    for tag in unit.unknown_items():
        found.refuse("UNKNOWN_CRITICAL", "unit 0x%02x item 0x%02x" % (unit.tag, tag), "CONTACT")


# A use.

def no_skip(lic):
    return lic.code.one(MANAGEMENT).value("TIMELINE") == 1


def check_timeline(found):
    """E4, TIMELINE = NO_SKIP: where a session begins. Fragments: lares_session."""
    inp = found.inp
    if no_skip(inp.lic) and not inp.running and inp.request["from"] > inp.state.seen:
        found.refuse("NO_GRANT", "TIMELINE")


def check_concurrency(found):
    inp = found.inp
    policy = inp.lic.policy
    if "concurrency" not in policy:
        return
    own = inp.env["device"]
    if inp.running:
        if not inp.env["offline"] and any(s["device"] == own and s["taken"] for s in inp.env["slots"]):
            found.refuse("SLOT_FULL", "CONCURRENCY", "TAKEOVER")
        return
    if inp.env["offline"]:
        if policy.inner("concurrency", "offline_counts", False):
            found.refuse("SLOT_FULL", "CONCURRENCY", "CONTACT")
        return
    seen = sorted(s["seen"] for s in inp.env["slots"]
                  if s["device"] != own and not s["taken"] and inp.est - s["seen"] < SLOT_LAPSE)
    most = policy.inner("concurrency", "max")
    if len(seen) < most:
        return
    full = policy.inner("concurrency", "on_full", ASK_TAKEOVER)
    free = add(seen[len(seen) - most], SLOT_LAPSE)
    found.flips("SLOT_FREE", free)
    if free >= NEVER:  # sessions of the keeper itself do not lapse
        free = 0
    if full == TAKEOVER_OLDEST or (full == ASK_TAKEOVER and inp.request["takeover"]):
        found.note("TAKES_OVER_OLDEST")
        return
    found.refuse("SLOT_FULL", "CONCURRENCY", "WAIT_UNTIL" if full == BLOCK_NEW else "TAKEOVER", free)


def check_levels(found, unit):
    inp = found.inp
    if inp.env["level"] < inp.lic.policy.get("min_level", 0):
        found.refuse("TREM_LEVEL", "MIN_LEVEL", "CONTACT")
    if inp.env["anchor"] < min_anchor(inp.lic, unit):
        found.refuse("TREM_LEVEL", "MIN_ANCHOR", "CONTACT")


def judge_use(inp, unit):
    """One covering unit, in the order of E14."""
    found = Findings(inp)
    found.unit = unit
    window = found.window = lares_time.Window(inp.lic, inp.state, unit)
    check_unknown(found)
    check_unknown_items(found, unit)
    lares_time.check_clock(found, window)
    lares_time.check_start(found, window)
    lares_time.check_first_use(found)
    lares_time.check_membership(found, window)
    lares_time.check_end(found, window)
    check_counts(found, unit)
    check_timeline(found)
    check_region(found)
    check_concurrency(found)
    check_levels(found, unit)
    check_outputs(found, unit)
    if "overlay" in inp.lic.policy and not inp.request["overlay"]:
        found.refuse("OUTPUT", "OVERLAY", "CONTACT")
    return found


def burn(found):
    """What using a unit burns, least first (E2): 0 none, 1 running INTERVAL, 2 counted, 3 starts an INTERVAL."""
    unit, state = found.unit, found.inp.state
    if unit.interval and not state.first_use:
        return 3
    if unit.counted:
        return 2
    return 1 if unit.interval else 0


def covering(inp):
    tag = PLAY if inp.action == "PLAY" else RENDER
    part = inp.request["part"]
    return [u for u in inp.lic.code.all(tag) if u.value("PART") is None or u.value("PART").hex() == part]


def confirms(inp, unit, window):
    """E14, Confirms; E18, METERED."""
    found = []
    state, policy = inp.state, inp.lic.policy
    if unit.interval and not state.first_use:
        found.append({"kind": "STARTS_INTERVAL", "until": window.end_with(inp.est), "what": "", "to": ""})
    if unit.tag == PLAY and unit.plays and left(state, inp.permission, unit.plays) == 1:
        if not resumes(inp):
            found.append({"kind": "LAST_PLAY", "until": 0, "what": "", "to": ""})
    return found


def report_applies(inp):
    until = inp.lic.policy.inner("report", "until")
    return "report" in inp.lic.policy and not inp.state.consented and (until is None or inp.est < until)


def evaluate_use(inp, common):
    units = covering(inp)
    if not units:
        common.refuse("NO_GRANT", "PART", "BUY")
        return Decision(common)
    judged = [judge_use(inp, unit) for unit in units]
    allowed = [f for f in judged if f.allow and common.allow]
    chosen = min(allowed, key=burn) if allowed else min(judged, key=lambda f: f.closed)
    decision = Decision(common, chosen, judged)
    decision.unit, decision.window, decision.end = chosen.unit, chosen.window, chosen.window.end
    decision.counters = counters(inp, chosen.unit)
    if decision.allow and not inp.running:
        decision.confirm = confirms(inp, chosen.unit, chosen.window)
        if report_applies(inp):
            decision.flips("REPORT_ENDS", inp.lic.policy.inner("report", "until", 0), inp.est)
            what = {1: "STARTED", 2: "MINUTES"}[inp.lic.policy.inner("report", "what")]
            decision.confirm.append({"kind": "METERED", "until": inp.lic.policy.inner("report", "until", 0), "what": what,
                                     "to": inp.lic.policy.inner("report", "to")})
    return decision


# Handling.

def handling_unit(inp):
    """The usage unit with the latest end, the first of equals (E3, Handling)."""
    units = inp.lic.code.all(PLAY) + inp.lic.code.all(RENDER)
    return max(units, key=lambda u: lares_time.Window(inp.lic, inp.state, u).end, default=None)


def evaluate_handling(inp, common):
    found = Findings(inp)
    unit = handling_unit(inp)
    window = lares_time.Window(inp.lic, inp.state, unit)
    check_unknown(found)
    for own in inp.lic.code.all(HANDLING_UNIT.get(inp.action)):
        check_unknown_items(found, own)
    lares_time.check_clock(found, window)
    lares_time.check_end(found, window)
    CHECKS[inp.action](found, unit)
    decision = Decision(common, found)
    decision.unit, decision.window, decision.end = unit, window, window.end
    decision.counters = counters(inp, None)
    return decision


def evaluate(inp):
    """The decision about inp.request (E14: signature, subject, revocation, sunset, renewal, phase, person, grant, units)."""
    common = Findings(inp)
    check_signature(common)
    check_subject(common)
    check_revocation(common)
    lares_time.check_renewal(common)
    check_phase(common)
    check_person(common)
    if not check_grant(common):
        return Decision(common)
    return evaluate_use(inp, common) if inp.use else evaluate_handling(inp, common)


# E13.

def license_class(inp, decision):
    """The class of the last of 1, 2, 4, 5, 6 that describes it."""
    unit = decision.unit or Unit(PLAY)
    if unit.interval and not inp.state.first_use:
        return 6
    if unit.plays:
        return 5
    if unit.accumulated:
        return 4
    return 2 if unit.interval else 1


def choose(candidates):
    """candidates: [(input, decision)]; the index of the one that is used, or shown when none allows."""
    def rank(index):
        inp, decision = candidates[index]
        lic = inp.lic
        if not decision.allow:
            return (1, decision.closed, lic.id)
        kind = license_class(inp, decision)
        within = {2: -decision.end, 5: -(decision.counters["plays_left"] or 0)}.get(kind, 0)
        place = 2 if lic.loan() else 0 if lic.subject_kind == DOMAIN else 1
        return (0, kind, within, place, decision.end, lic.id)
    return min(range(len(candidates)), key=rank)

"""Regions (docs/spec/evaluation.md, E6). The countries of M49 areas: docs/spec/regions.md."""

from lares_areas import countries, lies_in
from lares_decision import DAY, HOUR, add

EVIDENCE_AGE = 24 * HOUR
WINDOW_DAYS = 90


def permitted(lic, country):
    """TERRITORY and areas, all when both are absent, without deny."""
    allowed = (lic.code.classification("TERRITORY") or []) + lic.policy.inner("region", "areas", [])
    if any(lies_in(country, code) for code in lic.policy.inner("region", "deny", [])):
        return False
    return not allowed or any(lies_in(country, code) for code in allowed)


def unknown_allowed(lic):
    return lic.policy.inner("region", "unknown", 2 if lic.live() else 1) == 1


def phase(lic):
    return lic.policy.inner("region", "phase", 1)


def evidence(inp):
    """The country that evidence names, or ""."""
    region = inp.env["region"]
    if region["source"] == 1 or (region["source"] == 2 and inp.est - region["at"] < EVIDENCE_AGE):
        country = region["country"]
        if country in countries() or country in (inp.lic.code.classification("TERRITORY") or []):
            return country
    return ""


def days_elsewhere(inp):
    today = inp.est // DAY
    return today, [d for d in inp.state.days if today - WINDOW_DAYS + 1 <= d <= today]


def check_region(found):
    inp = found.inp
    lic, state = inp.lic, inp.state
    if phase(lic) == 1 or inp.running or state.sealed:
        return
    country = evidence(inp)
    if not country:
        if unknown_allowed(lic):
            found.note("REGION_UNKNOWN")
        else:
            found.refuse("REGION", "UNKNOWN", "CONTACT")
        return
    if inp.env["region"]["source"] == 2:
        found.flips("REGION_EVIDENCE", add(inp.env["region"]["at"], EVIDENCE_AGE))
    if permitted(lic, country):
        return
    if not state.home:
        found.refuse("REGION", "REGION", "CONTACT")
        return
    today, days = days_elsewhere(inp)
    limit = lic.policy.inner("region", "roam_days", 30)
    if today in days or len(days) < limit:
        found.note("ROAMING")
        found.flips("REGION", (today + 1) * DAY)
    elif limit == 0:
        found.refuse("REGION", "ROAM_DAYS", "CONTACT")
    else:
        until = (days[len(days) - limit] + WINDOW_DAYS) * DAY
        found.refuse("REGION", "ROAM_DAYS", "WAIT_UNTIL", until)
        found.flips("REGION", until)


def remember(inp, state):
    """What Begin writes down: home, a day elsewhere, the seal. Says whether anything changed."""
    lic = inp.lic
    country = evidence(inp)
    if phase(lic) == 1 or state.sealed or not country:
        return False
    before = (state.home, list(state.days), state.sealed)
    if permitted(lic, country):
        state.home = country
    else:
        today, days = days_elsewhere(inp)
        state.days = sorted(set(days) | {today})
    if phase(lic) == 2:
        state.sealed = True
    return before != (state.home, state.days, state.sealed)

"""Keys, outputs and tiers (docs/spec/evaluation.md, E7)."""

from lares_decision import Reason, add
from lares_license import AUDIO, CUSTOM, SD, TIER_NAMES, TIER_PIXELS, UHD, tier_name
from lares_permission import EXPORT

ALLOW, DENY = 0, 1
SD_ONLY, CGMS_NEVER, PROTECTED, CONSTRAIN = 2, 3, 4, 5
DOWNGRADE, BLOCK_OUTPUT, STOP = 0, 1, 2
HDCP_1 = 1
NO_LIMIT = 1 << 60


def tier_value(name):
    """The number of a tier's name; 0 for none."""
    if name.startswith("CUSTOM_"):
        return int(name[7:])
    return {v: k for k, v in TIER_NAMES.items()}.get(name, 0)


def pixels(key):
    if key.tier == AUDIO:
        return 0
    return key.rules["max_pixels"] or TIER_PIXELS.get(key.tier, NO_LIMIT)


def satisfied(key, output, unit, lic):
    """Whether the protection that the key needs is there on this output."""
    rules, kind, has = key.rules, output["class"], output["protection"]
    needed = rules["digital"]
    if key.picture:
        needed = max(needed, unit.value("OUTPUT_PROTECTION", 0))
    if key.tier == UHD and lic.policy.get("output_evidence", 1) == 2 and output["evidence"] != 2:
        return False
    if kind == "INTERNAL":
        return True
    if kind == "DIGITAL":
        return has >= needed
    if kind == "LINK":
        return needed == 0
    if kind == "ANALOG":
        if rules["analog"] in (DENY, CGMS_NEVER) or needed:
            return False
        return not (rules["analog"] == SD_ONLY and key.picture and pixels(key) > TIER_PIXELS[SD])
    if kind == "WIRELESS":
        if rules["wireless"] == DENY:
            return False
        if rules["wireless"] == PROTECTED or needed:
            return has >= max(needed, HDCP_1)
        return True
    if kind == "NETWORK":
        return not needed and rules["wireless"] == ALLOW and rules["analog"] == ALLOW and rules["unknown"] != DENY
    if rules["unknown"] == DENY:
        return False
    if rules["unknown"] == CONSTRAIN and (needed or rules["analog"] != ALLOW or rules["wireless"] != ALLOW):
        return pixels(key) <= rules["constrain_pixels"]
    return True


class KeyResult:
    def __init__(self, key):
        self.key, self.reasons, self.blocks, self.settling = key, [], [], []

    def refuse(self, code, remedy=""):
        self.reasons.append(Reason(code, tier_name(self.key.tier), remedy))

    @property
    def usable(self):
        return not self.reasons and not self.settling


def judge_key(inp, unit, key):
    """One key: first what does not depend on outputs, then the outputs."""
    result, env = KeyResult(key), inp.env
    if key.kid.hex() not in env["keys"]:
        result.refuse("KEY_NOT_GRANTED", "CONTACT")
    if unit.counted and not key.bps:
        result.refuse("KEY_NOT_GRANTED", "CONTACT")
    if key.rules is None:
        result.refuse("UNKNOWN_CRITICAL", "CONTACT")
        return result
    if env["level"] < key.rules["min_trem_level"]:
        result.refuse("TREM_LEVEL", "CONTACT")
    fps, most = inp.request["fps"], key.rules["max_fps"]
    if most and (not fps or fps > most):
        result.refuse("OUTPUT", "CONTACT")
    resolution = unit.value("RESOLUTION")
    if key.tier != AUDIO and resolution is not None and pixels(key) > resolution:
        result.refuse("OUTPUT")
    for place, output in enumerate([inp.request["output"]] + env["outputs"]):
        if satisfied(key, output, unit, inp.lic):
            continue
        came_up = add(output["plugged"], key.rules["settle"])
        if place > 0 and key.rules["on_violation"] == BLOCK_OUTPUT:
            result.blocks.append(output["class"])
        elif output["plugged"] and inp.est < came_up:
            result.settling.append(came_up)
        else:
            result.refuse("OUTPUT", "CONNECT_DISPLAY")
    return result


def within(tier, wanted):
    """Whether a key of that tier is up to the tier wanted (0: the best)."""
    if not wanted:
        return True
    if wanted >= CUSTOM:
        return tier in (wanted, AUDIO)
    return tier <= wanted


def choose_tier(usable, wanted):
    """The tier and the keys up to it."""
    keys = [k for k in usable if within(k.tier, wanted)]
    tiers = [k.tier for k in keys]
    if wanted >= CUSTOM and wanted in tiers:
        return wanted, keys
    plain = [t for t in tiers if t < CUSTOM]
    return max(plain) if plain else max(tiers, default=0), keys


def check_outputs(found, unit):
    inp, lic = found.inp, found.inp.lic
    wanted = tier_value(inp.request["tier"])
    results = [judge_key(inp, unit, key) for key in lic.keys]
    usable = [r.key for r in results if r.usable]
    found.tier, keys = choose_tier(usable, wanted)
    found.kids = [k.kid for k in keys]
    found.would_unlock = [r.key.tier for r in results if r.reasons]
    for result in results:
        for at in result.settling:
            found.note("SETTLING")
            found.flips("SETTLED", at)
        if result.usable and result.key.kid in found.kids:
            found.blocked += [c for c in result.blocks if c not in found.blocked]
    enough = _enough(found, results, keys, wanted)
    asked = inp.request["kid"]
    for result in results:
        stop = result.key.rules is not None and result.key.rules["on_violation"] == STOP and within(result.key.tier, wanted)
        for reason in result.reasons:
            stops = reason.code == "OUTPUT" and stop
            if asked:
                reason.closed = result.key.kid.hex() == asked or stops
            else:
                reason.closed = not enough or stops
            found.reasons.append(reason)
    for result in results:
        if result.settling and (result.key.kid.hex() == asked or (not enough and not asked and _counts(inp, result.key, wanted))):
            found.refuse("OUTPUT", tier_name(result.key.tier), "WAIT_UNTIL", max(result.settling))
            break
    _check_link(found)
    if inp.env["outputs"]:
        found.note("MIN_OVER_OUTPUTS")


def _enough(found, results, keys, wanted):
    """Whether what is usable is enough for the request."""
    inp = found.inp
    asked = inp.request["kid"]
    if asked:
        for result in results:
            if result.key.kid.hex() == asked:
                if result.usable and not within(result.key.tier, wanted):
                    found.refuse("KEY_NOT_GRANTED", "TIER")
                    return True
                return result.usable
        found.refuse("KEY_NOT_GRANTED", "KID")
        return False
    if any(_counts(inp, k, wanted) for k in keys):
        return True
    if not any(_counts(inp, k, wanted) for k in inp.lic.keys):
        found.refuse("KEY_NOT_GRANTED", "TIER", "CONTACT")
    return False


def _counts(inp, key, wanted):
    """Whether this key, were it usable, would be enough for a request without a KID."""
    if not within(key.tier, wanted):
        return False
    if wanted >= CUSTOM:
        return key.tier == wanted
    return key.picture or wanted == AUDIO or not any(k.picture for k in inp.lic.keys)


def _check_link(found):
    inp, code = found.inp, found.inp.lic.code
    if not any(o["class"] == "LINK" for o in [inp.request["output"]] + inp.env["outputs"]):
        return
    if "clearkey" not in code.systems:
        found.refuse("OUTPUT", "EXPORT", "CONNECT_DISPLAY")
    if any(u.unknown_items() for u in code.all(EXPORT)):
        found.refuse("UNKNOWN_CRITICAL", "unit 0x40", "CONTACT")

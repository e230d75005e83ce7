"""License, key references, key bundle (docs/spec/license.md)."""

import hashlib

import lares_permission
import lares_policy
from lares_cbor import Malformed, decode as decode_cbor, decode_sign1, encode
from lares_permission import MAX_TIME

MAX_LICENSE = 8192
YEAR_MS = 365 * 86400000
NEVER = MAX_TIME - 1
DOMAIN, DEVICE, USER = 1, 2, 3
COPY, LOAN, ALLOWANCE, EXPORT, REBIND = 1, 2, 3, 4, 5
OWN = b"urn:lares:own:"
AUDIO, SD, HD, UHD, CUSTOM = 1, 2, 3, 4, 64
TIER_NAMES = {AUDIO: "AUDIO", SD: "SD", HD: "HD", UHD: "UHD"}
TIER_PIXELS = {SD: 442368, HD: 2073600}


def tier_name(tier):
    return TIER_NAMES.get(tier) or ("CUSTOM_%d" % tier if tier else "")


class KeyRef:
    def __init__(self, kid, tier, check, bps, outputs):
        self.kid, self.tier, self.check, self.bps, self.outputs = kid, tier, check, bps, outputs
        self.rules = lares_policy.output_rules(outputs)

    @property
    def picture(self):
        return self.tier in (SD, HD, UHD)


class License:
    """LicenseInfo, decoded and checked; `hash` when it came in its COSE_Sign1."""

    hash = None
    raw = None

    def charge(self):
        return self.code.classification("CHARGE")

    def live(self):
        return self.code.classification("USAGE_CLASS") == "LIVE"

    def loan(self):
        """CHARGE=LOAN or Parent.kind 2 (evaluation.md, E1)."""
        return self.charge() == "LOAN" or (self.parent is not None and self.parent["kind"] == LOAN)


def _need(condition, what):
    if not condition:
        raise Malformed("license: " + what)


def _bytes(value, low, high, name):
    _need(type(value) is bytes and low <= len(value) <= high, "%s is not %d to %d bytes" % (name, low, high))
    return value


def _uint(value, name, low=0, high=MAX_TIME - 1):
    _need(type(value) is int and low <= value <= high, "%s is not a number of %d to %d" % (name, low, high))
    return value


def _id(value, name):
    _bytes(value, 16, 16, name)
    _need(any(value), "%s is zero" % name)
    return value


def _list(value, low, high, name):
    _need(type(value) is list and low <= len(value) <= high, "%s is not a list of %d to %d" % (name, low, high))
    return value


def decode_subject(value):
    """Subject: (kind, ID, generation)."""
    _list(value, 2, 3, "subject")
    kind = value[0]
    _need(type(kind) is int and kind in (DOMAIN, DEVICE, USER), "subject: unknown kind")
    _need(len(value) == (3 if kind == DOMAIN else 2), "subject: wrong number of parts")
    generation = _uint(value[2], "subject: generation") if kind == DOMAIN else 0
    return kind, _bytes(value[1], 16, 16, "subject"), generation


def decode_keyref(value):
    _list(value, 3, 5, "key")
    kid = _id(value[0], "key: kid")
    tier = _uint(value[1], "key: tier")
    _need(tier in TIER_NAMES or tier >= CUSTOM, "key: tier %d is not known" % tier)
    check = _bytes(value[2], 16, 16, "key: check")
    bps = _uint(value[3], "key: bps") if len(value) > 3 else 0
    outputs = _bytes(value[4], 1, MAX_LICENSE, "key: outputs") if len(value) > 4 else None
    _need(len(value) != 4 or bps > 0, "key: bps 0 is written and is the default")
    return KeyRef(kid, tier, check, bps, outputs)


def decode_parent(value):
    _list(value, 5, 5, "parent")
    parent = {"hash": _bytes(value[0], 32, 32, "parent: hash"), "generation": _uint(value[1], "parent: copy generation"),
              "kind": _uint(value[2], "parent: kind", COPY, REBIND), "index": _uint(value[3], "parent: index"),
              "of": _uint(value[4], "parent: of")}
    _need(parent["of"] == 0 or parent["index"] < parent["of"], "parent: index is not below of")
    return parent


def decode_sunset(value):
    _list(value, 3, 4, "sunset")
    sunset = {"mode": _uint(value[0], "sunset: mode", 1, 2),
              "silence_ms": _uint(value[1], "sunset: silence_ms", YEAR_MS),
              "notice_key": _bytes(value[2], 1, MAX_LICENSE, "sunset: notice_key")}
    if len(value) > 3:
        sunset["free_after"] = _uint(value[3], "sunset: free_after", 1)
    return sunset


def decode_info(data):
    """LicenseInfo, everything checked that does not need another license."""
    fields = decode_cbor(data)
    _need(type(fields) is dict, "LicenseInfo is not a map")
    _need(all(type(k) is int for k in fields), "LicenseInfo has a key that is no number")
    needed = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15}
    _need(needed <= set(fields), "LicenseInfo lacks a field")
    _need(set(fields) <= needed | {10, 12, 13, 14, 16}, "LicenseInfo has an unknown field")
    _need(type(fields[1]) is int and fields[1] == 1, "the format is not 1")
    lic = License()
    lic.info = bytes(data)
    lic.id = _id(fields[2], "license ID")
    lic.issuer = _bytes(fields[3], 1, 64, "issuer ID")
    lic.issued_at = _uint(fields[4], "issued at")
    lic.content = _bytes(fields[5], 1, 64, "content ID")
    lic.subject_kind, lic.subject, lic.generation = decode_subject(fields[6])
    lic.code_raw = _bytes(fields[7], 1, lares_permission.MAX_CODE, "permission code")
    lic.code = lares_permission.decode(lic.code_raw)
    lic.policy = lares_policy.decode(fields[8])
    lic.keys = [decode_keyref(k) for k in _list(fields[9], 1, 32, "keys")]
    _need(len({k.kid for k in lic.keys}) == len(lic.keys), "a KID stands twice")
    lic.parent = decode_parent(fields[10]) if 10 in fields else None
    lic.rev_min_epoch = _uint(fields[11], "rev_min_epoch")
    lic.rev_max_age = _uint(fields[12], "rev_max_age", 1) if 12 in fields else 0
    lic.sunset = decode_sunset(fields[13]) if 13 in fields else None
    lic.status_url = fields.get(14)
    if 14 in fields:
        _need(type(lic.status_url) is str and 1 <= len(lic.status_url.encode()) <= 256, "status URL is not 1 to 256 bytes")
    lic.version = _uint(fields[15], "version", 1)
    lic.continues = None
    if 16 in fields:
        pair = _list(fields[16], 2, 2, "field 16")
        lic.continues = (_bytes(pair[0], 1, 64, "field 16: issuer ID"), _id(pair[1], "field 16: license ID"))
    _need(encode(fields) == lic.info, "is not byte-equal to its re-encoding")
    check_not_written(lic)
    return lic


def usage_units(lic, tags=(lares_permission.PLAY, lares_permission.RENDER, lares_permission.EXECUTE)):
    return [u for u in lic.code.units if u.tag in tags]


def _check_windows(lic):
    """The first entry: an empty window on the day of issue."""
    storage = lic.policy.get("storage_duration")
    ends = {"HARD_END": lic.policy.get("hard_end"),
            "STORAGE_DURATION": lic.issued_at + storage if storage is not None else None}
    _need(ends["HARD_END"] is None or ends["HARD_END"] > lic.issued_at, "hard_end is at or before issued_at")
    for unit in usage_units(lic):
        end = unit.value("END_TIME")
        _need(end is None or end > lic.issued_at, "END_TIME is at or before issued_at")
        start = unit.value("START_TIME")
        for name, value in list(ends.items()) + [("END_TIME", end)]:
            _need(start is None or value is None or value > start, "%s is at or before START_TIME" % name)


def _check_units(lic):
    for tag in (lares_permission.PLAY, lares_permission.RENDER, lares_permission.EXECUTE):
        units = lic.code.all(tag)
        _need(sum(u.stateful for u in units) <= 1, "two usage units of one kind are stateful")
        parts = [u.value("PART") for u in units if u.value("PART") is not None]
        _need(len(set(parts)) == len(parts), "two usage units of one kind name the same PART")
        _need("duration_ms" in lic.policy or not any(u.plays for u in units), "PLAY_COUNT without duration_ms")


def timed(lic, unit):
    """evaluation.md, E1: timed for a unit."""
    return bool(unit and (unit.value("START_TIME") or unit.value("END_TIME") or unit.interval)
                or "storage_duration" in lic.policy or "hard_end" in lic.policy)


def _check_backup(lic):
    """backup HOUSEHOLD for what is counted, timed, lent or of a min_level above 1."""
    if lic.policy.get("backup") != 3 or (lic.subject_kind == DOMAIN and lic.issuer == lic.subject):
        return
    units = usage_units(lic)
    held = (any(u.counted for u in units) or any(timed(lic, u) for u in units or [None]) or lic.loan()
            or lic.policy.get("min_level", 0) > 1)
    _need(not held, "backup HOUSEHOLD for what is counted, timed, lent or of a min_level above 1")


def _check_actor(lic):
    actor = lic.code.one(lares_permission.ACTOR)
    _need(actor.value("CONTENT", lic.content) == lic.content, "actor: CONTENT is not field 5")
    _need(actor.value("ISSUER", lic.issuer) == lic.issuer, "actor: ISSUER is not field 3")
    subject = (lic.subject_kind, lic.subject)
    _need(actor.value("RECEIVER", subject) == subject, "actor: RECEIVER is not field 6")


def check_not_written(lic):
    """license.md, "Not written by any issuer"."""
    _check_windows(lic)
    _check_units(lic)
    denied = set(lic.policy.inner("region", "deny", []))
    permitted = set(lic.code.classification("TERRITORY") or []) | set(lic.policy.inner("region", "areas", []))
    _need(not denied & permitted, "a code is permitted and denied")
    _need(lic.policy.get("stale") != 2 or lic.charge() not in ("PURCHASE", "LOAN", "GIFT"), "stale DENY for a " + str(lic.charge()))
    _check_backup(lic)
    _check_actor(lic)
    if lic.parent is not None:
        if lic.parent["kind"] in (LOAN, ALLOWANCE):
            lent_own = lic.parent["kind"] == LOAN and lic.content.startswith(OWN) and set(lic.code.systems) <= {"clearkey"}
            for action in ("COPY", "MOVE", "TRANSFER", "LEND", "EXPORT"):
                _need(not lic.code.grants(action) or action == "EXPORT" and lent_own, "%s in a loan or allowance" % action)
        _need(lic.sunset is None, "Sunset in a derived license")
        _need(lic.continues is None, "field 16 in a derived license")
    _need(lic.continues != (lic.issuer, lic.id), "field 16 names the license itself")


def decode(data):
    """A signed license."""
    _need(len(data) <= MAX_LICENSE, "above 8,192 bytes")
    signed = decode_sign1(data, "license")
    lic = decode_info(signed.payload)
    lic.raw, lic.hash, lic.x5t = bytes(data), signed.structure_hash, signed.x5t
    return lic


def key_check(kid, content, key):
    return hashlib.sha256(b"lares key check" + kid + content + key).digest()[:16]


def allowance_id(parent_hash, kind, index):
    text = b"lares child license" + parent_hash + kind.to_bytes(8, "big") + index.to_bytes(8, "big")
    return hashlib.sha256(text).digest()[:16]


def decode_bundle(data):
    """KeyBundle: (license hash, [(kid, key)])."""
    parts = _list(decode_cbor(data), 2, 2, "key bundle")
    digest = _bytes(parts[0], 32, 32, "key bundle: license hash")
    keys = []
    for entry in _list(parts[1], 1, 32, "key bundle: keys"):
        _list(entry, 2, 2, "key bundle: key")
        keys.append((_id(entry[0], "key bundle: kid"), _bytes(entry[1], 16, 16, "key bundle: key")))
    return digest, keys

"""Policy keys and output rules (docs/spec/license.md, Policy keys, Output rules)."""

import lares_areas
import lares_permission
from lares_cbor import Key, Malformed, decode as decode_cbor, depth_of, encode

MAX_TIME = 1 << 53

NAMES = {
    1: "duration_ms", 3: "storage_duration", 5: "on_first_use", 7: "hard_end", 9: "expiry_mode", 11: "finish_tail",
    13: "first_use_threshold", 15: "count_threshold", 17: "resume_window", 19: "slice_ms", 21: "clock_grace",
    23: "embargo_strict", 25: "min_anchor", 27: "output_evidence", 29: "min_level", 31: "stale",
    33: "accumulated_by", 35: "region", 37: "copy", 39: "transfer", 41: "lend", 43: "concurrency", 45: "report",
    47: "overlay", 49: "domain", 2: "renew", 4: "backup", 6: "arbiter",
}
# Names of the keys inside the maps of policy values.
INNER = {
    "region": {1: "deny", 2: "phase", 3: "unknown", 4: "roam_days", 5: "areas"},
    "copy": {1: "per_instance", 2: "no_child_move", 3: "child", 4: "dests", 5: "list", 6: "countersign", 7: "code"},
    "transfer": {1: "cooldown", 2: "countersign", 3: "region"},
    "lend": {1: "overlap", 2: "plays", 3: "dests", 4: "list", 5: "grants"},
    "concurrency": {1: "max", 2: "on_full", 3: "offline_counts"},
    "report": {1: "what", 2: "to", 3: "until"},
    "overlay": {1: "text", 2: "opacity", 3: "every_s"},
    "domain": {1: "devices", 2: "new_a_year"},
    "renew": {1: "after", 2: "retry", 3: "recovery", 4: "even_if_expired"},
}
NEEDED = {"concurrency": {"max"}, "report": {"what", "to"}, "overlay": {"text"}, "domain": {"devices"}}
DEST_DOMAIN, DEST_ANY, DEST_LIST = 1, 2, 3
MAX_BYTES, MAX_NESTING, MAX_UNKNOWN = 2048, 4, 32


def _number(low, high):
    """A check of an integer between low and high, both allowed."""
    def check(value, name):
        if type(value) is not int or not low <= value <= high:
            raise Malformed("license: %s is not a number of %d to %d" % (name, low, high))
        return value
    return check


_time = _number(1, MAX_TIME - 1)
_time0 = _number(0, MAX_TIME - 1)


def _true(value, name):
    if value is not True:
        raise Malformed("license: %s is not true" % name)
    return value


def _id(value, name):
    if type(value) is not bytes or len(value) != 16:
        raise Malformed("license: %s is not an ID of 16 bytes" % name)
    return value


def _array(value, name, least, most):
    if type(value) is not list or not least <= len(value) <= most:
        raise Malformed("license: %s is not a list of %d to %d" % (name, least, most))
    return value


def _sorted(value, name):
    if any(a >= b for a, b in zip(value, value[1:])):
        raise Malformed("license: %s is not sorted" % name)
    return value


def _ids(value, name):
    return _sorted([_id(x, name) for x in _array(value, name, 1, 32)], name)


def _grants(value, name):
    return _sorted([_number(1, 2)(x, name) for x in _array(value, name, 1, 2)], name)


def _areas(value, name):
    """alpha-2 countries and M49 areas (regions.md, Codes)."""
    for code in _array(value, name, 1, 64):
        if type(code) is not str or not lares_areas.known(code):
            raise Malformed("license: %s has %r, neither a country nor an area" % (name, code))
    return _sorted(value, name)


def _to(value, name):
    if type(value) is not str or not 1 <= len(value.encode()) <= 64:
        raise Malformed("license: %s is not a text of 1 to 64 bytes" % name)
    return value


def _code(value, name):
    if type(value) is not bytes:
        raise Malformed("license: %s is not bytes" % name)
    lares_permission.decode(value)
    return value


_INNER_CHECKS = {
    "region": {1: _areas, 2: _number(1, 3), 3: _number(1, 2), 4: _number(0, 90), 5: _areas},
    "copy": {1: _true, 2: _true, 3: _number(1, 3), 4: _number(1, 3), 5: _ids, 6: _number(1, 3), 7: _code},
    "transfer": {1: _time, 2: _number(1, 3), 3: _true},
    "lend": {1: _true, 2: _number(1, (1 << 32) - 1), 3: _number(1, 3), 4: _ids, 5: _grants},
    "concurrency": {1: _number(1, 65536), 2: _number(1, 3), 3: _true},
    "report": {1: _number(1, 2), 2: _to, 3: _time},
    "overlay": {1: _number(1, 2), 2: _number(1, 100), 3: _number(1, 3600)},
    "domain": {1: _number(1, 65536), 2: _number(1, 65536)},
    "renew": {1: _time, 2: _time, 3: _time, 4: _true},
}


def _map(name):
    def check(value, _):
        if type(value) is not dict:
            raise Malformed("license: %s is not a map" % name)
        named = {}
        for key, entry in value.items():
            if type(key) is not int or key not in INNER[name]:
                raise Malformed("license: %s has a key %r that has no name" % (name, key))
            inner = INNER[name][key]
            named[inner] = _INNER_CHECKS[name][key](entry, "%s.%s" % (name, inner))
        for inner in NEEDED.get(name, ()):
            if inner not in named:
                raise Malformed("license: %s has no %s" % (name, inner))
        if ("list" in named) != (named.get("dests") == DEST_LIST):
            raise Malformed("license: %s: a list stands with dests LIST and only with it" % name)
        if name == "copy" and ("code" in named) != (named.get("child") == 3):
            raise Malformed("license: copy: a code stands with child CUSTOM and only with it")
        return named
    return check


_CHECKS = {
    1: _time, 3: _time, 5: _number(1, 2), 7: _time, 9: _number(1, 2), 11: _time0, 13: _time0, 15: _time, 17: _time,
    19: _number(1000, 60000), 21: _time0, 23: _true, 25: _number(0, 2), 27: _number(1, 2), 29: _number(1, 3),
    31: _number(1, 2), 33: _number(1, 2), 35: _map("region"), 37: _map("copy"), 39: _map("transfer"),
    41: _map("lend"), 43: _map("concurrency"), 45: _map("report"), 47: _map("overlay"),
    49: _map("domain"), 2: _map("renew"),
    4: _number(1, 3), 6: _id,
}


def _has_null(item):
    """`any` is an integer, bstr, tstr, bool, array or map (license.md)."""
    if type(item) is dict:
        return any(k == b"\xf6" and type(k) is Key or _has_null(v) for k, v in item.items())
    return item is None or type(item) is list and any(map(_has_null, item))


class Policy:
    """Field 8: known keys by name, and the numbers of the unknown ones."""

    def __init__(self, values, unknown):
        self.values, self.unknown = values, unknown

    def get(self, name, default=None):
        return self.values.get(name, default)

    def inner(self, name, key, default=None):
        """A value of an inner map; the default, too, when the whole map is absent."""
        return self.values.get(name, {}).get(key, default)

    def __contains__(self, name):
        return name in self.values


def decode(value):
    if type(value) is not dict or any(type(k) is not int or k < 0 for k in value):
        raise Malformed("license: policy is not a map of unsigned keys")
    if len(encode(value)) > MAX_BYTES:
        raise Malformed("license: policy is above 2,048 bytes")
    if depth_of(value) > MAX_NESTING:
        raise Malformed("license: policy nests deeper than 4")
    if _has_null(value):
        raise Malformed("license: policy has a null")
    named, unknown = {}, []
    for key, entry in value.items():
        if key in _CHECKS:
            named[NAMES[key]] = _CHECKS[key](entry, NAMES[key])
        else:
            unknown.append(key)
    if len(unknown) > MAX_UNKNOWN:
        raise Malformed("license: more than 32 unknown policy keys")
    return Policy(named, unknown)


# Output rules: key -> (name, allowed values or None, default).
OUTPUT_RULES = {
    1: ("digital", range(1, 5), 0), 2: ("analog", range(1, 4), 0), 3: ("wireless", (1, 4), 0),
    4: ("unknown", (0, 1), 5), 5: ("on_violation", (1, 2), 0), 6: ("constrain_pixels", None, 520000),
    7: ("min_trem_level", range(1, 4), 0), 8: ("max_pixels", None, 0), 9: ("max_fps", None, 0), 10: ("settle", None, 3000),
}


def output_rules(raw):
    """Rules by name with defaults filled in, or None when the key is unusable: something is not known."""
    rules = {name: default for name, _, default in OUTPUT_RULES.values()}
    if raw is None:
        return rules
    try:
        value = decode_cbor(raw)
    except Malformed:
        return None
    if type(value) is not dict or not value:
        return None
    for key, entry in value.items():
        if type(key) is not int or key not in OUTPUT_RULES or type(entry) is not int:
            return None
        name, allowed, default = OUTPUT_RULES[key]
        if entry == default or (allowed is not None and entry not in allowed) or not 0 <= entry < MAX_TIME:
            return None
        rules[name] = entry
    return rules

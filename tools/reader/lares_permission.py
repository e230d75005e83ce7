"""The permission code: bytes to units and back (docs/spec/permission.md, Layout, Units and items)."""

from lares_cbor import Malformed

MAX_TIME = 1 << 53

# Names of actions and their numbers (state.md, field 5).
ACTIONS = ["PLAY", "RENDER", "COPY", "MOVE", "TRANSFER", "LEND", "EXPORT"]
PERMISSION = {name: i + 1 for i, name in enumerate(ACTIONS)}

VERSION, ACTOR, CLASSIFICATION = 0x00, 0x01, 0x02
PLAY, RENDER, EXECUTE, LEND, MANAGEMENT, EXPORT = 0x10, 0x11, 0x12, 0x20, 0x30, 0x40

UNIT_NAMES = {
    VERSION: "VERSION", ACTOR: "ACTOR", CLASSIFICATION: "CLASSIFICATION", PLAY: "PLAY", RENDER: "RENDER",
    EXECUTE: "EXECUTE", LEND: "LEND", MANAGEMENT: "MANAGEMENT", EXPORT: "DATA_EXPORT",
}


def _names(text):
    return {i + 1: name for i, name in enumerate(text.split())}


# What a value is: "enum", "number", "time", "duration", "id", "receiver", "text", "countries", "bytes", "system".
_USAGE = {
    0x01: ("START_TIME", "time", None),
    0x02: ("END_TIME", "time", None),
    0x03: ("INTERVAL", "duration", None),
    0x04: ("PLAY_COUNT", "number", 1 << 32),
    0x05: ("RESOLUTION", "pixels", 1 << 32),
    0x06: ("OUTPUT_PROTECTION", "enum", _names("HDCP_1 HDCP_2_2 HDCP_2_2_T1 HDCP_2_3")),
    0x07: ("ACCUMULATED", "duration", None),
    0x08: ("PART", "bytes", None),
}
ITEMS = {
    ACTOR: {
        0x01: ("CONTENT", "id", None),
        0x02: ("ISSUER", "id", None),
        0x03: ("RECEIVER", "receiver", None),
    },
    CLASSIFICATION: {
        0x01: ("DISCLOSURE", "enum", _names("PUBLIC HOUSEHOLD PRIVATE")),
        0x02: ("PURPOSE", "enum", _names("PERSONAL EDUCATION PERFORMANCE REVIEW PREVIEW")),
        0x03: ("CHARGE", "enum", _names("PURCHASE RENTAL SUBSCRIPTION LOAN FREE ADVERTISING POINTS GIFT")),
        0x04: ("BILLING", "enum", _names("ONCE PER_USE PERIODIC")),
        0x05: ("APPLICATION", "enum", _names("VIDEO MUSIC BOOK GAME RINGTONE DATA")),
        0x06: ("SPONSOR", "text", None),
        0x07: ("TERRITORY", "countries", None),
        0x08: ("USAGE_CLASS", "enum", _names("FINITE LIVE")),
    },
    PLAY: _USAGE, RENDER: _USAGE, EXECUTE: _USAGE,
    LEND: {
        0x01: ("LEND_TIME", "duration", None),
        0x02: ("LEND_COUNT", "number", 1 << 32),
    },
    MANAGEMENT: {
        0x01: ("COPY", "enum", _names("FREE COUNTED ONCE NO_MORE NEVER")),
        0x02: ("COPY_COUNT", "number", 1 << 32),
        0x03: ("MAX_GENERATION", "number", 256),
        0x04: ("MOVE", "enum", _names("DOMAIN ANY")),
        0x05: ("TRANSFER", "number", 1 << 32),
        0x06: ("TRANSCODE", "enum", _names("DENY LOWER FREE")),
        0x07: ("ENCRYPTION", "enum", _names("KEEP RELEASE")),
        0x08: ("TIMELINE", "enum", _names("NO_SKIP FREE")),
    },
    EXPORT: {0x01: ("EXPORT", "system", None)},
}
RECEIVERS = {1: "domain", 2: "device", 3: "user"}
SYSTEM_CHARACTERS = set(b"abcdefghijklmnopqrstuvwxyz0123456789.-")
MAX_CODE, MAX_UNITS, MAX_ITEMS = 1024, 32, 64


class Unit:
    """One unit: its tag, and its items as (tag, raw bytes, value); an unknown unit has `raw` only."""

    def __init__(self, tag, items=None, raw=None):
        self.tag, self.items, self.raw = tag, items if items is not None else [], raw

    @property
    def known(self):
        return self.tag in UNIT_NAMES

    def value(self, name, default=None):
        """The value of the item called name."""
        for tag, _, value in self.items:
            if ITEMS.get(self.tag, {}).get(tag, ("",))[0] == name:
                return value
        return default

    def values(self, name):
        return [v for t, _, v in self.items if ITEMS.get(self.tag, {}).get(t, ("",))[0] == name]

    def unknown_items(self):
        """Tags of items that the registry does not have."""
        return [tag for tag, _, _ in self.items if tag not in ITEMS[self.tag]]

    @property
    def interval(self):
        return self.value("INTERVAL")

    @property
    def stateful(self):
        """Counted or with INTERVAL (evaluation.md, Notation)."""
        return bool(self.counted or self.interval)

    @property
    def plays(self):
        return self.value("PLAY_COUNT", 0)

    @property
    def accumulated(self):
        return self.value("ACCUMULATED", 0)

    @property
    def counted(self):
        """With PLAY_COUNT or ACCUMULATED (evaluation.md, Notation)."""
        return bool(self.plays or self.accumulated)


class Code:
    """A permission code."""

    def __init__(self, units):
        self.units = units

    def all(self, tag):
        return [u for u in self.units if u.tag == tag]

    def one(self, tag):
        """The only unit with that tag, or an empty one."""
        found = self.all(tag)
        return found[0] if found else Unit(tag)

    def classification(self, name, default=None):
        """A named value of the classification: "RENTAL", "LIVE"; others as they are."""
        value = self.one(CLASSIFICATION).value(name, default)
        for entry in ITEMS[CLASSIFICATION].values():
            if entry[0] == name and entry[1] == "enum":
                return entry[2].get(value, value)
        return value

    @property
    def systems(self):
        return [s for u in self.all(EXPORT) for s in u.values("EXPORT")]

    def copy_mode(self):
        value = self.one(MANAGEMENT).value("COPY")
        return ITEMS[MANAGEMENT][1][2].get(value)

    def grants(self, action):
        """permission.md, last paragraph of Units and items."""
        management = self.one(MANAGEMENT)
        return {
            "PLAY": lambda: bool(self.all(PLAY)),
            "RENDER": lambda: bool(self.all(RENDER)),
            "COPY": lambda: self.copy_mode() in ("FREE", "COUNTED", "ONCE"),
            "MOVE": lambda: management.value("MOVE") is not None,
            "TRANSFER": lambda: management.value("TRANSFER") is not None,
            "LEND": lambda: bool(self.all(LEND)),
            "EXPORT": lambda: bool(self.systems),
        }[action]()


def decode_length(data, pos):
    """A length in its only form (Layout): (length, position behind)."""
    if pos >= len(data):
        raise Malformed("permission code: ends early")
    first = data[pos]
    if first < 0x80:
        return first, pos + 1
    size = {0x81: 1, 0x82: 2}.get(first)
    if size is None or pos + 1 + size > len(data):
        raise Malformed("permission code: bad length")
    value = int.from_bytes(data[pos + 1:pos + 1 + size], "big")
    if value < (0x80 if size == 1 else 0x100):
        raise Malformed("permission code: a length is not in its shortest form")
    return value, pos + 1 + size


def encode_length(value):
    if value < 0x80:
        return bytes([value])
    if value < 0x100:
        return bytes([0x81, value])
    return bytes([0x82]) + value.to_bytes(2, "big")


def tlv(data):
    """Split into (tag, value) pairs."""
    pos, found = 0, []
    while pos < len(data):
        tag = data[pos]
        size, pos = decode_length(data, pos + 1)
        if pos + size > len(data):
            raise Malformed("permission code: a value is longer than its place")
        found.append((tag, bytes(data[pos:pos + size])))
        pos += size
    return found


def decode_number(raw, name, limit=None):
    if not 1 <= len(raw) <= 8 or raw[0] == 0:
        raise Malformed("permission code: %s is no number of 1 to 8 bytes without leading zeros" % name)
    value = int.from_bytes(raw, "big")
    if limit is not None and value >= limit:
        raise Malformed("permission code: %s is too great" % name)
    return value


def decode_text(raw, name):
    try:
        text = raw.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Malformed("permission code: %s is not UTF-8" % name) from None
    if text != text.strip() or any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in ";\ufffd" for c in text):
        raise Malformed("permission code: %s has white space at its ends, or a character that it may not have" % name)
    return text


def decode_countries(raw, name):
    if len(raw) % 2:
        raise Malformed("permission code: %s is not codes of two bytes" % name)
    codes = [raw[i:i + 2] for i in range(0, len(raw), 2)]
    if any(not (0x41 <= c <= 0x5A) for c in raw) or any(a >= b for a, b in zip(codes, codes[1:])):
        raise Malformed("permission code: %s is not sorted alpha-2 codes" % name)
    return [c.decode() for c in codes]


def decode_value(entry, raw):
    """The value of a known item, checked."""
    name, kind, more = entry
    if not raw:
        raise Malformed("permission code: %s is empty" % name)
    if kind == "enum":
        return decode_number(raw, name, 256)
    if kind in ("number", "pixels"):
        return decode_number(raw, name, more)
    if kind in ("time", "duration"):
        return decode_number(raw, name, MAX_TIME)
    if kind == "countries":
        return decode_countries(raw, name)
    if kind == "text":
        return decode_text(raw, name)
    if kind == "receiver":
        if len(raw) != 17 or raw[0] not in RECEIVERS:
            raise Malformed("permission code: RECEIVER is not a kind and 16 bytes")
        return raw[0], raw[1:]
    if kind == "id" and len(raw) > 64:
        raise Malformed("permission code: %s is above 64 bytes" % name)
    if kind == "system":
        if len(raw) > 32 or not set(raw) <= SYSTEM_CHARACTERS:
            raise Malformed("permission code: EXPORT is not a name of a system")
        return raw.decode()
    return raw


def decode_unit(tag, raw):
    if tag == VERSION:
        if raw != b"\x01":
            raise Malformed("permission code: the version is not 1")
        return Unit(tag, raw=raw)
    if tag not in UNIT_NAMES:
        return Unit(tag, raw=raw)
    pairs = tlv(raw)
    if len(pairs) > MAX_ITEMS:
        raise Malformed("permission code: more than 64 items in a unit")
    items, before = [], None
    for item_tag, value in pairs:
        entry = ITEMS[tag].get(item_tag)
        if before is not None:
            repeats = before[0] == item_tag and (entry is None or (entry[1] == "system" and before[1] < value))
            if before[0] >= item_tag and not repeats:
                raise Malformed("permission code: items of unit 0x%02x are not in order, or stand twice" % tag)
        before = (item_tag, value)
        items.append((item_tag, value, decode_value(entry, value) if entry else value))
    unit = Unit(tag, items)
    check_unit(unit)
    return unit


def check_unit(unit):
    """What only the whole unit shows (Layout: named values, window; COPY_COUNT)."""
    for tag, _, value in unit.items:
        entry = ITEMS[unit.tag].get(tag)
        if unit.tag != CLASSIFICATION and entry and entry[1] == "enum" and value not in entry[2]:
            raise Malformed("permission code: %s has the value %d, which has no name" % (entry[0], value))
    start, end = unit.value("START_TIME"), unit.value("END_TIME")
    if start is not None and end is not None and end <= start:
        raise Malformed("permission code: END_TIME is not after START_TIME")
    if unit.tag == MANAGEMENT and (unit.value("COPY") == 2) != (unit.value("COPY_COUNT") is not None):
        raise Malformed("permission code: COPY_COUNT stands with COPY = COUNTED and only with it")


def decode(data):
    """Bytes to Code; refuses what the page says is refused."""
    if len(data) > MAX_CODE:
        raise Malformed("permission code: above 1,024 bytes")
    if not data or data[0] != 1:
        raise Malformed("permission code: the profile is not 1")
    pairs = tlv(data[1:])
    if not pairs or pairs[0][0] != VERSION:
        raise Malformed("permission code: the version unit is not the first")
    if len(pairs) > MAX_UNITS:
        raise Malformed("permission code: more than 32 units")
    for (before, _), (tag, _) in zip(pairs, pairs[1:]):
        repeats = 0x10 <= tag <= 0x2F or tag not in UNIT_NAMES
        if before > tag or (before == tag and not repeats):
            raise Malformed("permission code: units are not in order, or unit 0x%02x stands twice" % tag)
    code = Code([decode_unit(tag, raw) for tag, raw in pairs])
    if encode(code) != data:
        raise Malformed("permission code: does not encode again to the same bytes")
    return code


def encode_value(entry, value):
    kind = entry[1]
    if kind in ("enum", "number", "pixels", "time", "duration"):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    if kind == "countries":
        return "".join(value).encode()
    if kind in ("text", "system"):
        return value.encode("utf-8")
    if kind == "receiver":
        return bytes([value[0]]) + value[1]
    return value


def encode(code):
    """Code to bytes, from the values and not from the raw bytes."""
    parts = [b"\x01"]
    for unit in code.units:
        body = unit.raw
        if body is None:
            body = b""
            for tag, raw, value in unit.items:
                entry = ITEMS[unit.tag].get(tag)
                raw = encode_value(entry, value) if entry else raw
                body += bytes([tag]) + encode_length(len(raw)) + raw
        parts.append(bytes([unit.tag]) + encode_length(len(body)) + body)
    return b"".join(parts)

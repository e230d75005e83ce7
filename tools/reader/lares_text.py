"""The text form of a permission code (docs/spec/permission.md, Text form)."""

import datetime

from lares_permission import ACTOR, CLASSIFICATION, EXECUTE, EXPORT, ITEMS, LEND, PLAY, RECEIVERS, RENDER, UNIT_NAMES, VERSION

_EPOCH = datetime.datetime(1970, 1, 1)
BEGINS_A_UNIT = (PLAY, RENDER, EXECUTE, LEND)


def time_text(ms):
    """RFC 3339 with at most milliseconds, or `@` and Unix ms behind year 9999."""
    try:
        moment = _EPOCH + datetime.timedelta(milliseconds=ms)
    except OverflowError:
        return "@%d" % ms
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    text = text.zfill(len("2026-01-01T00:00:00"))
    return text + (".%03d" % (ms % 1000) if ms % 1000 else "") + "Z"


def duration_text(ms):
    """The greatest unit that divides it; days only from three on, so that 48h stays 48h."""
    for size, unit in ((86400000, "d"), (3600000, "h"), (60000, "m"), (1000, "s")):
        if ms % size == 0 and (unit != "d" or ms // size > 2):
            return "%d%s" % (ms // size, unit)
    return "%dms" % ms


def id_text(raw):
    """As text when it is plain and cannot be taken for anything else, otherwise 0x and hexadecimal."""
    plain = all(0x21 <= c <= 0x7E and c not in b";,=" for c in raw)
    return raw.decode() if plain and not raw.startswith(b"0x") else "0x" + raw.hex()


def value_text(entry, value):
    name, kind, more = entry
    if kind == "enum":
        return "=" + more.get(value, str(value))
    if kind == "time":
        return "=" + time_text(value)
    if kind == "duration":
        return "=" + duration_text(value)
    if kind == "pixels":
        return "<=%d" % value
    if kind == "countries":
        return "=" + ",".join(value)
    if kind == "receiver":
        return "=%s:%s" % (RECEIVERS[value[0]], value[1].hex())
    if kind == "id":
        return "=" + id_text(value)
    if kind == "bytes":
        return "=" + value.hex()
    return "=" + str(value)


def unit_statements(unit):
    if unit.tag not in UNIT_NAMES:
        return ["X.%02X=%s" % (unit.tag, unit.raw.hex())]
    found = [UNIT_NAMES[unit.tag]] if unit.tag in BEGINS_A_UNIT else []
    systems = []
    for tag, raw, value in unit.items:
        entry = ITEMS[unit.tag].get(tag)
        if entry is None:
            found.append("X.%02X.%02X=%s" % (unit.tag, tag, raw.hex()))
        elif entry[1] == "system":
            systems.append(value)
        else:
            found.append(entry[0] + value_text(entry, value))
    found = (["EXPORT=" + ",".join(systems)] if systems else []) + found
    return found or ["EXPORT" if unit.tag == EXPORT else UNIT_NAMES[unit.tag]]


def text(code):
    """All statements: usage units first, then the others, classification and actor last, as in the example."""
    last = (CLASSIFICATION, ACTOR)
    units = [u for u in code.units if u.tag not in last and u.tag != VERSION]
    units += [u for tag in last for u in code.all(tag)]
    return "; ".join(s for u in units for s in unit_statements(u))

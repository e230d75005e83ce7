"""The durable state of a license instance (docs/spec/state.md)."""

from lares_cbor import Malformed, decode as decode_cbor, encode
from lares_permission import MAX_TIME

HELD, ESCROW, LENT_OUT, CLOSED = 0, 1, 2, 3
MAX_STATE = 1024


def _need(condition, what):
    if not condition:
        raise Malformed("state: " + what)


def _uint(value, name, low=1, high=MAX_TIME - 1):
    _need(type(value) is int and low <= value <= high, "%s is not a number of %d to %d" % (name, low, high))
    return value


def _true(value, name):
    _need(value is True, "%s is not true" % name)
    return True


def _bytes(value, size, name):
    _need(type(value) is bytes and len(value) == size, "%s is not %d bytes" % (name, size))
    return value


def _counts(value, name):
    _need(type(value) is dict and value, "%s is not a map with entries" % name)
    return {_uint(k, name, 1, 7): _uint(v, name) for k, v in value.items()}


def _fields(value, name, needed, optional=()):
    _need(type(value) is dict and all(type(k) is int for k in value), "%s is not a map" % name)
    _need(set(needed) <= set(value) <= set(needed) | set(optional), "%s has other fields" % name)
    return value


class OpenPlay:
    def __init__(self, number, rendered, charged, touched, seen=0):
        self.id, self.rendered, self.charged, self.touched, self.seen = number, rendered, charged, touched, seen


class State:
    """All fields of state.md; 0, None and empty are absent."""

    def __init__(self):
        self.ver = self.phase = self.first_use = self.last_use = 0
        self.consumed, self.given, self.reserved = {}, {}, {}
        self.acc_ms = self.uncharged_ms = self.pending_ms = 0
        self.open_play = self.slice = self.transfer = self.loan = None
        self.next_index = self.generation = self.lo_lic = 0
        self.home, self.sealed, self.days = "", False, []
        self.denied = self.last_transfer = self.given_ms = self.seen = 0
        self.consented = False

    def used(self, permission):
        """What is not left of a count: consumed, given and reserved."""
        return sum(m.get(permission, 0) for m in (self.consumed, self.given, self.reserved))

    def copy(self):
        return decode(encode_state(self))


_PLAIN = {3: "first_use", 4: "last_use", 6: "acc_ms", 7: "uncharged_ms", 13: "pending_ms", 14: "next_index",
          15: "generation", 16: "lo_lic", 19: "denied", 20: "last_transfer", 22: "given_ms", 23: "seen"}
_COUNTS = {5: "consumed", 12: "given", 17: "reserved"}


def _decode_region(state, value):
    _fields(value, "region", (), (1, 2, 3))
    _need(value, "region is empty")
    if 1 in value:
        _need(type(value[1]) is str and len(value[1]) == 2, "region: home is not a country")
        state.home = value[1]
    if 2 in value:
        state.sealed = _true(value[2], "region: sealed")
    if 3 in value:
        days = value[3]
        _need(type(days) is list and 1 <= len(days) <= 90, "region: days")
        state.days = [_uint(d, "region: day", 0) for d in days]
        _need(all(a < b for a, b in zip(days, days[1:])), "region: days are not ascending")


def _decode_transfer(value):
    _fields(value, "transfer", (1,), (2, 3))
    tid = value[1]
    _need(type(tid) is list and len(tid) == 4, "transfer: tid")
    for part, size in zip(tid, (16, 16, 8)):
        _bytes(part, size, "transfer: tid")
    _uint(tid[3], "transfer: tid", 0)
    return {"tid": tid, "hold_until": _uint(value[2], "hold_until") if 2 in value else 0,
            "unconfirmed": _true(value[3], "unconfirmed") if 3 in value else False}


def decode(data):
    """Bytes to State, and back to the same bytes."""
    _need(len(data) <= MAX_STATE, "above 1,024 bytes")
    fields = _fields(decode_cbor(data), "state", (1,), range(2, 24))
    state = State()
    state.ver = _uint(fields[1], "ver", 0)
    for key, name in _PLAIN.items():
        if key in fields:
            setattr(state, name, _uint(fields[key], name))
    for key, name in _COUNTS.items():
        if key in fields:
            setattr(state, name, _counts(fields[key], name))
    if 2 in fields:
        state.phase = _uint(fields[2], "phase", 1, 3)
    if 8 in fields:
        play = _fields(fields[8], "open play", (1, 2, 3, 4), (5,))
        _need(type(play[3]) is bool, "open play: charged")
        state.open_play = OpenPlay(_uint(play[1], "open play: id", 0), _uint(play[2], "open play: rendered", 0), play[3],
                                   _uint(play[4], "open play: touched", 0), _uint(play[5], "open play: seen") if 5 in play else 0)
    if 9 in fields:
        part = _fields(fields[9], "slice", (1, 2))
        state.slice = (_uint(part[1], "slice: until", 0), _uint(part[2], "slice: reserved", 0))
    if 10 in fields:
        state.transfer = _decode_transfer(fields[10])
    if 11 in fields:
        loan = _fields(fields[11], "loan", (1, 2, 3))
        state.loan = {"child": _bytes(loan[1], 16, "loan: child"), "seq": _uint(loan[2], "loan: seq", 0),
                      "until": _uint(loan[3], "loan: until", 0)}
    if 18 in fields:
        _decode_region(state, fields[18])
    if 21 in fields:
        state.consented = _true(fields[21], "consented")
    _need(encode_state(state) == bytes(data), "does not encode again to the same bytes")
    return state


def fields_of(state):
    """The map of state.md, without what is absent."""
    fields = {1: state.ver}
    if state.phase:
        fields[2] = state.phase
    for key, name in _PLAIN.items():
        if getattr(state, name):
            fields[key] = getattr(state, name)
    for key, name in _COUNTS.items():
        counts = {k: v for k, v in getattr(state, name).items() if v}
        if counts:
            fields[key] = counts
    play = state.open_play
    if play is not None:
        fields[8] = {1: play.id, 2: play.rendered, 3: play.charged, 4: play.touched}
        if play.seen:
            fields[8][5] = play.seen
    if state.slice is not None:
        fields[9] = {1: state.slice[0], 2: state.slice[1]}
    if state.transfer is not None:
        fields[10] = {1: state.transfer["tid"]}
        if state.transfer["hold_until"]:
            fields[10][2] = state.transfer["hold_until"]
        if state.transfer["unconfirmed"]:
            fields[10][3] = True
    if state.loan is not None:
        fields[11] = {1: state.loan["child"], 2: state.loan["seq"], 3: state.loan["until"]}
    region = {k: v for k, v in ((1, state.home), (2, state.sealed), (3, state.days)) if v}
    if region:
        fields[18] = region
    if state.consented:
        fields[21] = True
    return fields


def encode_state(state):
    return encode(fields_of(state))


ZERO = bytes.fromhex("a10100")

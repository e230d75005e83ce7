"""Deterministic CBOR and COSE_Sign1, strictly.

Source: RFC 8949 section 4.2.1 (core deterministic encoding), RFC 9052 section 4.2,
docs/spec/objects.md. Only the kinds of items that the pages use are read: integers,
byte and text strings, arrays, maps, true, false and null. Tags, floating point and
indefinite lengths are refused.
"""

import hashlib


class Malformed(Exception):
    """The bytes are not what the page says."""


class Key(bytes):
    """The encoding of a map key that is no integer or string (only inside `any`)."""

    __slots__ = ()


MAX_DEPTH = 16


def _head(data, pos):
    """Read one initial byte and its argument: (major, argument, position behind)."""
    if pos >= len(data):
        raise Malformed("CBOR: ends early")
    first = data[pos]
    major, info = first >> 5, first & 0x1F
    pos += 1
    if info < 24:
        return major, info, pos
    if info > 27:
        raise Malformed("CBOR: indefinite or reserved length")
    size = 1 << (info - 24)
    if pos + size > len(data):
        raise Malformed("CBOR: ends early")
    value = int.from_bytes(data[pos:pos + size], "big")
    if major != 7 and value < (24, 0x100, 0x10000, 0x100000000)[info - 24]:
        raise Malformed("CBOR: a number is not in its shortest form")
    if major == 7:
        raise Malformed("CBOR: floating point or unassigned simple value")
    return major, value, pos + size


def _item(data, pos, depth):
    major, value, pos = _head(data, pos)
    if major == 0:
        return value, pos
    if major == 1:
        return -1 - value, pos
    if major in (2, 3):
        end = pos + value
        if end > len(data):
            raise Malformed("CBOR: a string is longer than the data")
        raw = bytes(data[pos:end])
        if major == 2:
            return raw, end
        try:
            return raw.decode("utf-8", "strict"), end
        except UnicodeDecodeError:
            raise Malformed("CBOR: text is not UTF-8") from None
    if major in (4, 5) and depth <= 0:
        raise Malformed("CBOR: nested too deeply")
    if major == 4:
        items = []
        for _ in range(value):
            item, pos = _item(data, pos, depth - 1)
            items.append(item)
        return items, pos
    if major == 5:
        return _map(data, pos, value, depth)
    if major == 7 and value in (20, 21, 22):
        return {20: False, 21: True, 22: None}[value], pos
    raise Malformed("CBOR: a tag or an unassigned simple value")


def _map(data, pos, count, depth):
    items, before = {}, None
    for _ in range(count):
        start = pos
        key, pos = _item(data, pos, depth - 1)
        raw = bytes(data[start:pos])
        if before is not None and raw <= before:
            raise Malformed("CBOR: map keys are not sorted, or stand twice")
        before = raw
        if type(key) not in (int, bytes, str):
            key = Key(raw)
        items[key], pos = _item(data, pos, depth - 1)
    return items, pos


def decode(data, depth=MAX_DEPTH):
    """Decode exactly one item that fills data."""
    item, pos = _item(data, 0, depth)
    if pos != len(data):
        raise Malformed("CBOR: %d bytes behind the end" % (len(data) - pos))
    return item


def _encode_head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * size):
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise Malformed("CBOR: a number above 64 bits")


def encode(item):
    """Encode one item; decode(encode(x)) == x."""
    kind = type(item)
    if kind is bool:
        return b"\xf5" if item else b"\xf4"
    if item is None:
        return b"\xf6"
    if kind is int:
        return _encode_head(0, item) if item >= 0 else _encode_head(1, -1 - item)
    if kind is Key:
        return bytes(item)
    if kind is bytes:
        return _encode_head(2, len(item)) + item
    if kind is str:
        raw = item.encode("utf-8")
        return _encode_head(3, len(raw)) + raw
    if kind in (list, tuple):
        return _encode_head(4, len(item)) + b"".join(map(encode, item))
    if kind is dict:
        pairs = sorted((encode(k), encode(v)) for k, v in item.items())
        return _encode_head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError("cannot encode %r" % kind)


def depth_of(item):
    """How deeply arrays and maps nest; 0 for a plain value."""
    if type(item) is list:
        return 1 + max(map(depth_of, item), default=0)
    if type(item) is dict:
        return 1 + max((depth_of(x) for kv in item.items() for x in kv), default=0)
    return 0


class Sign1:
    """A signed object of objects.md, structure checked, signature not verified."""

    def __init__(self, kind, protected, payload, signature, x5t):
        self.kind, self.protected, self.payload = kind, protected, payload
        self.signature, self.x5t = signature, x5t

    @property
    def structure_hash(self):
        """SHA-256 of the COSE Sig_structure (RFC 9052 section 4.4)."""
        aad = ("lares/1/" + self.kind).encode()
        structure = ["Signature1", self.protected, aad, self.payload]
        return hashlib.sha256(encode(structure)).digest()


def decode_sign1(data, kind):
    """An untagged COSE_Sign1 of the object `kind` (objects.md)."""
    parts = decode(data)
    if type(parts) is not list or len(parts) != 4:
        raise Malformed("COSE_Sign1: not an array of four")
    protected, unprotected, payload, signature = parts
    if type(protected) is not bytes or type(payload) is not bytes:
        raise Malformed("COSE_Sign1: protected header and payload are byte strings")
    if unprotected != {} or type(unprotected) is not dict:
        raise Malformed("COSE_Sign1: the unprotected header is not empty")
    if type(signature) is not bytes or len(signature) != 64:
        raise Malformed("COSE_Sign1: the signature is not 64 bytes")
    header = decode(protected)
    if type(header) is not dict or set(header) != {1, 3, 34}:
        raise Malformed("COSE_Sign1: the protected header has other fields than alg, content type, x5t")
    if header[1] != -7:
        raise Malformed("COSE_Sign1: the algorithm is not ES256")
    if header[3] != "application/lares-%s+cbor" % kind:
        raise Malformed("COSE_Sign1: content type %r, not a %s" % (header[3], kind))
    x5t = header[34]
    if type(x5t) is not list or len(x5t) != 2 or x5t[0] != -15 or type(x5t[1]) is not bytes or len(x5t[1]) != 8:
        raise Malformed("COSE_Sign1: x5t is not [-15, 8 bytes]")
    return Sign1(kind, protected, payload, signature, x5t[1])

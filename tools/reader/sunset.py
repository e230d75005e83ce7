"""Whether a sunset has come: written from docs/spec/sunset.md alone.

python3 sunset.py license/testdata/sunset.json docs/spec/sunset.md    recompute every vector, and read the page's examples
"""

import hashlib
import json
import re
import sys

sys.dont_write_bytecode = True

import lares_cbor
import lares_p256
from lares_cbor import Malformed

DAY = 24 * 60 * 60 * 1000
NOTICE_DAYS = 30
ISSUER, CONTENT = b"shop.example", b"film-1"  # what the vectors are about


def public(scalar):
    """The 65 bytes of a key whose scalar is that byte, 32 times."""
    x, y = lares_p256.times(int.from_bytes(bytes([scalar]) * 32, "big"), lares_p256.G)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def opened(data, kind, key, certificate, most):
    """The payload of a signed object, if this key has signed it."""
    if len(data) > most:
        raise Malformed("%s: %d bytes" % (kind, len(data)))
    signed = lares_cbor.decode_sign1(data, kind)
    structure = ["Signature1", signed.protected, ("lares/1/" + kind).encode(), signed.payload]
    if signed.x5t != hashlib.sha256(certificate).digest()[:8]:
        raise Malformed("%s: x5t names another key" % kind)
    if not lares_p256.verify(lares_p256.PREFIX + key[1:], lares_cbor.encode(structure), signed.signature):
        raise Malformed("%s: the signature does not hold" % kind)
    return lares_cbor.decode(signed.payload)


def read_notice(data, key):
    """Issuer, contents and day of a notice."""
    fields = opened(data, "sunset", key, key, 4096)
    if set(fields) != {1, 2, 3} or type(fields[3]) is not int:
        raise Malformed("notice: its fields are not 1, 2 and 3")
    return fields[1], fields[2], fields[3]


def read_standing(data, signer):
    """The notice that stands, and since when."""
    fields = opened(data, "sunset-standing", signer, b"certificate", 4608)
    if set(fields) != {1, 2} or type(fields[1]) is not bytes or type(fields[2]) is not int:
        raise Malformed("standing: its fields are not 1 and 2")
    return fields[1], fields[2]


def announced(vector):
    """The day that a notice says which counts for the license, or None."""
    if not vector["standing"]:
        return None
    notice, since = read_standing(bytes.fromhex(vector["standing"]), public(1))
    issuer, contents, day = read_notice(notice, public(7))
    about = issuer.encode() if type(issuer) is str else issuer
    named = [c.encode() if type(c) is str else c for c in contents]
    if about != ISSUER or named and CONTENT not in named or day - since < NOTICE_DAYS * DAY:
        return None
    return day if vector["listed"] and vector["flag"] and vector["last_seen"] == since else None


def sunset(vector):
    """Section 2: the cause, and from when on it is known to come."""
    now = max(vector["time"], vector["head"])
    day = announced(vector)
    known = [t for t in (vector["free_after"], day) if t]
    start = min(known) if known else 0
    if vector["free_after"] and now >= vector["free_after"]:
        return "FREE_AFTER", start
    if day is not None and vector["head"] >= day:
        return "NOTICE", start
    if vector["listed"] and vector["head"] - vector["last_seen"] >= vector["silence_ms"]:
        return "SILENCE", start
    if now - vector["head"] >= 2 * vector["silence_ms"]:
        return "NO_STATE", start
    return "", start


def check_examples(path):
    """The page's worked example, each object by its key."""
    with open(path, encoding="utf-8") as source:
        page = source.read()
    blocks = {name: bytes.fromhex(body) for name, body in re.findall(r"^```hex (\S+)\n(.*?)^```", page, re.S | re.M)}
    assert blocks["key"] == public(7), "key: not that of the scalar"
    assert read_notice(blocks["notice"], blocks["key"])[2] == 1806451200000, "notice: another day"
    withdrawn = opened(blocks["withdrawal"], "sunset-withdrawal", blocks["key"], blocks["key"], 4096)
    assert withdrawn[2] == lares_cbor.decode_sign1(blocks["notice"], "sunset").structure_hash, "withdrawal: of another notice"
    assert read_standing(blocks["standing"], public(1)) == (blocks["notice"], 1803859200000), "standing: of another notice"


def main(vectors, page):
    passed, failed = 0, 0

    def run(name, work):
        nonlocal passed, failed
        try:
            work()
            passed += 1
        except (AssertionError, Malformed, KeyError) as why:
            failed += 1
            print("%s: %s" % (name, str(why)[:400] or repr(why)))

    def check(vector):
        got = sunset(vector)
        assert got == (vector["cause"], vector["from"]), "found %r" % (got,)

    with open(vectors, encoding="utf-8") as source:
        for vector in json.load(source)["vectors"]:
            run(vector["name"], lambda: check(vector))
    run(page, lambda: check_examples(page))
    print("%d passed, %d failed" % (passed, failed))
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1], sys.argv[2]) else 0)

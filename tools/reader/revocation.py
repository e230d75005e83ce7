"""The second decoder of revocation states, written from docs/spec/revocation.md alone.

python3 revocation.py VECTORS.json     decode, recompute and encode again every vector
"""

import json
import sys

sys.dont_write_bytecode = True

import lares_bits
import lares_p256
import lares_revocation as rsl
from lares_cbor import Malformed

CONTEXT = b"lares/1/revocation-head\x00"


def expect(what, got, want):
    if got != want:
        raise AssertionError("%s: %r, want %r" % (what, got, want))


def described(state):
    """A state as the vectors describe it."""
    classes = [{
        "class": c.number, "status": c.status, "reason": c.reason, "min_svn": c.svn, "issued_count": c.blocks * lares_bits.PAGE,
        "crl": "" if c.crl == rsl.NO_CRL else c.crl.hex(), "revoked_count": len(c.members), "first_revoked": c.members[:8],
        "revoked_sha256": rsl.sha(b"".join(at.to_bytes(4, "big") for at in c.members)).hex(),
    } for _, c in sorted(state.classes.items())]
    issuers = [{"id": i.name.decode(), "last_seen": i.seen, "sunset": i.sunset, "compromised": [list(c) for c in i.compromised]} for _, i in sorted(state.issuers.items())]
    return classes, issuers


def check_state(vector, previous):
    head, snapshot = bytes.fromhex(vector["head"]), bytes.fromhex(vector["snapshot"])
    fields, spki = rsl.decode_head(head), bytes.fromhex(vector["signer"])
    expect("epoch", list(fields["epoch"]), vector["epoch"])
    expect("key ID", fields["key"], rsl.sha(spki))
    expect("signature", lares_p256.verify(spki, CONTEXT + head[:102], fields["signature"]), True)
    state = rsl.decode_snapshot(snapshot)
    expect("state", described(state), (vector["classes"], vector["issuers"]))
    expect("leaves", len(state.classes) + len(state.issuers), fields["leaves"])
    expect("root", rsl.root(state), fields["root"])
    if vector["delta"]:
        stepped = rsl.decode_delta(bytes.fromhex(vector["delta"]), previous)
        expect("state by delta", rsl.encode_snapshot(stepped), snapshot)
    return state


def check_proof(vector, head):
    found = rsl.open_proof(bytes.fromhex(vector["proof"]), head)
    for number, index, svn, want in vector["standing"]:
        expect("%d/%d" % (number, index), standing(found, number, index, svn), want)


def standing(found, number, index, svn):
    if number not in found:
        return "unknown"
    leaf, pages = found[number]
    status = leaf[9] >> 4
    u32 = lambda at: int.from_bytes(leaf[at:at + 4], "big")
    if status:
        return ("", "suspended", "class revoked", "retired")[status]
    if index >= u32(14):
        return "not issued"
    if svn < u32(10):
        return "SVN"
    if index // lares_bits.PAGE not in pages:
        return "unknown"
    return "revoked" if index % lares_bits.PAGE in pages[index // lares_bits.PAGE] else ""


def check_refused(vector, states, heads):
    data = bytes.fromhex(vector["bytes"])
    ways = {
        "page": lambda: lares_bits.decode_page(data), "snapshot": lambda: rsl.decode_snapshot(data), "head": lambda: rsl.decode_head(data),
        "delta": lambda: rsl.decode_delta(data, states[vector["state"]]), "proof": lambda: rsl.open_proof(data, heads[vector["state"]]),
    }
    try:
        ways[vector["what"]]()
    except Malformed:
        return
    raise AssertionError("accepted: " + vector["why"])


def main(path):
    with open(path, encoding="utf-8") as source:
        vectors = json.load(source)
    passed, failed, states, heads = 0, 0, [], []

    def run(name, work):
        nonlocal passed, failed
        try:
            work()
            passed += 1
        except (AssertionError, Malformed, IndexError) as why:
            failed += 1
            print("%s: %s" % (name, str(why)[:400] or repr(why)))

    for vector in vectors["states"]:
        run(vector["name"], lambda: states.append(check_state(vector, states[-1] if states else None)))
        heads.append(bytes.fromhex(vector["head"]))
    for vector in vectors["proofs"]:
        run(vector["name"], lambda: check_proof(vector, heads[vector["state"]]))
    for vector in vectors["refused"]:
        run(vector["why"], lambda: check_refused(vector, states, heads))
    print("%d passed, %d failed" % (passed, failed))
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1]) else 0)

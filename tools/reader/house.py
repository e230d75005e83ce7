"""Who takes the license of a house's own film: written from docs/spec/license.md and chain.md alone.

python3 house.py license/testdata/house.json    judge every chain

What a certificate says (role, device, issuer ID, key) is beside it in the file: this reader reads no X.509.
"""

import hashlib
import json
import sys

sys.dont_write_bytecode = True

import lares_child
import lares_license
import lares_p256
import lares_state
from lares_cbor import Malformed, decode_sign1, encode
from lares_license import DOMAIN, LOAN, OWN

HOME, ISSUER, DEVICE = "home server", "license issuer", "device"
NEVER_OF_A_HOUSE = ("COPY", "MOVE", "TRANSFER")


def is_signed(data, signer):
    """License, section Who may sign: by the key, and under the certificate, that it names."""
    signed = decode_sign1(data, "license")
    structure = encode(["Signature1", signed.protected, b"lares/1/license", signed.payload])
    leaf = bytes.fromhex(signer["chain"][0])
    return signed.x5t == hashlib.sha256(leaf).digest()[:8] and lares_p256.verify(bytes.fromhex(signer["key"]), structure, signed.signature)


def may_sign(lic, signer):
    """Its role, and for a root license the issuer ID or the own film."""
    if lic.parent is not None:
        return signer["role"] in (HOME, DEVICE)
    if signer["role"] == ISSUER:
        return lic.issuer == bytes.fromhex(signer.get("issuer", ""))
    if signer["role"] != HOME or lic.subject_kind != DOMAIN or lic.issuer != lic.subject:
        return False
    return lic.content.startswith(OWN) and not any(lic.code.grants(a) for a in NEVER_OF_A_HOUSE) and set(lic.code.systems) <= {"clearkey"}


def derives(child, parent):
    faults = lares_child.Faults()
    faults.need(child.parent is not None and child.parent["hash"] == parent.hash, "parent hash")
    lares_child.check_narrower(faults, parent, lares_state.decode(lares_state.ZERO), child)
    return not faults


def takes(chain, signers, domain, manager, lent):
    """Chain, How a chain is judged, 2 and 3."""
    root, by = chain[-1], signers[-1]
    if root.parent is not None or any(lic.parent is None for lic in chain[:-1]):
        return False
    if not all(is_signed(lic.raw, s) and may_sign(lic, s) for lic, s in zip(chain, signers)):
        return False
    if not all(derives(a, b) for a, b in zip(chain, chain[1:])):
        return False
    if by["role"] != HOME:
        return True
    if root.issuer == domain:
        return by["device"] == manager
    return lent and len(chain) == 2 and chain[0].parent["kind"] == LOAN and signers[0]["device"] == by["device"]


def main(path):
    with open(path, encoding="utf-8") as source:
        told = json.load(source)
    passed = failed = 0
    for vector in told["vectors"]:
        try:
            chain = [lares_license.decode(bytes.fromhex(data)) for data in vector["chain"]]
            signers = [told["signers"][name] for name in vector["signers"]]
            found = takes(chain, signers, bytes.fromhex(vector["domain"]), vector["manager"], vector["lent"])
        except (Malformed, KeyError) as why:
            found = why
        if found is vector["takes"]:
            passed += 1
        else:
            failed += 1
            print("%s: found %s" % (vector["name"], found))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

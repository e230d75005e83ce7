"""The second reader of Lares: written from docs/spec alone.

python3 read.py testdata/scenario       recompute every vector (docs/spec/scenario.md)
python3 read.py --examples docs/spec    decode and re-encode the worked examples of the pages
python3 read.py license FILE            print what a signed license contains
python3 read.py code HEX                print what a permission code contains
"""

import glob
import os
import re
import sys

sys.dont_write_bytecode = True

import lares_cbor
import lares_license
import lares_permission
import lares_scenario
import lares_state
import lares_text
from lares_cbor import Malformed


def examples(folder):
    """Every fenced block ```hex name of the three pages: [(page, name, bytes)]."""
    found = []
    for page in ("license.md", "permission.md", "state.md"):
        with open(os.path.join(folder, page), encoding="utf-8") as source:
            text = source.read()
        for name, body in re.findall(r"^```hex (\S+)\n(.*?)^```", text, re.S | re.M):
            found.append((page, name, bytes.fromhex(body)))
    return found


def check_example(name, data, context):
    """Decode, and encode again to the same bytes; raises Malformed."""
    again = data
    if name == "info":
        lares_license.decode_info(data)
        again = lares_cbor.encode(lares_cbor.decode(data))
        context["info"] = data
    elif name == "own":
        lic = lares_license.decode_info(data)
        if lic.subject != lic.issuer or not lic.content.startswith(b"urn:lares:own:"):
            raise Malformed("the own film is not the house's own")
    elif name == "license":
        lic = lares_license.decode(data)
        again = lares_cbor.encode(lares_cbor.decode(data))
        context["hash"] = lic.hash
        if lic.info != context.get("info", lic.info):
            raise Malformed("the license does not contain the LicenseInfo")
    elif name == "hash":
        again = context.get("hash", data)
    elif name == "bundle":
        digest, keys = lares_license.decode_bundle(data)
        again = lares_cbor.encode([digest, [list(pair) for pair in keys]])
        info = lares_license.decode_info(context["info"])
        checks = {k.kid: k.check for k in info.keys}
        for kid, key in keys:
            if checks.get(kid) != lares_license.key_check(kid, info.content, key):
                raise Malformed("the key's check does not hold")
    elif name == "allowance":
        lic = lares_license.decode_info(data)
        if lic.id != lares_license.allowance_id(lic.parent["hash"], lic.parent["kind"], lic.parent["index"]):
            raise Malformed("the allowance's license ID is another one")
    elif name == "state":
        again = lares_state.encode_state(lares_state.decode(data))
    elif name in ("rental", "unknown"):
        again = lares_permission.encode(lares_permission.decode(data))
    else:
        again = lares_cbor.encode(lares_cbor.decode(data))
    if again != data:
        raise Malformed("encodes again to other bytes")


def run_examples(folder):
    context, passed, failed = {}, 0, 0
    for page, name, data in examples(folder):
        try:
            check_example(name, data, context)
            passed += 1
        except (Malformed, KeyError) as problem:
            failed += 1
            print("%s: %s: %s" % (page, name, problem))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


def run_vectors(folder):
    passed = failed = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        try:
            steps, found = lares_scenario.run_file(path)
        except (Malformed, KeyError, ValueError) as problem:
            print("%s: %s: %s" % (os.path.basename(path), type(problem).__name__, problem))
            failed += 1
            continue
        for number, line, text, field, wanted, got in found:
            print("%s: step %d (line %s: %s): %s\n  wanted %s\n  got    %s" % (
                os.path.basename(path), number, line, text, field, wanted, got))
        wrong = len({f[0] for f in found})
        passed, failed = passed + steps - wrong, failed + wrong
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


def print_license(path):
    with open(path, "rb") as source:
        lic = lares_license.decode(source.read())
    show = lares_text.id_text
    print("license     %s version %d" % (lic.id.hex(), lic.version))
    print("issuer      %s" % show(lic.issuer))
    print("issued      %s" % lares_text.time_text(lic.issued_at))
    print("content     %s" % show(lic.content))
    print("subject     %s %s%s" % (lares_permission.RECEIVERS[lic.subject_kind], lic.subject.hex(),
                                   " generation %d" % lic.generation if lic.generation else ""))
    print("permits     %s" % lares_text.text(lic.code))
    for name, value in lic.policy.values.items():
        print("policy      %s = %s" % (name, value.hex() if isinstance(value, bytes) else value))
    for key in lic.policy.unknown:
        print("policy      %d is not known%s" % (key, ", and critical" if key % 2 else ""))
    for key in lic.keys:
        rules = "unknown rules: unusable" if key.rules is None else "rules " + key.outputs.hex() if key.outputs else ""
        print("key         %s %s, %d bytes/s %s" % (key.kid.hex(), lares_license.tier_name(key.tier), key.bps, rules))
    if lic.parent:
        print("parent      %s kind %d, %d of %d, copy generation %d" % (
            lic.parent["hash"].hex(), lic.parent["kind"], lic.parent["index"], lic.parent["of"], lic.parent["generation"]))
    if lic.continues:
        print("continues   %s of %s" % (lic.continues[1].hex(), show(lic.continues[0])))
    print("revocation  epoch %d at least, at most %d ms old" % (lic.rev_min_epoch, lic.rev_max_age))
    print("hash        %s" % lic.hash.hex())


def main(words):
    if len(words) == 2 and words[0] == "--examples":
        return run_examples(words[1])
    try:
        if len(words) == 2 and words[0] == "license":
            print_license(words[1])
            return 0
        if len(words) == 2 and words[0] == "code":
            print(lares_text.text(lares_permission.decode(bytes.fromhex(words[1]))))
            return 0
    except (Malformed, ValueError, OSError) as problem:
        print("read: %s" % problem, file=sys.stderr)
        return 1
    if len(words) == 1 and os.path.isdir(words[0]):
        return run_vectors(words[0])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

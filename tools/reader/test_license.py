"""Licenses, states and the worked examples of the pages (docs/spec/license.md, state.md)."""

import os
import unittest

import lares_license
import lares_policy
import lares_state
import read
from lares_cbor import Malformed, decode, encode

SPEC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "spec")
EXAMPLES = {name: data for _, name, data in read.examples(SPEC)}


def code(text):
    return bytes.fromhex("01000101" + text)


class Examples(unittest.TestCase):
    def test_all(self):
        context = {}
        self.assertGreaterEqual(len(EXAMPLES), 9)
        for name, data in EXAMPLES.items():
            with self.subTest(name):
                read.check_example(name, data, context)

    def test_a_changed_example_fails(self):
        for name, data in EXAMPLES.items():
            with self.subTest(name), self.assertRaises(Malformed):
                read.check_example(name, data + b"\x00", {"hash": EXAMPLES["hash"], "info": EXAMPLES["info"]})

    def test_license(self):
        lic = lares_license.decode(EXAMPLES["license"])
        self.assertEqual(lic.hash, EXAMPLES["hash"])
        self.assertEqual(lic.charge(), "RENTAL")
        self.assertEqual([k.tier for k in lic.keys], [1, 2, 3, 4])
        self.assertEqual(lic.keys[3].rules["digital"], 2)


class LicenseInfo(unittest.TestCase):
    def info(self, **changes):
        fields = decode(EXAMPLES["info"])
        for name, value in changes.items():
            key = int(name[1:])
            if value is None:
                fields.pop(key, None)
            else:
                fields[key] = value
        return lares_license.decode_info(encode(fields))

    def refused(self, what="", **changes):
        with self.assertRaises(Malformed) as caught:
            self.info(**changes)
        self.assertIn(what, str(caught.exception))

    def test_unchanged(self):
        self.assertEqual(self.info().version, 1)

    def test_fields(self):
        for key in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15):
            self.refused("lacks a field", **{"f%d" % key: None})
        self.refused("unknown field", f17=1)
        self.refused("format", f1=2)
        self.refused("license ID", f2=bytes(16))
        self.refused("license ID", f2=b"\x01" * 15)
        self.refused("issuer", f3=b"")
        self.refused("content", f5=b"x" * 65)
        self.refused("issued at", f4=1 << 53)
        self.refused("version", f15=0)
        self.refused("status URL", f14="x" * 257)

    def test_subject(self):
        self.refused("subject", f6=[1, b"\x01" * 16])
        self.refused("subject", f6=[2, b"\x01" * 16, 1])
        self.refused("subject", f6=[4, b"\x01" * 16])
        self.assertEqual(self.info(f6=[3, b"\x01" * 16]).subject_kind, 3)

    def test_keys(self):
        key = decode(EXAMPLES["info"])[9][0]
        self.refused("twice", f9=[key, key])
        self.refused("keys", f9=[])
        self.refused("keys", f9=[[i.to_bytes(16, "big"), 1, bytes(16)] for i in range(1, 34)])
        self.refused("kid", f9=[[bytes(16)] + key[1:]])
        self.refused("tier", f9=[[key[0], 5, key[2]]])
        self.assertEqual(self.info(f9=[[key[0], 64, key[2], 0, b"\xa1\x01\x01"]]).keys[0].bps, 0)

    def test_unknown_output_rule_is_not_refused(self):
        key = decode(EXAMPLES["info"])[9][0]
        self.assertIsNone(self.info(f9=[key[:3] + [1, b"\xa1\x18\x63\x01"]]).keys[0].rules)

    def test_windows(self):
        issued = decode(EXAMPLES["info"])[4]
        self.refused("hard_end", f8={1: 1, 7: issued})
        self.refused("START_TIME", f4=issued - 86400000, f8={1: 1, 3: 86400000})
        self.refused("END_TIME", f4=issued + 40 * 86400000)

    def test_not_written(self):
        self.refused("PLAY_COUNT", f8={})
        self.refused("slice_ms", f8={1: 7200000, 19: 999})
        self.refused("stateful", f7=code("1003040101" "1003040102"))
        self.refused("PART", f7=code("100308" "0161" "100308" "0161"))
        self.refused("permitted and denied", f7=code("0204" "0702" + b"CH".hex()), f8={35: {1: ["CH"]}})
        self.refused("stale", f7=code("0203030101"), f8={31: 2})
        self.refused("actor", f7=code("0103" "010161"))
        self.refused("names the license itself", f16=[b"shop.example", bytes.fromhex("01" + "00" * 14 + "01")])
        parent = [bytes(32), 0, 3, 0, 2]
        self.refused("in a loan", f10=parent)
        self.refused("Sunset", f7=code("1000"), f10=parent, f13=[1, lares_license.YEAR_MS, b"k"])
        self.refused("field 16", f7=code("1000"), f10=parent, f16=[b"shop.example", b"\x09" * 16])
        self.refused("index", f7=code("1000"), f10=[bytes(32), 0, 3, 2, 2])

    def test_policy(self):
        for bad in ({5: 3}, {11: -1}, {23: False}, {25: 3}, {35: []}, {98: None}, {98: [[None]]}, {35: {4: 91}}, {35: {1: ["CH", "AT"]}}, {35: {1: ["Ch"]}},
                    {37: {4: 3}}, {37: {5: [b"\x01" * 16]}}, {37: {9: 1}}, {37: {3: 3}}, {43: {2: 1}}, {43: {1: 65537}},
                    {45: {1: 1, 2: ""}}, {47: {1: 1, 2: 101}}, {2: {3: 0}}, {6: b"\x01"}, {-1: 1}, {"a": 1},
                    {98: [[[[1]]]]}, {98: b"x" * 2048}, {100 + 2 * i: 1 for i in range(33)}):
            with self.subTest(bad), self.assertRaises(Malformed):
                lares_policy.decode(bad)
        good = lares_policy.decode({11: 0, 35: {4: 0}, 37: {4: 3, 5: [b"\x01" * 16]}, 99: 1, 98: [[[1]]]})
        self.assertEqual(good.unknown, [99, 98])
        self.assertEqual(good.inner("region", "roam_days"), 0)

    def test_encoding(self):
        data = EXAMPLES["info"]
        with self.assertRaises(Malformed):
            lares_license.decode_info(data[:-1] + b"\x18\x01")
        with self.assertRaises(Malformed):
            lares_license.decode(EXAMPLES["license"] + bytes(8192))


class State(unittest.TestCase):
    def refused(self, fields):
        with self.assertRaises(Malformed, msg=repr(fields)):
            lares_state.decode(encode(fields))

    def test_zero(self):
        self.assertEqual(lares_state.encode_state(lares_state.decode(lares_state.ZERO)), lares_state.ZERO)

    def test_refused(self):
        for fields in ({}, {1: 0, 2: 0}, {1: 0, 2: 4}, {1: 0, 3: 1 << 53}, {1: 0, 5: {}}, {1: 0, 5: {8: 1}}, {1: 0, 5: {1: 0}},
                       {1: 0, 24: 1}, {1: 0, 18: {}}, {1: 0, 18: {3: [2, 1]}}, {1: 0, 18: {2: False}}, {1: 0, 21: False},
                       {1: 0, 8: {1: 1, 2: 0, 3: 0, 4: 0}}, {1: 0, 9: {1: 1}}, {1: 0, 18: {3: list(range(91))}}, [1]):
            self.refused(fields)

    def test_all_fields(self):
        fields = {1: 7, 2: 2, 3: 1, 4: 2, 5: {1: 1, 7: 2}, 6: 3, 7: 4, 8: {1: 1, 2: 0, 3: False, 4: 9, 5: 8}, 9: {1: 5, 2: 6},
                  10: {1: [b"\x01" * 16, b"\x02" * 16, b"\x03" * 8, 1], 2: 5, 3: True}, 11: {1: b"\x01" * 16, 2: 1, 3: 9},
                  12: {3: 1}, 13: 1, 14: 2, 15: 3, 16: 4, 17: {5: 1}, 18: {1: "CH", 2: True, 3: [1, 2]}, 19: 1, 20: 2, 21: True,
                  22: 3, 23: 4}
        data = encode(fields)
        self.assertEqual(lares_state.encode_state(lares_state.decode(data)), data)


if __name__ == "__main__":
    unittest.main()

"""Strictness of the CBOR decoder (RFC 8949 section 4.2.1)."""

import unittest

import lares_cbor
from lares_cbor import Malformed, decode, encode


class CBOR(unittest.TestCase):
    def refused(self, text):
        with self.assertRaises(Malformed, msg=text):
            decode(bytes.fromhex(text))

    def test_round_trip(self):
        for item in (0, 23, 24, 255, 256, 65535, 65536, 1 << 32, (1 << 64) - 1, -1, -25, b"", b"x" * 300, "é", [],
                     [1, [2, {}]], {1: True, 2: None, "a": b"", b"": False}, True, False, None):
            self.assertEqual(decode(encode(item)), item)

    def test_longer_than_needed(self):
        for text in ("1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "5801aa", "9801f5", "b8010102", "3800"):
            self.refused(text)

    def test_indefinite(self):
        for text in ("5f41aaff", "9f01ff", "bf0102ff", "7f6161ff", "ff"):
            self.refused(text)

    def test_trailing_and_missing(self):
        for text in ("", "0000", "18", "42aa", "82", "8201", "a101", "a10102ff"):
            self.refused(text)

    def test_map_keys(self):
        self.refused("a202010102")  # not sorted
        self.refused("a201010102")  # twice
        self.refused("a2613100" + "00f5")  # a text before a number
        self.assertEqual(decode(bytes.fromhex("a200f5613100")), {0: True, "1": 0})

    def test_other_kinds(self):
        for text in ("c000", "f97e00", "fb3ff0000000000000", "f7", "e0", "f820", "62c328", "1c", "1f"):
            self.refused(text)

    def test_true_is_not_one(self):
        item = decode(bytes.fromhex("a20100f501"))
        self.assertEqual(len(item), 2)
        self.assertEqual(encode(item).hex(), "a20100f501")

    def test_depth(self):
        self.refused("81" * 40 + "00")
        self.assertEqual(lares_cbor.depth_of([[1], {1: [2]}]), 3)


class Sign1(unittest.TestCase):
    def make(self, protected, unprotected=None, signature=bytes(64)):
        return encode([encode(protected), unprotected or {}, b"payload", signature])

    good = {1: -7, 3: "application/lares-license+cbor", 34: [-15, bytes(8)]}

    def test_good(self):
        signed = lares_cbor.decode_sign1(self.make(self.good), "license")
        self.assertEqual(signed.payload, b"payload")
        self.assertEqual(len(signed.structure_hash), 32)

    def test_other_kind(self):
        with self.assertRaises(Malformed):
            lares_cbor.decode_sign1(self.make(self.good), "membership")

    def test_malformed(self):
        bad = [self.make({1: -7}), self.make(self.good, {1: 2}),
               self.make(self.good, signature=bytes(63)), self.make({**self.good, 1: -35}), self.make({**self.good, 4: b""}),
               self.make({**self.good, 34: [-16, bytes(32)]}), encode([b"", {}, b""]), b"\xd2" + self.make(self.good)]
        for data in bad:
            with self.assertRaises(Malformed):
                lares_cbor.decode_sign1(data, "license")


if __name__ == "__main__":
    unittest.main()

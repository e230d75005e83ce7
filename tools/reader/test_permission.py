"""Permission codes: what is read, what is refused (docs/spec/permission.md)."""

import unittest

import lares_permission as permission
import lares_text
from lares_cbor import Malformed

VERSION = "01000101"


class Permission(unittest.TestCase):
    def code(self, text):
        data = bytes.fromhex(VERSION + text)
        code = permission.decode(data)
        self.assertEqual(permission.encode(code), data)
        return code

    def refused(self, text, whole=False):
        with self.assertRaises(Malformed, msg=text):
            permission.decode(bytes.fromhex(text if whole else VERSION + text))

    def test_example(self):
        code = self.code("02030301021019" "0106019b76daa8000206019c167fcc0003040a4cb8000401024" "00a0108636c6561726b6579")
        self.assertEqual(lares_text.text(code), "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; "
                         "INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL")
        self.assertTrue(code.grants("PLAY") and code.grants("EXPORT"))
        self.assertFalse(code.grants("COPY") or code.grants("LEND"))

    def test_unknown_survives(self):
        code = self.code("10070401037f02cafe150200ff")
        self.assertEqual(lares_text.text(code), "PLAY; PLAY_COUNT=3; X.10.7F=cafe; X.15=00ff")
        self.assertEqual(code.units[1].unknown_items(), [0x7F])

    def test_head(self):
        self.refused("", whole=True)
        self.refused("02000101", whole=True)
        self.refused("01", whole=True)
        self.refused("011000", whole=True)
        self.refused("01000102", whole=True)
        self.refused("010002" "0001", whole=True)

    def test_order_and_repeats(self):
        self.refused("11001000")
        self.refused("000101")
        self.refused("30030401013003040101")
        self.code("10001000")
        self.code("20002000")
        self.code("5000" "5000")
        self.refused("10060201010101" "01")
        self.refused("1006" "040101040102")

    def test_lengths(self):
        self.refused("10810401010101")
        self.refused("1005040101")
        self.refused("10")
        self.refused("1080")
        self.refused("10830000" "01")
        self.code("108183" "088180" + "aa" * 128)
        self.code("10820104" "08820100" + "aa" * 256)
        self.refused("10820083" "088180" + "aa" * 128)

    def test_numbers(self):
        self.refused("1003" "040100")
        self.refused("1004" "04020001")
        self.refused("1002" "0400")
        self.refused("1007" "04050100000000")
        self.refused("1009" "010720000000000000")
        self.refused("100b" "0409010000000000000000")
        self.code("1009" "01071fffffffffffff")

    def test_copy_count(self):
        self.refused("3003" "010102")
        self.refused("3006" "010101" "020101")
        code = self.code("3006" "010102" "020109")
        self.assertEqual(code.copy_mode(), "COUNTED")
        self.refused("3004" "03020100")
        self.assertFalse(self.code("3003" "010104").grants("COPY"))

    def test_export(self):
        self.code("4006" "010161" "010162")
        self.refused("4006" "010162" "010161")
        self.refused("4006" "010161" "010161")
        self.refused("4003" "010141")
        self.refused("4002" "0100")
        self.refused("4023" "0121" + "61" * 33)

    def test_territory(self):
        self.code("0206" "0704" + b"ATCH".hex())
        for bad in (b"CHAT", b"CHCH", b"ch", b"CHA", b""):
            self.refused("02%02x07%02x%s" % (len(bad) + 2, len(bad), bad.hex()))

    def test_actor(self):
        code = self.code("0113" "0311" "02" + "01" * 16)
        self.assertEqual(lares_text.text(code), "RECEIVER=device:" + "01" * 16)
        self.refused("0113" "0311" "04" + "01" * 16)
        self.refused("0102" "0100")
        self.refused("0143" "0141" + "61" * 65)

    def test_sponsor(self):
        self.code("0205" "0603c3a962")
        for bad in ("3b", "0a", "ff", "c285"):
            self.refused("02%02x06%02x%s" % (len(bad) // 2 + 2, len(bad) // 2, bad))

    def test_limits(self):
        self.code("1000" * 31)
        self.refused("1000" * 32)
        self.refused("41820400" + "00" * 1024)

    def test_unknown_value_of_a_coded_item(self):
        for bad in ("1003" "060109", "3003" "010106", "3003" "040103", "02040302" "0100"):
            self.refused(bad)
        self.assertEqual(lares_text.text(self.code("0203" "030114")), "CHARGE=20")

    def test_empty_units(self):
        code = self.code("0100" "0200" "1000" "3000" "4000")
        self.assertEqual(lares_text.text(code), "PLAY; MANAGEMENT; EXPORT; CLASSIFICATION; ACTOR")

    def test_unknown_items_repeat(self):
        self.code("1008" "7f02cafe" "7f020000")
        self.refused("1008" "7f02cafe" "7e020000")

    def test_empty_window(self):
        self.refused("1006" "010102" "020102")
        self.code("1006" "010102" "020103")

    def test_management(self):
        code = self.code("3009" "060102" "070101" "080101")
        self.assertEqual(lares_text.text(code), "TRANSCODE=LOWER; ENCRYPTION=KEEP; TIMELINE=NO_SKIP")

    def test_text_values(self):
        self.assertEqual(lares_text.duration_text(30 * 86400000), "30d")
        self.assertEqual(lares_text.duration_text(250), "250ms")
        self.assertEqual(lares_text.duration_text(5400000), "90m")
        self.assertEqual(lares_text.time_text(1), "1970-01-01T00:00:00.001Z")
        self.assertEqual(lares_text.time_text((1 << 53) - 1), "@9007199254740991")


if __name__ == "__main__":
    unittest.main()

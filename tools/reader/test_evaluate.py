"""Evaluation and sessions, from the table of E17 and the sentences of docs/spec/evaluation.md."""

import unittest

from lares_cbor import decode
from lares_decision import Input
from lares_evaluate import choose, evaluate
from made import (DAY, HOUR, ISSUED, KIDS, MINUTE, Player, make_clock, make_code, make_dest, make_env, make_license, make_request,
                  output, zero)
from test_license import EXAMPLES
import lares_areas
import lares_changes
import lares_license

PURCHASE, RENTAL = (0x02, [(3, 1)]), (0x02, [(3, 2)])


def codes(decision):
    return sorted("%s/%s" % (r.code, r.constraint) for r in decision.reasons if r.closed)


class WorkedExample(unittest.TestCase):
    def test_decision_of_the_page(self):
        wanted = decode(EXAMPLES["decision"])
        lic = lares_license.decode(EXAMPLES["license"])
        got = evaluate(Input(lic, zero(), make_clock(ISSUED - DAY), make_env(), make_request()))
        self.assertEqual(got.allow, wanted[1])
        self.assertEqual((got.tier, got.kids, got.valid_until), (wanted[4], wanted[5], wanted[7]))
        self.assertEqual(got.next, [(e[1], e[2]) for e in wanted[8]])
        self.assertEqual([(r.code, r.constraint, r.closed, r.earliest, r.remedy) for r in got.reasons],
                         [(r[1], r[2], r[5], r.get(6, 0), r.get(7, "")) for r in wanted[9]])
        self.assertEqual(got.would_unlock, [e[1] for e in wanted[12]])
        self.assertEqual(got.counters["plays_left"], wanted[13][1])


class Clock(unittest.TestCase):
    def test_v1_purchase_without_clock(self):
        player = Player(make_license(make_code(PURCHASE, (0x10, []))))
        player.q = 0
        self.assertTrue(player.evaluate(0).allow)

    def test_v2_grace(self):
        lic = make_license(make_code((0x10, [(2, ISSUED + 90 * DAY)])), {21: 72 * HOUR})
        for hours, wanted in ((71, []), (73, ["CLOCK_STALE/CLOCK_GRACE"])):
            clock = make_clock(ISSUED + DAY, 2, unsynced=hours * HOUR)
            decision = evaluate(Input(lic, zero(), clock, make_env(), make_request()))
            self.assertEqual(codes(decision), wanted)

    def test_v29_relayed(self):
        for level, wanted in ((1, []), (2, ["CLOCK_STALE/CLOCK_GRACE"])):
            lic = make_license(make_code((0x10, [(2, ISSUED + 90 * DAY)])), {21: 0, 29: level})
            clock = make_clock(ISSUED + DAY, 3, relayed=1, unsynced=1)
            self.assertEqual(codes(evaluate(Input(lic, zero(), clock, make_env(level=2), make_request()))), wanted)

    def test_v30_year_9999(self):
        lic = make_license(make_code((0x10, [(2, ISSUED + 90 * DAY)])))
        clock = make_clock(ISSUED + DAY, lo_iss=253370764800000)
        self.assertEqual(codes(evaluate(Input(lic, zero(), clock, make_env(), make_request()))), ["EXPIRED/END_TIME"])


class Windows(unittest.TestCase):
    def rental(self, **policy):
        return make_license(make_code(RENTAL, (0x10, [(3, 48 * HOUR)])), {1: 2 * HOUR, 3: 30 * DAY, **{int(k[1:]): v for k, v in policy.items()}})

    def test_v3_replace(self):
        player = Player(self.rental())
        start = ISSUED + 29 * DAY + 23 * HOUR
        self.assertEqual(player.evaluate(start).confirm[0]["until"], ISSUED + 31 * DAY + 23 * HOUR)
        self.assertTrue(player.begin(start).allow)
        player.watch(start, 60000)
        self.assertEqual(player.state.first_use, start)
        self.assertEqual(player.evaluate(start).next[0], (ISSUED + 31 * DAY + 23 * HOUR, "END"))

    def test_v4_cap(self):
        start = ISSUED + 29 * DAY + 23 * HOUR
        for mode, wanted in ((1, 2 * HOUR), (2, HOUR)):
            player = Player(self.rental(p5=2, p9=mode))
            player.begin(start)
            released, _ = player.watch(start, 2 * HOUR)
            self.assertEqual(released, wanted)

    def test_v5_half_open(self):
        player = Player(self.rental())
        self.assertEqual(codes(player.evaluate(ISSUED + 30 * DAY)), ["EXPIRED/STORAGE_DURATION"])
        self.assertTrue(player.evaluate(ISSUED + 30 * DAY - 1).allow)

    def test_v6_v7_first_use(self):
        player = Player(self.rental())
        day = ISSUED + DAY
        player.begin(day)
        player.watch(day, 20000)
        player.end(day + 20000)
        self.assertEqual((player.state.first_use, player.state.pending_ms), (0, 20000))
        player.begin(day + DAY)
        player.watch(day + DAY, 15000)
        self.assertEqual(player.state.first_use, day + DAY)

    def test_needs_confirm(self):
        player = Player(self.rental())
        from lares_session import begin
        decision, state, _ = begin(player.input(ISSUED + DAY))
        self.assertEqual(codes(decision), ["NEEDS_CONFIRM/STARTS_INTERVAL"])
        self.assertIsNone(state)

    def test_start_slack_and_embargo(self):
        start = ISSUED + DAY
        player = Player(make_license(make_code((0x10, [(1, start)]))))
        self.assertTrue(player.evaluate(start - 300000).allow)
        refused = player.evaluate(start - 300001)
        self.assertEqual((codes(refused), refused.reasons[0].earliest), (["NOT_YET/START_TIME"], start - 300000))
        player = Player(make_license(make_code((0x10, [(1, start)])), {23: True}))
        self.assertEqual(codes(player.evaluate(start - 1)), ["NOT_YET/START_TIME"])


class Counts(unittest.TestCase):
    def counted(self, plays, **policy):
        return make_license(make_code((0x10, [(4, plays)])), {1: 2 * HOUR, **{int(k[1:]): v for k, v in policy.items()}})

    def test_v10(self):
        player, at = Player(self.counted(1, p15=60000)), ISSUED + DAY
        player.begin(at)
        player.watch(at, 45000)
        player.crash()
        self.assertEqual(player.state.open_play.rendered, 50000)
        later = at + 11 * HOUR
        self.assertTrue(player.begin(later).allow)
        player.watch(later, 1000, media=45000)
        self.assertEqual((player.state.open_play.id, player.state.open_play.charged, player.state.consumed), (1, True, {1: 1}))
        player.watch(later + 1000, 1000, media=2 * HOUR * 95 // 100)
        player.end(later + 2000)
        self.assertEqual(codes(player.evaluate(later + HOUR)), ["COUNT_EXHAUSTED/PLAY_COUNT"])
        self.assertTrue(player.evaluate(later + HOUR, **{"from": HOUR}).allow)

    def test_v11(self):
        player, at = Player(self.counted(1, p15=60000)), ISSUED + DAY
        for number in range(3):
            player.begin(at, again=True)
            player.watch(at, 25000 if number < 2 else 1000)
            self.assertEqual(player.state.consumed, {} if number < 2 else {1: 1})
            if number < 2:
                player.end(at + 25000)
            at += DAY

    def test_v12_accumulated(self):
        player, at = Player(make_license(make_code((0x10, [(7, 600000)])))), ISSUED + DAY
        player.begin(at)
        player.watch(at, 595000)
        player.crash()
        self.assertEqual(player.state.acc_ms, 600000)
        self.assertEqual(codes(player.evaluate(at + HOUR)), ["TIME_EXHAUSTED/ACCUMULATED"])

    def test_v28_full_speed(self):
        player, at = Player(make_license(make_code((0x10, [(7, 600000)])))), ISSUED + DAY
        player.begin(at)
        released, _ = player.watch(at, 700000, size=250000, passes=False)
        self.assertLessEqual(released, 630000)

    def test_new_play_inside_a_session(self):
        player, at = Player(self.counted(2)), ISSUED + DAY
        player.begin(at, **{"from": 6300000})
        player.watch(at, 200000, media=6300000)
        self.assertEqual((player.state.open_play.id, player.state.consumed, player.state.open_play.seen), (1, {1: 1}, 6500000))
        later = at + 200000
        audio, picture = KIDS[0].hex(), KIDS[1].hex()
        player.watch(later, 1000, media=0, kid=audio)  # the audio key has not reached 90 %
        self.assertEqual(player.state.open_play.id, 1)
        player.watch(later + 1000, 1000, media=0, kid=picture)
        self.assertEqual((player.state.open_play.id, player.state.open_play.seen), (2, 1000))
        player.watch(later + 2000, 60000, media=1000, kid=picture)
        self.assertEqual(player.state.consumed, {1: 2})
        player.watch(later + 62000, 1000, media=7000000, kid=picture)
        self.assertEqual(player.watch(later + 63000, 1000, media=0, kid=picture)[0], 0)  # no third play

    def test_advance_under_anchor_2(self):
        player, at = Player(make_license(make_code((0x10, [(7, 900000)]))), anchor=2), ISSUED + DAY
        player.begin(at)
        self.assertEqual((player.state.acc_ms, player.state.slice), (600000, (at, 600000)))
        player.watch(at, 1000)
        self.assertEqual(player.state.acc_ms, 600000)
        player.watch(at + 1000, 604000, media=1000)
        self.assertEqual(player.state.acc_ms, 900000)
        player.end(at + 605000)
        self.assertEqual(player.state.acc_ms, 605000)

    def test_reserve_commit_release(self):
        lic = make_license(make_code((0x10, []), (0x30, [(1, 2), (2, 1)])))
        player = Player(lic)
        decision, state = lares_changes.reserve(player.input(ISSUED, "COPY", dest=make_dest()))
        self.assertEqual((decision.allow, state.reserved), (True, {3: 1}))
        self.assertEqual(lares_changes.release(state, "COPY").reserved[3], 0)
        self.assertEqual(lares_changes.commit(state, "COPY", ISSUED).consumed, {3: 1})
        with self.assertRaises(lares_changes.Failed):
            lares_changes.commit(player.state, "COPY", ISSUED)

    def test_give_and_take_back(self):
        player = Player(self.counted(3))
        share = {"plays": 2, "ms": 0, "copies": 0}
        state = lares_changes.give(player.lic, player.state, share)
        self.assertEqual((state.given, state.next_index), ({1: 2}, 1))
        with self.assertRaises(lares_changes.Failed):
            lares_changes.give(player.lic, state, share)
        self.assertEqual(lares_changes.take_back(state, share).given[1], 0)

    def test_last_play(self):
        player = Player(self.counted(1))
        self.assertEqual([c["kind"] for c in player.evaluate(ISSUED).confirm], ["LAST_PLAY"])


class Outputs(unittest.TestCase):
    def keys(self, rules):
        return [[KIDS[0], 1, bytes(16), 16000], [KIDS[2], 3, bytes(16), 1000000], [KIDS[3], 4, bytes(16), 4000000, rules]]

    def test_v14_and_v15(self):
        for rules, allow in ((b"\xa1\x01\x02", True), (b"\xa2\x01\x02\x05\x02", False)):
            lic = make_license(make_code((0x10, [])), keys=self.keys(rules))
            decision = Player(lic).evaluate(ISSUED, output=output("DIGITAL", 1))
            self.assertEqual((decision.allow, decision.tier, decision.would_unlock), (allow, 3, [4]))

    def test_classes(self):
        keys = [[KIDS[2], 3, bytes(16), 1, b"\xa1\x02\x02"]]
        player = Player(make_license(make_code((0x10, [])), keys=keys))
        for kind, allow in (("INTERNAL", True), ("DIGITAL", True), ("ANALOG", False), ("WIRELESS", True), ("ODD", False)):
            self.assertEqual(player.evaluate(ISSUED, output=output(kind)).allow, allow, kind)

    def test_link_needs_export(self):
        player = Player(make_license(make_code((0x10, []))))
        self.assertEqual(codes(player.evaluate(ISSUED, output=output("LINK"))), ["OUTPUT/EXPORT"])

    def test_sound_goes_on_when_sound_is_wanted(self):
        player = Player(make_license(make_code((0x10, [(6, 1)]))))
        self.assertFalse(player.evaluate(ISSUED, output=output("ANALOG")).allow)
        decision = player.evaluate(ISSUED, output=output("ANALOG"), tier="AUDIO")
        self.assertEqual((decision.allow, decision.tier), (True, 1))


class Handling(unittest.TestCase):
    def test_v16_v17(self):
        player = Player(make_license(make_code((0x10, []), (0x30, [(1, 2), (2, 9), (4, 1)]))))
        self.assertTrue(player.evaluate(ISSUED, "COPY", dest=make_dest()).allow)
        player.state.consumed = {3: 9}
        decision = player.evaluate(ISSUED, "COPY", dest=make_dest())
        self.assertEqual([(r.code, r.remedy) for r in decision.reasons], [("COUNT_EXHAUSTED", "MOVE_INSTEAD")])
        child = Player(make_license(make_code((0x10, []), (0x30, [(1, 4), (4, 1)]))))
        self.assertEqual(codes(child.evaluate(ISSUED, "COPY", dest=make_dest())), ["GENERATION/COPY"])
        self.assertTrue(child.evaluate(ISSUED, "MOVE", dest=make_dest()).allow)

    def test_destinations(self):
        player = Player(make_license(make_code((0x10, []), (0x20, [(1, 7 * DAY)]), (0x30, [(4, 1), (5, 1)]))))
        self.assertEqual(codes(player.evaluate(ISSUED, "MOVE")), ["DEST_NOT_ALLOWED/DEST"])
        other = make_dest(domain="ee" * 16)
        self.assertEqual(codes(player.evaluate(ISSUED, "MOVE", dest=other)), ["DEST_NOT_ALLOWED/DEST"])
        self.assertEqual(codes(player.evaluate(ISSUED, "TRANSFER", dest=other)), ["DEST_NOT_ALLOWED/COUNTERSIGN"])
        self.assertTrue(player.evaluate(ISSUED, "TRANSFER", dest=other, countersigned=2).allow)
        self.assertEqual(codes(player.evaluate(ISSUED, "LEND", dest=other, **{"for": 8 * DAY})), ["NO_GRANT/LEND_TIME"])
        self.assertTrue(player.evaluate(ISSUED, "LEND", dest=other, **{"for": DAY}).allow)


class Others(unittest.TestCase):
    def test_v22_roaming(self):
        player = Player(make_license(make_code((0x02, [(7, b"CH")]), (0x10, [])), {35: {2: 3}}))
        player.env["region"] = {"country": "FR", "source": 1, "at": 0}
        player.state.home = "CH"
        today = ISSUED // DAY
        player.state.days = [today - i for i in range(30, 0, -1)]
        decision = player.evaluate(ISSUED)
        self.assertEqual((codes(decision), decision.reasons[0].earliest), (["REGION/ROAM_DAYS"], (today + 60) * DAY))

    def test_regions_page(self):
        self.assertGreaterEqual(len(lares_areas.examples()), 10)
        for country, code, wanted in lares_areas.examples():
            self.assertEqual(lares_areas.lies_in(country, code), wanted, (country, code))

    def test_v23_unknown(self):
        self.assertEqual(codes(Player(make_license(make_code((0x10, [(0x7F, b"\x01")])))).evaluate(ISSUED)),
                         ["UNKNOWN_CRITICAL/unit 0x10 item 0x7f"])
        self.assertEqual(codes(Player(make_license(make_code((0x10, [])), {99: 1})).evaluate(ISSUED)), ["UNKNOWN_CRITICAL/policy 99"])
        noted = Player(make_license(make_code((0x10, [])), {98: 1})).evaluate(ISSUED)
        self.assertEqual((noted.allow, noted.notes), (True, ["ignored: policy 98"]))

    def test_v24_signature(self):
        lic = make_license(make_code((0x10, [])))
        self.assertEqual(codes(Player(lic, compromised_epoch=1).evaluate(ISSUED)), ["BAD_SIGNATURE/KEY_COMPROMISE"])
        self.assertTrue(Player(lic, compromised_epoch=2).evaluate(ISSUED).allow)

    def test_v25_choice(self):
        rental = Player(make_license(make_code(RENTAL, (0x10, [(3, 48 * HOUR)]))))
        loan = Player(make_license(make_code((0x02, [(3, 4)]), (0x10, [(2, ISSUED + 9 * DAY)])), number=2))
        candidates = [(p.input(ISSUED), p.evaluate(ISSUED)) for p in (rental, loan)]
        self.assertEqual(choose(candidates), 1)
        self.assertEqual(candidates[1][1].confirm, [])

    def test_v13_denied(self):
        player = Player(make_license(make_code((0x02, [(3, 3)]), (0x10, [])), {2: {2: 30000}, 3: 30 * DAY}))
        late = ISSUED + 30 * DAY + 10 * MINUTE
        self.assertTrue(player.begin(late).allow)
        player.state.denied = late
        player.watch(late, 1000)
        self.assertEqual(codes(player.evaluate(late)), ["EXPIRED/RENEWAL", "EXPIRED/STORAGE_DURATION"])

    def test_concurrency(self):
        player = Player(make_license(make_code((0x10, [])), {43: {1: 1, 2: 2}}))
        player.env["slots"] = [{"device": "ee" * 16, "since": ISSUED, "seen": ISSUED, "taken": False}]
        decision = player.evaluate(ISSUED + 1000)
        self.assertEqual((codes(decision), decision.reasons[0].remedy, decision.next),
                         (["SLOT_FULL/CONCURRENCY"], "WAIT_UNTIL", [(ISSUED + 180000, "SLOT_FREE")]))
        self.assertTrue(player.evaluate(ISSUED + 180000).allow)


if __name__ == "__main__":
    unittest.main()

"""Licenses, environments and requests for the tests of this folder."""

import lares_evaluate
import lares_license
import lares_session
import lares_state
from lares_cbor import encode
from lares_decision import Input

DAY, HOUR, MINUTE = 86400000, 3600000, 60000
ISSUED = 1767225600000
DOMAIN, DEVICE = b"\xd0" + bytes(14) + b"\x01", b"\x01" * 16
KIDS = [b"\xa0" + bytes(14) + bytes([i]) for i in (1, 2, 3, 4)]
BPS = [16000, 250000, 1000000, 4000000]


def tlv(tag, value):
    size = bytes([len(value)]) if len(value) < 128 else b"\x81" + bytes([len(value)])
    return bytes([tag]) + size + value


def number(tag, value):
    return tlv(tag, value.to_bytes((value.bit_length() + 7) // 8, "big"))


def make_code(*units):
    """units: (tag, [(item tag, number or bytes)])."""
    data = b"\x01\x00\x01\x01"
    for tag, items in sorted(units, key=lambda u: u[0]):
        body = items if isinstance(items, bytes) else b"".join(
            number(t, v) if isinstance(v, int) else tlv(t, v) for t, v in items)
        data += tlv(tag, body)
    return data


def make_license(code, policy=None, keys=None, number=1, **fields):
    refs = keys or [[kid, i + 1, bytes(16), BPS[i]] for i, kid in enumerate(KIDS[:3])]
    info = {1: 1, 2: bytes(15) + bytes([number]), 3: b"shop.example", 4: ISSUED, 5: b"film-1", 6: [1, DOMAIN, 1], 7: code,
            8: policy if policy is not None else {1: 2 * HOUR}, 9: refs, 11: 0, 15: 1}
    info.update({int(k[1:]): v for k, v in fields.items()})
    protected = encode({1: -7, 3: "application/lares-license+cbor", 34: [-15, bytes(8)]})
    return lares_license.decode(encode([protected, {}, encode(info), bytes(64)]))


def output(kind="INTERNAL", protection=0, evidence=1, plugged=0):
    return {"class": kind, "protection": protection, "evidence": evidence, "plugged": plugged}


def make_env(**changes):
    env = {"accepted": True, "accepted_epoch": 1, "compromised_epoch": 0, "device": DEVICE.hex(),
           "domains": [{"domain": DOMAIN.hex(), "generation": 1, "not_after": 0, "removed": False}], "users": [],
           "keys": [k.hex() for k in KIDS], "revoked": [], "rev_epoch": 1, "status_age": 0, "level": 1, "anchor": 1, "outputs": [],
           "region": {"country": "", "source": 0, "at": 0}, "slots": [], "offline": False, "sunset_at": 0, "grace": []}
    env.update(changes)
    return env


def make_request(action="PLAY", **changes):
    request = {"action": action, "tier": "", "kid": "", "output": output(), "part": "", "fps": 0, "confirm": False,
               "consent": False, "overlay": False, "takeover": False, "from": 0, "again": False, "form": 0, "for": 0,
               "countersigned": 0, "dest": None}
    request.update(changes)
    return request


def make_dest(**changes):
    dest = {"device": DEVICE.hex(), "domain": DOMAIN.hex(), "level": 1, "anchor": 1, "country": "", "renderer": "", "system": "",
            "clear": False}
    dest.update(changes)
    return dest


def make_clock(est, q=3, **changes):
    clock = {"lo": est if q == 3 else 0, "est": est, "q": q, "unsynced": 0, "behind": False, "lo_iss": 0, "relayed": 0}
    clock.update(changes)
    return clock


def zero():
    return lares_state.decode(lares_state.ZERO)


class Player:
    """One instance that is used: begin, watch, end, crash."""

    def __init__(self, lic, **env):
        self.lic, self.env, self.state, self.session = lic, make_env(**env), zero(), None
        self.durable, self.q = self.state, 3

    def input(self, at, action="PLAY", session=None, **request):
        return Input(self.lic, self.state, make_clock(at, self.q), self.env, make_request(action, **request), session)

    def evaluate(self, at, action="PLAY", **request):
        return lares_evaluate.evaluate(self.input(at, action, **request))

    def begin(self, at, **request):
        decision, state, session = lares_session.begin(self.input(at, confirm=True, **request))
        if state is not None:
            self.state = self.durable = state
            self.session, self.began = session, at
        return decision

    def watch(self, at, ms, media=0, size=0, kid=None, passes=True):
        """ms of fragments of one second; (ms released, last decision)."""
        kid = kid or KIDS[1].hex()
        for done in range(0, ms, 1000):
            now = at + (done if passes else 0)
            fragment = {"kid": kid, "bytes": size, "duration": 1000, "media": media + done}
            inp = self.input(now, session=self.session)
            decision, state, session, durable = lares_session.extend(inp, fragment, now - self.began)
            if state is None:
                return done, decision
            self.state, self.session = state, session
            if durable:
                self.durable = state
        return ms, decision

    def end(self, at):
        self.state = self.durable = lares_session.end(self.input(at, session=self.session), at - self.began)
        self.session = None

    def crash(self):
        self.state, self.session = self.durable, None

"""The revocation state: docs/spec/revocation.md, without the signature of the head."""

import hashlib

from lares_bits import GREATEST_K, PAGE, Reader, Writer, decode_page, encode_page, page_body, page_header, read_body
from lares_cbor import Malformed

MAX_CLASS = (1 << 32) - 2
MAX_BLOCKS = (1 << 16) - 1
MAX_LEAVES = 1 << 20
MAX_COMPROMISED = 64
WORTH = 16
NO_CRL = bytes(32)


class Class:
    def __init__(self, number):
        self.number, self.status, self.reason, self.svn, self.blocks, self.crl = number, 0, 0, 0, 1, NO_CRL
        self.members = []  # ascending

    def pages(self):
        parts = [[] for _ in range(self.blocks)]
        for at in self.members:
            parts[at // PAGE].append(at % PAGE)
        return parts

    def row(self):
        return (self.status, self.reason, self.svn, self.blocks, self.crl)


class Issuer:
    def __init__(self, name, seen, sunset, compromised):
        self.name, self.seen, self.sunset = name, seen, sunset
        self.compromised = compromised  # (class, index, epoch), ascending


class State:
    def __init__(self):
        self.classes, self.issuers = {}, {}


def sha(data):
    return hashlib.sha256(data).digest()


def tree(hashes):
    """The root of RFC 6962 over leaf hashes."""
    if not hashes:
        return sha(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha(b"\x01" + tree(hashes[:k]) + tree(hashes[k:]))


def page_root(parts):
    empty = sha(b"\x00\x00")
    return tree([sha(b"\x00" + encode_page(p)) if p else empty for p in parts])


def class_leaf(c, following):
    kind = 1 if c.crl == NO_CRL else 3
    out = bytes([kind]) + c.number.to_bytes(4, "big") + following.to_bytes(4, "big") + bytes([c.status << 4 | c.reason])
    for number in (c.svn, c.blocks * PAGE, len(c.members)):
        out += number.to_bytes(4, "big")
    return out + page_root(c.pages()) + (c.crl if kind == 3 else b"")


def issuer_leaf(i, following):
    flags = int(i.sunset) | (2 if i.compromised else 0)
    out = bytes([2, flags, len(i.name)]) + i.name + bytes([len(following)]) + following + i.seen.to_bytes(8, "big")
    if i.compromised:
        out += bytes([len(i.compromised)])
    for number, index, epoch in i.compromised:
        out += number.to_bytes(4, "big") + index.to_bytes(4, "big") + epoch.to_bytes(8, "big")
    return out


def leaves(state):
    numbers, names = sorted(state.classes), sorted(state.issuers)
    out = [class_leaf(state.classes[n], numbers[(at + 1) % len(numbers)]) for at, n in enumerate(numbers)]
    return out + [issuer_leaf(state.issuers[n], names[(at + 1) % len(names)]) for at, n in enumerate(names)]


def root(state):
    return tree([sha(b"\x00" + leaf) for leaf in leaves(state)])


def decode_head(data):
    if len(data) != 166 or data[0] != 1 or data[1] != 0:
        raise Malformed("head")
    u64 = lambda at: int.from_bytes(data[at:at + 8], "big")
    return {
        "epoch": (u64(2), u64(10)), "issued": u64(18), "next": u64(26),
        "leaves": int.from_bytes(data[34:38], "big"), "root": data[38:70], "key": data[70:102], "signature": data[102:],
    }


# Rows of classes, as snapshots and deltas write them.

def write_standing(w, c):
    w.bits(int(c.status != 0), 1)
    if c.status:
        w.bits(c.status, 2)
        w.bits(c.reason, 4)
    w.gamma(c.svn + 1)
    w.bits(int(c.crl != NO_CRL), 1)
    if c.crl != NO_CRL:
        w.bits(int.from_bytes(c.crl, "big"), 256)


def read_standing(r, c):
    if r.bit():
        c.status, c.reason = r.bits(2), r.bits(4)
        if c.status == 0 or c.reason > 10:
            raise Malformed("status of a class")
    c.svn = r.gamma(1 << 32) - 1
    if r.bit():
        c.crl = r.bits(256).to_bytes(32, "big")
        if c.crl == NO_CRL:
            raise Malformed("a CRL without a hash")


def write_issuer(w, i):
    w.bits(len(i.name), 8)
    for byte in i.name:
        w.bits(byte, 8)
    w.bits(int(i.sunset), 1)
    w.bits(i.seen, 53)
    w.gamma(len(i.compromised) + 1)
    for number, index, epoch in i.compromised:
        w.bits(number, 32)
        w.bits(index, 32)
        w.bits(epoch, 63)


def read_issuers(r, count, into):
    last = b""
    for _ in range(count):
        name = bytes(r.bits(8) for _ in range(r.bits(8)))
        sunset = bool(r.bit())
        if not 1 <= len(name) <= 64 or name <= last:
            raise Malformed("issuer")
        seen = r.bits(53)
        compromised = [(r.bits(32), r.bits(32), r.bits(63)) for _ in range(r.gamma(MAX_COMPROMISED + 1) - 1)]
        members = [c[:2] for c in compromised]
        if members != sorted(set(members)) or any(epoch == 0 for _, _, epoch in compromised):
            raise Malformed("compromised keys of an issuer")
        into[name] = Issuer(name, seen, sunset, compromised)
        last = name


# Snapshot

def gaps(members):
    following = 0
    for at in members:
        yield at - following
        following = at + 1


def flat_bits(members):
    """The length of the members in Rice code, by k."""
    all_gaps = list(gaps(members))
    return [sum(g >> k for g in all_gaps) + len(all_gaps) * (k + 1) for k in range(GREATEST_K + 1)]


def shortest(lengths):
    return min(range(len(lengths)), key=lambda k: (lengths[k], k))


def write_header(w, last, header):
    near = {1: neighbor(last, 1), -1: neighbor(last, -1)}
    if header == last:
        w.bits(0, 1)
    elif header == near[1]:
        w.bits(0b101, 3)
    elif header == near[-1]:
        w.bits(0b100, 3)
    else:
        w.bits(0b11, 2)
        w.bits(header, 6)


def neighbor(header, step):
    kind, k = header & 0xF0, (header & 15) + step
    if kind == 0x10 and 1 <= k <= 15 or kind == 0x20 and 0 <= k <= 15:
        return kind + k
    return None


def paged(c, common_k):
    w, last = Writer(), 0x10 + min(max(common_k, 1), 15)
    for part in c.pages():
        header = page_header(part)
        write_header(w, last, header)
        w.text.append(page_body(part, header))
        last = header
    return w.joined()


def form_of(c, common_k):
    """(bits of the form, bits of the members as text)."""
    if not c.members:
        return "0", ""
    lengths = flat_bits(c.members)
    form, k, cost = "0", common_k, lengths[common_k]
    own = shortest(lengths)
    if lengths[own] + WORTH < cost:
        form, k, cost = "10" + format(own, "05b"), own, lengths[own] + WORTH
    pages = paged(c, common_k)
    if len(pages) + WORTH < cost:
        return "11", pages
    w = Writer()
    for gap in gaps(c.members):
        w.rice(gap, k)
    return form, w.joined()


def count_k(base, c):
    return base + c.blocks.bit_length() - 1


def encode_snapshot(state):
    classes = [state.classes[n] for n in sorted(state.classes)]
    counted = [c for c in classes if c.status != 2]
    base = shortest([sum((len(c.members) >> count_k(b, c)) + count_k(b, c) + 1 for c in counted) for b in range(16)])
    common_k = shortest([sum(column) for column in zip(*(flat_bits(c.members) for c in counted))] or [0])
    w = Writer()
    w.bits(0, 1)
    w.gamma(len(classes) + 1)
    w.gamma(len(state.issuers) + 1)
    w.bits(base, 4)
    w.bits(common_k, 5)
    expected, written, plain = 0, Writer(), 0
    for c in classes:
        form, members = form_of(c, common_k)
        if c.number == expected and (c.status, c.svn, c.crl, form) == (0, 0, NO_CRL, "0"):
            plain += 1
        else:
            w.gamma(plain + 1)
            w.text += written.text
            plain, written = 0, Writer()
            w.gamma(c.number - expected + 1)
            write_standing(w, c)
            w.text.append(form)
        to = written if plain else w
        to.gamma(c.blocks)
        if c.status != 2:
            to.rice(len(c.members), count_k(base, c))
            to.text.append(members)
        expected = c.number + 1
    if plain:
        w.gamma(plain + 1)
        w.text += written.text
    for name in sorted(state.issuers):
        write_issuer(w, state.issuers[name])
    return w.bytes()


def decode_snapshot(data):
    if not 2 <= len(data) <= 1 << 24:
        raise Malformed("length of the snapshot")
    r, state = Reader(data), State()
    if r.bit():
        raise Malformed("layout")
    classes, issuers = r.gamma(MAX_LEAVES + 1) - 1, r.gamma(MAX_LEAVES + 1) - 1
    base, common_k = r.bits(4), r.bits(5)
    expected = 0
    while len(state.classes) < classes:
        plain = r.gamma(classes - len(state.classes) + 1) - 1
        for at in range(plain + 1):
            if len(state.classes) == classes:
                break
            form = ("flat", common_k)
            if at == plain:
                expected += r.gamma(1 << 32) - 1
            c = Class(expected)
            if at == plain:
                read_standing(r, c)
                form = read_form(r, common_k)
            if c.number > MAX_CLASS:
                raise Malformed("class")
            c.blocks = r.gamma(MAX_BLOCKS)
            if c.status != 2:
                read_members(r, c, base, common_k, form)
            state.classes[c.number] = c
            expected += 1
    read_issuers(r, issuers, state.issuers)
    r.end()
    if encode_snapshot(state) != data:
        raise Malformed("not the one encoding of its state")
    return state


def read_form(r, common_k):
    if not r.bit():
        return ("flat", common_k)
    if not r.bit():
        return ("flat", r.bits(5))
    return ("paged", 0)


def read_members(r, c, base, common_k, form):
    count, limit = r.rice(count_k(base, c), c.blocks * PAGE), c.blocks * PAGE
    if count == 0:
        return
    if form[0] == "flat":
        if count > r.left():
            raise Malformed("more members than bits")
        following = 0
        for _ in range(count):
            at = following + r.rice(form[1], limit)
            if at >= limit:
                raise Malformed("a member that was not issued")
            c.members.append(at)
            following = at + 1
        return
    last = 0x10 + min(max(common_k, 1), 15)
    for number in range(c.blocks):
        if r.bit():
            if r.bit():
                last = r.bits(6)
            else:
                last = neighbor(last, 1 if r.bit() else -1)
                if last is None:
                    raise Malformed("header of a page")
        c.members += [number * PAGE + i for i in read_body(r, last)]


# Delta

def decode_delta(data, old):
    """The newer state's content, from the older one's."""
    if not 1 <= len(data) <= 1 << 22:
        raise Malformed("length of the delta")
    r = Reader(data)
    if r.bit():
        raise Malformed("layout")
    new, rows, turned, places = State(), {}, True, ([], False, 0)
    for number, c in old.classes.items():
        new.classes[number] = copy_of(c)
    new.issuers.update(old.issuers)
    issuers = {}
    if r.bit():
        changed, count = r.gamma(MAX_LEAVES + 1) - 1, r.gamma(MAX_LEAVES + 1) - 1
        expected = 0
        for _ in range(changed):
            c = Class(expected + r.gamma(1 << 32) - 1)
            if c.number > MAX_CLASS:
                raise Malformed("class")
            read_standing(r, c)
            c.blocks = r.gamma(MAX_BLOCKS)
            if c.number in old.classes:
                if c.blocks < old.classes[c.number].blocks:
                    raise Malformed("fewer indexes than before")
                if c.status != 2:
                    c.members = list(old.classes[c.number].members)
            rows[c.number] = new.classes[c.number] = c
            expected = c.number + 1
        read_issuers(r, count, issuers)
        new.issuers.update(issuers)
        turned = bool(r.bit())
    allotted = sum(c.blocks for c in new.classes.values()) * PAGE
    runs = read_places(r, allotted) if turned else []
    r.end()
    if encode_delta(rows, issuers, runs, allotted) != data:
        raise Malformed("not the one encoding of its delta")
    turn(new, runs)
    return new


def copy_of(c):
    out = Class(c.number)
    out.status, out.reason, out.svn, out.blocks, out.crl = c.row()
    out.members = list(c.members)
    return out


def guess(allotted, count):
    return min(max((allotted // count).bit_length() - 1, 0), GREATEST_K)


def read_places(r, allotted):
    as_runs, count = r.bit(), r.gamma(1 << 52)
    z = r.gamma(2 * GREATEST_K + 1)
    k = guess(allotted, count) + (z // 2 if z % 2 == 0 else -(z // 2))
    if not 0 <= k <= GREATEST_K or count > r.left():
        raise Malformed("places")
    found, following = [], 0
    for _ in range(count):
        first = following + r.rice(k, allotted)
        last = first + (r.gamma(allotted) - 1 if as_runs else 0)
        if last >= allotted:
            raise Malformed("a place behind the last one")
        if found and found[-1][1] + 1 == first:
            found[-1][1] = last
        else:
            found.append([first, last])
        following = last + (2 if as_runs else 1)
    return found


def encode_delta(rows, issuers, runs, allotted):
    w = Writer()
    w.bits(0, 1)
    registry = bool(rows or issuers or not runs)
    w.bits(int(registry), 1)
    if registry:
        w.gamma(len(rows) + 1)
        w.gamma(len(issuers) + 1)
        expected = 0
        for number in sorted(rows):
            w.gamma(number - expected + 1)
            write_standing(w, rows[number])
            w.gamma(rows[number].blocks)
            expected = number + 1
        for name in sorted(issuers):
            write_issuer(w, issuers[name])
        w.bits(int(bool(runs)), 1)
    if runs:
        w.text.append(min((places_text(runs, allotted, way, k) for way in (0, 1) for k in range(GREATEST_K + 1) if affordable(runs, way, k)),
                          key=len))
    return w.bytes()


def affordable(runs, way, k):
    """Leaves out what would be far too long to write down and compare."""
    return runs[-1][1] >> k <= 1 << 22


def places_text(runs, allotted, way, k):
    count = len(runs) if way else sum(last - first + 1 for first, last in runs)
    d = k - guess(allotted, count)
    w, following = Writer(), 0
    w.bits(way, 1)
    w.gamma(count)
    w.gamma(2 * d if d > 0 else 1 - 2 * d)
    for first, last in runs:
        if way:
            w.rice(first - following, k)
            w.gamma(last - first + 1)
            following = last + 2
        else:
            for place in range(first, last + 1):
                w.rice(place - following, k)
                following = place + 1
    return w.joined()


def turn(state, runs):
    places = [p for first, last in runs for p in range(first, last + 1)]
    base, at = 0, 0
    for number in sorted(state.classes):
        c = state.classes[number]
        end, flipped = base + c.blocks * PAGE, set()
        while at < len(places) and places[at] < end:
            flipped.add(places[at] - base)
            at += 1
        if flipped:
            if c.status == 2:
                raise Malformed("a member of a revoked class")
            c.members = sorted(set(c.members) ^ flipped)
        base = end


# Proof

def open_proof(data, head):
    """{class: (leaf, {page: indexes})} under a head's bytes."""
    if len(data) > 1 << 16 or data[:1] != b"\x01" or data[1:103] != head[:102]:
        raise Malformed("proof")
    r, found, shown = Bytes(data[167:]), {}, []
    count = r.number(1)
    if not 1 <= count <= 8:
        raise Malformed("classes of a proof")
    want = decode_head(head)
    for _ in range(count):
        kind = r.data[r.at:r.at + 1]
        leaf = r.take({b"\x01": 54, b"\x03": 86}.get(kind, 0))
        if not leaf:
            raise Malformed("leaf")
        at, pages, parts = r.number(4), {}, []
        total = int.from_bytes(leaf[14:18], "big") // PAGE
        many = r.number(1)
        if not 1 <= many <= 4:
            raise Malformed("pages of a proof")
        for _ in range(many):
            number = r.number(2)
            page = r.take(r.number(2))
            parts.append((number, sha(b"\x00" + page)))
            pages[number] = decode_page(page)
        if rebuilt(total, parts, r.hashes()) != leaf[22:54]:
            raise Malformed("pages do not give the page root")
        shown.append((at, sha(b"\x00" + leaf)))
        found[int.from_bytes(leaf[1:5], "big")] = (leaf, pages)
    if rebuilt(want["leaves"], shown, r.hashes()) != want["root"] or r.at != len(r.data):
        raise Malformed("leaves do not give the root")
    return found


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Malformed("proof ends")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def hashes(self):
        return [self.take(32) for _ in range(self.number(1))]


def rebuilt(total, shown, hashes):
    places = [at for at, _ in shown]
    if places != sorted(set(places)) or places[-1] >= total:
        raise Malformed("places of a proof")
    leaf, rest = dict(shown), list(hashes)

    def node(lo, hi):
        if not any(lo <= at < hi for at in places):
            if not rest:
                raise Malformed("too few hashes")
            return rest.pop(0)
        if hi - lo == 1:
            return leaf[lo]
        k = 1 << ((hi - lo - 1).bit_length() - 1)
        left = node(lo, lo + k)
        return sha(b"\x01" + left + node(lo + k, hi))

    out = node(0, total)
    if rest:
        raise Malformed("too many hashes")
    return out

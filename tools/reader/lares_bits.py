"""Bits, gamma and Rice codes, and pages: docs/spec/revocation.md, Page."""

import functools

from lares_cbor import Malformed

PAGE = 65536
ESCAPE = 8
GREATEST_K = 31


class Writer:
    """Bits, the first one highest in its byte."""

    def __init__(self):
        self.text = []

    def bits(self, value, count):
        if count:
            self.text.append(format(value, "0%db" % count))

    def ones(self, count):
        self.text.append("1" * count)

    def gamma(self, value):
        self.bits(0, value.bit_length() - 1)
        self.bits(value, value.bit_length())

    def rice(self, value, k):
        self.ones(value >> k)
        self.bits(0, 1)
        self.bits(value & ((1 << k) - 1), k)

    def joined(self):
        return "".join(self.text)

    def bytes(self):
        text = self.joined()
        text += "0" * (-len(text) % 8)
        return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]


class Reader:
    def __init__(self, data):
        self.text = format(int.from_bytes(b"\x01" + data, "big"), "b")[1:]
        self.at = 0

    def left(self):
        return len(self.text) - self.at

    def bit(self):
        return self.bits(1)

    def bits(self, count):
        if count > self.left():
            raise Malformed("bits end")
        self.at += count
        return int(self.text[self.at - count:self.at] or "0", 2)

    def gamma(self, limit):
        end = self.text.find("1", self.at)
        zeros = end - self.at
        if end < 0 or zeros > 63:
            raise Malformed("gamma code")
        self.at = end
        value = self.bits(zeros + 1)
        if value > limit:
            raise Malformed("a number beyond its limit")
        return value

    def rice(self, k, limit):
        end = self.text.find("0", self.at)
        if end < 0:
            raise Malformed("Rice code")
        quotient = end - self.at
        self.at = end + 1
        value = (quotient << k) | self.bits(k)
        if value > limit:
            raise Malformed("a number beyond its limit")
        return value

    def end(self):
        if self.left() > 7 or "1" in self.text[self.at:]:
            raise Malformed("more than zero bits behind the end")


def runs_of(indexes):
    """Pairs of first and last of each run of a sorted list."""
    runs = []
    for i in indexes:
        if runs and runs[-1][1] + 1 == i:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return runs


def write_gap(w, gap, k):
    quotient = gap >> k
    w.ones(min(quotient, ESCAPE))
    w.bits(0, 1)
    if quotient >= ESCAPE:
        w.gamma(quotient - ESCAPE + 1)
    w.bits(gap & ((1 << k) - 1), k)


def write_end(w, following, k):
    steps = -(-(PAGE - following) // (1 << k)) if following < PAGE else 0
    w.ones(min(steps, ESCAPE) + (steps > ESCAPE))


def page_body(indexes, header):
    """The bits of a page's body, as text."""
    return body_of(tuple(indexes), header)


@functools.lru_cache(4096)
def body_of(indexes, header):
    w, kind, k, following = Writer(), header & 0xF0, header & 15, 0
    if kind == 0x10:
        for i in indexes:
            write_gap(w, i - following, k)
            following = i + 1
        write_end(w, following, k)
    elif kind == 0x20:
        for first, last in runs_of(indexes):
            write_gap(w, first - following, k)
            w.gamma(last - first + 1)
            following = last + 2
        write_end(w, following, k)
    elif kind == 0x30:
        members = set(indexes)
        w.text = ["1" if i in members else "0" for i in range(PAGE)]
    return w.joined()


def page_header(indexes):
    """The header of the shortest body: list before runs before bitmap, smaller k first."""
    return header_of(tuple(indexes))


@functools.lru_cache(4096)
def header_of(indexes):
    if not indexes:
        return 0
    ways = [0x10 + k for k in range(1, 16)] + [0x20 + k for k in range(16)] + [0x30]
    return min(ways, key=lambda h: (len(page_body(indexes, h)) if h != 0x30 else PAGE, h))


def encode_page(indexes):
    header = page_header(indexes)
    w = Writer()
    w.bits(header, 8)
    w.text.append(page_body(indexes, header))
    return w.bytes()


def read_body(r, header):
    """The indexes of a page whose body is next."""
    kind, k = header & 0xF0, header & 15
    if header == 0:
        return []
    if header == 0x30:
        bits = r.text[r.at:r.at + PAGE]
        r.bits(PAGE)
        return [i for i, b in enumerate(bits) if b == "1"]
    if kind not in (0x10, 0x20):
        raise Malformed("header of a page")
    found, following = [], 0
    while True:
        quotient = read_quotient(r, following, k)
        if quotient is None:
            return found
        first = following + (quotient << k) + r.bits(k)
        last = first + (r.gamma(PAGE) - 1 if kind == 0x20 else 0)
        if last >= PAGE:
            raise Malformed("beyond the page")
        found.extend(range(first, last + 1))
        following = last + (2 if kind == 0x20 else 1)


def read_quotient(r, following, k):
    """None at the end of the page."""
    quotient = 0
    while following + (quotient << k) < PAGE:
        if quotient == ESCAPE:
            return None if r.bit() else quotient + r.gamma(PAGE) - 1
        if not r.bit():
            return quotient
        quotient += 1
    return None


def decode_page(data):
    if not 1 <= len(data) <= 1 + PAGE // 8:
        raise Malformed("length of a page")
    r = Reader(data[1:])
    found = read_body(r, data[0])
    r.end()
    if encode_page(found) != data:
        raise Malformed("not the one encoding of its page")
    return found

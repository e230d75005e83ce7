"""Countries and M49 areas, read from the tables of docs/spec/regions.md."""

import functools
import os
import re

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "spec", "regions.md")


@functools.lru_cache(maxsize=None)
def page():
    with open(PAGE, encoding="utf-8") as source:
        return source.read()


@functools.lru_cache(maxsize=None)
def countries():
    """Section Countries: all that ISO 3166-1 has assigned."""
    block = re.search(r"^```countries\n(.*?)^```", page(), re.S | re.M).group(1)
    return frozenset(block.split())


@functools.lru_cache(maxsize=None)
def areas():
    """Section Areas: code -> its countries."""
    table = {}
    for code, listed in re.findall(r"^\| (\d{3}) \| [^|]* \| ([^|]*) \|$", page(), re.M):
        table[code] = countries() if listed.strip() == "all" else frozenset(listed.split())
    return table


def known(code):
    """Whether a region rule may have this code; any other is malformed (section Codes)."""
    return code in countries() or code in areas()


def lies_in(country, code):
    """An area stands for the countries in its row, a country for itself."""
    return country in areas()[code] if code in areas() else country == code


def examples():
    """Section Examples: [(country, code, whether it lies in it)]."""
    rows = re.findall(r"^\| ([A-Z]{2}) \| (\w{2,3}) \| (yes|no) \|$", page(), re.M)
    return [(country, code, answer == "yes") for country, code, answer in rows]

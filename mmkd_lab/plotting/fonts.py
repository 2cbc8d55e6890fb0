"""Letters of every script: an installed font that has them, or their code where no font does; never boxes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache

from matplotlib.font_manager import fontManager, get_font

#: Ships with matplotlib: the same letters on every machine. It has Latin, Greek, Cyrillic and much else.
BASE = "DejaVu Sans"
#: Boxes in place of letters, and colours, which matplotlib cannot draw.
_NEVER = ("last resort", "emoji")
_FIRST = ("noto sans", "cjk", "gothic", "hiragino", "hei", "song", "arial unicode", "sans")


def readable(text: str) -> str:
    """`text` with `\\u65e5` in place of each letter that no installed font can draw."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def families(text: str) -> list[str]:
    """The font families that draw a readable text, the lab's own first."""
    if text.isascii():
        return [BASE]
    return list(dict.fromkeys([BASE, *(family for one in text if (family := _family(ord(one))))]))


def weight_of(names: list[str], weight: str) -> str:
    """The weight asked for, or 'normal' where one of the families has no bold."""
    bold = {entry.name for entry in fontManager.ttflist if str(entry.weight) in ("700", "bold", "600", "800")}
    return weight if weight == "normal" or set(names) <= bold else "normal"


@cache
def _shown(letter: str) -> str:
    if letter == "\n" or _family(ord(letter)):
        return letter
    if letter.isspace():
        return " "
    plain = unicodedata.normalize("NFKC", letter)  # full-width letters and the like
    if all(_family(ord(one)) for one in plain):
        return plain
    code = ord(letter)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


@cache
def _family(code: int) -> str | None:
    """The first installed family that has a letter."""
    return next((name for name, path in _fonts() if code in _codes(path)), None)


@cache
def _fonts() -> tuple[tuple[str, str], ...]:
    """(family, file) of every font that can be used: the base, then those likely to have many scripts."""

    def rank(font: tuple[str, str]) -> tuple[object, ...]:
        likely = next((i for i, word in enumerate(_FIRST) if word in font[0].lower()), len(_FIRST))
        return font[0] != BASE, likely, *font

    return tuple(sorted(_usable(), key=rank))


def _usable() -> Iterator[tuple[str, str]]:
    for entry in fontManager.ttflist:
        upright = entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
        if upright and not any(word in entry.name.lower() for word in _NEVER):
            yield entry.name, entry.fname


@cache
def _codes(path: str) -> frozenset[int]:
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged font has no letters
        return frozenset()

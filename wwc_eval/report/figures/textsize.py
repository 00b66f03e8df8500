"""How wide a text is, and where to break it: metrics of DejaVu Sans, which Matplotlib brings along.

DejaVu is wider than the system fonts that a browser is likely to choose, so what fits here fits there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from wwc_eval.report.words import clean

__all__ = ["drawable", "one_line", "text_width", "wrap"]

_SIZE = 100.0
_WIDE = 1.1  # em, for characters that the font has not (ideographs, emoji)
_BREAKS = re.compile(r"[ \t\r\n]+")  # a no-break space is none
ELLIPSIS = "…"


@lru_cache(maxsize=2)
def _font(*, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    # a font of our own: those that Matplotlib keeps change their size as it draws
    path = findfont(
        FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"), fallback_to_default=False
    )
    font = FT2Font(path)
    font.set_size(_SIZE, 72)
    return font


@lru_cache(maxsize=4096)
def _advance(character: str, *, bold: bool) -> float:
    """Advance of a character in em."""
    font = _font(bold=bold)
    if font.get_char_index(ord(character)) == 0:
        return _WIDE
    glyph = font.load_char(ord(character))
    return float(glyph.linearHoriAdvance) / 65536.0 / _SIZE


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text in the units of ``size``.

    Examples
    --------
    >>> 40 < text_width("family", 14) < 50
    True
    """
    return size * sum(_advance(character, bold=bold) for character in text)


def drawable(text: object) -> str:
    """One line of text in which every character has a glyph; a box stands for those that have none.

    Examples
    --------
    >>> drawable("Ynys Môn  家")
    'Ynys Môn □'
    """
    font = _font(bold=False)
    words = " ".join(clean(text).split())
    return "".join(character if font.get_char_index(ord(character)) else "□" for character in words)


def wrap(text: str, width: float, size: float, *, bold: bool = False, lines: int = 12) -> list[str]:
    """Lines no wider than ``width``; a word wider than that is cut, what exceeds ``lines`` ends in an ellipsis.

    Examples
    --------
    >>> wrap("not a child at referral", 90, 14)
    ['not a child', 'at referral']
    """
    done: list[str] = []
    line = ""
    for word in _pieces(" ".join(_BREAKS.split(text.strip())), width, size, bold=bold):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size, bold=bold) > width:
            done.append(line)
            line = word
        else:
            line = longer
    done.append(line)
    if len(done) <= lines:
        return done
    last = done[lines - 1]
    while last and text_width(last + ELLIPSIS, size, bold=bold) > width:
        last = last[:-1]
    return [*done[: lines - 1], last.rstrip() + ELLIPSIS]


def one_line(text: object, width: float, size: float, *, bold: bool = False) -> str:
    """One drawable line no wider than ``width``; what is left out shows as an ellipsis.

    Examples
    --------
    >>> one_line("percentage points", 60, 9)
    'percentag…'
    """
    return wrap(drawable(text), width, size, bold=bold, lines=1)[0]


def _pieces(text: str, width: float, size: float, *, bold: bool) -> list[str]:
    """Words, those wider than a line cut into parts that fit."""
    pieces = []
    for word in text.split(" "):
        part = ""
        for character in word:
            if part and text_width(part + character, size, bold=bold) > width:
                pieces.append(part)
                part = ""
            part += character
        pieces.append(part)
    return pieces

"""Words and figures as a reader wants them: minus signs, percent, counts, dates, contrasts.

Nothing here calculates with what it shows, save scaling a proportion to points or to "of every 100".
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from wwc_eval.estimate import PROPORTION_SCALES, RATIO_SCALES, SCALES, Estimate
from wwc_eval.table import MISSING, format_count, format_p_value

__all__ = [
    "NOT_ESTIMATED",
    "clean",
    "count_text",
    "counts_text",
    "day",
    "effect_text",
    "flatten",
    "humanise",
    "interval_text",
    "is_estimated",
    "is_ratio",
    "listed",
    "measure_words",
    "minus",
    "null_value",
    "p_text",
    "pick",
    "rate_words",
    "scale_words",
    "scaled",
    "size_text",
    "title_case",
    "units_words",
    "value_text",
]

NOT_ESTIMATED = "not estimated"
_SIGN = re.compile(r"(?<![\w.)\]])-(?=[\d∞.])")
_NAME = re.compile(r"[\w ,-]+")
_CAPITALS = frozenset({"mdes", "icc", "itt", "cace", "sd", "osf", "url", "id", "cac", "sha256"})
_LARGEST_RATIO = 1e6
_LARGEST = 1e12
_SHOWN_LINE = "\n\t"
# marks that reorder or hide the text after them have no place in a report
_HIDDEN = frozenset("\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean(text: object) -> str:
    r"""Text without control characters, lone surrogates or marks that reorder what follows them.

    Examples
    --------
    >>> clean("a\x00b\u202ec")
    'abc'
    """
    return "".join(
        character
        for character in str(text)
        if character in _SHOWN_LINE
        or not (
            unicodedata.category(character) in {"Cc", "Cs"} or character in _HIDDEN or character in "\ufffe\uffff"
        )
    )


def minus(text: str) -> str:
    """Figures with a true minus sign; hyphens inside words, dates and ranges stay.

    Examples
    --------
    >>> minus("-12.9 to -3.3"), minus("2026-01-15")
    ('−12.9 to −3.3', '2026-01-15')
    """
    return _SIGN.sub("−", text)


def humanise(name: object) -> str:
    """Words of a name: underscores become spaces, and what is always written in capitals is; a sentence stays.

    Examples
    --------
    >>> humanise("icc_family"), humanise("permuted_blocks"), humanise("y_12 ~ arm")
    ('ICC family', 'permuted blocks', 'y_12 ~ arm')
    """
    words = clean(name).strip()
    if not _NAME.fullmatch(words):
        return words
    words = words.replace("_", " ")
    return " ".join(word.upper() if word in _CAPITALS else word for word in words.split(" "))


def title_case(text: str) -> str:
    """Text that starts with a capital; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def listed(items: list[str]) -> str:
    """``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def pick(mapping: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Value at a dotted path of nested mappings, or the default where any step or the value is missing."""
    value: Any = mapping
    for step in path.split("."):
        if not isinstance(value, Mapping) or value.get(step) is None:
            return default
        value = value[step]
    return value


def flatten(value: Any, head: str = "", *, path: bool = False) -> Iterator[tuple[str, str]]:
    """Leaves of nested plain data as pairs of words, or with ``path`` of a field's path and its value.

    Examples
    --------
    >>> list(flatten({"missing": {"method": "complete_case"}, "sizes": [2, 4]}))
    [('missing method', 'complete_case'), ('sizes', '2, 4')]
    >>> list(flatten({"outcomes": [{"name": "days"}]}, path=True))
    [('outcomes › 1 › name', 'days')]
    >>> list(flatten({"seed": 12025020311}, path=True)), list(flatten({"children": 27000}))
    ([('seed', '12025020311')], [('children', '27,000')])
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, _joined(head, clean(key) if path else humanise(key), path=path), path=path)
    elif isinstance(value, (list, tuple)):
        if any(isinstance(item, (Mapping, list, tuple)) for item in value):
            for position, inner in enumerate(value, start=1):
                yield from flatten(inner, _joined(head, str(position), path=path), path=path)
        else:
            yield head, ", ".join(_leaf(item, path=path) for item in value) or MISSING
    else:
        yield head, _leaf(value, path=path)


def _joined(head: str, tail: str, *, path: bool) -> str:
    return (" › " if path else " ").join(part for part in (head, tail) if part)


def _leaf(value: object, *, path: bool) -> str:
    """One value in words; numbers of a plan shown field by field as they are written there, years and seeds among them."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and path:
        return minus(str(value))
    if isinstance(value, (int, float)):
        return minus(f"{value:,.10g}" if math.isfinite(value) else MISSING)
    return clean(value)


def day(text: object) -> str:
    """A date, or a moment in UTC, in words; any other text as it is.

    Examples
    --------
    >>> day("2026-01-15"), day("2026-01-15T09:30:00Z")
    ('15 January 2026', '15 January 2026, 09:30 UTC')
    """
    if isinstance(text, datetime | date):
        text = text.isoformat()
    raw = clean(text)
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        return raw
    words = f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    if len(raw) <= len("2026-01-15"):
        return words
    zone = moment.tzname() or ""
    return f"{words}, {moment:%H:%M} {zone}".strip()


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def count_text(value: object) -> str:
    """A count with thousands separated; a suppressed count (a text) as it is; an em dash where there is none."""
    if value is None:
        return MISSING
    return clean(value) if isinstance(value, str) else minus(format_count(value))


def counts_text(counts: Mapping[str, int | str], singular: Mapping[str, str] | None = None) -> str:
    """``750 families, 1,240 children``.

    Examples
    --------
    >>> counts_text({"families": 1, "children": "<10"}, {"families": "family"})
    '1 family, <10 children'
    """
    names = singular or {}
    return ", ".join(
        f"{count_text(count)} {clean(names.get(unit, unit) if count == 1 else unit)}"
        for unit, count in counts.items()
    )


def is_ratio(estimate: Estimate) -> bool:
    """Whether the estimate is a ratio, where 1 means no difference."""
    return estimate.scale in RATIO_SCALES


def null_value(estimate: Estimate) -> float:
    """Value of no difference: 1 for a ratio, 0 otherwise."""
    return 1.0 if is_ratio(estimate) else 0.0


def is_estimated(estimate: Estimate) -> bool:
    """Whether there is a finite estimate."""
    return math.isfinite(estimate.estimate)


def value_text(estimate: Estimate, value: float) -> str:
    """A value on the scale of the estimate, without units, to two significant digits of the standard error."""
    if math.isnan(value):
        return MISSING
    limit = _LARGEST_RATIO if is_ratio(estimate) else _LARGEST
    if math.isfinite(value) and abs(value) > limit:
        return f"{'<' if value < 0 else '>'} {'−' if value < 0 else ''}{limit:,.0f}"
    return minus(estimate._show(value))


def effect_text(estimate: Estimate) -> str:
    """The estimate without units, or words that say there is none."""
    return value_text(estimate, estimate.estimate) if is_estimated(estimate) else NOT_ESTIMATED


def interval_text(estimate: Estimate) -> str:
    """The interval without units, ``low to high``; an em dash where there is none."""
    if not is_estimated(estimate) or math.isnan(estimate.ci_low) or math.isnan(estimate.ci_high):
        return MISSING
    return f"{value_text(estimate, estimate.ci_low)} to {value_text(estimate, estimate.ci_high)}"


def size_text(estimate: Estimate, value: float) -> str:
    """Size of a difference without its sign."""
    return value_text(estimate, abs(value))


def p_text(value: object) -> str:
    """``p = 0.003`` or ``p < 0.001``; empty where there is none."""
    if not isinstance(value, (int, float)) or math.isnan(value):
        return ""
    shown = format_p_value(float(value))
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def units_words(estimate: Estimate) -> str:
    """Units in words."""
    return humanise(estimate.shown_units)


def measure_words(estimate: Estimate) -> tuple[str, str]:
    """Name of the measure, and its units where they say more than the name.

    A risk difference is in percentage points; a ratio whose units tell it apart (a conditional odds ratio, a ratio of
    odds ratios) goes by them.
    """
    scale, units = scale_words(estimate), units_words(estimate)
    named = scale.casefold() in units.casefold() or is_ratio(estimate)
    return (title_case(units), "") if named else (title_case(scale), units)


def scale_words(estimate: Estimate) -> str:
    """Scale in words, such as "risk difference"."""
    return humanise(SCALES.get(estimate.scale, estimate.scale))


def rate_words(shares: list[float], rows: str) -> list[str]:
    """Shares as "42 of every 100 children", of every 1,000 (or more) where 100 would hide a difference.

    Parameters
    ----------
    shares : list of float
        Proportions that stand beside each other.
    rows : str
        Words of what is counted.
    """
    for base in (100, 1_000, 10_000):
        rounded = [math.floor(share * base + 0.5) for share in shares]
        apart = len(set(rounded)) == len(set(shares))
        large = all(value >= 5 or share == 0 for value, share in zip(rounded, shares, strict=True))
        if (apart and large) or base == 10_000:
            return [f"{value:,} of every {base:,} {clean(rows)}" for value in rounded]
    raise AssertionError


def scaled(estimate: Estimate, value: float) -> float:
    """A value as it is drawn: percentage points for a proportion."""
    return 100.0 * value if estimate.scale in PROPORTION_SCALES else value

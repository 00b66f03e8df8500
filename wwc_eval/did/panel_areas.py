"""Authorities that were reorganised or given another code, known by name, by ONS code and by the number of the DfE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["RECODED", "REORGANISED", "Area", "broken_series"]


@dataclass(frozen=True)
class Area:
    """An authority as published files name it.

    Parameters
    ----------
    name : str
        Its name.
    ons : str
        Its nine-character ONS code.
    dfe : int
        Its three-figure number in files of the Department for Education.
    """

    name: str
    ons: str
    dfe: int


REORGANISED: tuple[tuple[int, tuple[Area, ...], tuple[Area, ...]], ...] = (
    (
        2009,
        (Area("Bedfordshire", "E10000001", 820),),
        (Area("Bedford", "E06000055", 822), Area("Central Bedfordshire", "E06000056", 823)),
    ),
    (
        2009,
        (Area("Cheshire", "E10000004", 875),),
        (Area("Cheshire East", "E06000049", 895), Area("Cheshire West and Chester", "E06000050", 896)),
    ),
    (
        2019,
        (
            Area("Bournemouth", "E06000028", 837),
            Area("Poole", "E06000029", 836),
            Area("Dorset", "E10000009", 835),
        ),
        (Area("Bournemouth, Christchurch and Poole", "E06000058", 839), Area("Dorset", "E06000059", 838)),
    ),
    (
        2021,
        (Area("Northamptonshire", "E10000021", 928),),
        (Area("North Northamptonshire", "E06000061", 940), Area("West Northamptonshire", "E06000062", 941)),
    ),
    (
        2023,
        (Area("Cumbria", "E10000006", 909),),
        (Area("Cumberland", "E06000063", 942), Area("Westmorland and Furness", "E06000064", 943)),
    ),
)
"""Year from which successors stand in place of their predecessors (1 April; children's services of England)."""

RECODED: tuple[tuple[int, str, str, str], ...] = (
    (2013, "Gateshead", "E08000020", "E08000037"),
    (2013, "Northumberland", "E06000048", "E06000057"),
    (2020, "Buckinghamshire", "E10000002", "E06000060"),
    (2023, "North Yorkshire", "E10000023", "E06000065"),
    (2023, "Somerset", "E10000027", "E06000066"),
)
"""Year from which an authority goes under another ONS code, in the same area or nearly so."""

_MARK = re.compile(r"\s*\((?:pre|old|former|until)\b[^)]*\)\s*$", re.IGNORECASE)
_NUMBERS = (
    "201-213 301-320 330-336 340-344 350-359 370-373 380-384 390-394 420 800-803 805-808 810-813 815-816 820-823 825-826 "
    "830-831 835-841 845-846 850-852 855-857 860-861 865-896 908-909 916 919 921 925-926 928-929 931 933 935-938 940-943"
)
"""Numbers of English authorities: other whole numbers are no such labels."""


def broken_series(units: Sequence[Any]) -> list[str]:
    """What stands in two series: authorities that gave way to others, or that go under two codes.

    Parameters
    ----------
    units : sequence
        Labels of the units: names, ONS codes, or the numbers of the DfE where all labels are such numbers.

    Returns
    -------
    list of str
        Sentences, without an end.

    Examples
    --------
    >>> broken_series(["E10000006", "E06000063", "E06000001"])
    ['reorganised in April 2023: E10000006 (Cumbria) gave way to E06000063 (Cumberland)']
    """
    from wwc_eval.did.panel_faults import listed

    found = []
    for by in (_by_name(units), _by_code(units), _by_number(units)):
        for year, before, after in REORGANISED:
            old = [by[area, "old"] for area in before if (area, "old") in by]
            new = [by[area, "new"] for area in after if (area, "new") in by]
            if old and new:
                found.append(f"reorganised in April {year}: {listed(old)} gave way to {listed(new)}")
    labels = {str(unit).strip().upper() for unit in units if isinstance(unit, str)}
    found += [
        f"coded anew in April {year}: {name} is {before} before and {after} since"
        for year, name, before, after in RECODED
        if before in labels and after in labels
    ]
    return found


Known = dict[tuple[Area, str], str]


def _sides() -> Iterable[tuple[Area, str]]:
    """Every area that gave way or came instead, with its side."""
    for _, before, after in REORGANISED:
        yield from ((area, "old") for area in before)
        yield from ((area, "new") for area in after)


def _by_name(units: Sequence[Any]) -> Known:
    from wwc_eval.data.names import local_authority_key

    names = [unit for unit in units if isinstance(unit, str)]
    # published files mark predecessors, as in "Dorset (Pre LG)"
    marked = {local_authority_key(_MARK.sub("", name)): name for name in names if _MARK.search(name)}
    plain = {local_authority_key(name): name for name in names if not _MARK.search(name)}
    kept = {area.name for _, _, after in REORGANISED for area in after}
    found: Known = {}
    for area, side in _sides():
        key = local_authority_key(area.name)
        if side == "old" and key in marked:
            found[area, side] = marked[key]
        # a name that goes on after the reorganisation is the predecessor's only where it is marked so
        elif key in plain and (side == "new" or area.name not in kept):
            found[area, side] = plain[key]
    return found


def _by_code(units: Sequence[Any]) -> Known:
    labels = {str(unit).strip().upper(): str(unit) for unit in units if isinstance(unit, str)}
    return {(area, side): f"{labels[area.ons]} ({area.name})" for area, side in _sides() if area.ons in labels}


def _by_number(units: Sequence[Any]) -> Known:
    spans = [part.partition("-") for part in _NUMBERS.split()]
    known = {k for first, _, last in spans for k in range(int(first), int(last or first) + 1)}
    labels: dict[int, str] = {}
    for unit in units:
        text = str(unit).strip()
        if not text.isdecimal() or int(text) not in known:
            return {}
        labels[int(text)] = text
    return {(area, side): f"{labels[area.dfe]} ({area.name})" for area, side in _sides() if area.dfe in labels}

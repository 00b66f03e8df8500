"""Local authorities of the sample data: invented names and codes, in the nine English regions.

No name is that of a real authority, and the codes 001 to 153 lie below those the Department for Education uses.
"""

from __future__ import annotations

__all__ = [
    "CODES",
    "LOCAL_AUTHORITIES",
    "REGION_OF",
    "SCHOOL_AUTHORITIES",
    "TRIAL_AUTHORITIES",
    "WEDGE_AUTHORITIES",
]

_FIRST = (
    *("North", "Alder", "Bracken", "Cold", "Deep", "Elder", "Fallow", "Grey", "Heron"),
    *("Iron", "Kestrel", "Larch", "Mallow", "Otter", "Quarry", "Raven", "Thistle"),
)
_LAST = ("moor", "mere", "combe", "stow", "holt", "garth", "wold", "fleet", "shaw")

_REGION_SIZES = {
    "East Midlands": 10,
    "East of England": 11,
    "London": 33,
    "North East": 12,
    "North West": 24,
    "South East": 19,
    "South West": 15,
    "West Midlands": 14,
    "Yorkshire and The Humber": 15,
}

LOCAL_AUTHORITIES: tuple[str, ...] = tuple(first + last for last in _LAST for first in _FIRST)
"""The 153 invented names, in the order of their codes."""

CODES: tuple[str, ...] = tuple(f"{number:03d}" for number in range(1, len(LOCAL_AUTHORITIES) + 1))
"""Codes as text with leading zeros."""

REGION_OF: tuple[str, ...] = tuple(region for region, size in _REGION_SIZES.items() for _ in range(size))
"""Region of each authority: as many in each as England had in 2025."""

TRIAL_AUTHORITIES: tuple[str, ...] = LOCAL_AUTHORITIES[::7][:21]
"""The 21 that take part in the family conferencing trial."""

SCHOOL_AUTHORITIES: tuple[str, ...] = LOCAL_AUTHORITIES[3::7][:21]
"""The 21 that take part in the trial of social workers in schools."""

WEDGE_AUTHORITIES: tuple[str, ...] = ("Greymoor", "Coldstow", "Deepholt", "Ravenmere", "Elderwold")
"""The five of the stepped wedge, the two that were ready first in front."""

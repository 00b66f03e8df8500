"""Bands of units: the probability of each, the band that may be stated, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.fidelity.scoring.joint import all_reach
from wwc_eval.fidelity.scoring.levels import ALL_THE_SAME
from wwc_eval.table import format_probability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.specification.document import Band
    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "INDETERMINATE",
    "INSUFFICIENT",
    "Banding",
    "Margin",
    "band_units",
    "insufficiencies",
    "known_if_constant",
    "margins_of",
]

INDETERMINATE = "indeterminate"
INSUFFICIENT = "insufficient data"


@dataclass(frozen=True, kw_only=True, eq=False)
class Margin:
    """One score of the units of a level.

    Parameters
    ----------
    estimate, se : array
        Score and error of each unit; an error of 0 is a score that is known.
    df : array
        Degrees of freedom of each unit.
    reason : str
        Why there is no error.
    """

    estimate: Floats
    se: Floats
    df: Floats
    reason: str = ""

    def reach(self, least: float) -> Floats:
        """Probability that each unit's score is at least so much; missing where it cannot be told."""
        from scipy import special

        with np.errstate(divide="ignore", invalid="ignore"):
            z = (self.estimate - least) / self.se
        z = np.where(self.se == 0, np.where(self.estimate >= least, np.inf, -np.inf), z)
        finite = np.where(np.isfinite(self.df), self.df, 1.0)
        found: Floats = np.where(np.isinf(self.df), special.ndtr(z), special.stdtr(finite, z))
        return found

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Lower and upper limit of each unit's score."""
        from scipy import special

        tail = 0.5 + level / 2
        finite = np.where(np.isfinite(self.df), self.df, 1.0)
        reach = np.where(np.isinf(self.df), special.ndtri(tail), special.stdtrit(finite, tail)) * self.se
        return self.estimate - reach, self.estimate + reach


@dataclass(frozen=True, kw_only=True, eq=False)
class Banding:
    """Bands of the units of a level.

    Parameters
    ----------
    probability : array, units x bands
        Probability of each band.
    band : tuple of str
        Band that is stated: one of probability at least the declared confidence, else ``indeterminate``.
    point : tuple of str
        Band of the scores as estimated, without regard to their errors; empty where there is none.
    at_least : tuple of str
        Highest band that is reached with the declared confidence.
    needs : tuple of str
        What stands between the unit and the next band.
    """

    probability: Floats
    band: tuple[str, ...]
    point: tuple[str, ...]
    at_least: tuple[str, ...]
    needs: tuple[str, ...]


def margins_of(band: Band) -> dict[str, float]:
    """Scores that a band asks for, with the least value of each."""
    found: dict[str, float] = {}
    if band.min is not None:
        found["composite"] = float(band.min)
    found |= {name: float(least) for name, least in band.requires.components.items()}
    if band.requires.essentials:
        found["essentials"] = float(band.requires.cases)
    return found


def known_if_constant(margins: Mapping[str, Margin]) -> dict[str, Margin]:
    """Margins of which those that are the same for all cases are known, such as essentials that none meets.

    The composite stays without an error: a band is not stated where nothing varies.
    """
    return {
        name: replace(margin, se=np.where(np.isnan(margin.estimate), np.nan, 0.0))
        if margin.reason == ALL_THE_SAME and name != "composite"
        else margin
        for name, margin in margins.items()
    }


def band_units(
    spec: FidelitySpecification,
    margins: Mapping[str, Margin],
    correlation: Mapping[tuple[str, str], float],
    *,
    ceiling: Ints | None = None,
    essential: Floats | None = None,
) -> Banding:
    """Bands of the units of one level.

    Parameters
    ----------
    spec : FidelitySpecification
        Bands and their requirements.
    margins : mapping
        Score that a band asks for: its margin.
    correlation : mapping
        Pair of scores: correlation of their errors.
    ceiling : array of int, optional
        Position of the highest band that gates leave to each unit.
    essential : array, optional
        Of the lowest units: whether the essentials are met, which is seen and not estimated.
    """
    bands = spec.document.spec.bands
    n = len(next(iter(margins.values())).estimate)
    reach = np.ones((n, len(bands)))
    point = np.ones((n, len(bands)), dtype=bool)
    for place, band in enumerate(bands[1:], start=1):
        asked = margins_of(band)
        seen = asked.pop("essentials", None) if essential is not None else None
        names = list(asked)
        alone = np.column_stack([margins[name].reach(asked[name]) for name in names]) if names else np.ones((n, 0))
        shared = np.array([[correlation.get((a, b), float(a == b)) for b in names] for a in names])
        reach[:, place] = all_reach(alone, shared.reshape(len(names), len(names)))
        for name in names:
            point[:, place] &= margins[name].estimate >= asked[name]
        if seen is not None and essential is not None:
            fulfilled = np.where(np.isnan(essential), 0.0, essential) >= 1
            reach[:, place] *= fulfilled
            point[:, place] &= fulfilled
        if ceiling is not None:
            reach[ceiling < place, place] = 0.0
            point[ceiling < place, place] = False
    estimates: Floats = np.column_stack([m.estimate for m in margins.values()])
    scored = np.asarray(~np.isnan(estimates).any(axis=1), dtype=np.bool_)
    return _state(spec, margins, reach=reach, point=point, scored=scored, essential=essential)


def _state(
    spec: FidelitySpecification,
    margins: Mapping[str, Margin],
    *,
    reach: Floats,
    point: Bools,
    scored: Bools,
    essential: Floats | None,
) -> Banding:
    names, confidence = spec.bands, spec.document.spec.band_confidence
    # the band of a unit is the highest that it reaches
    upward = np.flip(np.maximum.accumulate(np.flip(reach, axis=1), axis=1), axis=1)
    probability = upward - np.column_stack([upward[:, 1:], np.zeros(len(upward))])
    probability[~scored] = np.nan
    stated, at_least, points, needs = [], [], [], []
    for unit in range(len(reach)):
        if not scored[unit]:
            stated.append("")
            at_least.append("")
            points.append("")
            needs.append("")
            continue
        p = probability[unit]
        known = not np.isnan(p).any()
        best = int(np.argmax(p)) if known else 0
        stated.append(names[best] if known and p[best] >= confidence else INDETERMINATE)
        sure = [place for place in range(len(names)) if known and upward[unit, place] >= confidence]
        at_least.append(names[max(sure)] if sure else "")
        place = int(np.flatnonzero(point[unit]).max())
        points.append(names[place])
        if known and place > max(sure, default=place):
            likely = format_probability(float(upward[unit, max(sure) + 1]))
            needs.append(f"{names[max(sure) + 1]}: reached by the score, with probability {likely} only")
            continue
        needs.append(_needs(spec, margins, unit, place, essential))
    return Banding(
        probability=probability,
        band=tuple(stated),
        point=tuple(points),
        at_least=tuple(at_least),
        needs=tuple(needs),
    )


def _needs(
    spec: FidelitySpecification, margins: Mapping[str, Margin], unit: int, place: int, essential: Floats | None
) -> str:
    """What stands between a unit and the next band."""
    bands = spec.document.spec.bands
    if place + 1 >= len(bands):
        return "in the highest band"
    band = bands[place + 1]
    parts: list[str] = []
    for name, least in margins_of(band).items():
        if name == "essentials" and essential is not None:
            if not essential[unit] >= 1:
                parts.append("every essential item met")
            continue
        gap = least - float(margins[name].estimate[unit])
        if gap <= 0:
            continue
        if name == "essentials":
            parts.append(f"essentials met in {100 * gap:.0f}% more of the cases")
        elif name == "composite":
            parts.append(f"{gap:.1f} points more")
        else:
            digits = 1 if gap >= 1 or spec.read.components[name].metric == "percent" else 2
            parts.append(f"{name} {gap:.{digits}f} more")
    return f"{band.name}: {', '.join(parts)}" if parts else f"{band.name}: a gate to open"


def insufficiencies(
    spec: FidelitySpecification, unit: str, cases: Sequence[int], raters: Sequence[int], thin: Sequence[bool]
) -> list[str]:
    """Why the data of each unit do not suffice; empty where they do."""
    needs = spec.document.spec.sufficiency.get(unit)
    found = []
    for count, judges, lacking in zip(cases, raters, thin, strict=True):
        parts = []
        if needs is not None and count < needs.cases:
            parts.append(f"{count} of {needs.cases} cases")
        if needs is not None and judges < needs.raters:
            parts.append(f"{judges} of {needs.raters} raters")
        if lacking:
            parts.append("too few items")
        found.append(", ".join(parts))
    return found

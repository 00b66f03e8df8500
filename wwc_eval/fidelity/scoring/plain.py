"""Means of units as rated, correlations of scores, gates and counts: what tables and bands are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.fidelity.scoring.bands import Margin
from wwc_eval.fidelity.scoring.matrix import Places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.composites import Evaluated
    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["band_ceiling", "correlations", "counts_of", "means_of", "plain_margin", "rater_counts"]


def counts_of(codes: Ints, values: Floats, size: int) -> Ints:
    """Cases with a score in each unit."""
    return np.bincount(codes[~np.isnan(values)], minlength=size)


def means_of(codes: Ints, values: Floats, size: int) -> Floats:
    """Mean score of the cases of each unit; missing where it has none."""
    fine = ~np.isnan(values)
    count = np.bincount(codes[fine], minlength=size)
    total = np.bincount(codes[fine], values[fine], minlength=size)
    found: Floats = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return found


def plain_margin(places: Places, unit: str, values: Floats) -> Margin:
    """Plain means of units, their errors linearised over the units one level below.

    ``se^2 = G/(G-1) * sum over lower units of (sum of deviations)^2 / n^2`` with ``G - 1`` degrees of freedom.
    """
    codes, size = places.of_case[unit], len(places.labels[unit])
    lower = places.of_case[places.names[places.names.index(unit) - 1]]
    fine = ~np.isnan(values)
    mean = means_of(codes, values, size)
    count = counts_of(codes, values, size)
    deviation = np.where(fine, values - mean[codes], 0.0)
    total = np.bincount(lower, deviation)
    parent = np.zeros(len(total), dtype=np.int64)
    parent[lower] = codes
    seen = np.bincount(lower[fine], minlength=len(total)) > 0
    groups = np.bincount(parent[seen], minlength=size)
    squares = np.bincount(parent, total**2, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(groups / (groups - 1) * squares) / count
    se = np.where(groups > 1, se, np.nan)
    reason = "" if (groups > 1).all() else "one lower unit: no interval"
    return Margin(estimate=mean, se=se, df=np.maximum(groups - 1, 1).astype(float), reason=reason)


def rater_counts(scores: FidelityScores, unit: str) -> Ints:
    """Different raters of each unit."""
    matrix = scores.matrix
    size = len(matrix.places.labels[unit])
    known = matrix.sheet_rater >= 0
    pairs = np.unique(
        np.column_stack([matrix.places.of_case[unit][matrix.sheet_case[known]], matrix.sheet_rater[known]]), axis=0
    )
    return np.bincount(pairs[:, 0], minlength=size) if len(pairs) else np.zeros(size, dtype=np.int64)


def correlations(scores: FidelityScores, names: list[str], unit: str) -> dict[tuple[str, str], float]:
    """Correlation of the errors of several scores of a unit.

    Errors come from what varies within units: between the sheets of a case for the lowest unit (between the sheets
    of the unit above where no case has two), between the sheets of a unit for the others.
    """
    places, case = scores.matrix.places, scores.matrix.sheet_case
    within = places.of_case[unit][case]
    if unit == places.lowest and len(np.unique(case)) + 2 * len(names) > len(case) and len(places.names) > 1:
        within = places.of_case[places.names[1]][case]
    columns = [scores.values(name, sheets=True) for name in names]
    size = int(within.max()) + 1
    left = [y - means_of(within, y, size)[within] for y in columns]
    found: dict[tuple[str, str], float] = {}
    for a, first in zip(names, left, strict=True):
        for b, second in zip(names, left, strict=True):
            both = ~(np.isnan(first) | np.isnan(second))
            x, y = first[both], second[both]
            scale = float(np.sqrt((x @ x) * (y @ y)))
            found[a, b] = 1.0 if a == b else float(np.clip((x @ y) / scale, -0.999, 0.999)) if scale > 0 else 0.0
    return found


def band_ceiling(spec: FidelitySpecification, scored: Evaluated) -> Ints:
    """Position of the highest band that gates leave to each row."""
    bands = spec.document.spec.bands
    found = np.full(len(scored.gated), len(bands) - 1, dtype=np.int64)
    for c, component in enumerate(spec.document.components):
        gate = component.gate
        if gate is None:
            continue
        cap = -np.inf if gate.cap is None else float(gate.cap)
        left = max([0, *(place for place, band in enumerate(bands) if band.min is not None and band.min <= cap)])
        found = np.where(scored.gated[:, c], np.minimum(found, left), found)
    return found

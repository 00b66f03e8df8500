"""Estimates of Callaway and Sant'Anna as tables: pointwise intervals, and simultaneous bands after a bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_influence import Contrasts, Draws, Influence
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.guard import beside
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.table import MISSING, Grid, format_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BandedEstimates", "Multipliers", "Spread", "banded_grid", "estimates_of", "spread_of"]

Floats = NDArray[np.float64]
QUARTILES = 1.3489795003921634
"""Distance between the quartiles of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """A multiplier bootstrap that any average can still be read off.

    Parameters
    ----------
    drawn : Draws
        Sums of the influences.
    reps : int
        Draws.
    multiplier : str
        Law of the multipliers.
    """

    drawn: Draws
    reps: int
    multiplier: str

    @property
    def words(self) -> str:
        """The bootstrap in words."""
        return f"multiplier bootstrap ({self.multiplier}, {self.reps:,} draws)"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Errors of several estimates, with the critical value of their simultaneous band.

    Parameters
    ----------
    se : ndarray, shape (m,)
        Standard errors.
    critical : float
        Critical value of the band; missing without a bootstrap.
    """

    se: Floats
    critical: float


def spread_of(
    influence: Influence, contrasts: Contrasts, multipliers: Multipliers | None, level: float, band: slice
) -> Spread:
    """Analytic errors, or those of the bootstrap: distance of its quartiles over that of the normal.

    ``band`` says which of the contrasts the simultaneous band covers. Formula: critical value = level quantile over
    draws of ``max_k |draw_k| / se_k`` (as in R's did).
    """
    if multipliers is None:
        return Spread(se=np.sqrt(np.maximum(influence.variance(contrasts), 0.0)), critical=np.nan)
    drawn = multipliers.drawn.of(contrasts)
    reps = len(drawn)
    low, high, top = (max(0, int(np.ceil(q * reps - 1e-9)) - 1) for q in (0.25, 0.75, level))
    ordered = np.partition(drawn.T.copy(), (low, high), axis=1)
    se = (ordered[:, high] - ordered[:, low]) / QUARTILES
    covered = np.zeros(len(se), dtype=bool)
    covered[band] = True
    covered &= se > 0
    if not covered.any():
        return Spread(se=se, critical=np.nan)
    largest = (np.abs(drawn[:, covered]) / se[covered]).max(axis=1)
    return Spread(se=se, critical=float(np.partition(largest, top)[top]))


def estimates_of(
    values: Floats,
    spread: Spread,
    terms: Sequence[str],
    *,
    level: float,
    shared: Mapping[str, Any],
    p_values: Sequence[float | None] = (),
) -> list[Estimate]:
    """Estimates with normal inference; the band, and the p of a permutation beside, stand in the details."""
    found = []
    banded = bool(np.isfinite(spread.critical))
    permuted = p_values or [None] * len(terms)
    for value, se, term, p in zip(values.tolist(), spread.se.tolist(), terms, permuted, strict=True):
        details: dict[str, Any] = {}
        if banded:
            reach = spread.critical * se
            details = {"band_low": value - reach, "band_high": value + reach, "critical": spread.critical}
        if p is not None:
            details["permutation_p"] = p
        one = Estimate.from_normal(term=term, estimate=value, se=se, level=level, details=details, **shared)
        found.append(one if p is None or math.isfinite(p) else beside(one, p, "in this cohort and period"))
    return found


class BandedEstimates(EffectEstimates):
    """Estimates by cohort, period or event; after a bootstrap with a band that covers all of them at once."""

    @property
    def banded(self) -> bool:
        """Whether there is a simultaneous band."""
        return bool(self.items) and "band_low" in self.items[0].details

    def to_dicts(self) -> list[dict[str, Any]]:
        """Keys, the eight columns, and ``band_low, band_high`` after a bootstrap."""
        rows = super().to_dicts()
        if self.banded:
            for row, item in zip(rows, self.items, strict=True):
                row.update({name: item.details[name] for name in ("band_low", "band_high")})
        return rows

    def to_frame(self, *, full: bool = False) -> pd.DataFrame:
        """The rows as a frame; every field of the estimates with ``full=True``."""
        import pandas as pd

        if full:
            return super().to_frame(full=True)
        rows = self.to_dicts()
        return pd.DataFrame(rows) if rows else super().to_frame()

    def _grid(self) -> Grid:
        return banded_grid(self.items, self.banded)


def banded_grid(items: Sequence[Estimate], banded: bool) -> Grid:
    """The usual columns, and the simultaneous band after the interval where there is one."""
    plain = Estimates(items)._grid()
    if not banded:
        return plain
    level = f"{100 * items[0].level:g}% band (all at once)"
    bands = [
        " to ".join(format_number(item.details[name], item._digits()) for name in ("band_low", "band_high"))
        if "band_low" in item.details
        else MISSING
        for item in items
    ]
    rows = tuple((*row[:3], text, *row[3:]) for row, text in zip(plain.rows, bands, strict=True))
    return Grid(
        (*plain.headings[:3], level, *plain.headings[3:]), rows, (*plain.numeric[:3], True, *plain.numeric[3:])
    )

"""Values, F limits and errors of the six intraclass correlations, from mean squares.

Sources: Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; McGraw and Wong (1996),
doi:10.1037/1082-989X.1.1.30.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.fidelity.reliability.sums_of_squares import Squares

__all__ = ["KINDS", "Kind", "limits", "standard_error", "value_of"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the six.

    Parameters
    ----------
    model : int
        1, 2 or 3.
    average : bool
        Whether it is that of a mean of ratings.
    words : str
        What it says.
    """

    model: int
    average: bool
    words: str

    @property
    def name(self) -> str:
        """Shrout and Fleiss' name."""
        return f"ICC({self.model},{'k' if self.average else '1'})"

    def test(self, found: Squares) -> tuple[float, float, float, float]:
        """Mean squares and degrees of freedom of the test that subjects do not differ."""
        if self.model == 1:
            return float(found.one_way), float(found.within), float(found.df_one_way), float(found.df_within)
        return float(found.between), float(found.residual), float(found.df_between), float(found.df_residual)


_MODELS = {1: "one-way random", 2: "two-way random, absolute agreement", 3: "two-way mixed, consistency"}
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            model=model,
            average=average,
            words=f"ICC({model},{'k' if average else '1'}): {words}, {'mean of ratings' if average else 'single rating'}",
        )
        for average in (False, True)
        for model, words in _MODELS.items()
    )
}
"""The six kinds by Shrout and Fleiss' names."""


def value_of(kind: Kind, found: Squares, times: int) -> Floats:
    """The correlation of means of so many ratings: ``s / (s + (r + e) / times)``."""
    if kind.model == 1:
        subjects = (found.one_way - found.within) / found.k_one_way
        return np.asarray(subjects / (subjects + found.within / times))
    subjects = (found.between - found.residual) / found.k_between
    raters = (found.raters - found.residual) / found.n_raters if kind.model == 2 else 0.0
    return np.asarray(subjects / (subjects + (raters + found.residual) / times))


def limits(kind: Kind, found: Squares, times: int, level: float, interval: str) -> tuple[float, float]:
    """F limits; exact for kinds 1 and 3 of a complete table, Satterthwaite's approximation for kind 2."""
    from scipy import special

    tail = 0.5 - 0.5 * level
    if kind.model == 2:
        if interval == "irr" and times > 1:
            return _two_way(found, tail, times)
        return _both(_two_way(found, tail, 1), times)
    top, bottom, df1, df2 = kind.test(found)
    k = float(found.k_one_way if kind.model == 1 else found.k_between)
    if not bottom > 0:
        return 1.0, 1.0
    F = top / bottom
    low, high = F / special.fdtri(df1, df2, 1.0 - tail), F * special.fdtri(df2, df1, 1.0 - tail)
    return _both((float((low - 1.0) / (low + k - 1.0)), float((high - 1.0) / (high + k - 1.0))), times)


def _both(single: tuple[float, float], times: int) -> tuple[float, float]:
    """Spearman and Brown's formula on both limits."""
    low, high = (times * rho / (1.0 + (times - 1.0) * rho) for rho in single)
    return low, high


def _two_way(found: Squares, tail: float, times: int) -> tuple[float, float]:
    """Limits of absolute agreement of one rating, or with ``times`` above 1 those of their mean as irr has them.

    McGraw and Wong give the mean a correlation and multipliers of its own, which comes to the same limits as Spearman and
    Brown's formula; irr joins the correlation of the mean with the multipliers of one rating.
    """
    from scipy import special

    B, C, E = float(found.between), float(found.raters), float(found.residual)
    k, n = float(found.k_between), float(found.n_raters)
    df1, dfr, dfe = float(found.df_between), float(found.df_raters), float(found.df_residual)
    kind = KINDS["ICC(2,k)" if times > 1 else "ICC(2,1)"]
    rho = float(value_of(kind, found, times))
    if not E > 0 and not C > 0:
        return 1.0, 1.0
    a, b = k * rho / (n * (1.0 - rho)), 1.0 + k * rho * (n - 1.0) / (n * (1.0 - rho))
    spread = (a * C) ** 2 / dfr + (b * E) ** 2 / dfe
    v = (a * C + b * E) ** 2 / spread if spread > 0 else dfe
    up, down = special.fdtri(df1, v, 1.0 - tail), special.fdtri(v, df1, 1.0 - tail)
    if times > 1:
        low = n * (B - up * E) / (up * (C - E) + n * B)
        high = n * (down * B - E) / (C - E + n * down * B)
        return float(low), float(high)
    rest = k * C + (k * n - k - n) * E
    low = n * (B - up * E) / (up * rest + n * B)
    high = n * (down * B - E) / (rest + n * down * B)
    return float(low), float(high)


def standard_error(kind: Kind, found: Squares, times: int) -> float:
    """By the delta method, with ``2 MS^2 / df`` the variance of a mean square."""
    if kind.model == 1:
        B, E, k = float(found.one_way), float(found.within), float(found.k_one_way)
        s, rest = (B - E) / k, E / times
        slopes = {"B": 1.0 / k, "E": -1.0 / k}
        others = {"B": 0.0, "E": 1.0 / times}
        spreads = {"B": 2.0 * B**2 / float(found.df_one_way), "E": 2.0 * E**2 / float(found.df_within)}
    else:
        B, E, k = float(found.between), float(found.residual), float(found.k_between)
        s, rest = (B - E) / k, E / times
        slopes = {"B": 1.0 / k, "E": -1.0 / k}
        others = {"B": 0.0, "E": 1.0 / times}
        spreads = {"B": 2.0 * B**2 / float(found.df_between), "E": 2.0 * E**2 / float(found.df_residual)}
        if kind.model == 2:
            C, n = float(found.raters), float(found.n_raters)
            rest += (C - E) / n / times
            others["E"] -= 1.0 / n / times
            slopes["C"], others["C"] = 0.0, 1.0 / n / times
            spreads["C"] = 2.0 * C**2 / float(found.df_raters)
    total = s + rest
    variance = sum(((slopes[m] * rest - s * others[m]) / total**2) ** 2 * spreads[m] for m in slopes)
    return math.sqrt(variance)

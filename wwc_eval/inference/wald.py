"""Joint tests of several coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.inference.covariance import Covariance
from wwc_eval.inference.families import Floats
from wwc_eval.table import Grid, Rendered, format_number, format_p_value

if TYPE_CHECKING:
    from wwc_eval.formula import Design

__all__ = ["WaldTest", "columns_of", "upper_tail", "wald_test"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WaldTest(Rendered):
    """Joint test that several coefficients are all zero.

    Parameters
    ----------
    terms : tuple of str
        Coefficients tested.
    statistic : float
        F statistic (chi-squared divided by its degrees of freedom where ``df_denominator`` is infinite).
    df_numerator, df_denominator : float
        Degrees of freedom.
    p_value : float
        Upper tail.
    method : str
        One sentence.
    """

    terms: tuple[str, ...]
    statistic: float
    df_numerator: float
    df_denominator: float
    p_value: float
    method: str

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row of raw values."""
        return [
            {
                "terms": list(self.terms),
                "statistic": self.statistic,
                "df_numerator": self.df_numerator,
                "df_denominator": self.df_denominator,
                "p_value": self.p_value,
                "method": self.method,
            }
        ]

    def _grid(self) -> Grid:
        finite = not math.isinf(self.df_denominator)
        row = (
            ", ".join(self.terms),
            format_number(self.statistic, 2),
            format_number(self.df_numerator, 0),
            format_number(self.df_denominator, 1) if finite else "∞",
            format_p_value(self.p_value),
        )
        return Grid(("tested", "F", "df 1", "df 2", "p"), (row,), (False, True, True, True, True))

    def _title(self) -> str:
        return self.method


def wald_test(beta: Floats, covariance: Covariance, contrasts: Floats, terms: Sequence[str]) -> WaldTest:
    """Wald test of ``contrasts' beta = 0``; the AHT test where each contrast has Satterthwaite df.

    Parameters
    ----------
    beta : ndarray, shape (p,)
        Coefficients.
    covariance : Covariance
        Their covariance.
    contrasts : ndarray, shape (p, q)
        Linearly independent contrasts in columns.
    terms : sequence of str
        Names of what is tested.

    Raises
    ------
    DesignError
        If the covariance cannot carry q contrasts.
    """
    q = contrasts.shape[1]
    if covariance.n_clusters is not None and q >= covariance.n_clusters:
        raise DesignError(
            f"{q} coefficients cannot be tested together with {covariance.n_clusters} clusters",
            fix="test fewer terms at once, or cluster at a lower level",
        )
    gap = contrasts.T @ beta
    middle = contrasts.T @ covariance.matrix @ contrasts
    spectrum = np.linalg.eigvalsh(middle / np.sqrt(np.outer(np.diag(middle), np.diag(middle))))
    if not np.all(np.isfinite(spectrum)) or spectrum[0] < 1e-12:
        raise DesignError(
            "the tested coefficients have a singular covariance",
            fix="test fewer terms at once, or cluster at a lower level",
        )
    quadratic = float(gap @ np.linalg.solve(middle, gap))
    if covariance.satterthwaite and covariance.robust is not None:
        _, eta = covariance.robust.aht(contrasts)
        denominator = eta - q + 1.0
        statistic = denominator / (eta * q) * quadratic
        name = "Approximate Hotelling's T-squared (AHT) test"
    else:
        denominator = covariance.constant_df
        statistic = quadratic / q
        name = "Wald test"
    if not denominator > 0:
        statistic = math.nan
    return WaldTest(
        terms=tuple(terms),
        statistic=statistic,
        df_numerator=float(q),
        df_denominator=denominator,
        p_value=upper_tail(statistic, q, denominator),
        method=f"{name} with {covariance.words}",
    )


def upper_tail(statistic: float, q: float, df: float) -> float:
    """Upper tail of F(q, df), of chi-squared(q) / q where df is infinite; nan without degrees of freedom."""
    if math.isinf(df):
        return float(special.gammaincc(q / 2.0, q * statistic / 2.0))
    if not df > 0:
        return math.nan
    # the regularised incomplete beta function gives the tail without cancellation
    return float(special.betainc(df / 2.0, q / 2.0, df / (df + q * statistic)))


def columns_of(design: Design, names: Sequence[str]) -> list[int]:
    """Positions of the coefficients that names stand for: coefficients, or terms of the formula with all theirs.

    Raises
    ------
    DesignError
        If a name is neither, or none is given.
    """
    fixed = {term.text: position for position, term in enumerate(design.formula.fixed)}
    found: set[int] = set()
    for name in names:
        if name in design.terms:
            found.add(design.terms.index(name))
            continue
        position = fixed.get(name)
        inside = {j for j, owner in enumerate(design.assign) if owner == position}
        if position is None or not inside:
            raise DesignError(f"the model has no term '{name}'", fix=did_you_mean(name, [*fixed, *design.terms]))
        found |= inside
    if not found:
        raise DesignError("no term is named", fix="name at least one term of the formula")
    return sorted(found)

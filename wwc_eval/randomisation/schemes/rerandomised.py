"""Rerandomisation: draw again until the arms are close in Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.constraint import BoundConstrained
from wwc_eval.randomisation.covariates import as_share, read_covariates
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.schemes.constrained import require_units
from wwc_eval.randomisation.units import Units, names_of

__all__ = ["Rerandomised"]


@dataclass(frozen=True, kw_only=True)
class Rerandomised(Scheme):
    """Allocations whose arms are closest in Mahalanobis distance; one of them is drawn, each equally likely.

    Distance of two arms: ``M = (n1 n2 / n) d' S^-1 d``, d the difference in means and S the sample covariance of all
    units; with more arms, and where the sizes of two arms may vary, the sum of ``d' S^-1 d`` over pairs of arms. Unlike :class:`Constrained` it does not
    depend on the units, or on any linear combination, of the covariates.

    ``accept`` is the probability that a random allocation is accepted. The cut-off is the exact quantile of M where
    all permitted allocations can be scored, else the quantile of 20,000 of them (never the chi-square approximation,
    which is for many units).

    Parameters
    ----------
    on : str or sequence of str
        Columns to balance, of numbers or categories; no column may be determined by the others.
    accept : float
        Probability that an allocation is accepted, above 0 and below 1.
    by : str or sequence of str, optional
        Strata, in each of which the ratio is met as nearly as whole units allow.

    Notes
    -----
    Source: Morgan and Rubin 2012, doi:10.1214/12-AOS1008.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcdefgh"), "caseload": [11, 12, 14, 15, 18, 21, 25, 30]})
    >>> method = we.Rerandomised(on="caseload", accept=0.5)
    >>> we.randomise(teams, unit="team", method=method, seed="example").n_permitted
    38
    """

    kind = "rerandomised"

    on: str | Sequence[str]
    accept: float
    by: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", names_of("on", self.on))
        object.__setattr__(self, "by", names_of("by", self.by, empty=True))
        object.__setattr__(self, "accept", as_share("accept", self.accept))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that are read."""
        return tuple(dict.fromkeys((*self.on, *(self.by or ()))))

    def bind(self, units: Units, arms: Arms) -> BoundConstrained:
        """The scheme for these units and arms: scores every permitted allocation, or a sample of them.

        Raises
        ------
        DesignError
            If there are too few units, in all or in a stratum, or a covariate is determined by the others.
        """
        groups = require_units(units, arms, tuple(self.by or ()))
        return BoundConstrained(
            scheme=self, units=units, arms=arms, covariates=tuple(read_covariates(units, tuple(self.on))),
            accept=Fraction(repr(self.accept)), groups=groups, orthogonal=True,
        )  # fmt: skip

"""Covariate-constrained randomisation: a draw from the best balanced allocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from wwc_eval.errors import DesignError
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.checks import check_strata
from wwc_eval.randomisation.constraint import BoundConstrained
from wwc_eval.randomisation.covariates import as_share, read_covariates, read_weights
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.units import Strata, Units, names_of

__all__ = ["Constrained", "require_units"]


@dataclass(frozen=True, kw_only=True)
class Constrained(Scheme):
    """Allocations whose balance score is among the lowest; one of them is drawn, each equally likely.

    Score of two arms (as cvcrand's l2): sum over covariates of ``(w (sum of z in the second arm))^2``, z standardised
    with divisor n - 1; it is proportional to Raab and Butcher's sum of squared differences in means. With more arms:
    sum over pairs of arms and covariates of ``(w (difference in means of z))^2``, which also compares allocations of two
    arms whose sizes may vary because the ratio does not divide the units. A weight multiplies the covariate
    and so counts squared; categories become indicators against the first in order, each with the column's weight.

    All permitted allocations are scored where there are at most 160 million (30 clusters in two equal arms);
    otherwise the cut-off is the quantile of 20,000 of them, drawn from a fixed published stream, and the share that is
    accepted has a Monte Carlo error. Allocations that tie with the last accepted are accepted too.

    Parameters
    ----------
    on : str or sequence of str
        Columns to balance, of numbers or categories (decided by what is in them, not by their type).
    accept : float
        Share of the permitted allocations that is accepted, above 0 and below 1.
    by : str or sequence of str, optional
        Strata, in each of which the ratio is met as nearly as whole units allow. Scores are over all units.
    weights : mapping or sequence, optional
        Weights above 0 of the columns in ``on``; 1 where none is given.

    Raises
    ------
    DesignError
        If a share or weight is out of range.

    Notes
    -----
    Sources: Raab and Butcher 2001, doi:10.1002/1097-0258(20010215)20:3<351::AID-SIM797>3.0.CO;2-C; Moulton 2004,
    doi:10.1191/1740774504cn024oa; Li and others 2016, doi:10.1002/sim.6813.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcdefgh"), "caseload": [11, 12, 14, 15, 18, 21, 25, 30]})
    >>> method = we.Constrained(on="caseload", accept=0.5)
    >>> allocation = we.randomise(teams, unit="team", method=method, seed="example")
    >>> allocation.n_permitted
    38
    """

    kind = "constrained"

    on: str | Sequence[str]
    accept: float = 0.1
    by: str | Sequence[str] | None = None
    weights: Mapping[str, float] | Sequence[float] | None = None

    def __post_init__(self) -> None:
        on = names_of("on", self.on)
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "by", names_of("by", self.by, empty=True))
        object.__setattr__(self, "accept", as_share("accept", self.accept))
        object.__setattr__(self, "weights", read_weights(self.weights, on))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that are read."""
        return tuple(dict.fromkeys((*self.on, *(self.by or ()))))

    def bind(self, units: Units, arms: Arms) -> BoundConstrained:
        """The scheme for these units and arms: scores every permitted allocation, or a sample of them.

        Raises
        ------
        DesignError
            If there are too few units, in all or in a stratum, or a covariate does not vary.
        """
        groups = require_units(units, arms, tuple(self.by or ()))
        weights: Any = self.weights
        shares = [Fraction(repr(weight)) for weight in weights] if weights else []
        covariates = read_covariates(units, tuple(self.on), shares)
        return BoundConstrained(
            scheme=self, units=units, arms=arms, covariates=tuple(covariates), accept=Fraction(repr(self.accept)),
            groups=groups, orthogonal=False,
        )  # fmt: skip


def require_units(units: Units, arms: Arms, by: tuple[str, ...]) -> Strata:
    """Strata of the units; lists are refused that leave an arm empty or nothing to choose from.

    Raises
    ------
    DesignError
        If there are too few units, in all or in a stratum.
    """
    if min(units.n * part // arms.total for part in arms.ratio) < 1 or units.n <= arms.k:
        raise DesignError(
            f"{units.n} units in {arms.words} leave nothing to balance",
            rule="every arm has at least one unit, and there are more units than arms",
            fix="add units, or use Complete",
        )
    strata = units.strata(by)
    if by:
        check_strata(strata, arms)
    return strata

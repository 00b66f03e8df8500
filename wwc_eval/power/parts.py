"""Parts that a trial may have: a baseline measure, and groups in the treated arm only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean, shown
from wwc_eval.power.checks import Frozen, Number, check_numbers
from wwc_eval.power.kernels import Array
from wwc_eval.power.level import Level

__all__ = ["Baseline", "TreatedGroups"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline(Frozen):
    """A baseline measure of the outcome, and how the analysis uses it.

    Parameters
    ----------
    correlation : mapping of str to float
        Correlation of baseline and outcome at each level, by its name: of children's values within their team, of
        teams' true means. Levels left out have 0, as children have when others are measured each time.
    method : {"ancova", "change"}
        ``ancova`` takes the baseline mean of the assigned unit as covariate, which multiplies the variance by 1 - r^2;
        ``change`` analyses the change, which multiplies it by 2 (1 - r).

    Notes
    -----
    r is the correlation of the assigned unit's means, (n icc r_team + (1 - icc) r_child) / (n icc + 1 - icc). The
    ANCOVA form is for a known slope; it costs one df, which ``covariates=1`` at the assigned level takes.
    Source: Teerenstra, Eldridge, Graff, de Hoop and Borm 2012 (doi:10.1002/sim.5352).

    Examples
    --------
    >>> Baseline(correlation={"child": 0.4, "team": 0.5}).method
    'ancova'
    """

    correlation: Mapping[str, Number]
    method: Literal["ancova", "change"] = "ancova"

    def __post_init__(self) -> None:
        """Check the correlations."""
        check_choice("method", self.method, ("ancova", "change"))
        if not isinstance(self.correlation, Mapping):
            raise DesignError(
                f"correlation == {shown(self.correlation)}, must map levels to correlations", fix="{'child': 0.4}"
            )
        checked = {
            name: check_numbers(f"baseline correlation of '{name}'", value, above=-1, below=1)
            for name, value in self.correlation.items()
        }
        self._set("correlation", MappingProxyType(checked))

    def __reduce__(self) -> tuple[object, ...]:
        """Read-only mappings do not pickle; designs must (joblib workers)."""
        return _baseline, (dict(self.correlation), self.method)

    def check(self, levels: Sequence[Level]) -> None:
        """Refuse a correlation of a level that there is not."""
        names = [level.name for level in levels]
        for name in self.correlation:
            if name not in names:
                raise DesignError(
                    f"baseline correlation of '{name}', which is no level", fix=did_you_mean(name, names)
                )

    def along(self, levels: Sequence[Level]) -> list[Array]:
        """Correlation of every level, lowest first."""
        return [np.asarray(self.correlation.get(level.name, 0.0), float) for level in levels]


def _baseline(correlation: Mapping[str, Number], method: Literal["ancova", "change"]) -> Baseline:
    return Baseline(correlation=correlation, method=method)


@dataclass(frozen=True, kw_only=True, eq=False)
class TreatedGroups(Frozen):
    """Groups that exist in the treated arm only, as in group-delivered programmes (partially nested designs).

    Parameters
    ----------
    name : str
        What they are, such as "parenting group".
    n : float or array
        Members of a group.
    icc : float or array
        Share of the treated arm's variance that lies between groups.
    variance : {"total", "added"}
        ``total``: both arms have the same total variance, of which groups take a share; ``added``: groups add to the
        variance that the control arm has (PowerUp's partially nested designs).
    r2 : float or array
        Share of the groups' variance that covariates explain.

    Notes
    -----
    Source: Lohr, Schochet and Sanders 2014, Partially Nested Randomized Controlled Trials in Education Research (NCER
    2014-2000); Moerbeek and Wong 2008 (doi:10.1002/sim.3115).

    Examples
    --------
    >>> TreatedGroups(name="parenting group", n=8, icc=0.1).icc
    0.1
    """

    name: str
    n: Number
    icc: Number
    variance: Literal["total", "added"] = "total"
    r2: Number = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._set("n", check_numbers(f"n of '{self.name}'", self.n, at_least=1))
        self._set("icc", check_numbers(f"icc of '{self.name}'", self.icc, at_least=0, below=1))
        self._set("r2", check_numbers(f"r2 of '{self.name}'", self.r2, at_least=0, below=1))
        check_choice("variance", self.variance, ("total", "added"))

    def variances(self, total: Array) -> tuple[Array, Array]:
        """Variance between groups, and what it takes from the children's, given the arm's total without groups."""
        icc = np.asarray(self.icc, float)
        if self.variance == "added":
            return total * icc / (1.0 - icc), np.asarray(0.0)
        return total * icc, total * icc

"""One level of a nested design: children, families, teams, schools, local authorities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wwc_eval.errors import DesignError, shown
from wwc_eval.power.checks import Frozen, Number, check_numbers

__all__ = ["Level"]


@dataclass(frozen=True, eq=False)
class Level(Frozen):
    """One level of a nested design.

    Every number may be an array; arrays broadcast against those of the other levels.

    Parameters
    ----------
    name : str
        What the units are: "child", "team", "local authority".
    n : float or array
        Units for each unit of the next level up (a mean, where they differ); at the top level, units in all.
    icc : float or array
        Share of the outcome's total variance that lies between units of this level, at levels above the lowest. The
        lowest level has what is left.
    r2 : float or array
        Share of this level's variance that covariates explain.
    covariates : int or array
        Number of covariates of this level; they cost degrees of freedom where the test is made at this level.
    effect_heterogeneity : float or array
        Variance of the effect between units of this level / variance of the outcome between them (omega), at levels
        above the assigned one.
    effect_r2 : float or array
        Share of the variance of the effect that covariates of this level explain.
    size_cv : float or array
        Coefficient of variation (SD / mean) of ``n`` over the units of the next level up.
    k : float or array, optional
        Instead of ``icc``: coefficient of variation of the true means (risks, rates) of the units of this level.
    attrition : float or array
        Share of the units of this level, with all below them, that is lost before analysis.
    reliability : float or array
        Share of the variance within the lowest level's units that is not error of measurement; elsewhere 1.

    Raises
    ------
    DesignError
        If a number is outside its range; the error names the limit.

    Notes
    -----
    ICC and k: for risks ``k^2 p^2 = icc p (1 - p)``; for rates ``k^2 r^2 = icc / (1 - icc) * r / exposure``, icc all
    of it above the lowest level.
    Sources: Dong and Maynard 2013 (doi:10.1080/19345747.2012.673143); Hayes and Bennett 1999
    (doi:10.1093/ije/28.2.319).

    Examples
    --------
    >>> Level("team", 48, icc=0.05)
    Level('team', 48, icc=0.05)
    """

    name: str
    n: Number
    icc: Number = field(default=0.0, kw_only=True)
    r2: Number = field(default=0.0, kw_only=True)
    covariates: Number = field(default=0, kw_only=True)
    effect_heterogeneity: Number = field(default=0.0, kw_only=True)
    effect_r2: Number = field(default=0.0, kw_only=True)
    size_cv: Number = field(default=0.0, kw_only=True)
    k: Number | None = field(default=None, kw_only=True)
    attrition: Number = field(default=0.0, kw_only=True)
    reliability: Number = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        """Check every number."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise DesignError(f"name of a level == {shown(self.name)}, must be a word such as 'team'")
        at = f"of level '{self.name}'"
        self._set("n", check_numbers(f"n {at}", self.n, above=0))
        self._set("icc", check_numbers(f"icc {at}", self.icc, at_least=0, below=1))
        self._set("r2", check_numbers(f"r2 {at}", self.r2, at_least=0, below=1))
        self._set("covariates", check_numbers(f"covariates {at}", self.covariates, at_least=0))
        if np.any(np.asarray(self.covariates) % 1 != 0):
            raise DesignError(f"covariates {at} == {shown(self.covariates)}, must be a whole number")
        heterogeneity = check_numbers(f"effect_heterogeneity {at}", self.effect_heterogeneity, at_least=0)
        self._set("effect_heterogeneity", heterogeneity)
        self._set("effect_r2", check_numbers(f"effect_r2 {at}", self.effect_r2, at_least=0, below=1))
        self._set("size_cv", check_numbers(f"size_cv {at}", self.size_cv, at_least=0))
        self._set("attrition", check_numbers(f"attrition {at}", self.attrition, at_least=0, below=1))
        self._set("reliability", check_numbers(f"reliability {at}", self.reliability, above=0, at_most=1))
        if self.k is not None:
            self._set("k", check_numbers(f"k {at}", self.k, at_least=0))
            if np.any(np.asarray(self.icc) > 0):
                raise DesignError(f"level '{self.name}' has both icc and k", fix="give the one that you know")

    @property
    def kept(self) -> Number:
        """Units that are analysed, for each unit of the next level up."""
        return self.n * (1.0 - self.attrition)

    def __repr__(self) -> str:
        """As it would be typed, without what is left at its default."""
        parts = [repr(self.name), _typed(self.n)]
        for name, value in self._values().items():
            default = self.__dataclass_fields__[name].default
            if name not in {"name", "n"} and not (
                value is default or np.array_equal(np.asarray(value), np.asarray(default))
            ):
                parts.append(f"{name}={_typed(value)}")
        return f"Level({', '.join(parts)})"


def _typed(value: object) -> str:
    array = np.asarray(value, float)
    if array.ndim:
        return (
            f"array of {array.size} from {array.min():g} to {array.max():g}"
            if array.size > 8
            else str(array.tolist())
        )
    return f"{float(array):.15g}"

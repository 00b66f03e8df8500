"""What a randomisation test compares: rows, outcome, covariates, and what each allocation would do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_choice
from wwc_eval.estimate import Estimate
from wwc_eval.randomisation.scheme import Floats
from wwc_eval.randomisation.testing.linear import LeastSquares
from wwc_eval.randomisation.testing.reference import ReferenceSet, p_value
from wwc_eval.randomisation.testing.results import lost_of, result_of, spread_of
from wwc_eval.randomisation.testing.rows import Exposure, arm_column, exposure_of
from wwc_eval.randomisation.testing.time_at_risk import check_time, time_at_risk

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design, Formula
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["Question"]

STATISTICS = ("difference_in_means", "regression", "rank", "rate_ratio")
WITH_COVARIATES = ("regression", "rate_ratio")


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is compared: rows, outcome, covariates and what each allocation would do to them.

    Parameters
    ----------
    allocation : Allocation
        What was allocated.
    statistic : str
        Name of the statistic.
    arm : str
        Column of the arm.
    design : Design
        Outcome and covariates of the rows used.
    frame : DataFrame
        The same rows of the data.
    exposure : Exposure
        Arms of the rows under any allocation.
    contrast : tuple of str
        Arm and comparator.
    weights : (units, arms) array, optional
        Weights of the rows of a unit in each arm.
    time : (n,) array, optional
        Time at risk of the rows, for a rate.
    """

    allocation: Allocation
    statistic: str
    arm: str
    design: Design
    frame: pd.DataFrame
    exposure: Exposure
    contrast: tuple[str, str]
    weights: Floats | None
    time: Floats | None = None

    @classmethod
    def read(
        cls,
        allocation: Allocation,
        data: Any,
        formula: str | Formula | None,
        statistic: str | Callable[..., float],
        *,
        arm: str | None,
        period: str | None,
        contrast: Sequence[str] | None,
        weights: str | None,
        levels: Mapping[str, Sequence[Any]] | None,
        time: str | None = None,
    ) -> Question:
        """Read and check what is asked; arguments as in :func:`randomisation_test`."""
        from wwc_eval.data.frames import as_pandas
        from wwc_eval.formula import parse_formula

        name = statistic if isinstance(statistic, str) else getattr(statistic, "__name__", "statistic")
        if isinstance(statistic, str):
            check_choice("statistic", statistic, STATISTICS)
        if formula is None:
            raise DesignError("no formula is given", fix="write the outcome and the arm: 'y ~ arm'")
        parsed = parse_formula(formula) if isinstance(formula, str) else formula
        if parsed.random:
            raise DesignError(
                "the formula has a random part",
                fix="fit we.multilevel_model and give the fit in place of the data",
            )
        column = arm_column(allocation, parsed, arm)
        others = parsed.without_terms(column)
        if (
            isinstance(statistic, str)
            and statistic not in WITH_COVARIATES
            and (others.fixed or not others.intercept)
        ):
            raise DesignError(
                f"statistic == '{statistic}' takes no covariates, and the formula has {others.text.split('~')[1].strip()}",
                fix="use statistic='regression', or write outcome ~ arm",
            )
        frame = as_pandas(data, "data")
        check_time(name, time, frame)
        keep = [each for each in (allocation.unit, period, time) if each is not None and each in frame.columns]
        known = {each: listed for each, listed in (levels or {}).items() if each in others.columns}
        design = others.design(frame, levels=known, keep=tuple(dict.fromkeys(keep)))
        used = frame.iloc[design.rows]
        exposure = exposure_of(allocation, used, design.rows, arm=column, period=period)
        _check_outcome(parsed, design, rate=time is not None)
        pair = _contrast(allocation, contrast)
        return cls(
            allocation=allocation,
            statistic=name,
            arm=column,
            design=design,
            frame=used,
            exposure=exposure,
            contrast=pair,
            weights=_weights(allocation, weights, exposure),
            time=None if time is None else time_at_risk(design, time),
        )

    @property
    def outcome(self) -> str:
        """Text of the outcome."""
        return self.design.formula.text.split(" ~ ", maxsplit=1)[0]

    @property
    def binary(self) -> bool:
        """Whether the outcome is 0 or 1 in every row."""
        return bool(np.all((self.design.y == 0) | (self.design.y == 1)))

    @property
    def received(self) -> Floats:
        """1 for rows in the arm of interest as allocated (n,)."""
        index = self.allocation.arms.names.index(self.contrast[0])
        return np.asarray(self.exposure.at(self.allocation.codes) == index, dtype=float)

    def check_invertible(self) -> None:
        """Refuse an interval where several arms could have had an effect.

        Raises
        ------
        DesignError
            If there are more than two arms.
        """
        if len(self.allocation.arms.names) > 2:
            raise DesignError("an interval needs two arms", fix="leave out ci, or test arms two by two")

    def least_squares(self) -> LeastSquares:
        """The statistic for any allocation."""
        names = self.allocation.arms.names
        weights = np.zeros(len(names))
        weights[names.index(self.contrast[0])], weights[names.index(self.contrast[1])] = 1.0, -1.0
        return LeastSquares(
            exposure=self.exposure,
            units=self.allocation.n,
            arms=len(names),
            Z=self.design.X,
            contrast=weights,
            weights=self.weights,
        )

    def estimate(
        self,
        observed: float,
        values: Floats,
        reference: ReferenceSet,
        *,
        side: int,
        interval: tuple[float, float],
        level: float,
        words: str,
        units: str = "",
        scale: str = "",
    ) -> Estimate:
        """The result: p-value, interval and what they rest on."""
        p, error = p_value(values, observed, reference, side)
        missing = int(np.isnan(values).sum())
        return result_of(
            self.allocation,
            term=f"{self.arm}[{self.contrast[0]}]",
            observed=observed,
            p=p,
            interval=interval,
            level=level,
            side=side,
            reference=reference,
            words=words,
            scale=scale or ("coefficient" if units else "risk_difference" if self.binary else "mean_difference"),
            units=units,
            n=len(self.design.y),
            details={
                "comparator": self.contrast[1],
                "monte_carlo_se": error,
                "null_sd": spread_of(values, reference),
                "weighted": self.weights is not None,
                "units_without_rows": self.allocation.n - len(np.unique(self.exposure.place)),
                "rows_dropped": self.design.n_dropped,
            },
            warnings=lost_of(missing, len(values)),
        )


def _contrast(allocation: Allocation, contrast: Sequence[str] | None) -> tuple[str, str]:
    names = allocation.arms.names
    if contrast is None:
        if len(names) != 2:
            raise DesignError(
                f"there are {len(names)} arms, so which are compared is not clear",
                fix=f"write contrast=('{names[1]}', '{names[0]}')",
            )
        return names[1], names[0]
    pair = tuple(str(name) for name in contrast)
    if len(pair) != 2 or pair[0] == pair[1]:
        raise DesignError(f"contrast == {pair!r}, must be two different arms", fix="write (arm, comparator)")
    for name in pair:
        check_choice("contrast", name, names)
    return pair[0], pair[1]


def _weights(allocation: Allocation, weights: str | None, exposure: Exposure) -> Floats | None:
    """Inverse probabilities, where they differ between units that have rows."""
    if weights is None:
        return None
    check_choice("weights", weights, ("inverse_probability",))
    if allocation.bound.column != "arm":
        return None
    try:
        probabilities = allocation.probabilities
    except DesignError:
        raise DesignError(
            "given the units that withdrew, the probabilities of the others are those of too many allocations to count",
            fix="write weights=None: the test holds its level without",
        ) from None
    used = probabilities[np.unique(exposure.place)]
    if np.ptp(used, axis=0).max(initial=0.0) < 1e-12:
        return None
    with np.errstate(divide="ignore"):
        return np.where(probabilities > 0, 1.0 / probabilities, 0.0)


def _check_outcome(formula: Formula, design: Design, *, rate: bool) -> None:
    name = formula.text.split(" ~ ", maxsplit=1)[0]
    if design.trials is not None:
        raise DesignError(f"'{name}' is a share", fix="give its quotient as a column of its own")
    if float(np.ptp(design.y)) == 0.0 and not (rate and design.y[0] > 0):
        raise DataError(
            f"the outcome '{name}' is {design.y[0]:g} in all {len(design.y):,} rows used",
            place=Place(column=name),
            rule="an outcome must vary",
            fix="check the outcome and the exclusions",
        )

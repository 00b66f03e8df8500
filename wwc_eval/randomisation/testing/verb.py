"""The verb ``randomisation_test``: what is asked, checked and put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.inference.inversion import bisected_interval, linear_interval
from wwc_eval.randomisation.scheme import COUNTABLE, Floats
from wwc_eval.randomisation.testing.question import Question
from wwc_eval.randomisation.testing.rates import rate_test
from wwc_eval.randomisation.testing.reference import p_value, reference_set
from wwc_eval.randomisation.testing.results import spread_of
from wwc_eval.randomisation.testing.rows import treatment_values

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.formula import Formula
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["randomisation_test"]

WORDS = {
    "difference_in_means": "difference in means",
    "regression": "coefficient of the arm in a linear regression",
    "rank": "difference in mean ranks",
}


def randomisation_test(
    allocation: Allocation,
    data: Any,
    formula: str | Formula | None = None,
    *,
    statistic: str | Callable[[pd.DataFrame], float] = "difference_in_means",
    draws: int = 9_999,
    sides: int = 2,
    rng: Seed | None = None,
    ci: bool = False,
    alternative: str | None = None,
    arm: str | None = None,
    period: str | None = None,
    contrast: Sequence[str] | None = None,
    exposure: str | None = None,
    weights: str | None = "inverse_probability",
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
    term: str | None = None,
    progress: bool = False,
) -> Estimate:
    """Test the hypothesis of no effect on anybody by the allocations that the trial's own scheme permits.

    Parameters
    ----------
    allocation : Allocation
        What was allocated, with the scheme that allocated it.
    data : DataFrame or fit
        Rows (children, or units) with the column that identifies the unit; or any fit that has ``refit_many``, whose
        coefficient is then the statistic.
    formula : str or Formula, optional
        Outcome, arm and covariates: ``"y ~ arm"``, ``"y ~ arm + age + local_authority"``; left out with a fit.
    statistic : {"difference_in_means", "regression", "rank", "rate_ratio"} or callable
        Difference in means (takes no covariates); coefficient of the arm by least squares; difference in mean ranks
        (takes no covariates); ratio of the arms' events over ``exposure``; or a function of the data, whose column of
        the arm holds the allocation tried.
    draws : int
        Allocations drawn where there are too many to list.
    sides : {1, 2}
        Two: absolute values are compared. One needs ``alternative``.
    rng : int, Generator or SeedSequence, optional
        Needed where allocations are drawn; None only where the result is exact.
    ci : bool
        Whether to invert the two-sided test into an interval for a constant effect.
    alternative : {"greater", "less"}, optional
        The side of a one-sided test.
    arm : str, optional
        Column of the arm in the formula; where nothing is said, the allocation's own, or the only term. It need not be
        in the data: it is taken from the allocation, and compared with it where it is.
    period : str, optional
        Column of the period, for a stepped wedge; a unit's rows are treated from its period of crossover on. Put the
        period into the formula as well: ``"y ~ treated + factor(period)"``.
    contrast : (arm, comparator), optional
        With more than two arms, which difference is tested. The hypothesis is that no arm differs from any other.
    exposure : str, optional
        Column of the time at risk of each row, for ``statistic="rate_ratio"``. With covariates, time at risk is
        replaced by the events expected from them (a Poisson regression without the arm).
    weights : {"inverse_probability"} or None
        Where units have different probabilities of an arm, rows are weighted by the inverse of the probability of
        the arm they got (each allocation by its own). Equal probabilities need none; a stepped wedge has none.
    levels : mapping, optional
        Declared levels of factors among the covariates.
    level : float
        Coverage of the interval.
    term : str, optional
        Coefficient of a fit; the arm's where there is one.
    progress : bool
        Whether to show a progress bar (a statistic of your own).

    Returns
    -------
    Estimate
        ``statistic`` is the estimate (the logarithm of a rate ratio); ``se`` is missing; ``details`` carry ``exact``, ``n_allocations``,
        ``smallest_p_value``, ``monte_carlo_se`` and the spread of the statistic under the hypothesis, ``null_sd``.

    Raises
    ------
    DesignError
        If the statistic takes no covariates and there are some, draws are needed without ``rng``, or the effect cannot
        be told from the covariates.
    DataError
        If rows belong to no unit, or the arm in the data is not what was allocated.

    Notes
    -----
    Formula: ``p = sum of P(a) over allocations a with |T(a)| >= |T(observed)|``, exactly where at most 200,000 are
    permitted, else ``(1 + draws as extreme) / (1 + draws)`` over draws of the same scheme. T of a rate ratio is
    ``log(events / exposure of the arm) - log(events / exposure of the comparator)``. Sources: Fisher (1935);
    Rosenbaum (2002), doi:10.1007/978-1-4757-3692-2; Phipson and Smyth (2010), doi:10.2202/1544-6115.1585 (draws);
    Small, Ten Have and Rosenbaum (2008), doi:10.1198/016214507000000897 (clusters); Gail and others (1996),
    doi:10.1002/(SICI)1097-0258(19960615)15:11<1069::AID-SIM220>3.0.CO;2-Q (events expected from covariates).

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcdef"), "y": [3.0, 5.0, 4.0, 9.0, 8.0, 7.0]})
    >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="example")
    >>> test = we.randomisation_test(allocation, teams, "y ~ arm")
    >>> test.details["exact"], test.details["n_allocations"]
    (True, 20)
    """
    side = _side(sides, alternative)
    check_number("level", level, above=0, below=1)
    if hasattr(data, "refit_many"):
        from wwc_eval.randomisation.testing.refits import fit_test

        plain = isinstance(statistic, str) and statistic == "difference_in_means"
        if formula is not None or exposure is not None or not plain:
            raise DesignError(
                "a fit brings its own formula, exposure and statistic, the coefficient of the arm",
                fix="leave out formula, exposure and statistic",
            )
        return fit_test(
            allocation,
            data,
            draws=draws,
            rng=rng,
            side=side,
            ci=ci,
            arm=arm,
            period=period,
            term=term,
            level=level,
        )
    question = Question.read(
        allocation,
        data,
        formula,
        statistic,
        arm=arm,
        period=period,
        contrast=contrast,
        weights=weights,
        levels=levels,
        time=exposure,
    )
    if question.time is not None:
        return rate_test(question, side=side, draws=draws, rng=rng, ci=ci, level=level)
    if isinstance(statistic, str):
        return _linear_test(question, side=side, draws=draws, rng=rng, ci=ci, level=level)
    return _own_test(question, statistic, side=side, draws=draws, rng=rng, ci=ci, level=level, progress=progress)


def _linear_test(
    question: Question, *, side: int, draws: int, rng: Seed | None, ci: bool, level: float
) -> Estimate:
    statistic = question.statistic
    if ci and statistic == "rank":
        raise DesignError(
            "ranks have no interval in the units of the outcome", fix="use statistic='difference_in_means'"
        )
    if ci:
        question.check_invertible()
    reference = reference_set(question.allocation, draws=draws, rng=rng)
    y = question.design.y
    if statistic == "rank":
        from scipy import stats

        y = stats.rankdata(y)
    squares = question.least_squares()
    Y = np.column_stack([y, question.received]) if ci else y[:, None]
    observed = float(squares.coefficients(Y, question.allocation.codes[None])[0, 0])
    if not math.isfinite(observed):
        raise DesignError(
            f"the effect of '{question.arm}' cannot be told from the covariates, or an arm has no rows",
            fix="leave out covariates that the arm does not vary within",
        )
    found = squares.coefficients(Y, reference.codes)
    interval = (math.nan, math.nan)
    if ci:
        interval = linear_interval(found[:, 0], found[:, 1], observed, reference, 1.0 - level)
    weighted = ", rows weighted by the inverse probability of their arm" if question.weights is not None else ""
    return question.estimate(
        observed,
        found[:, 0],
        reference,
        side=side,
        interval=interval,
        level=level,
        words=WORDS[statistic] + weighted,
        units="mean ranks" if statistic == "rank" else "",
    )


def _own_test(
    question: Question,
    statistic: Callable[[pd.DataFrame], float],
    *,
    side: int,
    draws: int,
    rng: Seed | None,
    ci: bool,
    level: float,
    progress: bool,
) -> Estimate:
    """A statistic of the caller's own, one call an allocation."""
    from tqdm.auto import tqdm

    if ci:
        question.check_invertible()
    reference = reference_set(question.allocation, draws=draws, rng=rng, listed=min(max(draws, 1_000), COUNTABLE))
    values_of = np.asarray(treatment_values(question.allocation, question.frame, question.arm), dtype=object)

    def at(codes: Any, shift: float = 0.0) -> float:
        changed = {question.arm: values_of[question.exposure.at(codes)]}
        if shift:
            changed[question.outcome] = question.design.y - shift * question.received
        return float(statistic(question.frame.assign(**changed)))

    def all_at(shift: float) -> Floats:
        return np.array([at(codes, shift) for codes in reference.codes])

    observed = at(question.allocation.codes)
    if not math.isfinite(observed):
        raise DesignError(f"the statistic of the allocation made is {observed}", fix="check the function")
    values = np.array(
        [at(codes) for codes in tqdm(reference.codes, disable=not progress, desc="randomisation test")]
    )
    interval = (math.nan, math.nan)
    if ci:
        spread = spread_of(values, reference) or abs(observed) or 1.0
        interval = bisected_interval(
            lambda shift: p_value(all_at(shift), at(question.allocation.codes, shift), reference, 0)[0],
            observed,
            spread,
            1.0 - level,
        )
    return question.estimate(
        observed,
        values,
        reference,
        side=side,
        interval=interval,
        level=level,
        words=f"statistic '{question.statistic}'",
        units=f"value of {question.statistic}",
    )


# --- what is asked


def _side(sides: int, alternative: str | None) -> int:
    if sides == 2:
        if alternative is not None:
            raise DesignError(
                f"alternative == '{alternative}' goes with sides=1", fix="leave it out, or write sides=1"
            )
        return 0
    if sides != 1:
        raise DesignError(f"sides == {sides!r}, must be 1 or 2")
    if alternative is None:
        raise DesignError("a one-sided test needs its side", fix="write alternative='greater' or 'less'")
    return 1 if check_choice("alternative", alternative, ("greater", "less")) == "greater" else -1

"""Check what is asked of a generalised linear mixed model, and fit it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, Place, Problem, check_choice, shown
from wwc_eval.formula.terms import Variable
from wwc_eval.multilevel.engine.structure import Array, check_groupings
from wwc_eval.multilevel.generalised.fit import GeneralisedFit
from wwc_eval.multilevel.generalised.prepare import Sample
from wwc_eval.multilevel.generalised.solve import solve
from wwc_eval.multilevel.reading import ModelData

__all__ = ["GENERALISED_FAMILIES", "fit_generalised"]

GENERALISED_FAMILIES = ("binomial", "poisson", "negative_binomial", "negative_binomial_1")
"""Families with a likelihood that has to be approximated."""
DEFAULT_POINTS = 9
MOST_POINTS = 100
SHOWN_ROWS = 20


def fit_generalised(
    data: ModelData, method: str | None, quadrature_points: int, level: float, *, family: str
) -> GeneralisedFit:
    """Fit a generalised linear mixed model to data that were read.

    Parameters
    ----------
    data : ModelData
        Formula, design, groups, weights and exposure.
    method : {"laplace", "agq"}, optional
        Laplace's approximation, or adaptive Gauss-Hermite quadrature (9 points where none are given). Quadrature
        where ``quadrature_points`` is above 1, if nothing is said.
    quadrature_points : int
        Points of the quadrature; 1 is Laplace's approximation.
    level : float
        Coverage of intervals.
    family : {"binomial", "poisson", "negative_binomial", "negative_binomial_1"}
        Outcome family: logit link for the first, log link for the others. The variance is ``mu + mu^2 / k`` for
        negative_binomial and ``mu (1 + alpha)`` for negative_binomial_1.

    Returns
    -------
    GeneralisedFit

    Raises
    ------
    DesignError
        If options do not go together, quadrature is asked of more than one random intercept, or the groups cannot
        carry a variance.
    DataError
        If the outcome does not vary, or holds values that the family cannot have.

    Notes
    -----
    Formula: ``g(E(y | b)) = X beta + Z b + log(exposure)``, ``b ~ N(0, Sigma)``; the integral of the likelihood over b
    is approximated and maximised over all parameters with exact gradients. Sources: Pinheiro and Chao (2006),
    doi:10.1198/106186006X96962; Pinheiro and Bates (1995), doi:10.1080/10618600.1995.10474663.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from wwc_eval.multilevel.reading import read_model
    >>> rng = np.random.default_rng(1)
    >>> team = np.repeat(np.arange(20), 30)
    >>> risk = 1 / (1 + np.exp(1 - rng.normal(size=20)[team]))
    >>> children = pd.DataFrame({"y": (rng.random(600) < risk) * 1, "arm": team % 2, "team": team})
    >>> model = read_model("y ~ arm + (1 | team)", children, levels=None, weights=None, exposure=None)
    >>> fit = fit_generalised(model, None, 9, 0.95, family="binomial")
    >>> fit.status, fit.method, len(fit.estimates)
    ('ok', 'agq', 2)
    """
    check_choice("family", family, GENERALISED_FAMILIES)
    points = _points(method, quadrature_points, data)
    _check_options(data, family)
    _check_outcome(data, family)
    _check_size(data)
    _check_groups(data, family)
    n = data.n
    ones = np.ones(n)
    sample = Sample(
        family=family,
        y=data.design.y,
        trials=ones if data.design.trials is None else data.design.trials,
        exposure=ones if data.exposure is None else data.exposure,
        weights=ones if data.weights is None else data.weights,
        X=data.design.X,
        groupings=data.groupings,
    )
    return GeneralisedFit(data=data, level=level, core=solve(sample, points))


def _points(method: str | None, points: object, data: ModelData) -> int:
    """Quadrature points of a method."""
    if method in ("ml", "reml"):
        raise DesignError(
            f"method == '{method}' is for a gaussian outcome",
            rule="the likelihood of other families is approximated, by Laplace's method or quadrature",
            fix="leave out method, or use method='agq'",
        )
    chosen = check_choice("method", method or "laplace", ("laplace", "agq"))
    if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or not 1 <= points <= MOST_POINTS:
        raise DesignError(
            f"quadrature_points == {shown(points)}, must be a whole number from 1 to {MOST_POINTS}",
            fix="use 9 to 25 for one random intercept",
        )
    if method == "laplace" and points > 1:
        raise DesignError(
            f"method == 'laplace' has one point, and quadrature_points == {points}",
            fix="use method='agq', or leave out quadrature_points",
        )
    if chosen == "agq" and points == 1:
        points = DEFAULT_POINTS
    single = len(data.groupings) == 1 and data.groupings[0].columns == ("(Intercept)",)
    if points > 1 and not single:
        raise DesignError(
            f"quadrature needs a single random intercept, and the random part is "
            f"{' + '.join(term.text for term in data.formula.random)}",
            fix="use method='laplace'",
        )
    return int(points)


def _check_options(data: ModelData, family: str) -> None:
    response = data.formula.response
    assert response is not None
    if response.trials is not None and family != "binomial":
        raise DesignError(
            f"'{response.text}' is a share, and family == '{family}'",
            fix="use family='binomial', or a count with exposure= for a rate",
        )
    if not isinstance(response.value, Variable):
        raise DesignError(
            f"family == '{family}' takes the outcome as it is, not '{response.value.text}'",
            fix=f"write '{response.columns[0]}' left of '~'; the link does the transforming",
        )
    if data.exposure is not None and family == "binomial":
        raise DesignError(
            "exposure goes with a count, and family == 'binomial'",
            fix="leave out exposure, or use family='poisson'",
        )


def _check_outcome(data: ModelData, family: str) -> None:
    """Refuse outcomes that the family cannot have, and outcomes that do not vary."""
    design = data.design
    response = data.formula.response
    assert response is not None
    name, y, trials = response.columns[0], design.y, design.trials
    if family == "binomial" and trials is None:
        fix = "code the outcome 0/1, or write 'successes / trials ~ ...'"
        _refuse(data, ~((y == 0) | (y == 1)), y, name, message="a binomial outcome must be 0 or 1", fix=fix)
    elif trials is None:  # successes and trials were checked when they were read
        whole = "counts must be whole numbers, 0 or more"
        fix = "give counts, with exposure= for the time or population at risk; correct or exclude these rows"
        _refuse(data, ~((y >= 0) & (y == np.round(y))), y, name, message=whole, fix=fix)
    share = y if trials is None else y / trials
    inside = trials is not None and 0 < share[0] < 1
    if float(np.ptp(share)) == 0.0 and not inside and not (family != "binomial" and share[0] > 0):
        raise DataError(
            f"the outcome '{name}' is {share[0]:g} in all {len(y):,} rows used",
            place=Place(column=name),
            rule="an outcome must vary",
            fix="check the outcome and the exclusions; with no event at all, report the counts",
        )


def _refuse(
    data: ModelData, bad: NDArray[np.bool_], values: Array, column: str, *, message: str, fix: str
) -> None:
    """One problem for each offending row, rows counted as a spreadsheet does."""
    where = np.flatnonzero(bad)
    if not len(where):
        return
    problems = [
        Problem(
            message=message,
            place=Place(row=int(data.design.rows[i]) + 2, column=column),
            value=f"{values[i]:g}",
            fix=fix,
        )
        for i in where[:SHOWN_ROWS]
    ]
    if len(where) > SHOWN_ROWS:
        said = f"{message}: so in {len(where):,} rows in all"
        problems.append(Problem(message=said, place=Place(column=column), fix=fix))
    raise DataError(problems=problems)


def _check_size(data: ModelData) -> None:
    n, p = data.design.X.shape
    if n <= p:
        raise DesignError(
            f"{n:,} rows cannot carry {p:,} coefficients and a variance",
            fix="leave terms out, or find out why rows were dropped",
        )
    gone = [term.text for term in data.formula.fixed]
    if gone and set(data.design.assign) <= {-1}:
        listed = ", ".join(f"'{name}'" for name in gone)
        raise DesignError(
            f"{listed} does not vary in the rows used, so there is nothing to compare",
            fix="check the arms of the rows that are left after exclusions and missing values",
        )


def _check_groups(data: ModelData, family: str) -> None:
    """Refuse factors that no variance can be estimated from."""
    # a count, or successes of several trials, has variation of its own that a group of one row can be told from
    own = family == "poisson" or (family == "binomial" and data.design.trials is not None)
    single: Sequence[str] = [
        grouping.name for grouping in data.groupings if grouping.n_groups * _thinnest(grouping.blocks) >= data.n
    ]
    if single and not own:
        raise DesignError(
            f"grouping factor '{single[0]}' has as many random effects as there are rows ({data.n:,})",
            rule="with one row in each group, variation between groups cannot be told from variation within them",
            fix="leave the factor out, or group by something that holds several rows",
        )
    check_groupings(data.groupings, data.n * (1 + sum(grouping.width for grouping in data.groupings)))


def _thinnest(blocks: Sequence[Sequence[int]]) -> int:
    return min(len(block) for block in blocks)

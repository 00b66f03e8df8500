"""Nearest neighbours: propensity and Mahalanobis matching, with calipers, exact columns and permitted pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.matching.pairing import pair_up
from wwc_eval.did.matching.result import Matching, cautions
from wwc_eval.did.matching.sample import Sample, numbers_of, read_sample
from wwc_eval.errors import DataError, DesignError, check_choice, check_number, did_you_mean, shown
from wwc_eval.table import Column, Table

__all__ = ["mahalanobis_matching", "propensity_matching"]

Floats = NDArray[np.float64]
AUSTIN = "Austin 2011, doi:10.1002/pst.433; Rosenbaum and Rubin 1985, doi:10.1080/00031305.1985.10479383"
RUBIN = "Rubin 1980, doi:10.2307/2529981; Stuart 2010, doi:10.1214/09-STS313"


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """Who may be matched with whom, and how many."""

    caliper: float | None
    ratio: int
    replace: bool
    exact: tuple[str, ...]
    allowed: Any
    allowed_on: str | None
    unit: str | None
    method: str

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("optimal", "greedy"))
        if self.caliper is not None:
            check_number("caliper", self.caliper, above=0)
        if isinstance(self.ratio, bool) or not isinstance(self.ratio, (int, np.integer)) or self.ratio < 1:
            raise DesignError(f"ratio == {shown(self.ratio)}, must be a whole number of at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the rules read."""
        return tuple(dict.fromkeys([*self.exact, *([self.allowed_on] if self.allowed_on else [])]))

    @property
    def words(self) -> str:
        """The rules in words."""
        parts = [
            f"{self.ratio} to 1",
            "with replacement" if self.replace else f"without replacement ({self.method})",
        ]
        parts += [f"exact on {', '.join(self.exact)}"] if self.exact else []
        parts += ["permitted pairs given"] if self.allowed is not None else []
        return ", ".join(parts)


def propensity_matching(
    data: Any,
    *,
    treatment: str,
    covariates: str | Sequence[str],
    caliper: float | None = 0.2,
    ratio: int = 1,
    replace: bool = False,
    exact: Sequence[str] = (),
    allowed: Any = None,
    allowed_on: str | None = None,
    unit: str | None = None,
    method: str = "optimal",
    balance: Sequence[str] = (),
) -> Matching:
    """Match each treated row with the controls whose propensity to be treated is nearest.

    Parameters
    ----------
    data : DataFrame
        One row a child or a local authority. Not changed.
    treatment : str
        Column of 0 and 1.
    covariates : sequence of str, or str
        Columns of the logistic regression of the treatment, or its right-hand side: ``"age + sex + log(rate)"``.
    caliper : float, optional
        Largest distance, in standard deviations of the logit of the propensity; None for no limit.
    ratio : int
        Controls a treated row; fewer where there are not enough.
    replace : bool
        Whether a control may serve several treated rows.
    exact : sequence of str
        Columns on which matched rows must agree.
    allowed : mapping or DataFrame, optional
        Permitted pairs, such as statistical neighbours: ``{treated: [controls]}``, or a table whose first two columns
        are those. Treated values that are not in it match nobody.
    allowed_on : str, optional
        Column that ``allowed`` speaks of, such as the local authority of a child; ``unit`` where it is missing.
    unit : str, optional
        Column that identifies a row.
    method : {"optimal", "greedy"}
        Without replacement: as many pairs as can be, of as many treated as can be, with the smallest total distance, or the hardest to match first.
    balance : sequence of str
        Further columns whose balance is shown.

    Returns
    -------
    Matching

    Raises
    ------
    DesignError
        If a column is not there, or the treatment is foretold for sure by the covariates.
    DataError
        If a value is missing, or nobody can be matched.

    Notes
    -----
    Formula: distance ``|logit e_i - logit e_j| / sd(logit e)``; each treated row weighs 1, a control the sum over its
    sets of 1 / (controls in the set), scaled to the number of matched controls. Sources: Rosenbaum and Rubin (1985),
    doi:10.1080/00031305.1985.10479383; Austin (2011), doi:10.1002/pst.433.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> las = pd.DataFrame({"la": range(60), "rate": rng.normal(60, 12, 60)})
    >>> las["joined"] = (las["rate"] + rng.normal(0, 12, 60) > 75).astype(int)
    >>> matched = propensity_matching(las, treatment="joined", covariates=["rate"], unit="la")
    >>> matched.balance.largest() < matched.balance.largest("before")
    True
    """
    rules = _Rules(
        caliper=caliper, ratio=ratio, replace=replace, exact=tuple(exact), allowed=allowed,
        allowed_on=_named(allowed, allowed_on, unit), unit=unit, method=method,
    )  # fmt: skip
    from wwc_eval.formula import parse_formula

    side = covariates if isinstance(covariates, str) else " + ".join(covariates)
    formula = f"{treatment} ~ {side}"
    names = sorted({name for term in parse_formula(formula).fixed for name in term.columns})
    sample = read_sample(data, treatment, [*names, *rules.columns, *balance], unit)
    score = _logits(sample, formula)
    scaled = (score / score.std(ddof=1))[:, None]
    return _matched(
        sample, scaled, rules, tuple(dict.fromkeys([*names, *exact, *balance])), ("Propensity", AUSTIN)
    )


def mahalanobis_matching(
    data: Any,
    *,
    treatment: str,
    covariates: Sequence[str],
    caliper: float | None = None,
    ratio: int = 1,
    replace: bool = False,
    exact: Sequence[str] = (),
    allowed: Any = None,
    allowed_on: str | None = None,
    unit: str | None = None,
    method: str = "optimal",
    balance: Sequence[str] = (),
) -> Matching:
    """Match each treated row with the controls nearest in Mahalanobis distance.

    Parameters
    ----------
    covariates : sequence of str
        Columns of numbers, such as rates in the years before.
    caliper : float, optional
        Largest Mahalanobis distance; None for no limit.
    data, treatment, ratio, replace, exact, allowed, allowed_on, unit, method, balance
        As in :func:`propensity_matching`.

    Returns
    -------
    Matching

    Raises
    ------
    DesignError
        If a column is not there or holds no numbers, or columns repeat each other.
    DataError
        If a value is missing, or nobody can be matched.

    Notes
    -----
    Formula: ``sqrt((x_i - x_j)' S^-1 (x_i - x_j))`` with S the covariance within groups, pooled. Sources: Rubin (1980),
    doi:10.2307/2529981; Stuart (2010), doi:10.1214/09-STS313.

    Examples
    --------
    >>> import pandas as pd
    >>> las = pd.DataFrame({"la": list("abcdef"), "joined": [1, 1, 0, 0, 0, 0], "rate": [50, 70, 52, 90, 68, 10.0]})
    >>> matched = mahalanobis_matching(las, treatment="joined", covariates=["rate"], unit="la")
    >>> [(row["treated"], row["control"]) for row in matched.pairs]
    [('a', 'c'), ('b', 'e')]
    """
    rules = _Rules(
        caliper=caliper, ratio=ratio, replace=replace, exact=tuple(exact), allowed=allowed,
        allowed_on=_named(allowed, allowed_on, unit), unit=unit, method=method,
    )  # fmt: skip
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    sample = read_sample(data, treatment, [*names, *rules.columns, *balance], unit)
    X = numbers_of(sample.frame, names)
    within = X.copy()
    for here in (sample.treated, ~sample.treated):
        within[here] -= within[here].mean(axis=0)
    spread = within.std(axis=0)
    if not (spread > 0).all():
        raise DesignError(f"'{names[int(np.argmin(spread))]}' does not vary within the groups", fix="leave it out")
    # a root by QR of standardised columns keeps the digits that a covariance would lose
    R = np.linalg.qr(within / spread, mode="r") / np.sqrt(sample.n - 2.0)
    if np.abs(np.diag(R)).min() < 1e-8:
        raise DesignError("covariates repeat each other", fix="leave one of them out")
    scaled = np.linalg.solve(R.T, (X / spread).T).T
    shown_columns = tuple(dict.fromkeys([*names, *exact, *balance]))
    return _matched(sample, scaled, rules, shown_columns, ("Mahalanobis", RUBIN))


def _named(allowed: Any, allowed_on: str | None, unit: str | None) -> str | None:
    if allowed is None:
        if allowed_on is not None:
            raise DesignError("allowed_on is given without allowed", fix="give the permitted pairs: allowed={...}")
        return None
    if allowed_on is None and unit is None:
        raise DesignError("allowed needs the column that it speaks of", fix="name it: allowed_on='la'")
    return allowed_on or unit


def _logits(sample: Sample, formula: str) -> Floats:
    from wwc_eval.inference import regression

    frame = sample.frame.assign(**{sample.treatment: sample.treated.astype(int)})
    fit = regression(formula, frame, family="binomial")
    solution = fit.fitted.solution
    if fit.status == "separated" or solution is None or not solution.converged:
        raise DesignError(
            "the covariates foretell for sure who is treated, so there is no propensity",
            fix="use fewer covariates, or mahalanobis_matching",
        )
    logits = np.asarray(solution.eta, dtype=float)
    if not logits.std() > 0:
        raise DesignError("the propensity is the same for everybody", fix="name covariates that vary")
    return logits


def _matched(
    sample: Sample, X: Floats, rules: _Rules, columns: tuple[str, ...], source: tuple[str, str]
) -> Matching:
    import pandas as pd

    order = sample.order
    treated = order[sample.treated[order]]
    control = order[~sample.treated[order]]
    blocks = [pd.factorize(sample.frame[name], sort=True)[0] for name in rules.exact]
    block = np.unique(np.column_stack(blocks), axis=0, return_inverse=True)[1].reshape(-1) if blocks else None
    permitted = _permitted(sample, rules) if rules.allowed is not None else None
    first, second, distance = pair_up(
        X, treated, control, block=block, permitted=permitted, caliper=rules.caliper, ratio=int(rules.ratio),
        replace=rules.replace, optimal=rules.method == "optimal",
    )  # fmt: skip
    if not len(first):
        raise DataError("nobody can be matched", fix="widen the caliper, or permit more pairs")
    per_set = np.bincount(first, minlength=sample.n)
    weights = np.zeros(sample.n)
    weights[np.unique(first)] = 1.0
    raw = np.bincount(second, weights=1.0 / per_set[first], minlength=sample.n)
    matched_controls = raw > 0
    weights[matched_controls] = raw[matched_controls] * matched_controls.sum() / raw.sum()
    places = np.unique(first, return_inverse=True)[1].reshape(-1)
    subclass = np.full(sample.n, -1, dtype=np.intp)
    subclass[first] = places
    once = np.bincount(second, minlength=sample.n) == 1
    subclass[second[once[second]]] = places[once[second]]
    limit = "" if rules.caliper is None else f", caliper {rules.caliper:g}"
    found = Matching(
        sample=sample,
        weights=weights,
        subclass=subclass,
        columns=columns,
        unit=rules.unit,
        pairs=_pairs(sample, rules.unit, first, second, distance),
        method=f"{source[0]} matching, {rules.words}{limit}",
        citation=source[1],
    )
    return replace(found, warnings=cautions(sample.treated, weights, found.balance.largest()))


def _permitted(sample: Sample, rules: _Rules) -> Any:
    """Codes of the column that pairs speak of, and which codes may stand together, (k, k) of bool."""
    import pandas as pd

    assert rules.allowed_on is not None
    codes, labels = pd.factorize(sample.frame[rules.allowed_on], sort=True)
    place = {label: index for index, label in enumerate(labels.tolist())}
    if isinstance(rules.allowed, Mapping):
        pairs = [(one, two) for one, others in rules.allowed.items() for two in others]
    else:
        from wwc_eval.data.frames import columns_of

        header, cells = columns_of(rules.allowed, "allowed")
        if len(header) < 2:
            raise DesignError("allowed has one column, must have treated and control", fix="give a table of pairs")
        pairs = list(zip(cells[0], cells[1], strict=True))
    grid = np.zeros((len(place), len(place)), dtype=bool)
    for one, two in pairs:
        if one in place and two in place:
            grid[place[one], place[two]] = True
    if not grid.any():
        known = [str(label) for label in labels]
        raise DesignError(
            f"no permitted pair names two values of '{rules.allowed_on}'",
            fix=did_you_mean(str(pairs[0][0]), known) if pairs else "give pairs",
        )
    return codes, grid


def _pairs(
    sample: Sample, unit: str | None, first: NDArray[np.intp], second: NDArray[np.intp], distance: Floats
) -> Table:
    names = sample.frame[unit].tolist() if unit else (np.arange(sample.n) + 2).tolist()
    rows = [
        {"treated": names[a], "control": names[b], "distance": float(d)}
        for a, b, d in zip(first.tolist(), second.tolist(), distance.tolist(), strict=True)
    ]
    what = unit or "row of the file"
    columns = [
        Column(name="treated", label=f"treated ({what})"),
        Column(name="control", label=f"control ({what})"),
    ]
    return Table(rows, [*columns, Column(name="distance", kind="number")], title="Matched pairs")

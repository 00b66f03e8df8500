"""From rows to clusters: what each cluster did, what was expected of it, and where it stands in the design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import ConvergenceError, DataError, DesignError, Place, did_you_mean
from wwc_eval.formula import Design, Formula, parse_formula, quote_name
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.families import FAMILIES, Floats
from wwc_eval.inference.frames import to_pandas
from wwc_eval.inference.regression import _check_options, _check_outcome, _numbers, _relevant, regression

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.inference.fit import RegressionFit

__all__ = ["ClusterTable", "read_cluster_table"]

SHOWN = 5
Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterTable:
    """One entry a cluster.

    Parameters
    ----------
    labels : tuple of str
        Names of the C clusters, in order.
    arms, strata : tuple
        Levels of the arm (the reference first) and of the strata; no strata where the design has none.
    arm, stratum : ndarrays of int, shape (C,)
        Places in ``arms`` and ``strata``.
    rows : ndarray of int, shape (C,)
        Rows of each cluster.
    size : ndarray, shape (C,)
        Participants (rows, or trials), or exposure.
    total : ndarray, shape (C,)
        Sum of the outcome: events, or the sum of a score.
    expected : ndarray, shape (C,), optional
        The same as a regression without the arm expects it; None where nothing is adjusted for.
    within : float
        Pooled variance within clusters of a gaussian outcome; NaN elsewhere, and with one row a cluster.
    covariates : ndarray, shape (C, q)
        Columns of the regression that are constant within every cluster.
    design : Design
        The rows used.
    stage_one : RegressionFit, optional
        The regression behind ``expected``.
    factor : bool
        Whether the arm is a factor (then its term has its level in brackets).
    codes : ndarray of int, shape (n,)
        Cluster of each row used.
    source : DataFrame
        The data as given.
    """

    labels: tuple[str, ...]
    arms: tuple[Any, ...]
    strata: tuple[Any, ...]
    arm: Codes
    stratum: Codes
    rows: Codes
    size: Floats
    total: Floats
    expected: Floats | None
    within: float
    covariates: Floats
    design: Design
    stage_one: RegressionFit | None
    factor: bool
    codes: Codes
    source: pd.DataFrame

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.labels)

    @property
    def summary(self) -> Floats:
        """Mean, risk or rate of each cluster."""
        return np.asarray(self.total / self.size)

    @property
    def per_arm(self) -> Codes:
        """Clusters of each arm."""
        return np.bincount(self.arm, minlength=len(self.arms))

    @property
    def paired(self) -> bool:
        """Whether every stratum holds one cluster of each arm."""
        if not self.strata:
            return False
        cells = self.stratum * len(self.arms) + self.arm
        return bool(np.all(np.bincount(cells, minlength=len(self.strata) * len(self.arms)) == 1))


def read_cluster_table(
    formula: str | Formula,
    data: Any,
    *,
    cluster: str,
    arm: str | None,
    family: str,
    exposure: str | None,
    by: str | None,
    levels: Mapping[str, Sequence[Any]] | None,
) -> ClusterTable:
    """Read clusters, and run the first stage where the formula has covariates.

    Raises
    ------
    FormulaError, DataError, DesignError
        As :func:`wwc_eval.cluster_summaries` says.
    ConvergenceError
        If the regression of the first stage has no fit.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    kind = FAMILIES[family]
    _check_options(parsed, kind, exposure=exposure)
    column = _arm_of(parsed, arm)
    frame = to_pandas(data)
    kept = tuple(dict.fromkeys(name for name in (cluster, by, exposure) if name is not None))
    design = parsed.design(frame, levels=_relevant(levels, parsed), keep=kept)
    _check_outcome(design, kind, exposed=exposure is not None)
    used = frame.iloc[design.rows]
    codes, labels = _factorise(used[cluster])
    if len(labels) < 3:
        raise DesignError(
            f"'{cluster}' has {len(labels)} values in the rows used, needs at least 3 clusters",
            fix="with two clusters nothing tells their difference from the effect of the programme",
        )
    arms, of_row = _arms(design, used, column)
    strata, stratum_of_row = _strata(used, by, levels)
    size = _sizes(design, exposure)
    stage_one = _first_stage(parsed, used, column, by, family=family, exposure=exposure, levels=levels)
    return ClusterTable(
        labels=labels,
        arms=arms,
        strata=strata,
        arm=_constant(of_row, codes, labels, column, cluster),
        stratum=_constant(stratum_of_row, codes, labels, by or "", cluster),
        rows=np.bincount(codes),
        size=_sums(codes, size),
        total=_sums(codes, design.y),
        expected=None if stage_one is None else _expected(stage_one, codes, size),
        within=_within(design.y, codes) if family == "gaussian" else np.nan,
        covariates=_cluster_columns(stage_one, codes, len(labels)),
        design=design,
        stage_one=stage_one,
        factor=column in design.levels,
        codes=codes,
        source=frame,
    )


def _arm_of(formula: Formula, arm: str | None) -> str:
    """Column of the arm, a term of its own that enters no other."""
    if not formula.fixed:
        raise DesignError(f"'{formula.text}' compares nothing", fix="write y ~ arm, or y ~ arm + covariates")
    plain = {next(iter(term.columns)): term for term in formula.fixed if len(term.factors) == 1}
    chosen = arm if arm is not None else min(formula.fixed[0].columns)
    if chosen not in plain or plain[chosen].text not in (
        chosen,
        quote_name(chosen),
        f"factor({quote_name(chosen)})",
    ):
        raise DesignError(
            f"the arm '{chosen}' is not a term of '{formula.text}' by itself",
            fix=f"write it as a term of its own, or name another: {did_you_mean(chosen, sorted(plain))}",
        )
    crossed = [term.text for term in formula.fixed if chosen in term.columns and term != plain[chosen]]
    if crossed:
        raise DesignError(
            f"'{crossed[0]}' lets the effect of '{chosen}' differ, and a comparison of cluster summaries has one effect",
            fix="leave the interaction out and compare each subgroup by itself, or use multilevel_model",
        )
    return chosen


def _factorise(values: pd.Series[Any]) -> tuple[Codes, tuple[str, ...]]:
    """Codes in the order of the labels, which does not depend on the order of the rows."""
    import pandas as pd

    codes, found = pd.factorize(values, sort=True)
    return np.asarray(codes, dtype=np.intp), tuple(label_of(value) for value in found)


def _arms(design: Design, used: pd.DataFrame, column: str) -> tuple[tuple[Any, ...], Codes]:
    """Levels of the arm that occur, the reference first, and the place of each row."""
    values = used[column]
    if column in design.levels:
        present = set(values.unique().tolist())
        occurring = [level for level in design.levels[column] if level in present]
        reference = design.reference_levels.get(column, occurring[0])
        occurring.sort(key=lambda level: level != reference)
    else:
        numbers = np.unique(np.asarray(values, dtype=float))
        if not set(numbers.tolist()) <= {0.0, 1.0}:
            raise DesignError(
                f"the arm '{column}' is numeric and not 0 or 1",
                fix=f"give it as text, or write factor({quote_name(column)})",
            )
        occurring = [int(number) for number in numbers]
    if len(occurring) < 2:
        raise DesignError(
            f"'{column}' is '{label_of(occurring[0])}' in all {len(values):,} rows used, so there is nothing to compare",
            fix="check the rows left after exclusions and missing values",
        )
    places = {level: place for place, level in enumerate(occurring)}
    return tuple(occurring), np.asarray([places[value] for value in values.tolist()], dtype=np.intp)


def _strata(
    used: pd.DataFrame, by: str | None, levels: Mapping[str, Sequence[Any]] | None
) -> tuple[tuple[Any, ...], Codes]:
    """Strata that occur and the place of each row."""
    import pandas as pd

    if by is None:
        return (), np.zeros(len(used), dtype=np.intp)
    codes, found = pd.factorize(used[by], sort=True)
    strata = tuple(found.tolist())
    declared = (levels or {}).get(by)
    unknown = [value for value in strata if declared is not None and value not in declared]
    if unknown:
        raise DataError(
            f"'{by}' holds '{label_of(unknown[0])}', which is not among its declared levels",
            place=Place(column=by),
        )
    return strata, np.asarray(codes, dtype=np.intp)


def _constant(values: Codes, codes: Codes, labels: tuple[str, ...], column: str, cluster: str) -> Codes:
    """Value of each cluster; a cluster with two of them is refused."""
    found = np.empty(len(labels), dtype=np.intp)
    found[codes] = values
    odd = sorted({labels[code] for code in codes[found[codes] != values]})
    if odd:
        more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
        raise DesignError(
            f"{len(odd)} clusters of '{cluster}' lie in several values of '{column}': {', '.join(odd[:SHOWN])}{more}",
            rule="a cluster has one arm and one stratum",
            fix="cluster by what was randomised; for a stepped wedge use multilevel_model or regression",
        )
    return found


def _sizes(design: Design, exposure: str | None) -> Floats:
    """Participants of each row, or its exposure."""
    if exposure is not None:
        return _numbers(design, exposure, "exposure")
    return np.ones(len(design.y)) if design.trials is None else design.trials


def _first_stage(
    formula: Formula,
    used: pd.DataFrame,
    arm: str,
    by: str | None,
    *,
    family: str,
    exposure: str | None,
    levels: Mapping[str, Sequence[Any]] | None,
) -> RegressionFit | None:
    """Regression of the rows on covariates and strata, without the arm; None where there are no covariates."""
    terms = [term for term in formula.fixed if arm in term.columns or set(term.columns) == {by}]
    rest = formula.without_terms(*terms)
    if not rest.fixed:
        return None
    if by is not None:
        rest = rest.with_terms(f"factor({quote_name(by)})")
    fit = regression(rest, used, family=family, exposure=exposure, levels=levels)
    if fit.status in ("failed", "separated") and fit.covariance is None:
        raise ConvergenceError(
            f"the regression of the first stage, {fit.formula}, has no fit: {fit.message}",
            fix="leave covariates out",
        )
    return fit


def _expected(fit: RegressionFit, codes: Codes, size: Floats) -> Floats:
    """Sum of the outcome that the first stage expects of each cluster."""
    mean = fit.predict()
    return _sums(codes, mean * size if fit.fitted.trials is not None else mean)


def _sums(codes: Codes, values: Floats) -> Floats:
    """Sum of each cluster."""
    return np.asarray(np.bincount(codes, weights=values), dtype=float)


def _within(y: Floats, codes: Codes) -> float:
    """Pooled variance within clusters."""
    rows = np.bincount(codes)
    left = len(y) - len(rows)
    if left <= 0:
        return np.nan
    mean = np.bincount(codes, weights=y) / rows
    return float(np.sum((y - mean[codes]) ** 2) / left)


def _cluster_columns(fit: RegressionFit | None, codes: Codes, count: int) -> Floats:
    """Columns of the first stage that are constant within every cluster, one row a cluster."""
    if fit is None:
        return np.zeros((count, 0))
    X = fit.fitted.design.X
    value = np.empty((count, X.shape[1]))
    value[codes] = X
    spread = np.abs(X - value[codes]).max(axis=0)
    return value[:, spread <= 1e-9 * np.maximum(np.abs(X).max(axis=0), 1e-300)]

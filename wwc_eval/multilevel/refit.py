"""Thousands of refits of one linear mixed model: other outcomes, other allocations, or both.

The groups stay, so the fold stays: only the cross-products of what changes are made anew. With one random intercept a
refit takes some ten microseconds, with any nested random part a fraction of a millisecond; crossed factors, and
allocations that enter interactions or random slopes, are fitted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, WwcError, check_choice, did_you_mean, shown
from wwc_eval.formula.columns import label_of
from wwc_eval.formula.terms import Variable
from wwc_eval.multilevel.engine.prepare import Prepared, prepare
from wwc_eval.multilevel.engine.solve import Solution, problem_of, solve
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.replicates import Replicates, fit_replicates
from wwc_eval.multilevel.small_sample.kenward_roger import kenward_roger
from wwc_eval.multilevel.small_sample.satterthwaite import contrast_df, sensitivity

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["COLUMNS", "refit_many"]

COLUMNS = ("estimate", "se", "df", "p_value", "status")
INFERENCES = ("wald", "satterthwaite", "kenward_roger")


def refit_many(
    fit: LinearFit,
    outcomes: Any = None,
    arms: Any = None,
    *,
    term: str | None = None,
    arm: str | None = None,
    unit: str | None = None,
    inference: str | None = None,
) -> pd.DataFrame:
    """Fit the same model to many outcomes or allocations.

    Parameters
    ----------
    fit : LinearFit
        The model; its groups, covariates and weights stay.
    outcomes : (R, rows) array, optional
        One outcome a refit; columns are the rows used by the fit, or all rows of its data.
    arms : (R, rows) or (R, units) array or DataFrame, optional
        One allocation a refit, in values of the arm's column. With ``unit``, a DataFrame whose columns are units.
        Given with outcomes, the k-th outcome goes with the k-th allocation.
    term : str, optional
        Coefficient reported: the first of the arm's, or the first after the intercept.
    arm : str, optional
        Column of the allocation; that of ``term`` or of the first term.
    unit : str, optional
        Column of the data that says which unit of the allocation a row belongs to.
    inference : {"wald", "satterthwaite", "kenward_roger"}, optional
        Errors and degrees of freedom; the fit's own where it is one of these, else Satterthwaite's.

    Returns
    -------
    DataFrame
        One row a refit: estimate, se, df, p_value, status (``ok``, ``boundary``, ``failed``). A refit that failed
        holds missing values.

    Raises
    ------
    DesignError
        If neither outcomes nor arms are given, the term or column is unknown, or the fit is by ML and
        Kenward-Roger is asked.
    DataError
        If arrays have the wrong shape, or hold missing values or unknown arms.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from wwc_eval.multilevel import multilevel_model
    >>> rng = np.random.default_rng(1)
    >>> school = np.repeat(np.arange(12), 10)
    >>> data = pd.DataFrame({"y": rng.normal(size=12)[school] + rng.normal(size=120), "school": school})
    >>> fit = multilevel_model("y ~ arm + (1 | school)", data.assign(arm=school % 2))
    >>> shuffled = pd.DataFrame([rng.permutation(np.arange(12) % 2) for _ in range(99)], columns=range(12))
    >>> refits = refit_many(fit, arms=shuffled, unit="school")
    >>> refits.shape, set(refits["status"]) <= {"ok", "boundary"}
    ((99, 5), True)
    """
    if outcomes is None and arms is None:
        raise DesignError("nothing changes between the refits", fix="give outcomes, arms or both")
    kind = _inference(fit, inference)
    Y = None if outcomes is None else _outcomes(fit, outcomes)
    column = None
    allocation = None
    if arms is not None:
        column = _arm_column(fit, term, arm)
        allocation = _allocations(fit, arms, column, unit)
        if Y is not None and len(Y) != len(allocation):
            raise DataError(
                f"{len(Y):,} outcomes and {len(allocation):,} allocations do not go in pairs",
                fix="give as many of one as of the other",
            )
    chosen = _term(fit, term, column)
    change = _Change(fit=fit, Y=Y, allocation=allocation, arm=column, term=chosen, inference=kind)
    problem = fit.core.solution.problem
    if not problem.nested or (column is not None and not _main_effect(fit, column)):
        return _one_by_one(change)
    return _together(change)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Change:
    """What changes between refits, over the rows used."""

    fit: LinearFit
    Y: Array | None
    allocation: np.ndarray[tuple[int, ...], np.dtype[Any]] | None
    arm: str | None
    term: str
    inference: str

    def __len__(self) -> int:
        return len(self.Y) if self.Y is not None else len(self.allocation)  # type: ignore[arg-type]


# --- what is asked


def _inference(fit: LinearFit, inference: str | None) -> str:
    kind = inference or (fit.inference_kind if fit.inference_kind in INFERENCES else "satterthwaite")
    check_choice("inference", kind, INFERENCES)
    if kind == "kenward_roger" and fit.method != "reml":
        raise DesignError(
            "Kenward and Roger's method needs a REML fit, this is a maximum likelihood fit",
            fix="use inference='satterthwaite'",
        )
    return kind


def _term(fit: LinearFit, term: str | None, column: str | None) -> str:
    if term is None:
        fixed = fit.data.formula.fixed
        wanted = [
            name
            for name, owner in zip(fit.terms, fit.data.design.assign, strict=True)
            if owner >= 0 and (column is None or fixed[owner].columns == {column})
        ]
        return (wanted or list(fit.terms))[0]
    if term not in fit.terms:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, fit.terms))
    return term


def _arm_column(fit: LinearFit, term: str | None, arm: str | None) -> str:
    fixed = fit.data.formula.fixed
    known = sorted({name for each in fixed for name in each.columns})
    if arm is not None:
        if arm not in known:
            raise DesignError(f"'{arm}' is not in the fixed part", fix=did_you_mean(arm, known))
        return arm
    owner = fit.data.design.assign[fit.terms.index(term)] if term in fit.terms else 0
    if not fixed or owner < 0 or len(fixed[owner].columns) != 1:
        raise DesignError("the column of the allocation is not clear", fix="name it: arm='...'")
    return next(iter(fixed[owner].columns))


def _main_effect(fit: LinearFit, column: str) -> bool:
    """Whether a column enters the model as one plain term only."""
    terms = fit.data.formula.terms_of(column)
    plain = len(terms) == 1 and terms[0].factors == (Variable(column),)
    return plain and not any(column in term.columns for term in fit.data.formula.random)


def _outcomes(fit: LinearFit, outcomes: Any) -> Array:
    Y = np.asarray(outcomes, dtype=float)
    Y = np.asarray(_rows(fit, Y, "outcomes"))
    if not np.all(np.isfinite(Y)):
        where = np.argwhere(~np.isfinite(Y))[0]
        raise DataError(
            f"outcome {where[0]} is missing or infinite in row {where[1]} of the rows used",
            fix="refits keep the rows: give complete outcomes",
        )
    return Y


def _rows(fit: LinearFit, values: Any, name: str) -> Any:
    """Columns of the rows used."""
    if values.ndim != 2 or values.shape[1] not in (fit.n, len(fit.data.source)):
        raise DataError(
            f"{name} have shape {values.shape}, must be (refits, {fit.n:,} rows used)",
            fix="put one refit in each row",
        )
    return values if values.shape[1] == fit.n else values[:, fit.data.rows]


def _allocations(fit: LinearFit, arms: Any, column: str, unit: str | None) -> Any:
    import pandas as pd

    if unit is None:
        values = _rows(fit, np.asarray(arms), "arms")
    else:
        source = fit.data.source
        if unit not in source.columns:
            raise DesignError(
                f"the data have no column '{unit}'", fix=did_you_mean(unit, [str(c) for c in source.columns])
            )
        if not isinstance(arms, pd.DataFrame):
            raise DataError("allocations of units need a DataFrame whose columns are the units")
        place = {label_of(name): k for k, name in enumerate(arms.columns)}
        labels = [label_of(value) for value in source[unit].iloc[fit.data.rows]]
        lost = next((label for label in labels if label not in place), None)
        if lost is not None:
            raise DataError(f"{unit} {shown(lost)} is in the data but not among the units allocated")
        values = arms.to_numpy()[:, [place[label] for label in labels]]
    if pd.isna(values).any():
        raise DataError(f"an allocation leaves '{column}' missing", fix="allocate every unit")
    return values


# --- together


def _together(change: _Change) -> pd.DataFrame:
    """Batches through the same fold."""
    fit = change.fit
    solution = fit.core.solution
    arms = [] if change.arm is None else [k for k, name in enumerate(fit.terms) if _owned(fit, k, change.arm)]
    contrast = np.eye(len(fit.terms))[fit.terms.index(change.term)]
    if not arms:
        prepared, shift = solution.problem.prepared, fit.coefficients
    else:
        kept = [k for k in range(len(fit.terms)) if k not in arms]
        prepared = _without(fit, kept, solution.problem.prepared)
        shift = prepared.beta_0
        contrast = np.r_[contrast[kept], contrast[arms]]
    p = prepared.p
    inner = np.r_[np.linalg.solve(prepared.X_root.T, contrast[:p]), contrast[p:]]
    levels = [] if not arms else [_level_of(fit, k, change.arm) for k in arms]
    base = (
        fit.data.design.X
        if not arms
        else fit.data.design.X[:, [k for k in range(len(fit.terms)) if k not in arms]]
    )
    replicates = Replicates(
        prepared=prepared,
        problem=solution.problem,
        gammas=solution.gammas,
        Y=change.Y,
        offset=base @ shift,
        allocation=change.allocation,
        levels=tuple(levels),
        contrast=inner,
        inference=change.inference,
    )
    found = fit_replicates(replicates)
    estimate = found.estimate * prepared.y_scale + float(contrast[:p] @ shift)
    frame = _frame(estimate, found.se * prepared.y_scale, found.df, found.boundary, found.failed)
    lost: Index = np.flatnonzero(found.unsettled)
    if len(lost):
        rest = _one_by_one(change, lost)
        frame.iloc[lost] = rest.to_numpy()
        frame = frame.astype(dict.fromkeys(COLUMNS[:-1], float))
    return frame


def _without(fit: LinearFit, kept: list[int], before: Prepared) -> Prepared:
    """The model's rows without the columns of the arm."""
    return prepare(fit.data.design.y, fit.data.design.X[:, kept], before.groupings, fit.data.weights)


def _owned(fit: LinearFit, place: int, column: str) -> bool:
    owner = fit.data.design.assign[place]
    return owner >= 0 and fit.data.formula.fixed[owner].columns == {column}


def _level_of(fit: LinearFit, place: int, column: str | None) -> Any:
    """Value of the arm's column that a term stands for; nothing where the column is a number itself."""
    name = fit.terms[place]
    levels = fit.data.design.levels.get(column or "", ())
    for level in levels:
        if name.endswith(f"[{label_of(level)}]"):
            return level
    return None


def _frame(estimate: Array, se: Array, df: Array, boundary: Any, failed: Any) -> pd.DataFrame:
    import pandas as pd
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(estimate / se)
        normal = np.isinf(df)
        p_value = 2.0 * np.where(normal, special.ndtr(-t), special.stdtr(np.where(normal, 1.0, df), -t))
    p_value = np.where(np.isfinite(t) & (df > 0), p_value, np.nan)
    status = np.where(failed, "failed", np.where(boundary, "boundary", "ok"))
    return pd.DataFrame(dict(zip(COLUMNS, (estimate, se, df, p_value, status), strict=True)))


# --- one by one


def _one_by_one(change: _Change, which: Index | None = None) -> pd.DataFrame:
    """A full search for each refit."""
    fit = change.fit
    design = fit.data.design
    columns = None
    rows = []
    for k in np.arange(len(change)) if which is None else which:
        y = design.y if change.Y is None else change.Y[k]
        X, groupings = design.X, fit.data.groupings
        if change.allocation is not None:
            columns = columns or _Rebuilt(fit, str(change.arm))
            X, groupings = columns.at(change.allocation[k])
        rows.append(_single(fit, y, X, groupings, change))
    found = np.array(rows)
    return _frame(found[:, 0], found[:, 1], found[:, 2], found[:, 3] == 1.0, found[:, 3] == 2.0)


class _Rebuilt:
    """Design matrix and varying columns of other allocations."""

    def __init__(self, fit: LinearFit, arm: str) -> None:
        self.fit, self.arm = fit, arm
        self.frame = fit.data.source.iloc[fit.data.rows]

    def at(self, values: Any) -> tuple[Array, Any]:
        from dataclasses import replace

        import pandas as pd

        from wwc_eval.multilevel.random_effects import varying_columns

        before = self.frame[self.arm]
        column = (
            pd.Categorical(values, dtype=before.dtype)
            if isinstance(before.dtype, pd.CategoricalDtype)
            else pd.Series(values, index=before.index).astype(before.dtype)
        )
        frame = self.frame.assign(**{self.arm: column})
        X = self.fit.data.design.matrix(frame)
        varying = varying_columns(self.fit.data, frame)
        return X, tuple(replace(g, Z=varying[g.name]) for g in self.fit.data.groupings)


def _single(fit: LinearFit, y: Array, X: Array, groupings: Any, change: _Change) -> tuple[float, ...]:
    try:
        solution = solve(problem_of(y, X, groupings, reml=fit.method == "reml", weights=fit.data.weights))
    except WwcError:
        return np.nan, np.nan, np.nan, 2.0
    return summary_of(solution, fit.terms.index(change.term), change.inference)


def summary_of(solution: Solution, place: int, inference: str) -> tuple[float, ...]:
    """Estimate, standard error and df of one coefficient; 0 (ok), 1 (boundary) or 2 (failed)."""
    if solution.minimum.message:
        return np.nan, np.nan, np.nan, 2.0
    contrast = np.eye(solution.p)[[place]]
    vcov, df = solution.vcov, np.inf
    if inference == "satterthwaite":
        df = float(contrast_df(solution, sensitivity(solution), contrast)[0])
    elif inference == "kenward_roger":
        adjusted = kenward_roger(solution)
        vcov, df = adjusted.vcov, adjusted.df(contrast)[0]
    face = solution.minimum.face
    boundary = len(face.places) < solution.problem.parameters.size
    se = float(np.sqrt(contrast[0] @ vcov @ contrast[0]))
    return float(contrast[0] @ solution.beta), se, df, 1.0 if boundary else 0.0

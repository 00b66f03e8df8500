"""Thousands of refits of one mixed model: other outcomes, other allocations, or both.

The groups stay, so the fold stays: only the cross-products of what changes are made anew. With one random intercept a
refit takes some twenty microseconds, with any nested random part a fraction of a millisecond; crossed factors, and
allocations that enter interactions or random slopes, are fitted one by one, and so are generalised models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, WwcError, check_choice
from wwc_eval.formula.columns import label_of
from wwc_eval.multilevel.engine.prepare import Prepared, prepare
from wwc_eval.multilevel.engine.solve import Solution, problem_of, solve
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.refit_inputs import COLUMNS, Change, Rebuilt, change_of, is_main_effect, table_of
from wwc_eval.multilevel.replicates import Replicates, fit_replicates
from wwc_eval.multilevel.small_sample.kenward_roger import kenward_roger
from wwc_eval.multilevel.small_sample.satterthwaite import contrast_df, sensitivity

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.fit import MultilevelFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["COLUMNS", "inference_of", "refit_many", "summary_of"]

INFERENCES = ("wald", "satterthwaite", "kenward_roger")


def refit_many(
    fit: MultilevelFit,
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
    fit : MultilevelFit
        The model; its groups, covariates, weights and exposure stay. Linear models are refitted in batches,
        generalised ones by a search each.
    outcomes : (R, rows) array, optional
        One outcome a refit (successes where there are trials); columns are the rows used by the fit, or all rows
        of its data.
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
        Errors and degrees of freedom; the fit's own where it is one of these, else Satterthwaite's. A generalised
        model has Wald's only.

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
    from wwc_eval.multilevel.linear import LinearFit

    if not isinstance(fit, LinearFit):
        from wwc_eval.multilevel.generalised.refit import refit_generalised

        return refit_generalised(fit, outcomes, arms, term=term, arm=arm, unit=unit, inference=inference)
    kind = inference_of(fit, inference)
    change = change_of(fit, outcomes, arms, term=term, arm=arm, unit=unit, inference=kind)
    if not fit.core.solution.problem.nested or (change.arm is not None and not is_main_effect(fit, change.arm)):
        return _one_by_one(fit, change)
    return _together(fit, change)


# --- what is asked


def inference_of(fit: LinearFit, inference: str | None) -> str:
    """Inference asked for, else the fit's own as far as refits have it."""
    kind = inference or (fit.inference_kind if fit.inference_kind in INFERENCES else "satterthwaite")
    check_choice("inference", kind, INFERENCES)
    if kind == "kenward_roger" and fit.method != "reml":
        raise DesignError(
            "Kenward and Roger's method needs a REML fit, this is a maximum likelihood fit",
            fix="use inference='satterthwaite'",
        )
    return kind


# --- together


def _together(fit: LinearFit, change: Change) -> pd.DataFrame:
    """Batches through the same fold."""
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
    frame = table_of(estimate, found.se * prepared.y_scale, found.df, found.boundary, found.failed)
    lost: Index = np.flatnonzero(found.unsettled)
    if len(lost):
        rest = _one_by_one(fit, change, lost)
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


# --- one by one


def _one_by_one(fit: LinearFit, change: Change, which: Index | None = None) -> pd.DataFrame:
    """A full search for each refit."""
    design = fit.data.design
    columns = None
    rows = []
    for k in np.arange(len(change)) if which is None else which:
        y = design.y if change.Y is None else change.Y[k]
        X, groupings = design.X, fit.data.groupings
        if change.allocation is not None:
            columns = columns or Rebuilt(fit, str(change.arm))
            X, groupings = columns.at(change.allocation.values(int(k)))
        rows.append(_single(fit, y, X, groupings, change))
    found = np.array(rows)
    return table_of(found[:, 0], found[:, 1], found[:, 2], found[:, 3] == 1.0, found[:, 3] == 2.0)


def _single(fit: LinearFit, y: Array, X: Array, groupings: Any, change: Change) -> tuple[float, ...]:
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

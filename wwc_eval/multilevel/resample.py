"""Refits of a linear mixed model to samples of whole clusters, drawn with replacement.

A cluster that is drawn twice counts twice, as two clusters: in the fold its contribution to every sum is doubled, and
nothing else changes. No data are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError
from wwc_eval.inference.allocations import term_of
from wwc_eval.multilevel.engine.batch import compress, fit_batch
from wwc_eval.multilevel.engine.batch_newton import Stack
from wwc_eval.multilevel.engine.fold import Finest, NestedFold
from wwc_eval.multilevel.engine.prepare import cross_products
from wwc_eval.multilevel.engine.solve import problem_of, solve
from wwc_eval.multilevel.engine.structure import Array, Index, nests
from wwc_eval.multilevel.refit import inference_of, summary_of
from wwc_eval.multilevel.refit_inputs import table_of
from wwc_eval.multilevel.replicates import Contrasts, full_rank, summarise

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["refit_resampled"]

CHUNK = 1_000


def refit_resampled(
    fit: LinearFit, times: Any, clusters: Index, *, term: str | None = None, inference: str | None = None
) -> pd.DataFrame:
    """Refits in which each cluster counts a given number of times.

    Parameters
    ----------
    fit : LinearFit
        The model, with nested grouping factors.
    times : (R, clusters) array of counts
        How often each cluster was drawn.
    clusters : (n,) integers
        Cluster of each row used; clusters hold whole groups of every factor.
    term : str, optional
        Coefficient reported; the first after the intercept.
    inference : {"wald", "satterthwaite", "kenward_roger"}, optional
        Errors and degrees of freedom.

    Returns
    -------
    DataFrame
        As :func:`refit_many`.

    Raises
    ------
    DesignError
        For crossed factors, and for clusters that cut through groups.
    DataError
        If the counts have the wrong shape.
    """
    problem = fit.core.solution.problem
    if not problem.nested:
        raise DesignError(
            "clusters cannot be resampled with crossed grouping factors",
            fix="use a parametric bootstrap",
        )
    counts = np.asarray(times, dtype=float)
    groups = int(clusters.max()) + 1
    if counts.ndim != 2 or counts.shape[1] != groups:
        raise DataError(f"times have shape {counts.shape}, must be (refits, {groups:,} clusters)")
    top = problem.prepared.groupings[-1]
    if not nests(top.codes, clusters, top.n_groups):
        raise DesignError(
            f"groups of '{top.name}' lie in several clusters", fix="resample clusters that hold whole groups"
        )
    engine = problem.engine
    assert isinstance(engine, NestedFold)
    of_group = np.empty(top.n_groups, dtype=np.intp)
    of_group[top.codes] = clusters
    by_group = counts[:, of_group[engine.order[-1]]]
    rows = np.bincount(top.codes, minlength=top.n_groups)[engine.order[-1]].astype(float)
    kind, chosen = inference_of(fit, inference), term_of(fit.data.design, term, None)
    contrast = np.eye(len(fit.terms))[fit.terms.index(chosen)]
    inner = np.linalg.solve(problem.prepared.X_root.T, contrast)
    parts = list(_chunks(fit, by_group, by_group @ rows, inner, kind))
    found = Contrasts.joined(parts)
    scale = problem.prepared.y_scale
    estimate = found.estimate * scale + float(contrast @ problem.prepared.beta_0)
    frame = table_of(estimate, found.se * scale, found.df, found.boundary, found.failed)
    for k in np.flatnonzero(found.unsettled & ~found.failed).tolist():
        frame.iloc[k] = _copied(fit, counts[k], clusters, chosen, kind).iloc[0]
    return frame


def _chunks(fit: LinearFit, times: Array, n: Array, contrast: Array, inference: str) -> Iterator[Contrasts]:
    problem = fit.core.solution.problem
    engine, prepared = problem.engine, problem.prepared
    assert isinstance(engine, NestedFold)
    plain = prepared.widths == (1,)
    for start in range(0, len(times), CHUNK):
        part = slice(start, start + CHUNK)
        own, rows = times[part], n[part]
        gram = _gram(engine, own)
        if plain:
            yield _intercept(engine, (own, rows, gram), contrast, reml=problem.reml, inference=inference)
        else:
            usable = full_rank(gram[:, :-1, :-1])
            stack = Stack(
                base=_shared(engine),
                count=int(usable.sum()),
                starts=engine.starts,
                parameters=problem.parameters,
                n=rows[usable],
                reml=problem.reml,
                times=own[usable],
            )
            some = summarise(stack, fit.core.solution.gammas, contrast, inference) if usable.any() else None
            yield Contrasts.spread(some, usable)


def _gram(engine: NestedFold, times: Array) -> Array:
    """Cross-products of [X y] over the rows drawn, for each replicate."""
    p = engine.prepared.p
    heads = engine.heads
    for begin in engine.starts:
        heads = heads[begin]
    own = engine.prepared.W[:, -(p + 1) :]
    sizes = np.diff(np.r_[heads, len(own)])
    return np.tensordot(times, cross_products(own, sizes), axes=1)


def _shared(engine: NestedFold) -> Array | Finest:
    """The base of an expansion with an axis for the replicates that share it."""
    base = engine.base
    if isinstance(base, Finest):
        return replace(base, squares=base.squares[None], rest=base.rest[None])
    return base[None]


def _intercept(
    engine: NestedFold, drawn: tuple[Array, Array, Array], contrast: Array, *, reml: bool, inference: str
) -> Contrasts:
    """One random intercept: vectors over the replicates."""
    times, n, gram = drawn
    W = engine.prepared.W
    sums = np.add.reduceat(W * W[:, :1], engine.heads, axis=0)
    columns = [sums[:, [k]] for k in range(1, W.shape[1])]
    data = compress(sums[:, 0], columns, gram.transpose(1, 2, 0), n, times.T)
    found = fit_batch(data, contrast, reml=reml, inference=inference)
    return Contrasts(
        estimate=found.estimate,
        se=found.se,
        df=found.df,
        boundary=found.boundary,
        failed=found.failed,
        unsettled=np.zeros(len(times), dtype=bool),
    )


def _copied(fit: LinearFit, counts: Array, clusters: Index, term: str, inference: str) -> pd.DataFrame:
    """One refit with the rows copied, for a replicate that needs a search of its own."""
    members = [np.flatnonzero(clusters == k) for k in range(len(counts))]
    rows, copy = [], []
    label = 0
    for k, count in enumerate(counts.astype(int)):
        for _ in range(count):
            rows.append(members[k])
            copy.append(np.full(len(members[k]), label))
            label += 1
    at, of_copy = np.concatenate(rows), np.concatenate(copy)
    groupings = []
    for grouping in fit.data.groupings:
        key = of_copy * grouping.n_groups + grouping.codes[at]
        used, codes = np.unique(key, return_inverse=True)
        labels = tuple(str(value) for value in used)
        groupings.append(replace(grouping, codes=codes.astype(np.intp), labels=labels, Z=grouping.Z[at]))
    weights = None if fit.data.weights is None else fit.data.weights[at]
    design = fit.data.design
    solution = solve(problem_of(design.y[at], design.X[at], groupings, reml=fit.method == "reml", weights=weights))
    found = np.array([summary_of(solution, fit.terms.index(term), inference)])
    return table_of(found[:, 0], found[:, 1], found[:, 2], found[:, 3] == 1.0, found[:, 3] == 2.0)

"""Search for the minimum of an approximated log-likelihood: where to start, and what to descend first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.descent import CHEAP, CORRELATIONS, LARGEST_SD, Optimum, Run
from wwc_eval.multilevel.generalised.laplace import Laplace

__all__ = ["search"]

WIDER = 2.5
"""Further start of the log dispersion: a dispersed outcome and random effects may each explain the same spread."""


def search(
    objective: Laplace,
    start: Array,
    *,
    blocks: Sequence[Sequence[int]],
    coarse: Laplace | None = None,
    sizes: Sequence[float] | None = None,
    held: frozenset[int] = frozenset(),
    curvature: bool = True,
) -> Optimum:
    """Find the minimum of an approximated log-likelihood.

    Parameters
    ----------
    objective : Laplace
        The function.
    start : (c,) array
        Coefficients and log dispersion to start from; variance parameters too where ``sizes`` is empty.
    blocks : sequence of sequence of int
        Columns of the root that are correlated with each other.
    coarse : Laplace, optional
        A cheaper function with nearly the same minimum, descended first.
    sizes : sequence of float, optional
        Standard deviations to start from.
    held : set of int
        Parameters that stay where they start.
    curvature : bool
        Whether the last digits and the Hessian are wanted, or the value alone (as for profiles).

    Returns
    -------
    Optimum
    """
    first = coarse or objective
    run = _explore(Run(first, blocks, held), start, sizes, gtol=1e-5 if coarse is None else 1e-2)
    if coarse is not None and np.isfinite(run.best):
        after = Run(objective, blocks, held)
        if np.abs(run.psi[: run.k]).max(initial=0.0) > LARGEST_SD / 4.0:
            # the cheaper function may have no minimum where this one has
            after = _explore(after, start, sizes, gtol=1e-5)
        else:
            after.transform = run.metric()
            after.descend(run.psi, gtol=1e-5)
            after.transform = None
            if np.isfinite(after.best):
                after.improve(gtol=1e-5)
        after.starts, after.descents = run.starts + after.starts, run.descents + after.descents
        run = after
    if np.isfinite(run.best) and not curvature:
        return replace(_failed(run, run.psi, ""), value=run.best)
    if not np.isfinite(run.best):
        return _failed(run, start, "the likelihood could not be evaluated where the search began")
    found = run.finish()
    return replace(found, evaluations=objective.evaluations + (0 if coarse is None else first.evaluations))


def _explore(run: Run, start: Array, sizes: Sequence[float] | None, *, gtol: float) -> Run:
    """Descents from the best starting points, and without each variance in turn; boundaries probed."""
    small = len(run.objective.X) * run.objective.size < CHEAP
    many = small and sizes is None
    if sizes is None:
        sizes = (0.2, 0.7, 2.0, 6.0) if small else (0.6,)
    correlated = small and any(len(block) > 1 for block in run.blocks)
    tilts = CORRELATIONS if correlated else (0.0,)
    begins = [start]
    if many and run.objective.outcome.dispersed:
        begins.append(start + np.eye(len(start))[-1] * WIDER)
    points = (
        [run.settle(each, size, tilt) for each in begins for tilt in tilts for size in sizes] if sizes else [start]
    )
    values = [run.objective.value(point) for point in points]
    run.starts = len(points)
    # correlated effects have more than one minimum more often than others
    order = [which for which in np.argsort(values, kind="stable") if np.isfinite(values[which])]
    for which in order[: 6 if correlated else 2 if small else 1]:
        run.descend(points[which], gtol=gtol)
    if many and order:
        for point in _without_each(run, points[order[0]]):
            run.starts += 1
            run.descend(point, gtol=gtol)
    if np.isfinite(run.best):
        run.improve(gtol=gtol)
    return run


def _without_each(run: Run, point: Array) -> list[Array]:
    """The point without each variance in turn, where there are several.

    A descent stays where a variance is zero, and a criterion with several minima has them there as a rule.
    """
    pivots = run.pivots()
    if len(pivots) < 2:
        return []
    rows = np.array(run.objective.roots.rows)
    found = []
    for k in pivots:
        moved = point.copy()
        moved[np.flatnonzero(rows == rows[k])] = 0.0
        if np.isfinite(run.objective.value(moved)):
            found.append(moved)
    return found


def _failed(run: Run, psi: Array, message: str) -> Optimum:
    size = len(psi)
    return Optimum(
        psi=psi,
        value=np.inf,
        gradient=np.full(size, np.nan),
        hessian=np.full((size, size), np.nan),
        free=np.ones(size, dtype=bool),
        slope=np.nan,
        smallest_curvature=np.nan,
        evaluations=run.objective.evaluations,
        starts=run.starts,
        descents=run.descents,
        polishing=0,
        message=message,
    )

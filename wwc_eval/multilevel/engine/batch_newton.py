"""Many linear models of any nested random part at once, by Newton's method on a stack of expansions.

The free covariance entries are quadratic in the roots, ``g_e = theta' K_e theta / 2``, so gradient and Hessian in the
roots follow from those in the entries. Every replicate takes its own damped steps; a replicate that does not settle,
or settles where a variance wants to leave zero, is reported for a search of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wwc_eval.multilevel.engine.covariance import Parameters
from wwc_eval.multilevel.engine.criterion import Slopes, slopes_of
from wwc_eval.multilevel.engine.expansion import Expansion, Level, expand
from wwc_eval.multilevel.engine.fold import Finest
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Stack", "StackFits", "descend", "fit_stack", "quadratic_maps"]

STEPS = 40
SETTLED = 1e-11
NEAR_ZERO = 1e-4
FARTHEST = 1e3
"""Relative standard deviation beyond which a replicate is left to a search of its own."""

NDBool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Cross-products of many models over the same groups.

    Parameters
    ----------
    base : (B, G, m, m) array or Finest
        Cross-products for each replicate and finest group.
    count : int
        Replicates.
    starts : tuple of integer arrays
        Where the groups of the next factor start among those of each factor.
    parameters : Parameters
        Layout of the roots.
    n : (B or 1,) array
        Rows.
    reml : bool
        REML criterion, else ML deviance.
    times : (B, G_top) array, optional
        How often each group of the top factor counts.
    """

    base: Array | Finest
    count: int
    starts: tuple[Index, ...]
    parameters: Parameters
    n: Array
    reml: bool
    times: Array | None = None

    def take(self, rows: Index) -> Stack:
        """Some of the replicates."""
        base = self.base
        if isinstance(base, Finest):
            base = replace(base, squares=_rows(base.squares, rows), rest=_rows(base.rest, rows))
        else:
            base = _rows(base, rows)
        times = None if self.times is None else self.times[rows]
        return replace(self, base=base, count=len(rows), n=_rows(self.n, rows), times=times)

    def expansion(self, gammas: Sequence[Array], rows: Index) -> Expansion:
        """Folded matrices with derivatives for a selection of replicates."""
        groupings = self.parameters.groupings
        begins = [*self.starts, None]
        levels = [
            Level(gamma, grouping.unit_matrices, begin)
            for gamma, grouping, begin in zip(gammas, groupings, begins, strict=True)
        ]
        chosen = self if len(rows) == self.count else self.take(rows)
        return expand(chosen.base, levels, chosen.times)

    def slopes(self, theta: Array, rows: Index) -> Slopes:
        """Criterion with derivatives in the free covariance entries."""
        n = self.n if len(self.n) == 1 else self.n[rows]
        return slopes_of(self.expansion(self.gammas(theta), rows), n, self.reml)

    def gammas(self, theta: Array) -> list[Array]:
        """Relative covariances (B, q, q) of each factor from roots (B, t)."""
        roots = [np.zeros((len(theta), grouping.width, grouping.width)) for grouping in self.parameters.groupings]
        for k, (level, i, j) in enumerate(self.parameters.places):
            roots[level][:, i, j] = theta[:, k]
        return [root @ root.swapaxes(1, 2) for root in roots]


@dataclass(frozen=True, kw_only=True, eq=False)
class StackFits:
    """Where each replicate settled.

    Parameters
    ----------
    theta : (B, t) array
        Roots.
    slopes : Slopes
        Criterion, estimates and derivatives there.
    settled : (B,) bool array
        Whether the minimum can be trusted; the others need a search of their own.
    """

    theta: Array
    slopes: Slopes
    settled: NDBool


def _rows(a: Array, rows: Index) -> Array:
    """A selection of replicates of an array that may be shared by all."""
    return a if len(a) == 1 else a[rows]


def quadratic_maps(parameters: Parameters) -> Array:
    """``K`` (e, t, t) with ``g_e = theta' K_e theta / 2``."""
    places = parameters.places
    offsets = np.cumsum([0, *(len(grouping.entries) for grouping in parameters.groupings)])
    found = np.zeros((offsets[-1], len(places), len(places)))
    for level, grouping in enumerate(parameters.groupings):
        for e, (i, k) in enumerate(grouping.entries):
            for a, (its_level, row_a, column_a) in enumerate(places):
                for b, (other_level, row_b, column_b) in enumerate(places):
                    same = its_level == other_level == level and column_a == column_b
                    if same and (row_a, row_b) == (i, k):
                        found[offsets[level] + e, a, b] += 1.0
                        found[offsets[level] + e, b, a] += 1.0
    return found


def fit_stack(stack: Stack, starts: Sequence[Array]) -> StackFits:
    """Minimise every replicate from each start and keep the lowest.

    Parameters
    ----------
    stack : Stack
        The models.
    starts : sequence of (t,) arrays
        Roots to start from.
    """
    replicates = stack.count
    best: tuple[Array, Array, NDBool] | None = None
    for start in starts:
        theta, value, settled = descend(stack, np.tile(start, (replicates, 1)))
        if best is None:
            best = theta, value, settled
            continue
        lower = settled & (~best[2] | (value < best[1] - 1e-9))
        best = (
            np.where(lower[:, None], theta, best[0]),
            np.where(lower, value, best[1]),
            best[2] | settled,
        )
    assert best is not None
    theta, _, settled = best
    theta = np.where(settled[:, None], theta, starts[0])
    pivot = stack.parameters.diagonal
    theta = np.where(pivot & (np.abs(theta) < NEAR_ZERO), 0.0, theta)
    slopes = stack.slopes(theta, np.arange(replicates))
    settled &= np.isfinite(slopes.value) & ~_wants_to_leave(stack, theta, slopes)
    return StackFits(theta=theta, slopes=slopes, settled=settled)


def _wants_to_leave(stack: Stack, theta: Array, slopes: Slopes) -> NDBool:
    """Replicates with a singular covariance that would lower the criterion by growing where it is zero."""
    found = np.zeros(len(theta), dtype=bool)
    place = 0
    for gamma, grouping in zip(stack.gammas(theta), stack.parameters.groupings, strict=True):
        slope = np.zeros_like(gamma)
        for i, j in grouping.entries:
            slope[:, i, j] = slope[:, j, i] = slopes.first[:, place] * (1.0 if i == j else 0.5)
            place += 1
        for block in grouping.blocks:
            at = np.ix_(range(len(theta)), block, block)
            values, vectors = np.linalg.eigh(gamma[at])
            null = np.where(values <= NEAR_ZERO**2, 1.0, 0.0)
            onto = (vectors * null[:, None, :]) @ vectors.swapaxes(1, 2)
            found |= np.linalg.eigvalsh(onto @ slope[at] @ onto)[:, 0] < -1e-6
    return found


def descend(stack: Stack, starts: Array, steps: int = STEPS) -> tuple[Array, Array, NDBool]:
    """Damped Newton steps of every replicate, each from a point of its own, until it settles.

    Parameters
    ----------
    stack : Stack
        The models.
    starts : (B, t) array
        Roots to start from.
    steps : int
        Most steps, those included that were too long.

    Returns
    -------
    (B, t) array, (B,) array, (B,) bool array
        Roots at the end, criterion there, and whether the steps settled.
    """
    maps, theta = quadratic_maps(stack.parameters), starts.copy()
    replicates = len(theta)
    value = np.full(replicates, np.inf)
    settled = np.zeros(replicates, dtype=bool)
    step = np.zeros_like(theta)
    active: Index = np.arange(replicates)
    for _ in range(steps):
        if not len(active):
            break
        tried = theta[active] + step[active]
        with np.errstate(all="ignore"):  # a replicate may run away; it is given up below
            slopes = stack.slopes(tried, active)
        lower = slopes.value <= value[active] + 1e-10 * np.abs(slopes.value)
        lower &= np.isfinite(slopes.value) & np.isfinite(slopes.second).all(axis=(1, 2))
        # a step that goes up is halved; one that goes down is taken and the next one computed
        step[active[~lower]] *= 0.25
        kept = active[lower]
        theta[kept] = tried[lower]
        value[kept] = slopes.value[lower]
        gradient, hessian = _in_roots(maps, theta[kept], slopes.first[lower], slopes.second[lower])
        move, decrement = _newton(gradient, hessian)
        longest = 0.5 * (1.0 + np.abs(theta[kept]).max(axis=1, initial=0.0))
        size = np.abs(move).max(axis=1, initial=0.0)
        move *= np.minimum(1.0, longest / np.maximum(size, 1e-300))[:, None]
        step[kept] = move
        done = decrement < SETTLED
        theta[kept[done]] += move[done]
        settled[kept[done]] = True
        stuck = (~lower) & (np.abs(step[active]).max(axis=1, initial=0.0) < 1e-9)
        finished = np.zeros(len(active), dtype=bool)
        finished[np.flatnonzero(lower)[done]] = True
        away = np.abs(theta[active]).max(axis=1, initial=0.0) > FARTHEST
        settled[active[away]] = False
        active = active[~(finished | stuck | away)]
    return theta, value, settled


def _in_roots(maps: Array, theta: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Gradient and Hessian in the roots from those in the covariance entries."""
    tangent = np.einsum("eab,nb->nae", maps, theta)
    gradient = np.einsum("nae,ne->na", tangent, first)
    hessian = tangent @ second @ tangent.swapaxes(1, 2) + np.einsum("eab,ne->nab", maps, first)
    return gradient, (hessian + hessian.swapaxes(1, 2)) / 2.0


def _newton(gradient: Array, hessian: Array) -> tuple[Array, Array]:
    """Downhill Newton steps and their decrements."""
    values, vectors = np.linalg.eigh(hessian)
    floor = 1e-8 * np.maximum(np.abs(values).max(axis=1, keepdims=True, initial=0.0), 1e-12)
    sizes = np.maximum(np.abs(values), floor)
    inner = np.einsum("nab,na->nb", vectors, gradient)
    step = -np.einsum("nab,nb->na", vectors, inner / sizes)
    return step, (inner**2 / sizes).sum(axis=1)

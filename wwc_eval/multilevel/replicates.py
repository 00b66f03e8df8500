"""Cross-products of many replicates of one nested model, in chunks, and their fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wwc_eval.inference.allocations import Allocations
from wwc_eval.multilevel.engine.batch import compress, fit_batch
from wwc_eval.multilevel.engine.batch_newton import Stack, StackFits, fit_stack, quadratic_maps
from wwc_eval.multilevel.engine.expansion import Expansion
from wwc_eval.multilevel.engine.fold import Finest, NestedFold
from wwc_eval.multilevel.engine.prepare import Prepared
from wwc_eval.multilevel.engine.solve import Problem
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.small_sample.kenward_roger import assemble

__all__ = ["Contrasts", "Replicates", "fit_replicates", "full_rank", "summarise"]

CHUNK_NUMBERS = 4_000_000
CHUNK = 2_000
STACK_NUMBERS = 1_500_000

NDBool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates:
    """What the replicates share and where they differ.

    Parameters
    ----------
    prepared : Prepared
        Rows of what stays: ``[Z .. | Q | e]``.
    problem : Problem
        The original model: layout of the random part, engine, REML or ML.
    gammas : sequence of arrays
        Its relative covariances, where searches start.
    Y : (R, n) array, optional
        Outcomes over the rows used, in the order of the data.
    offset : (n,) array
        Predictor that is taken from every outcome.
    allocation : Allocations, optional
        Values of the arm.
    levels : tuple
        Value that each arm column stands for; None where the values themselves are the column.
    contrast : (p,) array
        Contrast of the columns ``[Q | arms]``.
    inference : str
        ``wald``, ``satterthwaite`` or ``kenward_roger``.
    """

    prepared: Prepared
    problem: Problem
    gammas: Sequence[Array]
    Y: Array | None
    offset: Array
    allocation: Allocations | None
    levels: tuple[Any, ...]
    contrast: Array
    inference: str

    @property
    def count(self) -> int:
        """Number of replicates."""
        found = self.Y if self.Y is not None else self.allocation
        assert found is not None
        return len(found)

    def columns(self, part: slice) -> tuple[list[Array], Array | None]:
        """Arm columns (B, n) and outcomes (B, n) of some replicates, over the sorted rows."""
        order = self.prepared.order
        arms = []
        if self.allocation is not None:
            arms = [self._weighted(self.allocation.column(level, part, order)) for level in self.levels]
        if self.Y is None:
            return arms, None
        shifted = (self.Y[part] - self.offset)[:, order]
        return arms, self._weighted(shifted / self.prepared.y_scale)

    def _weighted(self, values: Array) -> Array:
        weights = self.prepared.weights
        return values if weights is None else values * np.sqrt(weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrasts:
    """One contrast of every replicate, in the engine's units.

    Parameters
    ----------
    estimate, se, df : (R,) arrays
        The contrast, its error and degrees of freedom.
    boundary, failed, unsettled : (R,) bool arrays
        A variance is zero; there is no fit; a search of its own is needed.
    """

    estimate: Array
    se: Array
    df: Array
    boundary: NDBool
    failed: NDBool
    unsettled: NDBool

    @classmethod
    def joined(cls, parts: Sequence[Contrasts]) -> Contrasts:
        """Parts one after the other."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})

    @classmethod
    def spread(cls, some: Contrasts | None, usable: NDBool) -> Contrasts:
        """Contrasts of the replicates that have a fit, with those that have none between them."""
        numbers = {name: np.full(len(usable), np.nan) for name in ("estimate", "se", "df")}
        flags = {name: np.zeros(len(usable), dtype=bool) for name in ("boundary", "unsettled")}
        if some is not None:
            for name, values in (*numbers.items(), *flags.items()):
                values[usable] = getattr(some, name)
        return cls(**numbers, **flags, failed=~usable)


FIELDS = ("estimate", "se", "df", "boundary", "failed", "unsettled")


def full_rank(gram: Array) -> NDBool:
    """Whether the columns behind each of a stack of cross-products (B, p, p) are independent."""
    size = np.sqrt(np.maximum(np.einsum("bii->bi", gram), 0.0))
    safe = np.where(size > 0, size, 1.0)
    values = np.linalg.eigvalsh(gram / safe[:, :, None] / safe[:, None, :])
    return np.asarray((size > 0).all(axis=1) & (values[:, :1] > 1e-10).all(axis=1))


def fit_replicates(replicates: Replicates) -> Contrasts:
    """Fit every replicate of a nested model."""
    groupings = replicates.problem.prepared.groupings
    plain = len(groupings) == 1 and groupings[0].width == 1
    parts = list(_one_intercept(replicates) if plain else _any_nested(replicates))
    return Contrasts.joined(parts)


def _heads(replicates: Replicates) -> tuple[Index, Index]:
    """Where the finest groups start among the sorted rows, and their sizes."""
    prepared = replicates.prepared
    codes = prepared.groupings[0].codes[prepared.order]
    heads = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    return heads, np.diff(np.r_[heads, len(codes)])


def _one_intercept(replicates: Replicates) -> Iterator[Contrasts]:
    """One random intercept: vectors over the replicates."""
    prepared, reml = replicates.prepared, replicates.problem.reml
    heads, _ = _heads(replicates)
    z, Q, e = prepared.W[:, 0], prepared.W[:, 1:-1], prepared.W[:, -1]
    zz = np.add.reduceat(z * z, heads)
    base_sums = np.add.reduceat(Q * z[:, None], heads, axis=0)
    gram = Q.T @ Q
    step = max(1, min(CHUNK, CHUNK_NUMBERS // prepared.n))
    for start in range(0, replicates.count, step):
        arms, Y = replicates.columns(slice(start, start + step))
        moving = [*arms, e[None] if Y is None else Y]
        p, r = Q.shape[1], Q.shape[1] + len(moving)
        size = len(arms[0]) if arms else len(moving[-1])
        total = np.empty((r, r, size))
        total[:p, :p] = gram[:, :, None]
        sums = [base_sums[:, [k]] for k in range(p)]
        for k, own in enumerate(moving):
            sums.append(np.add.reduceat(own * z, heads, axis=1).T)
            total[p + k, :p] = total[:p, p + k] = (own @ Q).T
            for other in range(k + 1):
                product = np.einsum("bn,bn->b", *np.broadcast_arrays(own, moving[other]))
                total[p + k, p + other] = total[p + other, p + k] = product
        data = compress(zz, sums, total, np.array([float(prepared.n)]))
        found = fit_batch(data, replicates.contrast, reml=reml, inference=replicates.inference)
        yield Contrasts(
            estimate=found.estimate,
            se=found.se,
            df=found.df,
            boundary=found.boundary,
            failed=found.failed,
            unsettled=np.zeros(size, dtype=bool),
        )


def _any_nested(replicates: Replicates) -> Iterator[Contrasts]:
    """Any nested random part: stacks of expansions."""
    prepared, problem = replicates.prepared, replicates.problem
    engine = problem.engine
    assert isinstance(engine, NestedFold)
    m = prepared.W.shape[1] + len(replicates.levels)
    numbers = len(engine.heads) * m * m
    step = max(1, min(STACK_NUMBERS // numbers, CHUNK_NUMBERS // prepared.n, CHUNK))
    for start in range(0, replicates.count, step):
        arms, Y = replicates.columns(slice(start, start + step))
        moving = [*arms, prepared.W[:, -1][None] if Y is None else Y]
        size = len(arms[0]) if arms else len(moving[-1])
        fixed = prepared.W[:, :-1]
        if engine.finest is None:
            base: Array | Finest = _blocks(fixed, moving, engine.heads, size)
        else:
            base = _finest(engine, engine.finest, fixed, moving, size)
        stack = Stack(
            base=base,
            count=size,
            starts=engine.starts,
            parameters=problem.parameters,
            n=np.array([float(prepared.n)]),
            reml=problem.reml,
        )
        usable = full_rank(_gram(prepared.W[:, sum(prepared.widths) : -1], arms, size))
        if usable.all():
            yield summarise(stack, replicates.gammas, replicates.contrast, replicates.inference)
            continue
        some = None
        if usable.any():
            some = summarise(
                stack.take(np.flatnonzero(usable)), replicates.gammas, replicates.contrast, replicates.inference
            )
        yield Contrasts.spread(some, usable)


def _gram(Q: Array, arms: Sequence[Array], size: int) -> Array:
    """Cross-products (B, p, p) of the fixed effects and the arms of each replicate."""
    p = Q.shape[1]
    found = np.empty((size, p + len(arms), p + len(arms)))
    found[:, :p, :p] = Q.T @ Q
    for k, own in enumerate(arms):
        found[:, p + k, :p] = found[:, :p, p + k] = own @ Q
        for other in range(k + 1):
            product = np.einsum("bn,bn->b", own, arms[other])
            found[:, p + k, p + other] = found[:, p + other, p + k] = product
    return found


def _blocks(fixed: Array, moving: Sequence[Array], heads: Index, size: int) -> Array:
    """Cross-products (B, G, m, m) of shared columns (n, w) and moving ones (B, n) in each group of rows."""
    width = fixed.shape[1]
    m = width + len(moving)
    found = np.empty((size, len(heads), m, m))
    for i in range(width):
        block = np.add.reduceat(fixed[:, [i]] * fixed[:, : i + 1], heads, axis=0)
        found[:, :, i, : i + 1] = found[:, :, : i + 1, i] = block
    for k, own in enumerate(moving):
        for j in range(width):
            block = np.add.reduceat(own * fixed[:, j], heads, axis=1)
            found[:, :, width + k, j] = found[:, :, j, width + k] = block
        for other in range(k + 1):
            block = np.add.reduceat(own * moving[other], heads, axis=1)
            found[:, :, width + k, width + other] = found[:, :, width + other, width + k] = block
    return found


def _finest(engine: NestedFold, finest: Finest, fixed: Array, moving: Sequence[Array], size: int) -> Finest:
    """The finest factor of many replicates, brought together as that of the original."""
    z, others = fixed[:, 0], fixed[:, 1:]
    shared = np.add.reduceat(others * z[:, None], engine.heads, axis=0)
    width = shared.shape[1]
    a = np.empty((size, len(engine.heads), width + len(moving)))
    a[:, :, :width] = shared
    for k, own in enumerate(moving):
        a[:, :, width + k] = np.add.reduceat(own * z, engine.heads, axis=1)
    a = a[:, finest.members]
    squares = np.add.reduceat(a[..., :, None] * a[..., None, :], finest.classes, axis=1)
    edges = engine.heads[engine.starts[0]]
    return replace(finest, squares=squares, rest=_blocks(others, moving, edges, size))


def summarise(stack: Stack, gammas: Sequence[Array], contrast: Array, inference: str) -> Contrasts:
    """Fit a stack and give one contrast of every replicate."""
    begin = stack.parameters.theta(gammas)
    begin = np.where(stack.parameters.diagonal, np.maximum(begin, 0.15), begin)
    found = fit_stack(stack, [begin, stack.parameters.start(0.5)])
    slopes = found.slopes
    n = np.asarray(stack.n, dtype=float)
    p = slopes.beta.shape[-1]
    df_residual = n - p if stack.reml else n
    estimate = slopes.beta @ contrast
    if inference == "kenward_roger":
        variance, df = _kenward_roger(stack, found, contrast)
    else:
        variance = slopes.sigma2 * np.einsum("i,nij,j->n", contrast, slopes.inverse, contrast)
        df = np.full(len(variance), np.inf)
        if inference == "satterthwaite":
            df = _satterthwaite(stack, found, contrast, variance, df_residual)
    pivots = stack.parameters.diagonal
    return Contrasts(
        estimate=estimate,
        se=np.sqrt(variance),
        df=df,
        boundary=(found.theta[:, pivots] == 0.0).any(axis=1),
        failed=np.zeros(len(estimate), dtype=bool),
        unsettled=~found.settled,
    )


def _satterthwaite(stack: Stack, found: StackFits, contrast: Array, variance: Array, df_residual: Array) -> Array:
    slopes = found.slopes
    maps = quadratic_maps(stack.parameters)
    tangent = np.einsum("eab,nb->nae", maps, found.theta)
    hessian = tangent @ slopes.second @ tangent.swapaxes(1, 2)
    hessian = hessian + np.einsum("eab,ne->nab", maps, slopes.first)
    moved = slopes.sigma2[:, None] * np.einsum("i,neij,j->ne", contrast, slopes.inverse_1, contrast)
    moved = moved + slopes.sigma2_1 * (variance / slopes.sigma2)[:, None]
    along = np.einsum("nae,ne->na", tangent, moved)
    hessian = np.where(
        np.isfinite(variance)[:, None, None], hessian, 0.0
    )  # unsettled, and searched for on its own
    values, vectors = np.linalg.eigh((hessian + hessian.swapaxes(1, 2)) / 2.0)
    inner = np.einsum("nab,na->nb", vectors, along)
    kept = values > 1e-10 * np.maximum(values.max(axis=1, keepdims=True), 1e-300)
    own = np.where(kept, 2.0 * inner**2 / np.where(kept, values, 1.0), 0.0).sum(axis=1)
    return np.asarray(2.0 * variance**2 / (own + 2.0 * variance**2 / df_residual))


def _kenward_roger(stack: Stack, found: StackFits, contrast: Array) -> tuple[Array, Array]:
    slopes = found.slopes
    count = len(slopes.value)
    gammas = stack.gammas(found.theta)
    expansion = stack.expansion(gammas, np.arange(count))
    entries = np.concatenate(
        [
            np.stack([gamma[:, i, j] for i, j in grouping.entries], axis=1)
            for gamma, grouping in zip(gammas, stack.parameters.groupings, strict=True)
        ],
        axis=1,
    )
    n = np.broadcast_to(stack.n, count)
    p = len(contrast)
    variance, df = np.full(count, np.nan), np.full(count, np.nan)
    for k in np.flatnonzero(found.settled):
        one = assemble(
            _one(expansion, int(k)),
            entries[k],
            n=float(n[k]),
            sigma2=float(slopes.sigma2[k]),
            inverse=slopes.inverse[k],
            way_back=(np.eye(p), 1.0),
        )
        variance[k] = contrast @ one.adjusted @ contrast
        df[k] = one.df(contrast[None])[0]
    return variance, df


def _one(expansion: Expansion, k: int) -> Expansion:
    """One replicate of a stacked expansion."""
    return Expansion(
        A=expansion.A[k],
        log_det=expansion.log_det[k],
        A_1=[a[k] for a in expansion.A_1],
        log_det_1=[a[k] for a in expansion.log_det_1],
        A_2={key: a[k] for key, a in expansion.A_2.items()},
        log_det_2={key: a[k] for key, a in expansion.log_det_2.items()},
    )

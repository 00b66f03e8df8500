"""Allocations that a stepped wedge permits, and how small a randomisation p-value can be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.power.kernels import Array

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["exchangeable", "n_permitted", "permitted", "permitted_orders", "smallest_p", "within_residual"]

ENUMERATED = 50_000
"""Allocations up to which they are listed one by one."""
KEPT = 32
_LEAST: dict[tuple[object, ...], float] = {}
"""Smallest p-values of the designs asked for last."""


def _strata(design: SteppedWedge) -> list[list[int]]:
    """Clusters of each stratum."""
    if design.strata is None:
        return [list(range(design.clusters))]
    found: dict[object, list[int]] = {}
    for k, label in enumerate(design.strata):
        found.setdefault(label, []).append(k)
    return list(found.values())


def _key(row: Array) -> tuple[float, ...]:
    """Row of treatment in a form that compares, absent cells too."""
    return tuple(np.where(np.isfinite(row), row, -1.0).tolist())


def n_permitted(design: SteppedWedge) -> int:
    """Distinct ways to give the sequences of each stratum to its clusters: the product of multinomials."""
    count = 1
    for members in _strata(design):
        counts: dict[tuple[float, ...], int] = {}
        for k in members:
            key = _key(design.treatment[k])
            counts[key] = counts.get(key, 0) + 1
        count *= math.factorial(len(members)) // math.prod(math.factorial(c) for c in counts.values())
    return count


def permitted(design: SteppedWedge, *, most: int = ENUMERATED, rng: np.random.Generator | None = None) -> Array:
    """Treatment (A, K, P) under every permitted allocation, the design's own first; see :func:`permitted_orders`."""
    return np.asarray(design.treatment[permitted_orders(design, most=most, rng=rng)])


def permitted_orders(
    design: SteppedWedge, *, most: int = ENUMERATED, rng: np.random.Generator | None = None
) -> NDArray[np.intp]:
    """Row of the design's treatment that each cluster has (A, K) under every permitted allocation, its own first.

    Above ``most`` allocations that many are drawn at random with ``rng``, the design's own among them.
    """
    clusters = np.arange(design.clusters)
    if n_permitted(design) > most:
        if rng is None:
            raise DesignError(
                f"more than {most:,} allocations are permitted", fix="give rng, to draw some of them"
            )
        drawn = [clusters]
        for _ in range(most - 1):
            order = clusters.copy()
            for members in _strata(design):
                order[members] = rng.permutation(members)
            drawn.append(order)
        return np.array(drawn)
    orders = [list(_distinct(design, members)) for members in _strata(design)]
    found = []
    for combination in itertools.product(*orders):
        order = clusters.copy()
        for members, chosen in zip(_strata(design), combination, strict=True):
            order[members] = chosen
        found.append(order)
    return np.array(found)


def exchangeable(design: SteppedWedge) -> bool:
    """Whether clusters of a stratum differ in nothing but their sequence, so that any allocation is like the design's."""
    sizes = np.broadcast_to(design.cell_size, design.treatment.shape)
    return all((sizes[members] == sizes[members[0]]).all() for members in _strata(design))


def _distinct(design: SteppedWedge, members: list[int]) -> Iterator[list[int]]:
    """Orders of a stratum's rows that differ in treatment, the present one first."""
    keys = [_key(design.treatment[k]) for k in members]
    names = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    word = [names[key] for key in keys]
    rows: dict[int, list[int]] = {}
    for k, letter in zip(members, word, strict=True):
        rows.setdefault(letter, []).append(k)
    for arranged in itertools.chain([tuple(word)], (w for w in _arrangements(word) if w != tuple(word))):
        supply = {letter: iter(items) for letter, items in rows.items()}
        yield [next(supply[letter]) for letter in arranged]


def _arrangements(word: list[int]) -> Iterator[tuple[int, ...]]:
    """Distinct arrangements of a multiset."""
    if not word:
        yield ()
        return
    for letter in sorted(set(word)):
        rest = word.copy()
        rest.remove(letter)
        for tail in _arrangements(rest):
            yield (letter, *tail)


def within_residual(treatment: Array, weights: Array, *, periods: bool = True) -> Array:
    """Treatment (A, K, P) less its fit on cluster and period effects, weighted; (A, K*P) rows, 0 where no cell is.

    Formula: the coefficient of treatment in a regression with those effects is ``h'y / h't`` over the cells, with
    ``h = weights * residual``.
    """
    there = np.isfinite(treatment[0])
    clusters, width = there.shape
    dummies = [np.repeat(np.eye(clusters), width, axis=0)]
    if periods:
        dummies.append(np.tile(np.eye(width), (clusters, 1)))
    D = np.hstack(dummies) * there.reshape(-1, 1)
    root = np.sqrt(np.where(there, weights, 0.0)).reshape(-1, 1)
    flat = np.nan_to_num(treatment).reshape(len(treatment), -1) * there.ravel()
    basis = np.linalg.svd(D * root, full_matrices=False)
    kept = basis.U[:, np.flatnonzero(basis.S / basis.S[0] > 1e-10)]
    scaled = flat * root.ravel()
    return np.asarray((scaled - (scaled @ kept) @ kept.T) * root.ravel())


def smallest_p(design: SteppedWedge) -> float:
    """Smallest two-sided p-value that a randomisation test of the adjusted effect can give.

    An allocation and its mirror image have estimates of one size, so a design with mirror images cannot go below
    ``2 / n``; without them the limit is ``1 / n``.
    """
    # warnings ask for it whenever power is computed, and changes of effect, ICC or outcome leave it as it is
    strata = None if design.strata is None else tuple(map(repr, design.strata))
    key = (design.treatment.shape, design.treatment.tobytes(), design.sizes.tobytes(), strata)
    if key not in _LEAST:
        if len(_LEAST) >= KEPT:
            _LEAST.pop(next(iter(_LEAST)), None)
        _LEAST[key] = _least(design)
    return _LEAST[key]


def _least(design: SteppedWedge) -> float:
    """Least p-value, by listing the allocations where they are not too many."""
    count = n_permitted(design)
    if count == 1 or np.isnan(design.treatment).any():
        return 1.0 / count
    if count > ENUMERATED:
        mirrored = np.array_equal(_sorted_rows(1.0 - design.treatment), _sorted_rows(design.treatment))
        return (2.0 if mirrored else 1.0) / count
    h = within_residual(permitted(design), design.sizes)
    seen: dict[tuple[float, ...], int] = {}
    size = np.abs(h).max() or 1.0
    for row in np.round(h / size, 9) + 0.0:
        lead = row[np.flatnonzero(row)[0]] if row.any() else 0.0
        key = tuple((row if lead >= 0 else -row + 0.0).tolist())
        seen[key] = seen.get(key, 0) + 1
    return min(seen.values()) / count


def _sorted_rows(treatment: Array) -> Array:
    return np.array(sorted(_key(row) for row in treatment))

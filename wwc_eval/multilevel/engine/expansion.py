"""First and second derivatives of the folded matrix and log determinant in the covariances.

The fold is a smooth function of the free entries ``g`` of the relative covariances. This module carries the value
and the first and second derivatives of every group's matrix up the hierarchy, for one model or for a stack of
them. They give the exact Hessian of the criterion, Satterthwaite's and Kenward and Roger's degrees of freedom
and the batched refits, all without the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.fold import Finest, dot, eliminator, transpose
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Expansion", "Level", "expand"]


@dataclass(frozen=True, slots=True)
class Level:
    """One grouping factor in an expansion: relative covariance (.., q, q), its unit matrices (k, q, q), and where
    the groups of the next factor start among its own (nothing at the top)."""  # noqa: D205, D209

    gamma: Array
    units: Array
    starts: Index | None


@dataclass(slots=True)
class Expansion:
    """Value and derivatives by the covariance entries, entries of the finest factor first.

    Attributes
    ----------
    A : (.., r, r) array
        Folded matrix.
    log_det : (..) array
        Log determinant of ``I + Gamma Z'Z``.
    A_1, log_det_1 : lists
        First derivatives by each entry.
    A_2, log_det_2 : dictionaries
        Second derivatives by pairs (a, b), a <= b.
    """

    A: Array
    log_det: Array
    A_1: list[Array]
    log_det_1: list[Array]
    A_2: dict[tuple[int, int], Array]
    log_det_2: dict[tuple[int, int], Array]


@dataclass(frozen=True, slots=True)
class _Group:
    """What one elimination shares between its derivatives."""

    width: int
    zr: Array
    shrink: Array
    gain: Array
    down: Array  # -N zr
    kept: Array  # H = F' zr
    spread: Array  # K = zz F
    starts: Index | None
    times: Array | None

    def total(self, a: Array) -> Array:
        """Sum of matrices over the groups of each parent."""
        if self.starts is not None:
            return np.asarray(np.add.reduceat(a, self.starts, axis=-3))
        return np.asarray((a if self.times is None else a * self.times[..., None, None]).sum(-3))

    def total_number(self, a: Array) -> Array:
        """Sum of numbers over the groups of each parent."""
        if self.starts is not None:
            return np.asarray(np.add.reduceat(a, self.starts, axis=-1))
        return np.asarray((a if self.times is None else a * self.times).sum(-1))

    def pair(self, left: Array, right: Array) -> Array:
        """Sum of ``left' right`` over the groups of each parent."""
        if self.starts is not None:
            return np.add.reduceat(dot(transpose(left), right), self.starts, axis=-3)
        if self.times is not None:
            left = left * self.times[..., None, None]
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        wide = np.broadcast_to(left, (*lead, *left.shape[-2:])).reshape(*lead[:-1], -1, left.shape[-1])
        tall = np.broadcast_to(right, (*lead, *right.shape[-2:])).reshape(*lead[:-1], -1, right.shape[-1])
        return np.asarray(transpose(wide) @ tall)


def expand(base: Array | Finest, levels: Sequence[Level], times: Array | None = None) -> Expansion:
    """Fold with derivatives.

    Parameters
    ----------
    base : (.., G, m, m) array or Finest
        Cross-products of the finest groups; leading axes are replicates.
    levels : sequence of Level
        Finest first.
    times : (.., G_top) array, optional
        How often each group of the top factor counts (cluster bootstrap).

    Formula: with ``W = [-N zr; I]``, ``H = F' zr``, ``K = zz F`` and, for a derivative a of what lies below,
    ``U_a = (A_a W)_z``::

        S_a  = W' A_a W                       (a below)      S_a  = -H' E_a H             (a of this factor)
        S_ab = W' A_ab W - U_a' N U_b - ...   (both below)   S_ab = -(F E_b H)' U_a - ... (b of this factor)
        S_ab = H' (E_a K E_b + E_b K E_a) H   (both of this factor)
    """
    rest = list(levels)
    if isinstance(base, Finest):
        state = _eliminate_finest(base, levels[0].gamma[..., 0, 0])
        if levels[0].starts is None:
            return _summed(state)
        rest = rest[1:]
    else:
        state = Expansion(base, np.zeros(base.shape[:-2]), [], [], {}, {})
    for level in rest:
        top = level.starts is None
        state = _eliminate(state, level, times if top else None)
    return state


def _eliminate_finest(finest: Finest, gamma: Array) -> Expansion:
    """The finest factor with one varying column, by classes."""
    grown = np.asarray(gamma)[..., None] * finest.zz
    shrink = 1.0 / (1.0 + grown)
    spread = finest.zz * shrink
    return Expansion(
        A=finest.rest - finest.total(gamma[..., None] * shrink),
        log_det=finest.total_number(finest.counts * np.log1p(grown)),
        A_1=[-finest.total(shrink**2)],
        log_det_1=[finest.total_number(finest.counts * spread)],
        A_2={(0, 0): finest.total(2.0 * spread * shrink**2)},
        log_det_2={(0, 0): -finest.total_number(finest.counts * spread**2)},
    )


def _summed(state: Expansion) -> Expansion:
    """Without the axis of parents, of which there is one."""
    return Expansion(
        A=state.A[..., 0, :, :],
        log_det=state.log_det[..., 0],
        A_1=[a[..., 0, :, :] for a in state.A_1],
        log_det_1=[a[..., 0] for a in state.log_det_1],
        A_2={key: a[..., 0, :, :] for key, a in state.A_2.items()},
        log_det_2={key: a[..., 0] for key, a in state.log_det_2.items()},
    )


def _eliminate(below: Expansion, level: Level, times: Array | None) -> Expansion:
    width = level.gamma.shape[-1]
    zz, zr = below.A[..., :width, :width], below.A[..., :width, width:]
    shrink, gain, grown = eliminator(zz, level.gamma[..., None, :, :])
    group = _Group(
        width=width,
        zr=zr,
        shrink=shrink,
        gain=gain,
        down=-dot(gain, zr),
        kept=dot(transpose(shrink), zr),
        spread=dot(zz, shrink),
        starts=level.starts,
        times=times,
    )
    number = len(below.A_1)
    reached = [_reached(group, A_a) for A_a in below.A_1]
    varied = [dot(unit, group.kept) for unit in level.units]
    up = Expansion(
        A=group.total(below.A[..., width:, width:]) + group.pair(zr, group.down),
        log_det=group.total_number(below.log_det + grown),
        A_1=[_congruent(group, A_a, U_a) for A_a, U_a in zip(below.A_1, reached, strict=True)],
        log_det_1=[
            group.total_number(log_a + _trace(gain, A_a[..., :width, :width]))
            for log_a, A_a in zip(below.log_det_1, below.A_1, strict=True)
        ],
        A_2={},
        log_det_2={},
    )
    up.A_1 += [-group.pair(group.kept, varied_a) for varied_a in varied]
    up.log_det_1 += [group.total_number(_trace(group.spread, unit)) for unit in level.units]
    _second_below(group, below, reached, up)
    for b, (unit, varied_b) in enumerate(zip(level.units, varied, strict=True)):
        turned = dot(shrink, varied_b)  # F E_b H
        back = dot(dot(shrink, unit), transpose(shrink))  # F E_b F'
        for a, U_a in enumerate(reached):
            mixed = group.pair(turned, U_a)
            up.A_2[a, number + b] = -(mixed + transpose(mixed))
            trace = _trace(back, below.A_1[a][..., :width, :width])
            up.log_det_2[a, number + b] = group.total_number(trace)
        spread_b = dot(group.spread, unit)
        for a in range(b + 1):
            mixed = group.pair(varied[a], dot(group.spread, varied_b))
            up.A_2[number + a, number + b] = mixed + transpose(mixed)
            trace = _trace(dot(group.spread, level.units[a]), spread_b)
            up.log_det_2[number + a, number + b] = -group.total_number(trace)
    return up


def _second_below(group: _Group, below: Expansion, reached: Sequence[Array], up: Expansion) -> None:
    """Second derivatives by two entries of finer factors."""
    width = group.width
    for (a, b), A_ab in below.A_2.items():
        mixed = group.pair(reached[a], dot(group.gain, reached[b]))
        up.A_2[a, b] = _congruent(group, A_ab, _reached(group, A_ab)) - mixed - transpose(mixed)
        first = dot(group.gain, below.A_1[b][..., :width, :width])
        second = dot(group.gain, below.A_1[a][..., :width, :width])
        trace = _trace(group.gain, A_ab[..., :width, :width]) - _trace(first, second)
        up.log_det_2[a, b] = group.total_number(below.log_det_2[a, b] + trace)


def _reached(group: _Group, A_a: Array) -> Array:
    width = group.width
    return dot(A_a[..., :width, :width], group.down) + A_a[..., :width, width:]


def _congruent(group: _Group, A_a: Array, U_a: Array) -> Array:
    """Sum over groups of ``W' A_a W``."""
    width = group.width
    rest = group.total(A_a[..., width:, width:])
    return rest + group.pair(group.down, U_a) + group.pair(A_a[..., :width, width:], group.down)


def _trace(a: Array, b: Array) -> Array:
    """Trace of ``a b`` over the last two axes."""
    return np.asarray((a * transpose(b)).sum((-2, -1)))

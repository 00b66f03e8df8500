"""Conditional modes of the random effects and their covariance, from the top of the hierarchy down.

Given the coefficients above it (of coarser factors and of X), a group's random effects have mean
``N (zy - z[rest] rest)`` and covariance ``N`` (times the residual variance). With the fixed effects held at their
estimates this gives lme4's conditional modes and variances; with their covariance carried along it gives the
prediction error of Henderson's mixed model equations.

Source: Henderson (1975), doi:10.2307/2529430; Robinson (1991), doi:10.1214/ss/1177011926.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.crossed import CrossedEngine
from wwc_eval.multilevel.engine.fold import NestedFold, eliminator, transpose
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Modes", "crossed_modes", "nested_modes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """Random effects of one factor, in the engine's units, by group code.

    Parameters
    ----------
    mean : (G, q) array
        Conditional modes.
    conditional : (G, q, q) array
        Covariance given the fixed effects, relative to the residual variance.
    prediction : (G, q, q) array
        Covariance of the prediction error, which knows that the fixed effects are estimated.
    """

    mean: Array
    conditional: Array
    prediction: Array


def nested_modes(engine: NestedFold, factors: Sequence[Array], beta: Array, inverse: Array) -> list[Modes]:
    """Modes of nested factors, finest first.

    Parameters
    ----------
    engine : NestedFold
        The folded model.
    factors : sequence of (q, q) arrays
        Roots of the relative covariances.
    beta, inverse : arrays
        Coefficients of X, and the inverse of ``X' V^-1 X``.
    """
    tape = engine.steps(factors)
    p = len(beta)
    top = len(engine.widths) - 1
    # what lies above a group: coefficients, and two covariances of their errors (X held, X estimated)
    above = beta[None]
    held, estimated = np.zeros((1, p, p)), inverse[None]
    found: list[Modes] = []
    for level in range(top, -1, -1):
        step, width = tape[level], engine.widths[level]
        if level < top:
            counts = np.diff(np.r_[engine.starts[level], len(step.zz)])
            above, held, estimated = (np.repeat(a, counts, axis=0) for a in (above, held, estimated))
        else:
            size = len(step.zz)
            above, held, estimated = (np.repeat(a, size, axis=0) for a in (above, held, estimated))
        pull = step.reach[:, :, :-1]
        mean = step.reach[:, :, -1] - (pull @ above[..., None])[..., 0]
        held, conditional = _joined(step.gain, pull, held)
        estimated, prediction = _joined(step.gain, pull, estimated)
        above = np.concatenate([mean, above], axis=1)
        by_code = np.empty(len(mean), dtype=np.intp)
        by_code[engine.order[level]] = np.arange(len(mean))
        found.append(Modes(mean=mean[by_code], conditional=conditional[by_code], prediction=prediction[by_code]))
        assert conditional.shape[-1] == width
    return found[::-1]


def _joined(gain: Array, pull: Array, above: Array) -> tuple[Array, Array]:
    """Joint covariance of a group's effects with what lies above them, and the effects' own."""
    cross = -(pull @ above)
    own = gain - cross @ transpose(pull)
    top = np.concatenate([own, cross], axis=2)
    bottom = np.concatenate([transpose(cross), above], axis=2)
    return np.concatenate([top, bottom], axis=1), own


def crossed_modes(engine: CrossedEngine, factors: Sequence[Array], beta: Array, inverse: Array) -> list[Modes]:
    """Modes of crossed factors, in the engine's order."""
    dense = engine.dense(factors)
    p = len(beta)
    reach = dense.gain @ dense.right
    mean_2 = reach[:, p] - reach[:, :p] @ beta
    pull = reach[:, :p]
    held = dense.gain
    estimated = dense.gain + pull @ inverse @ pull.T
    found = []
    for span, grouping in zip(engine.spans, engine.groupings[1:], strict=True):
        found.append(
            Modes(
                mean=mean_2[span].reshape(grouping.n_groups, -1),
                conditional=_blocks(held, span, grouping.width),
                prediction=_blocks(estimated, span, grouping.width),
            )
        )
    _, gain, _ = eliminator(engine.first_zz, factors[0] @ factors[0].T)
    right = engine.first_right
    direction = np.r_[-beta, 1.0]
    local = right @ direction - engine.pairs.along(mean_2[:, None])[..., 0]
    mean_1 = (gain @ local[..., None])[..., 0]
    spread = engine.pairs.quadratic(held)
    conditional = gain + gain @ spread @ gain
    with_x = engine.pairs.quadratic(estimated)
    mixed = engine.pairs.along(-pull @ inverse) @ transpose(right[..., :p])
    own = right[..., :p] @ inverse @ transpose(right[..., :p])
    prediction = gain + gain @ (with_x + mixed + transpose(mixed) + own) @ gain
    return [Modes(mean=mean_1, conditional=conditional, prediction=prediction), *found]


def _blocks(a: Array, span: slice, width: int) -> Array:
    """Diagonal blocks of one factor's part of a dense matrix."""
    part = a[span, span]
    groups = len(part) // width
    at: Index = np.arange(groups)
    return np.asarray(part.reshape(groups, width, groups, width)[at, :, at, :])

"""Where a fit starts: the model without random effects, and whether covariates separate the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.glm import Solution as GlmSolution
from wwc_eval.inference.glm import at_edge
from wwc_eval.inference.glm import solve as solve_glm
from wwc_eval.inference.separation import Separation, find_separation
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.generalised.outcomes import Binomial, Poisson
from wwc_eval.multilevel.generalised.prepare import Prepared, poisson_of

__all__ = ["Start", "separation_of", "spanning", "start_of"]

INDEPENDENT = 1e-9
START_STEPS = 40
START_DECREMENT = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Coefficients without random effects; whether separation must be excluded."""

    gamma: Array
    suspicious: bool


def start_of(prepared: Prepared) -> Start:
    """Newton's method for the model without random effects."""
    outcome, X = prepared.outcome, prepared.X
    counts = outcome if isinstance(outcome, (Binomial, Poisson)) else poisson_of(outcome)
    rate = float(counts.y.sum()) / float((counts.m if isinstance(counts, Binomial) else counts.e).sum())
    level = np.log(rate / (1.0 - rate)) if isinstance(counts, Binomial) else np.log(rate)
    gamma = np.linalg.lstsq(X.T @ X, X.T @ np.full(len(X), level), rcond=None)[0]
    eta = X @ gamma
    value, converged = float(counts.density(eta, 0.0).sum()), False
    for _ in range(START_STEPS):
        r, W = counts.slopes(eta, 0.0)
        pull = X.T @ r
        step = np.linalg.lstsq((X * W[:, None]).T @ X, pull, rcond=None)[0]
        decrement = float(pull @ step)
        for _ in range(START_STEPS):
            there = X @ (gamma + step)
            moved = float(counts.density(there, 0.0).sum())
            if moved >= value - 1e-9 * max(1.0, abs(value)):
                break
            step = step / 2.0
        gamma, eta, value = gamma + step, there, moved
        if not np.isfinite(decrement) or decrement < START_DECREMENT:
            converged = bool(np.isfinite(decrement))
            break
    share = counts.y / (counts.m if isinstance(counts, Binomial) else counts.e)
    family = FAMILIES["binomial" if isinstance(counts, Binomial) else "poisson"]
    edge = at_edge(share, eta, np.zeros(len(eta)), family)
    return Start(gamma=gamma, suspicious=not converged or bool(edge.any()))


def _glm(prepared: Prepared) -> GlmSolution:
    """The model without random effects as the regression room fits it, where separation is in question."""
    outcome = prepared.outcome
    if isinstance(outcome, Binomial):
        share = outcome.y / outcome.m
        return solve_glm(share, prepared.X, FAMILIES["binomial"], trials=outcome.m, patient=False)
    counts = outcome if isinstance(outcome, Poisson) else poisson_of(outcome)
    return solve_glm(counts.y / counts.e, prepared.X, FAMILIES["poisson"], weights=counts.e, patient=False)


def separation_of(prepared: Prepared) -> Separation | None:
    """The separation behind a suspicious start, if there is one, on collapsed rows and columns of the data."""
    outcome, X = prepared.outcome, prepared.X @ prepared.X_root
    if isinstance(outcome, Binomial):
        y, family = outcome.y / outcome.m, FAMILIES["binomial"]
    else:
        counts = outcome if isinstance(outcome, Poisson) else poisson_of(outcome)
        y, family = counts.y, FAMILIES["poisson"]
    X[np.abs(X) < 1e-12 * np.abs(X).max(axis=0)] = 0.0
    inside = ~at_edge(y, _glm(prepared).eta, np.zeros(len(y)), family)
    overlapping = None
    if inside.any() and not inside.all():
        columns = spanning(prepared.X[inside], np.zeros(X.shape[1], dtype=bool))
        if len(columns) < inside.sum():
            inner = solve_glm(y[inside], prepared.X[np.ix_(inside, columns)], family, patient=False)
            overlapping = inside if inner.converged and not inner.suspicious else None
    return find_separation(y, X, family.link, overlapping=overlapping)


def spanning(X: Array, first: Sequence[bool] | NDArray[np.bool_]) -> Index:
    """Columns that span X: those marked first, then others as far as they add anything."""
    corner = np.asarray(np.linalg.qr(X, mode="r"))
    length = np.maximum(np.linalg.norm(corner, axis=0), 1e-300)
    chosen: list[int] = []
    basis = np.zeros((len(corner), 0))
    for j in np.argsort(~np.asarray(first), kind="stable"):
        rest = corner[:, j] / length[j]
        for _ in range(2):
            rest = rest - basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > INDEPENDENT:
            chosen.append(int(j))
            basis = np.column_stack([basis, rest / size])
    return np.array(sorted(chosen), dtype=np.intp)

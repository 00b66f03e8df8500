"""Deviations after treatment at most M times the largest change before it: the set Delta^RM(M) of Rambachan and Roth 2023.

For each change before treatment and each sign the restriction is a system of moment inequalities with the path after
treatment as nuisance. Its dual has one vertex a moment pair and two that hold the target, so the test is about a bivariate
normal (target less its value, change before treatment): statistic, conditional quantile and least-favourable critical value
need neither linear programmes nor simulation. All values of M and all changes are handled as one array of tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from wwc_eval.did.honest_setting import Setting
from wwc_eval.inference.families import Floats

__all__ = ["Tests", "accepted", "critical_values", "identified", "intervals", "keeps", "tests_of"]

POINTS = 65
HALVINGS = 44
LARGEST_Z = 9.0
NODES = 120


@dataclass(frozen=True, kw_only=True, eq=False)
class Tests:
    """One test for each M, change before treatment and sign, flattened: k = m * changes * 2 of them.

    Parameters
    ----------
    vertices : ndarray, shape (k, p, 2)
        Dual vertices: weights of (target - theta, change); the first two hold the target from above and below.
    point : ndarray, shape (k, 2)
        Observed target and signed change.
    vcov : ndarray, shape (k, 2, 2)
        Their covariance.
    critical : ndarray, shape (k,)
        Least-favourable critical value of the first stage.
    rows : ndarray of int, shape (k,)
        Which M a test belongs to.
    """

    vertices: Floats
    point: Floats
    vcov: Floats
    critical: Floats
    rows: np.ndarray

    def __getitem__(self, keep: np.ndarray) -> Tests:
        """Some of the tests."""
        return Tests(
            vertices=self.vertices[keep],
            point=self.point[keep],
            vcov=self.vcov[keep],
            critical=self.critical[keep],
            rows=self.rows[keep],
        )


def identified(at: Setting, values: Floats) -> Floats:
    """Bounds of the effect if every estimate were exact, shape (m, 2).

    Formula: target less the last known deviation, -+ M * (largest change before treatment) * sum_j |sum_{t >= j} w_t|.
    """
    steps = at.changes @ at.beta
    reach = at.reach
    middle = float(reach @ steps[at.anchor :])
    half = np.asarray(values) * np.abs(steps[: at.anchor]).max() * np.abs(reach).sum()
    return np.column_stack([middle - half, middle + half])


def tests_of(at: Setting, values: Floats, first_stage: float) -> Tests:
    """Every test of every M, with critical values of level ``first_stage``."""
    return _sharpened(_bounded(at, values, first_stage), first_stage)


def _sharpened(tests: Tests, first_stage: float) -> Tests:
    """The same tests with their least-favourable critical values."""
    return replace(tests, critical=critical_values(tests.vertices, tests.vcov, 1.0 - first_stage))


def _bounded(at: Setting, values: Floats, first_stage: float) -> Tests:
    """Every test of every M, with an upper bound of its critical value.

    No vertex has a standard deviation above one, and those on the change alone are multiples of each other: three values at
    most can exceed.
    """
    steps = at.changes
    before, after, reach = steps[: at.anchor], steps[at.anchor :], at.reach
    spread = np.einsum("jk,kl,jl->j", after, at.vcov, after)
    own = np.einsum("sk,kl,sl->s", before, at.vcov, before)
    shared = before @ at.vcov @ after.T
    target = reach @ after
    m, s = len(values), len(before)
    sign = np.array([1.0, -1.0])
    scale = np.asarray(values, dtype=float)[:, None, None, None]
    cross = (sign[None, :, None] * shared[:, None, :])[None]
    common = spread + scale**2 * own[None, :, None, None]
    upper = np.sqrt(np.maximum(common - 2.0 * scale * cross, 0.0)).reshape(-1, len(after))
    lower = np.sqrt(np.maximum(common + 2.0 * scale * cross, 0.0)).reshape(-1, len(after))
    factor = np.repeat(np.asarray(values, dtype=float), 2 * s)
    size, up = np.abs(reach), reach > 0
    above = np.where(up, upper, lower) @ size
    below = np.where(up, lower, upper) @ size
    vertices = np.zeros((m * s * 2, len(after) + 2, 2))
    vertices[:, 0] = np.column_stack([1.0 / above, -factor * size.sum() / above])
    vertices[:, 1] = np.column_stack([-1.0 / below, -factor * size.sum() / below])
    vertices[:, 2:, 1] = -2.0 * factor[:, None] / (upper + lower)
    change = np.tile(np.outer(before @ at.beta, sign).ravel(), m)
    with_target = np.tile(np.outer(before @ at.vcov @ target, sign).ravel(), m)
    vcov = np.empty((m * s * 2, 2, 2))
    vcov[:, 0, 0] = target @ at.vcov @ target
    vcov[:, 0, 1] = vcov[:, 1, 0] = with_target
    vcov[:, 1, 1] = np.tile(np.repeat(own, 2), m)
    point = np.column_stack([np.full(m * s * 2, target @ at.beta), change])
    return Tests(
        vertices=vertices,
        point=point,
        vcov=vcov,
        critical=np.full(m * s * 2, float(ndtri(1.0 - first_stage / 3.0))),
        rows=np.repeat(np.arange(m), 2 * s),
    )


def critical_values(vertices: Floats, vcov: Floats, p: float) -> Floats:
    """``p``-quantile of the largest of the vertices' values of a centred bivariate normal, shape (k,).

    P(max <= c) is an integral over the change alone, of the normal probability that the target lies between two lines;
    Gauss-Legendre nodes and a safeguarded Newton search.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    sd = np.sqrt(vcov[:, 1, 1])[:, None]
    slope = (vcov[:, 0, 1] / vcov[:, 1, 1])[:, None]
    rest = np.sqrt(np.maximum(vcov[:, 0, 0, None] - vcov[:, 0, 1, None] * slope, 1e-14 * vcov[:, 0, 0, None]))
    (a, b), (e, f) = ((vertices[:, k, 0, None], vertices[:, k, 1, None]) for k in (0, 1))
    steepest = vertices[:, 2:, 1].min(axis=1)[:, None]

    def share(c: Floats) -> tuple[Floats, Floats]:
        with np.errstate(divide="ignore"):
            bound = np.where(steepest < 0, c / (steepest * sd), -np.inf)
            inward = np.where(bound > -LARGEST_Z, -1.0 / (steepest * sd), 0.0)[:, 0]
        start = np.maximum(bound, -LARGEST_Z)
        x = start + (LARGEST_Z - start) * (nodes + 1.0) / 2.0
        density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi) * (LARGEST_Z - start) / 2.0 * weights
        change = x * sd
        high = ((c - b * change) / a - slope * change) / rest
        low = ((c - f * change) / e - slope * change) / rest
        inside = np.maximum(ndtr(high) - ndtr(low), 0.0)
        pull = np.exp(-0.5 * high**2) / (a * rest) - np.exp(-0.5 * low**2) / (e * rest)
        gradient = (density * pull).sum(axis=1) + inward * np.exp(-0.5 * start[:, 0] ** 2) * inside[:, 0]
        return (density * inside).sum(axis=1) - p, gradient / np.sqrt(2.0 * np.pi)

    low, high = np.zeros(len(vertices)), np.full(len(vertices), 12.0)
    at = np.full(len(vertices), 2.5)
    for _ in range(60):
        gap, gradient = share(at[:, None])
        low, high = np.where(gap < 0, at, low), np.where(gap < 0, high, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = at - gap / gradient
        fresh = np.where((step > low) & (step < high), step, (low + high) / 2.0)
        moved = np.abs(fresh - at).max(initial=0.0)
        at = fresh
        if moved < 1e-10:
            break
    return at


def _truncated_quantile(p: float, low: Floats, high: Floats) -> Floats:
    """``p``-quantile of the standard normal between two limits, by the tail that keeps its digits."""
    flip = low > 0
    left, right = np.where(flip, -high, low), np.where(flip, -low, high)
    log_left, log_right = log_ndtr(left), log_ndtr(right)
    q = np.where(flip, 1.0 - p, p)
    inside = q + (1.0 - q) * np.exp(np.minimum(log_left - log_right, 0.0))
    found = ndtri_exp(np.minimum(log_right + np.log(np.maximum(inside, 1e-300)), -1e-300))
    return np.asarray(np.where(flip, -found, found))


def accepted(tests: Tests, theta: Floats, alpha: float, first_stage: float) -> np.ndarray:
    """Whether each test keeps each value, shape (k, g), for ``theta`` of that shape.

    The conditional test given that the first stage did not reject: the largest vertex value against the quantile of its
    distribution truncated to where that vertex is the largest and the first stage accepts.
    """
    value = tests.vertices[:, None, :, 1] * tests.point[:, 1, None, None] + tests.vertices[:, None, :, 0] * (
        tests.point[:, 0, None, None] - theta[:, :, None]
    )
    best = value.argmax(axis=2)
    statistic = np.take_along_axis(value, best[..., None], 2)[..., 0]
    # the best vertex's covariance with every vertex
    spread = tests.vertices @ tests.vcov @ tests.vertices.transpose(0, 2, 1)
    shared = np.take_along_axis(spread, best[..., None], 1)
    variance = np.take_along_axis(shared, best[..., None], 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = shared / variance
        loose = 1.0 - ratio
        limit = (value - ratio * statistic[..., None]) / loose
        limit = np.where(np.abs(loose) > 1e-10, limit, np.nan)
        floor = np.where(loose > 0, limit, -np.inf)
        ceiling = np.where(loose < 0, limit, np.inf)
        floor = np.where(np.isnan(floor), -np.inf, floor).max(axis=2)
        ceiling = np.where(np.isnan(ceiling), np.inf, ceiling).min(axis=2)
        ceiling = np.minimum(ceiling, tests.critical[:, None])
        sd = np.sqrt(variance[..., 0])
        level = 1.0 - (alpha - first_stage) / (1.0 - first_stage)
        bound = sd * _truncated_quantile(level, floor / sd, ceiling / sd)
    bound = np.maximum(np.where(np.isnan(bound), 0.0, bound), 0.0)
    # a statistic at or below zero means that the inequalities hold in the sample
    return np.asarray((statistic <= 0.0) | ((statistic <= tests.critical[:, None]) & (statistic <= bound)))


def intervals(at: Setting, values: Floats, alpha: float) -> Floats:
    """Conditional least-favourable hybrid interval for each M, shape (m, 2): the hull over changes and signs.

    The first stage bounds what a test can keep, exactly; the outermost values kept are searched inside these bounds, so
    there is no grid whose edge could cut the interval. The first stage has a tenth of the level.
    """
    values = np.asarray(values, dtype=float)
    first_stage = alpha / 10.0
    tests = _bounded(at, values, first_stage)
    low, high, possible = _reach(tests)
    # the test of the largest change keeps the identified set, so those that reach no further do not matter
    sets = identified(at, values)[tests.rows]
    tests = _sharpened(tests[possible & ((low < sets[:, 0]) | (high > sets[:, 1]))], first_stage)
    low, high, possible = _reach(tests)
    found = identified(at, values)
    edges = _edges(tests[possible], low[possible], high[possible], alpha, first_stage)
    for row in range(values.size):
        mine = edges[tests.rows[possible] == row]
        mine = mine[np.isfinite(mine[:, 0])]
        if len(mine):
            found[row] = min(found[row, 0], mine[:, 0].min()), max(found[row, 1], mine[:, 1].max())
    return found


def _reach(tests: Tests) -> tuple[Floats, Floats, np.ndarray]:
    """Values beyond which the first stage rejects, and whether it keeps any."""
    centre = -tests.vertices[:, 0, 1] * tests.point[:, 1] / tests.vertices[:, 0, 0]  # M a d
    low = tests.point[:, 0] - centre - tests.critical / tests.vertices[:, 0, 0]
    high = tests.point[:, 0] + centre - tests.critical / tests.vertices[:, 1, 0]
    alone = (tests.vertices[:, 2:, 1] * tests.point[:, 1, None]).max(axis=1)
    return low, high, np.asarray((alone <= tests.critical) & (low < high))


def keeps(at: Setting, values: Floats, theta: float, alpha: float) -> np.ndarray:
    """Whether the interval of each M holds one value, without its ends."""
    first_stage = alpha / 10.0
    values = np.asarray(values, dtype=float)
    tests = _bounded(at, values, first_stage)
    low, high, possible = _reach(tests)
    tests = _sharpened(tests[possible & (low <= theta) & (theta <= high)], first_stage)
    kept = accepted(tests, np.full((len(tests.rows), 1), theta), alpha, first_stage)[:, 0]
    return np.bincount(tests.rows[kept], minlength=values.size) > 0


def _edges(tests: Tests, low: Floats, high: Floats, alpha: float, first_stage: float) -> Floats:
    """Outermost values that each test keeps, shape (k, 2); missing where it keeps none."""
    share = np.linspace(0.0, 1.0, POINTS)
    theta = low[:, None] + (high - low)[:, None] * share
    keep = accepted(tests, theta, alpha, first_stage)
    some = np.asarray(keep.any(axis=1))
    first, last = keep.argmax(axis=1), POINTS - 1 - keep[:, ::-1].argmax(axis=1)
    rows = np.arange(len(low))
    inside = np.column_stack([theta[rows, first], theta[rows, last]])
    outside = np.column_stack(
        [theta[rows, np.maximum(first - 1, 0)], theta[rows, np.minimum(last + 1, POINTS - 1)]]
    )
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2.0
        ok = accepted(tests, middle, alpha, first_stage)
        inside, outside = np.where(ok, middle, inside), np.where(ok, outside, middle)
    return np.where(some[:, None], inside, np.nan)

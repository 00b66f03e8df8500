"""One block of treated units and the controls weighted to resemble it: estimates, placebos, jackknife.

A block is the treated units of one cohort with all never-treated units. Cohorts share the controls; their estimates are
averaged by treated unit-periods.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.simplex import frank_wolfe, objective, simplex_fit
from wwc_eval.inference.families import Floats

__all__ = ["Block", "Recipe", "fit_block", "jackknife_se", "n_placebos", "placebo_groups", "recipe_of"]

NO_RIDGE = 1e-6
"""Penalty, in standard deviations of a change, that only makes the weights unique (synthdid's)."""
LEAST_DECREASE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How weights are found.

    Parameters
    ----------
    synthetic_did : bool
        Unit and time weights with intercepts (synthetic DiD), or unit weights alone (synthetic control).
    stopping : {"exact", "synthdid"}
        The quadratic programme's solution, or where R's synthdid stops.
    noise : float
        Standard deviation of a change from one period to the next among controls before treatment.
    ridge : float
        Penalty of the unit weights.
    """

    synthetic_did: bool
    stopping: str
    noise: float
    ridge: float

    def weigh(self, columns: Floats, target: Floats, ridge: float) -> tuple[Floats, float]:
        """Weights and their objective."""
        if self.synthetic_did:
            columns, target = columns - columns.mean(axis=0), target - target.mean()
        if self.stopping == "exact":
            weights = simplex_fit(columns, target, ridge)
        else:
            weights = frank_wolfe(columns, target, ridge, LEAST_DECREASE * self.noise)
        return weights, objective(columns, target, weights, ridge)


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Weights and the gap of one block.

    Parameters
    ----------
    omega, lam : ndarrays, shapes (controls,) and (before,)
        Unit and time weights; no time weights for synthetic control.
    gap : ndarray, shape (T,)
        Treated mean less its synthetic control, less (synthetic DiD) the weighted gap before treatment.
    before : int
        Periods before treatment.
    treated, synthetic : ndarrays, shape (T,)
        The two series.
    objectives : tuple of float
        Objective of unit and of time weights.
    """

    omega: Floats
    lam: Floats
    gap: Floats
    before: int
    treated: Floats
    synthetic: Floats
    objectives: tuple[float, float]

    @property
    def estimate(self) -> float:
        """Mean gap from treatment on."""
        return float(self.gap[self.before :].mean())

    @property
    def fit(self) -> float:
        """Root mean squared gap before treatment (about its mean, for synthetic DiD)."""
        return float(np.sqrt(np.mean(self.gap[: self.before] ** 2)))

    @property
    def ratio(self) -> float:
        """Root mean squared gap after treatment over that before."""
        after = float(np.sqrt(np.mean(self.gap[self.before :] ** 2)))
        return after / self.fit if self.fit > 0 else math.inf


def recipe_of(controls: Floats, before: int, treated_cells: int, *, synthetic_did: bool, stopping: str) -> Recipe:
    """Penalties for controls (n, T), as Arkhangelsky et al. set them."""
    changes = np.diff(controls[:, :before], axis=1)
    noise = float(changes.std(ddof=1)) if changes.size > 1 else 0.0
    share = treated_cells**0.25 if synthetic_did else NO_RIDGE
    return Recipe(synthetic_did=synthetic_did, stopping=stopping, noise=noise, ridge=share * noise)


def fit_block(controls: Floats, treated: Floats, before: int, recipe: Recipe) -> Block:
    """Weights and gap of a treated series, shape (T,), against controls, shape (n, T)."""
    omega, unit_value = recipe.weigh(controls[:, :before].T, treated[:before], recipe.ridge)
    lam, time_value = np.zeros(before), 0.0
    if recipe.synthetic_did:
        lam, time_value = recipe.weigh(
            controls[:, :before], controls[:, before:].mean(axis=1), NO_RIDGE * recipe.noise
        )
    synthetic = omega @ controls
    gap = treated - synthetic
    if recipe.synthetic_did:
        gap = gap - lam @ gap[:before]
    return Block(
        omega=omega,
        lam=lam,
        gap=gap,
        before=before,
        treated=treated,
        synthetic=synthetic,
        objectives=(unit_value, time_value),
    )


def jackknife_se(blocks: list[Block], controls: Floats, treated: list[Floats], weights: list[Floats]) -> float:
    """Error by leaving out one unit at a time with weights kept (Arkhangelsky et al., algorithm 3)."""
    shares = np.array(
        [len(w) * (b.gap.size - b.before) for b, w in zip(blocks, weights, strict=True)], dtype=float
    )

    def overall(series: list[Floats], omegas: list[Floats], counts: NDArray[Any]) -> float:
        values = []
        for block, mean, omega in zip(blocks, series, omegas, strict=True):
            gap = mean - omega @ controls
            shift = block.lam @ gap[: block.before] if block.lam.any() else 0.0
            values.append(gap[block.before :].mean() - shift)
        return float(np.average(values, weights=counts))

    means = [np.average(rows, axis=0, weights=w) for rows, w in zip(treated, weights, strict=True)]
    omegas = [block.omega for block in blocks]
    found = []
    for k in range(len(controls)):
        kept = []
        for omega in omegas:
            left = omega.copy()
            left[k] = 0.0
            kept.append(left / left.sum() if left.sum() > 0 else np.full(left.size, np.nan))
        found.append(overall(means, kept, shares))
    for place, (rows, w) in enumerate(zip(treated, weights, strict=True)):
        counts = shares.astype(float)
        counts[place] *= (len(w) - 1) / len(w)
        for k in range(len(rows)):
            keep = np.arange(len(rows)) != k
            series = list(means)
            series[place] = np.average(rows[keep], axis=0, weights=w[keep])
            found.append(overall(series, omegas, counts))
    values = np.array(found)
    n = len(values)
    return float(np.sqrt((n - 1) / n * (n - 1) * values.var(ddof=1)))


def placebo_groups(
    sizes: list[int], n_controls: int, most: int, draws: int, rng: Any
) -> Iterator[list[list[int]]]:
    """Controls that stand in for the treated units of each cohort: every choice, or so many at random.

    Every choice is taken where there are no more than ``most``.
    """
    if n_placebos(sizes, n_controls) <= most:
        yield from _all_groups(sizes, list(range(n_controls)))
        return
    source = np.random.default_rng(rng)
    total = sum(sizes)
    for _ in range(draws):
        chosen = source.permutation(n_controls)[:total].tolist()
        ends = np.cumsum(sizes).tolist()
        yield [sorted(chosen[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def n_placebos(sizes: list[int], n_controls: int) -> int:
    """Number of ways in which controls may stand in for the treated units of the cohorts."""
    count, left = 1, n_controls
    for size in sizes:
        count *= math.comb(left, size)
        left -= size
    return count


def _all_groups(sizes: list[int], left: list[int]) -> Iterator[list[list[int]]]:
    if not sizes:
        yield []
        return
    for chosen in itertools.combinations(left, sizes[0]):
        rest = [k for k in left if k not in chosen]
        for others in _all_groups(sizes[1:], rest):
            yield [list(chosen), *others]

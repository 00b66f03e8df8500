"""Power of the randomisation test of a stepped wedge over its permitted allocations, without simulating children.

The statistic is linear in the means of the cells, so a draw of them gives it under every allocation at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Outcome
from wwc_eval.power.results import _effect_column
from wwc_eval.power.stepped_wedge_allocations import exchangeable, n_permitted, permitted_orders, within_residual
from wwc_eval.power.stepped_wedge_variance import covariance, scales_of
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["RandomisationPower", "randomisation_mdes", "randomisation_power"]

MOST = 2_000
"""Allocations in the reference set; above it, so many are drawn at random."""
USED = 60
"""Allocations taken in turn as the one that was drawn, where clusters of a stratum differ in size."""
TIES = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RandomisationPower(Rendered):
    """Power of a randomisation test at an effect; ``float()`` gives it.

    Parameters
    ----------
    power, mc_se : float
        Power, averaged over the allocations that may be drawn, and its Monte Carlo error.
    effect : float
        Effect, in the outcome's units.
    alpha : float
        Two-sided level.
    n_permitted : int
        Allocations that are permitted.
    smallest_p : float
        Smallest p-value that the test can give; above ``alpha`` the power is 0.
    draws : int
        Draws of the cells' means.
    outcome, design
        What is measured; the design in one line.
    """

    power: float
    mc_se: float
    effect: float
    alpha: float
    n_permitted: int
    smallest_p: float
    draws: int
    outcome: Outcome
    design: str

    def __float__(self) -> float:
        return self.power

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row."""
        names = ("effect", "power", "mc_se", "alpha", "n_permitted", "smallest_p", "draws")
        return [{name: getattr(self, name) for name in names}]

    def _grid(self) -> Grid:
        columns = [
            _effect_column("effect", self.outcome, "effect"),
            Column(name="power", kind="percent", digits=1),
            Column(name="mc_se", label="MC error", kind="percent", digits=2),
            Column(name="alpha", kind="number", digits=3),
            Column(name="n_permitted", label="permitted allocations", kind="count"),
            Column(name="smallest_p", label="smallest p", kind="number", digits=4),
            Column(name="draws", kind="count"),
        ]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return f"Randomisation test: {self.design}"


def randomisation_power(
    design: SteppedWedge, effect: float, *, alpha: float = 0.05, draws: int = 20_000, rng: Any
) -> RandomisationPower:
    """Power of the randomisation test; see :meth:`wwc_eval.power.SteppedWedge.randomisation_power`."""
    from wwc_eval.power.simulation.runner import seed_of

    level = check_number("alpha", alpha, above=0, below=1)
    count = int(check_number("draws", draws, at_least=100))
    size = float(np.ravel(design.outcome.check_effect(effect))[0])
    if np.isnan(design.treatment).any():
        raise DesignError(
            "the randomisation test of an incomplete stepped wedge has no power here",
            rule="cells that an allocation leaves out would differ between allocations",
            fix="leave transition periods out of the design",
        )
    least, power = design.smallest_p, 0.0
    if least <= level:
        power = _share(design, size, level, draws=count, seed=seed_of(rng))
    return RandomisationPower(
        power=power,
        mc_se=math.sqrt(power * (1.0 - power) / count),
        effect=size,
        alpha=level,
        n_permitted=n_permitted(design),
        smallest_p=least,
        draws=count,
        outcome=design.outcome,
        design=design.describe(),
    )


def randomisation_mdes(
    design: SteppedWedge,
    power: float = 0.8,
    *,
    direction: Literal["fall", "rise"],
    alpha: float = 0.05,
    draws: int = 20_000,
    rng: Any,
) -> float:
    """Effect that the randomisation test detects; see :meth:`wwc_eval.power.SteppedWedge.randomisation_mdes`."""
    from wwc_eval.power.simulation.runner import seed_of
    from wwc_eval.power.solving import _along

    goal = check_number("power", power, above=alpha, below=1)
    way = -1 if check_choice("direction", direction, ("fall", "rise")) == "fall" else 1
    if design.smallest_p > alpha:
        raise DesignError(
            f"the smallest p-value is {design.smallest_p:.3g}: at level {alpha:g} the randomisation test never rejects",
            fix="permit more allocations (fewer strata, more steps or clusters), or plan another test",
        )
    seed = seed_of(rng)  # the same draws at every effect, so that power rises with it

    def reached(share: float) -> bool:
        effect = float(_along(design.outcome, way, np.asarray(share)))
        return float(randomisation_power(design, effect, alpha=alpha, draws=draws, rng=seed)) >= goal

    low, high = 0.0, 1.0 - 1e-6
    if not reached(high):
        raise DesignError(f"power == {goal:g} is out of reach: no possible {direction} has it", fix="add clusters")
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return float(_along(design.outcome, way, np.asarray(high)))


def _share(
    design: SteppedWedge, effect: float, alpha: float, *, draws: int, seed: np.random.SeedSequence
) -> float:
    """Share of draws whose p-value is at most alpha."""
    rng = np.random.default_rng(seed)
    if n_permitted(design) <= MOST:
        orders = permitted_orders(design)
    else:
        orders = permitted_orders(design, most=MOST, rng=rng)
    reference = design.treatment[orders].reshape(len(orders), -1)
    h = within_residual(design.treatment[orders], design.sizes)
    size = (h * reference).sum(axis=1)
    weights = (h / size[:, None]).T
    if exchangeable(design):
        used = np.zeros(1, dtype=np.intp)
    else:
        used = np.arange(len(orders)) if len(orders) <= USED else rng.choice(len(orders), USED, replace=False)
    rejected = 0
    for at, share in zip(used, np.array_split(np.arange(draws), len(used)), strict=True):
        own = design.replace(treatment=design.treatment[orders[at]], cell_size=design.sizes)
        scales = scales_of(own, np.asarray(effect))
        statistics = _noise(covariance(own, scales), len(share), rng) @ weights
        statistics += float(scales.distance) * (reference[at] @ weights)
        found = np.abs(statistics)
        p_value = (found >= found[:, [at]] * (1.0 - TIES)).mean(axis=1)
        rejected += int((p_value <= alpha * (1.0 + 1e-12)).sum())
    return rejected / draws


def _noise(V: Array, draws: int, rng: np.random.Generator) -> Array:
    """Deviations (draws, K * P) of the means of cells."""
    values, vectors = np.linalg.eigh(V)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    clusters, periods = V.shape[:2]
    z = rng.standard_normal((draws, clusters, periods))
    return np.asarray(np.einsum("dkp,kqp->dkq", z, root).reshape(draws, -1))

"""Replicates a second of the simulation kernels, one thread, by processor time.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/bench_power_simulation.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wwc_eval.power.simulation.cell_glmm import fit_glmm
from wwc_eval.power.simulation.cell_randomisation import fit_randomisation
from wwc_eval.power.simulation.cell_robust import fit_model_based, fit_robust
from wwc_eval.power.simulation.collapsed_wedge import CollapsedWedge
from wwc_eval.power.simulation.nested_cells import draw_cells, nested_design
from wwc_eval.power.simulation.three_level import fit_nested
from wwc_eval.power.simulation.two_level import draw_clusters, fit_cluster_means, fit_kenward_roger, fit_two_level

sys.path.insert(0, str(Path(__file__).parents[1] / "power"))

CHUNK = 500


def rate(fit: Callable[..., Any], draw: Callable[[], tuple[Any, ...]], chunks: int, repeats: int = 5) -> float:
    """Replicates a second of the best of a few runs; every run fits new draws."""
    best = 0.0
    for _ in range(repeats):
        drawn = [draw() for _ in range(chunks)]
        start = time.process_time()
        for data in drawn:
            fit(*data)
        best = max(best, CHUNK * chunks / (time.process_time() - start))
    return best


def show(name: str, value: float, peer: tuple[str, float] | None = None) -> None:
    """One line: name, replicates a second, ratio to a peer."""
    ratio = f"   {value / peer[1]:,.1f} x {peer[0]}" if peer else ""
    print(f"{name:66s}{value:12,.0f} /s{ratio}", flush=True)


def two_level() -> None:
    """40 clusters of about 30."""
    rng = np.random.default_rng(1)
    sizes = np.maximum(np.round(rng.gamma(4, 7.5, 40)), 3)
    X = np.column_stack([np.ones(40), np.arange(40) % 2])

    def draw() -> tuple[Any, ...]:
        return (draw_clusters(rng, CHUNK, sizes, 0.3 * X[:, 1], between=0.1, within=0.9), X, np.array([0.0, 1.0]))

    mcpower = ("MCPower, as measured elsewhere (15,348/s)", 15_348.0)
    show("two-level, 40 unequal clusters, REML + Satterthwaite", rate(fit_two_level, draw, 40), mcpower)
    show("two-level, REML + Kenward-Roger", rate(fit_kenward_roger, draw, 8))
    show("two-level, t test of cluster means", rate(fit_cluster_means, draw, 40))


def nested() -> None:
    """20 LAs of 4 teams of about 30, and 12 clusters over 5 periods of about 50."""
    rng = np.random.default_rng(2)
    la, sizes = np.repeat(np.arange(20), 4), np.maximum(np.round(rng.gamma(4, 7.5, 80)), 5)
    k, t = np.repeat(np.arange(12), 5), np.tile(np.arange(5), 12)
    many = np.maximum(np.round(rng.gamma(6, 50 / 6, 60)), 5)
    wedge = np.column_stack([t >= 1 + k // 3, np.eye(5)[t]]).astype(float)
    team = np.column_stack([np.tile(np.arange(4), 20) % 2, np.ones(80)]).astype(float)
    authority = np.column_stack([la % 2, np.ones(80)]).astype(float)
    cases = (
        ("three-level, team assigned", la, sizes, team, (0.1, 0.08), True),
        ("three-level, LA assigned", la, sizes, authority, (0.1, 0.08), True),
        ("stepped wedge, Hussey-Hughes", k, many, wedge, (0.05, 0.0), False),
        ("stepped wedge, nested exchangeable", k, many, wedge, (0.0375, 0.0125), True),
    )
    for name, cluster, n, X, (top, middle), cells in cases:
        design, own = nested_design(cluster, n, X, np.eye(X.shape[1])[0]), 1.0 - top - middle
        levels = {"between_clusters": top, "between_cells": middle, "within": own}
        draw = partial(draw_cells, rng, CHUNK, design, np.zeros(len(n)), **levels)
        fit = partial(fit_nested, design, start=(middle / own, top / own), cells=cells)
        show(f"{name}, REML + Satterthwaite", rate(fit, partial(_one, draw), 4))


def _one(draw: Callable[[], Any]) -> tuple[Any, ...]:
    return (draw(),)


def binary() -> None:
    """5 LAs over 6 periods, 27,000 children."""
    from simulation_study import binary_wedge

    analyses = ("regression_cr2", "randomisation_test")
    simulator = CollapsedWedge(design=binary_wedge(), effect=0.0, drift_sd=0.1, analyses=analyses)
    rng, dummies = np.random.default_rng(3), simulator._dummies
    reference = simulator.design.treatment[simulator.frame.listed].swapaxes(1, 2)

    def draw() -> tuple[Any, ...]:
        cells, treatment, allocations = simulator._draw(rng, CHUNK)
        wide = np.concatenate([treatment, np.broadcast_to(dummies, (CHUNK, *dummies.shape[1:]))], axis=1)
        return cells, treatment, wide, allocations.used

    fits: dict[str, Callable[..., Any]] = {
        "GLMM (Laplace), Wald": lambda c, t, w, used: fit_glmm(c, t),
        "GLM, model-based": lambda c, t, w, used: fit_model_based(c, w),
        "GLM + CR2 + Satterthwaite": lambda c, t, w, used: fit_robust(c, w, kind="CR2"),
        "GLM + CR3": lambda c, t, w, used: fit_robust(c, w, kind="CR3"),
        "randomisation test, 12 allocations": lambda c, t, w, used: fit_randomisation(c, reference, used, dummies),
    }
    for name, fit in fits.items():
        show(f"binary wedge, 27,000 children, {name}", rate(fit, draw, 4, 3))


if __name__ == "__main__":
    two_level()
    nested()
    binary()

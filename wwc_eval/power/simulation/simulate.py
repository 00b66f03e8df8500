"""The verb ``simulate`` of every design: check what is asked, run it in chunks, summarise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.events import TimeToEvent
from wwc_eval.power.outcomes import Continuous
from wwc_eval.power.simulation.result import Simulation, recorded
from wwc_eval.power.simulation.runner import run_chunks, seed_of

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge
    from wwc_eval.power.trial import Trial

__all__ = ["chosen", "simulate", "simulate_trial", "simulate_wedge"]


def simulate_wedge(
    design: SteppedWedge, effect: float, analysis: Any, drift_sd: float, **asked: Any
) -> Simulation:
    """Simulate a stepped wedge; see :meth:`wwc_eval.power.SteppedWedge.simulate`."""
    from wwc_eval.power.simulation.collapsed_wedge import COLLAPSED_WEDGE, CollapsedWedge
    from wwc_eval.power.simulation.gaussian_wedge import GAUSSIAN_WEDGE, GaussianWedge

    for name in ("icc", "cac", "iac", "decay", "effect_sd"):
        _one_number(name, getattr(design, name))
    drift = check_number("drift_sd", drift_sd, at_least=0)
    size = _one_number("effect", design.outcome.check_effect(effect))
    if isinstance(design.outcome, Continuous):
        names = chosen(analysis, GAUSSIAN_WEDGE, "mixed_model")
        simulator: Any = GaussianWedge(design=design, effect=size, drift_sd=drift, analyses=names)
    else:
        # with a few clusters, summaries of clusters have no use in a wedge: robust errors are what holds its level
        names = chosen(analysis, COLLAPSED_WEDGE, "regression_cr2")
        simulator = CollapsedWedge(design=design, effect=size, drift_sd=drift, analyses=names)
    return simulate(simulator, design, drift_sd=drift, **asked)


def simulate_trial(design: Trial, effect: float, analysis: Any, drift_sd: float, **asked: Any) -> Simulation:
    """Simulate a nested trial; see :meth:`wwc_eval.power.Trial.simulate`."""
    from wwc_eval.power.simulation.collapsed_trial import COLLAPSED_TRIAL, CollapsedTrial
    from wwc_eval.power.simulation.gaussian_trial import GAUSSIAN_TRIAL, GaussianTrial

    if check_number("drift_sd", drift_sd, at_least=0) > 0:
        raise DesignError(
            "drift_sd is for designs with periods; a Trial has one",
            fix="use SteppedWedge.parallel(..., baseline=1)",
        )
    size = _one_number("effect", design.outcome.check_effect(effect))
    simple = len(design.levels) == 1
    if isinstance(design.outcome, TimeToEvent):
        from wwc_eval.power.simulation.event_trial import EVENT_TRIAL, EventTrial

        names = chosen(analysis, EVENT_TRIAL, "cox" if simple else "cox_cr1")
        times = EventTrial(design=design, effect=size, analyses=names)
        return simulate(times, design, drift_sd=0.0, **asked)
    if isinstance(design.outcome, Continuous):
        names = chosen(analysis, GAUSSIAN_TRIAL, "regression" if simple else "mixed_model")
        simulator: Any = GaussianTrial(design=design, effect=size, analyses=names)
    else:
        names = chosen(analysis, COLLAPSED_TRIAL, "regression" if design.at == 0 else "cluster_summaries")
        simulator = CollapsedTrial(design=design, effect=size, analyses=names)
    return simulate(simulator, design, drift_sd=0.0, **asked)


def simulate(
    simulator: Any,
    design: Any,
    *,
    reps: int,
    rng: Any,
    alpha: float = 0.05,
    drift_sd: float = 0.0,
    n_jobs: int | None = 1,
    progress: bool = False,
    directory: str | os.PathLike[str] | None = None,
    null: bool = False,
) -> Simulation:
    """Run a simulator, and the same without an effect where that is asked for, and summarise."""
    level = check_number("alpha", alpha, above=0, below=1)
    seed = seed_of(rng)
    how: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress}
    fits = run_chunks(simulator, reps, seed, directory=directory, **how)
    without = None
    nothing = design._outcome().null
    if null and simulator.effect != nothing:
        # the same draws: what differs is the effect
        folder = None if directory is None else Path(directory) / "null"
        without = run_chunks(replace(simulator, effect=nothing), reps, seed, directory=folder, **how)
    truths = simulator.truths
    records = tuple(
        recorded(name, each, truths[name], alpha=level, null=None if without is None else without[name])
        for name, each in fits.items()
    )
    notes = tuple(getattr(simulator, "notes", ()))
    if any(r.failed > 0.01 for r in records):
        notes += ("Replicates without a fit are counted as not rejecting; bias and coverage leave them out.",)
    return Simulation(
        records=records,
        effect=simulator.effect,
        reps=len(next(iter(fits.values()))),
        alpha=level,
        drift_sd=drift_sd,
        design=design.describe(),
        fits=fits,
        notes=notes,
    )


def chosen(analysis: str | Sequence[str] | None, known: tuple[str, ...], default: str) -> tuple[str, ...]:
    """Names of the analyses asked for."""
    names = (default,) if analysis is None else ((analysis,) if isinstance(analysis, str) else tuple(analysis))
    if not names:
        raise DesignError("no analysis is asked for", fix=f"analysis='{default}'")
    return tuple(dict.fromkeys(check_choice("analysis", name, known) for name in names))


def _one_number(name: str, value: Any) -> float:
    if value is not None and np.size(value) != 1:
        raise DesignError(f"{name} is an array of {np.size(value)}, a simulation needs one number")
    return float(np.ravel(value)[0]) if value is not None else 0.0

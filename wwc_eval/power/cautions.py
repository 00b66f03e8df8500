"""Where formulas are known to err by more than two percentage points of power.

The limits are those of the simulations in docs/methods/power.md (tests/reference/power_formulas.json).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.power.checks import plural
from wwc_eval.power.events import Rate, TimeToEvent
from wwc_eval.power.nested import degrees_of_freedom, units_in_all
from wwc_eval.power.outcomes import Binary

if TYPE_CHECKING:
    from wwc_eval.power.checks import Number
    from wwc_eval.power.trial import Trial

__all__ = ["cautions"]

FEW_EVENTS = 2.0
"""Expected events in an assigned unit below which cluster risks and rates are too skew for a t test's formula."""
MANY_EVENTS = 30.0
"""Expected events in an arm from which the mean of many such clusters is normal enough all the same."""
WIDE = {"taylor": 1.0, "eldridge": 1.0, "unweighted": 0.5, "ignored": 0.2}
"""Size CV above which each method errs."""
FEW_UNITS, WIDE_HAZARDS, LARGE_RATIO = 16, 0.5, 2.0
"""Clusters, CV of their hazards and hazard ratio beyond which the formula of clustered times to an event errs."""
OFF = 0.05
"""Relative difference of variances, and loss to covariates, from which power is off by two points."""


def cautions(trial: Trial, effect: Number) -> tuple[str, ...]:
    """Sentences about approximations of a trial's formulas that may err by more than two percentage points."""
    with np.errstate(all="ignore"):
        return (
            *_sizes(trial),
            *_covariates(trial),
            *_events(trial, effect),
            *_hazards(trial, effect),
            *_variances(trial, effect),
        )


def _sizes(trial: Trial) -> Iterator[str]:
    limit = WIDE[trial.size_method]
    for level in trial.levels[:-1]:
        cv = float(np.max(np.asarray(level.size_cv)))
        if cv > limit:
            yield (
                f"Numbers of {plural(level.name)} vary with CV {cv:g}: method '{trial.size_method}' errs by more than 2 "
                f"points of power above {limit:g}; simulate."
            )


def _covariates(trial: Trial) -> Iterator[str]:
    level = trial.levels[trial.at]
    ancova = trial.baseline is not None and trial.baseline.method == "ancova"
    g = np.maximum(np.asarray(level.covariates, float), 1.0 if ancova else 0.0)
    if trial.df is not None or not np.any(g > 0):
        return
    loss = float(np.max(g / np.maximum(degrees_of_freedom(trial) - 1.0, 1e-9)))
    if loss > OFF:
        yield (
            f"Estimating covariates' slopes from so few {plural(level.name)} adds about {100 * min(loss, 9.99):.0f}% to the "
            "variance, which the formula leaves out: power is lower."
        )


def _events(trial: Trial, effect: Number) -> Iterator[str]:
    if trial.at == 0 or not isinstance(trial.outcome, (Binary, Rate, TimeToEvent)):
        return
    within = np.asarray(1.0)
    for level in trial.levels[: trial.at]:
        within = within * np.asarray(level.kept)
    if isinstance(trial.outcome, Rate):
        within = within * np.asarray(trial.outcome.exposure)
    treated, control = trial.outcome.means(effect)
    events = np.minimum(treated, control) * within
    share = np.asarray(trial.allocation)
    in_arm = events * units_in_all(trial, trial.at) * np.minimum(share, 1.0 - share)
    fewest = float(np.min(np.where(in_arm < MANY_EVENTS, events, np.inf)))
    if fewest <= FEW_EVENTS:
        yield (
            f"{fewest:.2g} events are expected in each {trial.levels[trial.at].name} of an arm: with {FEW_EVENTS:g} or fewer, "
            f"and fewer than {MANY_EVENTS:g} in the arm, a t test's power differs from the formula by more than 2 points; "
            "simulate."
        )


def _hazards(trial: Trial, effect: Number) -> Iterator[str]:
    if trial.at == 0 or not isinstance(trial.outcome, TimeToEvent):
        return
    level = trial.levels[trial.at]
    units = float(np.min(units_in_all(trial, trial.at)))
    varied = level.k is not None and float(np.max(np.asarray(level.k))) > WIDE_HAZARDS
    if units < FEW_UNITS or varied or float(np.max(np.asarray(effect))) > LARGE_RATIO:
        yield (
            f"Times to an event in {units:g} {plural(level.name)}: with fewer than {FEW_UNITS}, k above {WIDE_HAZARDS:g} or a "
            f"hazard ratio above {LARGE_RATIO:g} the formula errs by 2 to 7 points of power; simulate."
        )


def _variances(trial: Trial, effect: Number) -> Iterator[str]:
    outcome = trial.outcome
    if not isinstance(outcome, Binary) or outcome.variance not in {"null", "pooled"}:
        return
    treated, control = outcome.means(effect)
    share = np.asarray(trial.allocation)
    truth = treated * (1 - treated) * (1 - share) + control * (1 - control) * share
    mean = control if outcome.variance == "null" else share * treated + (1 - share) * control
    ratio = mean * (1 - mean) / truth
    off = float(np.max(np.abs(ratio - 1.0)))
    if off > OFF:
        yield (
            f"The {outcome.variance} variance differs from that of the arms by {100 * off:.0f}%: power and detectable "
            "effects are off; take variance='unpooled'."
        )

"""Checks of a stepped wedge, its standard form, and what a reader is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.power.checks import Number, check_numbers
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Binary, Outcome

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["check_wedge", "standard_treatment", "warnings_of"]

TIMES = ("categorical", "linear", "none")
DFS = ("z", "between_within", "clusters", "satterthwaite")
FEW = 8
DF_WORDS = {
    "z": "Normal quantiles",
    "clusters": "Degrees of freedom of clusters - 2",
    "between_within": "Between-within degrees of freedom",
}
MOST_ERROR = 0.02
DENSE = 400
"""Cells up to which Satterthwaite's degrees of freedom are had for a warning; with more, degrees of freedom hardly matter."""


def check_wedge(design: SteppedWedge) -> None:
    """Check every field and freeze the arrays."""
    from wwc_eval.power.stepped_wedge_variance import check_rank, columns_of

    put = design._set
    put("treatment", _treatment(design.treatment))
    put("cell_size", _sizes(design))
    if not isinstance(design.outcome, Outcome):
        raise DesignError(f"outcome == {shown(design.outcome)}, must be Continuous, Binary or Rate")
    put("icc", check_numbers("icc", design.icc, at_least=0, below=1))
    put("cac", check_numbers("cac", design.cac, at_least=0, at_most=1))
    put("iac", check_numbers("iac", design.iac, at_least=0, below=1))
    put("effect_sd", check_numbers("effect_sd", design.effect_sd, at_least=0))
    put(
        "effect_correlation", check_number("effect_correlation", design.effect_correlation, at_least=-1, at_most=1)
    )
    put("churn", check_number("churn", design.churn, at_least=0, at_most=1))
    check_choice("time", design.time, TIMES)
    check_choice("effect_over_time", design.effect_over_time, ("constant", "average"))
    if design.decay is not None:
        put("decay", check_numbers("decay", design.decay, at_least=0, at_most=1))
        if np.any(np.asarray(design.cac) < 1):
            raise DesignError("the design has both cac and decay", fix="give the one that you know")
        if np.any(np.asarray(design.effect_sd) > 0) and design.effect_correlation != 0:
            raise DesignError(
                "effect_correlation != 0 needs clusters whose level does not decay",
                fix="use cac, or no correlation",
            )
    if isinstance(design.df, str):
        check_choice("df", design.df, DFS)
    else:
        put("df", check_number("df", design.df, above=0))
    if design.control_by_period is not None:
        _check_controls(design)
    if design.strata is not None:
        put("strata", tuple(design.strata))
        if len(design.strata) != design.clusters:
            raise DesignError(f"strata has {len(design.strata)} labels for {design.clusters} clusters")
    X, _ = columns_of(design)
    check_rank(X)
    own = {"between_within": design.clusters - X.shape[2], "clusters": design.clusters - 2}.get(str(design.df), 1)
    if own <= 0:
        raise DesignError(
            f"df == '{design.df}' leaves {own} degrees of freedom, must be > 0",
            value=f"{design.clusters} clusters, {X.shape[2]} columns in the model",
            fix="add clusters, or use df='satterthwaite' or 'clusters'",
        )


def _check_controls(design: SteppedWedge) -> None:
    if design.outcome.linear:
        raise DesignError("control_by_period is for risks and rates; a continuous outcome needs none")
    upper = 1.0 if hasattr(design.outcome, "variance") else None
    given = np.asarray(check_numbers("control_by_period", design.control_by_period, above=0, below=upper))
    if given.shape != (design.periods,):
        raise DesignError(f"control_by_period has shape {given.shape}, must be ({design.periods},): one a period")
    design._set("control_by_period", given)


def _treatment(value: object) -> Array:
    try:
        found = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise DesignError(f"treatment == {shown(value)}, must be an array (clusters, periods)") from None
    if found.ndim != 2 or found.size == 0:
        raise DesignError(f"treatment has shape {found.shape}, must be (clusters, periods)")
    known = found[np.isfinite(found)]
    if np.isinf(found).any() or (known < 0).any() or (known > 1).any():
        raise DesignError("treatment must be between 0 and 1, or NaN where there is no cell")
    if not known.size or (known == known[0]).all():
        raise DesignError("treatment is the same in every cell, must differ")
    empty = np.flatnonzero(~np.isfinite(found).any(axis=1))
    if len(empty):
        raise DesignError(f"cluster {empty[0] + 1} has no cell", fix="leave it out of the design")
    found.flags.writeable = False
    return found


def _sizes(design: SteppedWedge) -> Array:
    value = np.asarray(check_numbers("cell_size", design.cell_size, at_least=0))
    shape = design.treatment.shape
    try:
        full = np.broadcast_to(value, shape)
    except ValueError:
        raise DesignError(
            f"cell_size has shape {value.shape}, must be one number, ({shape[1]},) for the periods or {shape}"
        ) from None
    if (full[np.isfinite(design.treatment)] <= 0).any():
        raise DesignError(
            "cell_size == 0 in a cell, must be > 0", fix="mark a cell that is not there by NaN in treatment"
        )
    found = np.array(value)
    found.flags.writeable = False
    return found


def standard_treatment(clusters: int, steps: int, baseline: int, width: int, transition: int) -> Array:
    """Treatment (clusters, periods) of a standard stepped wedge."""
    count = int(check_number("clusters", clusters, at_least=2))
    steps = int(check_number("steps", steps, at_least=1, at_most=count))
    baseline = int(check_number("baseline", baseline, at_least=0))
    width = int(check_number("periods_per_step", width, at_least=1))
    transition = int(check_number("transition", transition, at_least=0))
    if transition >= width and transition > 0 and width * steps <= transition:
        raise DesignError(f"transition == {transition} leaves the last clusters without treated periods")
    groups = np.array_split(np.arange(count), steps)
    starts = np.empty(count)
    for step, members in enumerate(groups):
        starts[members] = baseline + step * width
    period = np.arange(baseline + steps * width)
    treatment = (period >= starts[:, None]).astype(float)
    treatment[(period >= starts[:, None]) & (period < starts[:, None] + transition)] = np.nan
    return treatment


def warnings_of(design: SteppedWedge, effect: Number) -> tuple[str, ...]:
    """What a reader must know before trusting a figure of a stepped wedge at an effect."""
    found = []
    if design.clusters <= 2 * FEW and design.df == "z":
        found.append(
            f"The normal distribution with {design.clusters} clusters overstates power; see df='between_within' or "
            "'satterthwaite', and simulate."
        )
    if np.size(effect) == 1:
        with np.errstate(all="ignore"):
            found.extend(_off(design, effect))
    if design.clusters <= FEW:
        count, least = design.n_permitted, design.smallest_p
        found.append(
            f"{count:,} allocations are permitted; a randomisation test cannot give p below {least:.3g}"
            + (", so it can never reject at 5%." if least > 0.05 else ".")
        )
    if design.time == "none":
        found.append("Without effects of the periods any change over time is taken for the effect of treatment.")
    return tuple(found)


def _off(design: SteppedWedge, effect: Number) -> Iterator[str]:
    """Choices of df and of working variance that move a two-sided 5% test's power by more than two points."""
    own = _power(design, effect)
    if own is None:
        return
    if isinstance(design.df, str) and design.df != "satterthwaite" and design.treatment.size <= DENSE:
        other = _power_with(design, effect, df="satterthwaite")
        if other is not None and abs(own - other) > MOST_ERROR:
            yield (
                f"{DF_WORDS[design.df]} (df='{design.df}') put power {100 * abs(own - other):.0f} points "
                f"{'above' if own > other else 'below'} that of a mixed model with Satterthwaite's degrees of freedom; robust "
                "errors have less power than the mixed model."
            )
    if isinstance(design.outcome, Binary) and design.outcome.variance in {"null", "pooled"}:
        other = _power_with(design, effect, outcome=design.outcome.replace(variance="unpooled"))
        if other is not None and abs(own - other) > MOST_ERROR:
            yield (
                f"The {design.outcome.variance} variance puts power {100 * abs(own - other):.0f} points "
                f"{'above' if own > other else 'below'} that with each arm's own; take variance='unpooled'."
            )


def _power_with(design: SteppedWedge, effect: Number, **changes: object) -> float | None:
    try:
        return _power(design.replace(**changes), effect)
    except DesignError:
        return None


def _power(design: SteppedWedge, effect: Number) -> float | None:
    """Power of a two-sided 5% test; None where the design is an array of designs or has none."""
    from wwc_eval.power.kernels import t_power
    from wwc_eval.power.stepped_wedge_variance import anatomy

    try:
        at = anatomy(design, effect)
    except DesignError:
        return None
    if np.size(at.ncp) != 1 or not np.all(at.df >= 1) or not np.all(np.isfinite(at.ncp)):
        return None
    return float(np.ravel(t_power(np.abs(at.ncp), at.df))[0])

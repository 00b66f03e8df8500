"""Assurance: power averaged over what is not known when a trial is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_number, did_you_mean
from wwc_eval.power.beliefs import Belief
from wwc_eval.power.conventions import Convention, convention_of
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Binary
from wwc_eval.power.sizing import unchecked
from wwc_eval.power.trial import Trial
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Assurance", "assurance", "changed"]

SHIFTS = 16
MOST_OUTSIDE = 0.005
"""Share of a belief that may be impossible; it is taken to the nearest effect that is possible."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEVEL_FIELDS = ("n", "icc", "k", "r2", "effect_heterogeneity", "effect_r2", "size_cv", "attrition", "reliability")
_TRIAL_FIELDS = ("dilution", "crossover")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Assurance(Rendered):
    """Power averaged over beliefs. ``float()`` gives it.

    Parameters
    ----------
    value, mc_se : float
        Mean power, and its error from randomised quasi-Monte Carlo.
    planned : float
        Power with every belief at its median.
    short, short_mc_se, target : float
        Chance that the power is under the target, its error, and the target.
    powers : ndarray
        Power at every point.
    drawn : mapping of str to ndarray
        The points: values of every uncertain number.
    k : mapping of str to tuple of float
        Median, 5% and 95% points of the coefficient of variation k that goes with each uncertain ICC of a binary outcome.
    """

    value: float
    mc_se: float
    planned: float
    short: float
    short_mc_se: float
    target: float
    powers: Array
    drawn: Mapping[str, Array]
    k: Mapping[str, tuple[float, float, float]]
    design: str
    convention: str

    def __float__(self) -> float:
        return self.value

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of what, value, mc_se: assurance, planned power, chance of falling short, quantiles of the power."""
        rows = [
            {"what": "assurance (mean power)", "value": self.value, "mc_se": self.mc_se},
            {"what": "power with every belief at its median", "value": self.planned, "mc_se": 0.0},
            {
                "what": f"chance of power under {100 * self.target:g}%",
                "value": self.short,
                "mc_se": self.short_mc_se,
            },
        ]
        points = np.quantile(self.powers, QUANTILES)
        rows += [
            {"what": f"{100 * q:g}% point of the power", "value": float(v), "mc_se": None}
            for q, v in zip(QUANTILES, points, strict=True)
        ]
        return rows

    def _grid(self) -> Grid:
        columns = [
            Column(name="what", label=""),
            Column(name="value", label="percent", kind="percent", digits=1),
            Column(name="mc_se", label="numerical error", kind="percent", digits=2),
        ]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return self.design

    def _notes(self) -> tuple[str, ...]:
        beliefs = []
        for name, values in self.drawn.items():
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            text = f"{name}: {middle:.3g} (5% to 95%: {low:.3g} to {high:.3g})"
            if name in self.k:
                text += ", k {:.3g} ({:.3g} to {:.3g})".format(*self.k[name])
            beliefs.append(text)
        return (f"Beliefs: {'; '.join(beliefs)}.", f"Convention: {self.convention}.")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Distribution of the power over the beliefs."""
        from wwc_eval.power.charts import plot_assurance

        return plot_assurance(self, ax)


def assurance(
    design: Trial,
    effect: float | Belief,
    uncertain: Mapping[str, Belief],
    *,
    rng: int | np.random.Generator | np.random.SeedSequence,
    target: float = 0.8,
    alpha: float = 0.05,
    sides: int = 2,
    convention: str | Convention = "exact",
    points: int = 1024,
) -> Assurance:
    """Power averaged over beliefs of the ICC or k, the SD, the effect, the retention.

    Parameters
    ----------
    design : Trial
        The design; what is uncertain replaces its own values.
    effect : float or Belief
        The effect; where it is a belief, values that point the other way count with the power that they have against
        the direction of its median (a two-sided rejection in the wrong direction is no success).
    uncertain : mapping of str to Belief
        By name: ``"team.icc"``, ``"team.k"``, ``"child.attrition"`` and other fields of a level; ``"outcome.sd"``,
        ``"outcome.control"``; ``"dilution"``, ``"crossover"``. Beliefs are independent.
    rng : int, Generator or SeedSequence
        Seed of the random shifts.
    target : float
        Power that the trial should have.
    alpha, sides, convention
        As in :meth:`wwc_eval.power.Trial.power`.
    points : int
        Points of each of 16 shifted lattices.

    Returns
    -------
    Assurance
        ``float()`` gives the mean power; ``.short`` is the chance of being under the target.

    Notes
    -----
    Formula: the mean of power(theta) over a Kronecker lattice in the quantiles of the beliefs, shifted at random 16 times;
    the error is that of the 16 means. Source: O'Hagan, Stevens and Campbell 2005 (doi:10.1002/pst.175).

    Examples
    --------
    >>> from wwc_eval.power import Binary, Level
    >>> design = Trial(levels=[Level("child", 60), Level("team", 48, icc=0.05)], assigned="team", outcome=Binary(control=0.22))
    >>> found = assurance(design, -0.08, {"team.icc": Belief.pilot_icc(0.05, clusters=8, size=30)}, rng=1)
    >>> bool(float(found) < float(design.power(-0.08))), bool(0 < found.short < 1)
    (True, True)
    """
    rule = convention_of(convention)
    goal = check_number("target", target, above=0, below=1)
    beliefs = dict(uncertain) | ({"effect": effect} if isinstance(effect, Belief) else {})
    if not beliefs:
        raise DesignError(
            "nothing is uncertain: the assurance is the power", fix="uncertain={'team.icc': Belief.beta(...)}"
        )
    for name, belief in beliefs.items():
        if not isinstance(belief, Belief):
            raise DesignError(f"'{name}' is no Belief", fix="Belief.beta(mean=0.05, sd=0.02)")
    u = _lattice(len(beliefs), int(check_number("points", points, at_least=16)), rng)
    drawn = {name: belief.quantile(u[..., j]) for j, (name, belief) in enumerate(beliefs.items())}
    middle = {name: belief.quantile(np.asarray(0.5)) for name, belief in beliefs.items()}
    given: dict[str, Any] = {"alpha": alpha, "sides": sides, "rule": rule}
    way = np.sign(np.asarray(middle.get("effect", effect), float) - design.outcome.null)
    powers = _power_at(design, drawn, effect, way=float(way), **given)
    planned = float(_power_at(design, middle, effect, way=float(way), **given))
    means, shorts = powers.mean(axis=1), (powers < goal).mean(axis=1)
    return Assurance(
        value=float(means.mean()),
        mc_se=float(means.std(ddof=1) / np.sqrt(SHIFTS)),
        planned=planned,
        short=float(shorts.mean()),
        short_mc_se=float(shorts.std(ddof=1) / np.sqrt(SHIFTS)),
        target=goal,
        powers=powers.ravel(),
        drawn={name: values.ravel() for name, values in drawn.items()},
        k=_k_of(design, drawn),
        design=design.describe(),
        convention=rule.name,
    )


def _lattice(dimensions: int, points: int, rng: int | np.random.Generator | np.random.SeedSequence) -> Array:
    """Kronecker points in the unit cube, for each of the random shifts: shifts x points x dimensions."""
    root = 1.5
    for _ in range(60):  # the positive root of x^(d + 1) = x + 1
        root = (1.0 + root) ** (1.0 / (dimensions + 1.0))
    slopes = (1.0 / root) ** np.arange(1, dimensions + 1)
    shifts = np.random.default_rng(rng).random((SHIFTS, 1, dimensions))
    u = (shifts + np.arange(points)[:, None] * slopes) % 1.0
    return np.clip(u, 1e-12, 1.0 - 1e-12)


def _power_at(
    design: Trial,
    values: Mapping[str, Array],
    effect: float | Belief,
    *,
    way: float,
    alpha: float,
    sides: int,
    rule: Convention,
) -> Array:
    held = changed(design, {name: value for name, value in values.items() if name != "effect"})
    size = np.asarray(values.get("effect", effect), float)
    low, high = held.outcome.bounds()
    outside = (size <= low) | (size >= high)
    if np.mean(outside) > MOST_OUTSIDE:
        raise DesignError(
            f"{100 * float(np.mean(outside)):.1f}% of the belief of the effect is impossible: effects lie between "
            f"{np.max(low):g} and {np.min(high):g}",
            fix="narrow the belief, or give the effect as a ratio",
        )
    room = 1e-9 * np.maximum(np.abs(size), 1e-3)
    size = np.minimum(np.maximum(size, low + room), high - room) if np.any(outside) else size
    with np.errstate(all="ignore"):
        at = held._anatomy(size, rule)
        toward = way * at.ncp
        if sides == 2:  # a rejection in the wrong direction is no success: half of alpha on one side
            power = rule.power(toward, at.df, alpha=np.asarray(alpha) / 2.0, sides=1, stretch=at.stretch)
            back = (
                0.0
                if "effect" in values or not rule.both
                else rule.power(-toward, at.df, alpha=np.asarray(alpha) / 2.0, sides=1, stretch=at.stretch)
            )
            return np.asarray(np.where(at.df >= 1, power + back, 0.0))
        return np.asarray(
            np.where(at.df >= 1, rule.power(toward, at.df, alpha=alpha, sides=1, stretch=at.stretch), 0.0)
        )


def changed(design: Trial, values: Mapping[str, Array]) -> Trial:
    """The design with numbers replaced by name, such as ``"team.icc"``; each is checked, the design as a whole is not."""
    for name, value in values.items():
        design = _with(design, name, value)
    return design


def _with(design: Trial, name: str, value: Array) -> Trial:
    """The design with one number replaced, checked by the level or outcome that holds it."""
    names = [f"{level.name}.{each}" for level in design.levels for each in _LEVEL_FIELDS]
    names += [f"outcome.{each}" for each in design.outcome._values()] + list(_TRIAL_FIELDS) + ["effect"]
    if name not in names:
        raise DesignError(f"nothing in the design is named '{name}'", fix=did_you_mean(name, names))
    if name in _TRIAL_FIELDS:
        return unchecked(design, **{name: value})
    where, _, what = name.rpartition(".")
    if where == "outcome":
        return unchecked(design, outcome=design.outcome.replace(**{what: value}))
    changes: dict[str, Any] = {what: value}
    if what == "k":
        changes["icc"] = 0.0
    if what == "icc":
        changes["k"] = None
    levels = tuple(each.replace(**changes) if each.name == where else each for each in design.levels)
    return unchecked(design, levels=levels)


def _k_of(design: Trial, drawn: Mapping[str, Array]) -> dict[str, tuple[float, float, float]]:
    """Coefficients of variation k that go with each uncertain ICC of a binary outcome, at the control risk."""
    if not isinstance(design.outcome, Binary):
        return {}
    p = np.asarray(drawn.get("outcome.control", design.outcome.control), float)
    found = {}
    for name, icc in drawn.items():
        if name.endswith(".icc"):
            low, middle, high = np.quantile(np.sqrt(icc * (1.0 - p) / p), (0.05, 0.5, 0.95))
            found[name] = (float(middle), float(low), float(high))
    return found

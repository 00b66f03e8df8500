"""Required sizes: the smallest number of units that reaches a power with arms that can be allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError
from wwc_eval.power.checks import Number, check_numbers, plain
from wwc_eval.power.conventions import Convention, convention_of
from wwc_eval.power.kernels import Array
from wwc_eval.power.level import Level
from wwc_eval.power.peers import crtsize_size, powerup_size
from wwc_eval.power.results import RequiredResult, tidy
from wwc_eval.power.roots import bracketed_root
from wwc_eval.power.solving import Anatomy, Solvable, check_test

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["required_units", "unchecked"]

MOST_UNITS = 2**40
T = TypeVar("T")


def required_units(
    trial: Trial,
    level: str,
    effect: Number,
    power: Number,
    *,
    alpha: Number,
    sides: int,
    convention: str | Convention,
    test: Callable[[Trial], Solvable] | None = None,
) -> RequiredResult:
    """See :meth:`wwc_eval.power.Trial.required`; ``test`` gives the test that is made of a trial, where not of its effect."""
    of = test or _itself
    test_level, sides = check_test(alpha, sides)
    rule = convention_of(convention)
    goal = check_numbers("power", power, above=0, below=1)
    value = trial.outcome.check_effect(effect)
    if test is None and np.any(np.asarray(value) == trial.outcome.null):
        raise DesignError(f"effect == {trial.outcome.null:g} is no effect: no number of units detects it")
    shape = np.broadcast_shapes(
        np.shape(value), np.shape(goal), np.shape(test_level), of(trial)._anatomy(value, rule).se.shape
    )

    def reached(n: Array, *, allocated: bool) -> Array:
        changed = _sized(trial, level, n, allocated=allocated)
        with np.errstate(all="ignore"):
            at = of(changed)._anatomy(value, rule)
            df = np.where(at.df >= 1, at.df, np.nan)
            found = rule.power(
                np.abs(at.ncp), np.where(np.isnan(df), 1.0, df), alpha=test_level, sides=sides, stretch=at.stretch
            )
        return np.asarray(np.where(np.isnan(df) | np.isnan(found), 0.0, found) + np.zeros(shape))

    def sized(n: Array) -> Anatomy:
        return of(_sized(trial, level, n, allocated=False))._anatomy(value, rule)

    found: dict[str, Any] = {
        "power": np.asarray(goal) + np.zeros(shape),
        "alpha": np.asarray(test_level),
        "sides": sides,
    }
    df: Array | None = None
    if rule.search == "powerup":
        start = 500.0 if trial.groups is not None and len(trial.levels) == 1 else 10.0
        fraction, df = powerup_size(sized, start=start, **found)
        n = np.round(fraction)
    elif rule.search == "crtsize":
        fraction = crtsize_size(sized, **found)
        n = 2.0 * np.ceil(fraction / 2.0)
    else:
        n, fraction = _smallest(trial, level, goal, reached, shape)
    allocated = rule.search == "smallest"
    done = _sized(trial, level, n, allocated=allocated)
    at = of(done)._anatomy(value, rule)
    target = done.levels[trial.at]
    treated = np.asarray(done.allocation) * np.asarray(target.n)
    less = reached(n - 1.0, allocated=allocated)
    return RequiredResult(
        **tidy(
            value=n,
            power=reached(n, allocated=allocated),
            short=np.where(n > 1, less, np.nan),
            fraction=fraction,
            target=goal,
            effect=value,
            ncp=np.abs(at.ncp),
            df=at.df if df is None else df,
            alpha=test_level,
        ),
        level=level,
        arms=(plain(np.round(treated, 9)), plain(np.round(np.asarray(target.n) - treated, 9))),
        sides=sides,
        convention=rule.name,
        outcome=trial.outcome,
        design=of(done).describe(),
        warnings=done._warnings(value),
    )


def _smallest(
    trial: Trial, level: str, goal: Number, reached: Callable[..., Array], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Smallest whole n whose power, with allocatable arms, reaches the goal; and the fraction that just does."""
    held = level != trial.assigned  # the arms' share is then the same whatever the size

    def smooth(n: Array) -> Array:
        return np.asarray(reached(n, allocated=held))

    low, high = _bracket(trial, level, goal, smooth, shape)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2.0)
        enough = smooth(middle) >= goal
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    fraction = bracketed_root(lambda n: smooth(n) - goal, low, high)
    if held:
        return np.asarray(high), fraction
    # whole units in each arm act at most like half a unit more in each: nothing below this can be enough
    smaller = np.minimum(np.asarray(trial.allocation), 1.0 - np.asarray(trial.allocation))
    n = np.maximum(high - np.ceil(0.5 / smaller) - 1.0, 1.0) + np.zeros(shape)
    for _ in range(10_000):
        short = reached(n, allocated=True) < goal
        if not np.any(short):
            return np.asarray(n), fraction
        n = np.where(short, n + 1.0, n)
    _refuse(level, goal, float(np.min(reached(n, allocated=True))))
    raise AssertionError


def _bracket(
    trial: Trial, level: str, goal: Number, smooth: Callable[[Array], Array], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Whole sizes of which the lower falls short and the upper does not."""
    low, high = np.zeros(shape), np.full(shape, max(float(np.max(np.asarray(trial.level(level).n))), 2.0))
    while True:
        short = smooth(high) < goal
        if not np.any(short):
            break
        low = np.where(short, high, low)
        high = np.where(short, np.ceil(high * 2.0), high)
        if np.max(high) > MOST_UNITS:
            _refuse(level, goal, float(np.min(smooth(np.full(shape, float(MOST_UNITS))))))
    # the normal deviate of the power grows about like the root of the size: one guess shortens the search
    with np.errstate(all="ignore"):
        at = smooth(high)
        bar = special.ndtri(0.975)
        guess = high * ((bar + special.ndtri(np.asarray(goal))) / (bar + special.ndtri(at))) ** 2
    for near in (np.floor(0.98 * guess - 1.0), np.ceil(1.02 * guess + 2.0)):
        inside = np.isfinite(near) & (near > low) & (near < high)
        tried = np.where(inside, near, high)
        enough = smooth(tried) >= goal
        high, low = np.where(enough, tried, high), np.where(inside & ~enough, tried, low)
    return low, high


def _refuse(level: str, goal: Number, limit: float) -> None:
    raise DesignError(
        f"power == {float(np.max(goal)):g} is out of reach: with ever more units of level '{level}' it tends to {limit:.4g}",
        fix="add units of a higher level, or look for a larger effect",
    )


def _sized(trial: Trial, level: str, n: Array, *, allocated: bool) -> Trial:
    """The trial with n units of a level, its arms in whole units if ``allocated``; unchecked, for speed."""
    levels = [_with_n(each, n) if each.name == level else each for each in trial.levels]
    share = trial.allocation
    if allocated:
        units = np.asarray(levels[trial.at].n, float)
        treated = np.clip(np.round(np.asarray(share) * units), 1.0, np.maximum(units - 1.0, 1.0))
        share = treated / units
    return unchecked(trial, levels=tuple(levels), allocation=share)


def _itself(trial: Trial) -> Solvable:
    return trial


def _with_n(level: Level, n: Array) -> Level:
    return unchecked(level, n=n)


def unchecked(thing: T, **changes: object) -> T:
    """Copy with changes that are known to be sound."""
    copy = object.__new__(type(thing))
    for name in thing.__dataclass_fields__:  # type: ignore[attr-defined]
        object.__setattr__(copy, name, changes.get(name, getattr(thing, name)))
    return copy

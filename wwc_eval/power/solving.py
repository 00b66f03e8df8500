"""Power and detectable effects of any design that can say its effect's distance, standard error and df."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.checks import Frozen, Number, check_numbers, plain
from wwc_eval.power.conventions import CONVENTIONS, Convention, convention_of
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Outcome
from wwc_eval.power.results import MdesResult, PowerResult, tidy
from wwc_eval.power.roots import bracketed_root

__all__ = ["Anatomy", "Direction", "Solvable", "check_test"]

Direction = Literal["either", "fall", "rise"]
MOST_ERROR = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """A test at an effect: signed distance from the null, its standard error, the one the test uses, and df."""

    distance: Array
    se: Array
    df: Array
    critical_se: Array | None = None

    @property
    def ncp(self) -> Array:
        """Noncentrality."""
        return np.asarray(self.distance / self.se)

    @property
    def stretch(self) -> Array | None:
        """Standard error that the test uses / standard error under the alternative."""
        return None if self.critical_se is None else np.asarray(self.critical_se / self.se)


def _check_goal(goal: Number, alpha: Number) -> None:
    if np.any(np.asarray(goal) <= np.asarray(alpha)):
        raise DesignError(f"power == {np.min(goal):g}, must be > alpha", fix="any effect has at least that power")


def _differs(rule: Convention, at: Anatomy, power: Array, *, alpha: Number, sides: int) -> tuple[str, ...]:
    """Say where a convention is more than two points of power from the exact one."""
    if rule.name == "exact":
        return ()
    exact = CONVENTIONS["exact"].power(np.abs(at.ncp), at.df, alpha=alpha, sides=sides, stretch=at.stretch)
    gap = np.ravel(power - exact)
    worst = gap[np.argmax(np.abs(gap))]
    if abs(worst) <= MOST_ERROR:
        return ()
    return (
        f"Convention '{rule.name}' gives power up to {100 * abs(worst):.0f} points {'above' if worst > 0 else 'below'} the exact one.",
    )


def _check_df(df: Array) -> None:
    if not np.all(df >= 1):
        raise DesignError(
            f"{float(np.min(df)):g} degrees of freedom, must be >= 1: too few units for the test", fix="add units"
        )


def check_test(alpha: object, sides: object) -> tuple[Number, int]:
    """Level and sides of a test, checked."""
    level = check_numbers("alpha", alpha, above=0, below=1, fix="give alpha as a share, such as 0.05")
    if sides not in {1, 2} or isinstance(sides, bool):
        raise DesignError(f"sides == {sides!r}, must be 1 or 2")
    return level, int(sides)


class Solvable(Frozen):
    """Base of designs whose power has a formula."""

    def _outcome(self) -> Outcome:
        raise NotImplementedError

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        raise NotImplementedError

    def _uniform(self) -> float | None:
        """Factor from an effect to its distance, where the standard error does not depend on the effect."""
        return None

    def describe(self) -> str:
        """The design in one line."""
        raise NotImplementedError

    def _warnings(self, effect: Number) -> tuple[str, ...]:
        """What a reader must know before trusting a figure."""
        del effect
        return ()

    def power(
        self,
        effect: Number | MdesResult,
        *,
        alpha: Number = 0.05,
        sides: int = 2,
        convention: str | Convention = "exact",
    ) -> PowerResult:
        """Power to detect an effect.

        Parameters
        ----------
        effect : float, array or MdesResult
            Effect in the outcome's units: a difference in means, a risk difference (proportion), a rate ratio.
        alpha : float or array
            Level of the test.
        sides : {1, 2}
            Sides of the test; a one-sided test looks in the direction of the effect.
        convention : str
            How power is computed, a key of :data:`wwc_eval.power.CONVENTIONS`.

        Returns
        -------
        PowerResult
            ``float()`` gives the power; inputs that are arrays broadcast.

        Raises
        ------
        DesignError
            If the effect is impossible, or there are too few units for the test.
        """
        level, sides = check_test(alpha, sides)
        rule = convention_of(convention)
        outcome = self._outcome()
        value = outcome.check_effect(effect.effect if isinstance(effect, MdesResult) else effect)
        at = self._anatomy(value, rule)
        _check_df(at.df)
        ncp = np.abs(at.ncp)
        power = rule.power(ncp, at.df, alpha=level, sides=sides, stretch=at.stretch)
        return PowerResult(
            **tidy(value=power, effect=value, ncp=ncp, df=at.df, se=at.se, alpha=level),
            sides=sides,
            convention=rule.name,
            outcome=outcome,
            design=self.describe(),
            warnings=(*_differs(rule, at, power, alpha=level, sides=sides), *self._warnings(value)),
        )

    def mdes(
        self,
        power: Number = 0.8,
        *,
        alpha: Number = 0.05,
        sides: int = 2,
        direction: Direction = "either",
        convention: str | Convention = "exact",
        unreachable: Literal["raise", "nan"] = "raise",
    ) -> MdesResult:
        """Minimum detectable effect: the effect that is detected with a power.

        Parameters
        ----------
        power : float or array
            Power wanted, above ``alpha`` and below 1.
        alpha, sides, convention
            As in :meth:`power`.
        direction : {"either", "fall", "rise"}
            ``either`` gives the size in the direction that needs more; ``.fall`` and ``.rise`` always hold both.
        unreachable : {"raise", "nan"}
            Whether a power that no possible effect has is an error or NaN.

        Returns
        -------
        MdesResult
            ``design.power(result)`` gives ``power`` back in the default convention, to 1e-10.

        Raises
        ------
        DesignError
            If the power is not above alpha, or no possible effect reaches it.
        """
        level, sides = check_test(alpha, sides)
        rule = convention_of(convention)
        check_choice("direction", direction, ("either", "fall", "rise"))
        check_choice("unreachable", unreachable, ("raise", "nan"))
        goal = check_numbers("power", power, above=0, below=1, fix="give power as a share, such as 0.8")
        _check_goal(goal, level)
        outcome = self._outcome()
        _check_df(self._anatomy(outcome.null, rule).df)
        with np.errstate(all="ignore"):
            found = {way: self._detected(goal, level, sides, rule, way) for way in (-1, 1)}
        fall, rise, ncp_fall, ncp_rise = np.broadcast_arrays(found[-1][0], found[1][0], found[-1][1], found[1][1])
        chosen = self._choose(direction, fall, rise, outcome)
        if unreachable == "raise" and np.any(np.isnan(chosen)):
            raise DesignError(
                f"power == {np.max(goal):g} is out of reach: no possible effect in direction '{direction}' has it",
                fix="add units, or ask for another direction; .power(effect) shows what is reached",
            )
        value = np.abs(chosen) if direction == "either" and outcome.null == 0 else chosen
        at = self._anatomy(plain(chosen), rule)
        ncp = np.where(chosen == rise, ncp_rise, ncp_fall)
        return MdesResult(
            **tidy(
                value=value,
                fall=fall,
                rise=rise,
                effect=chosen,
                power=goal,
                ncp=ncp,
                df=at.df,
                se=at.se,
                alpha=level,
            ),
            sides=sides,
            direction=direction,
            convention=rule.name,
            outcome=outcome,
            design=self.describe(),
            warnings=self._warnings(plain(chosen)),
        )

    def _choose(self, direction: Direction, fall: Array, rise: Array, outcome: Outcome) -> Array:
        if direction != "either":
            return np.array(fall if direction == "fall" else rise)
        if outcome.null == 0:
            down, up = -fall, rise
        else:
            down, up = -np.log(fall), np.log(rise)
        # NaN, an effect that cannot be, is further than any effect
        return np.where(np.isnan(down) | (down > up), fall, rise)

    def _detected(
        self, goal: Number, alpha: Number, sides: int, rule: Convention, way: int
    ) -> tuple[Array, Array]:
        """Effect in one direction that has the power, and its noncentrality; NaN where there is none."""
        at = self._anatomy(self._outcome().null, rule)
        target = rule.ncp(goal, at.df, alpha=alpha, sides=sides)

        def excess(now: Anatomy) -> Array:
            reached = rule.power(np.abs(now.ncp), now.df, alpha=alpha, sides=sides, stretch=now.stretch)
            return np.asarray(reached - np.asarray(goal))

        return self._reached(target, rule, way, excess)

    def _reached(
        self, target: Array, rule: Convention, way: int, excess: Callable[[Anatomy], Array]
    ) -> tuple[Array, Array]:
        """Effect in one direction with a noncentrality; with no excess of power where the test has another SE."""
        outcome = self._outcome()
        uniform = self._uniform()
        at = self._anatomy(outcome.null, rule)
        if uniform is not None:
            return np.asarray(way * target * at.se / uniform), target
        shape = np.broadcast_shapes(np.shape(target), at.se.shape, np.shape(outcome.bounds()[0]))

        def gap(share: Array) -> Array:
            now = self._anatomy(plain(_along(outcome, way, share)), rule)
            return np.asarray(np.abs(now.ncp) - target) if now.stretch is None else excess(now)

        near = self._anatomy(plain(_along(outcome, way, np.full(shape, _NEAR))), rule)
        share = _first_crossing(gap, np.asarray(_NEAR * target / np.abs(near.ncp)) + np.zeros(shape))
        effect = _along(outcome, way, share)
        done = self._anatomy(plain(effect), rule)
        return effect, np.abs(done.ncp) + np.zeros(shape)

    def _detected_by(
        self, goal: float, alpha: float, tests: Sequence[tuple[Convention, int]]
    ) -> tuple[Array, Array]:
        """Falls and rises (tests,) that each convention and number of sides detects, of one design; NaN where there is none.

        The conventions share the design's standard error, so that one search finds the effects of all of them.
        """
        if not tests:
            return np.empty(0), np.empty(0)
        first = tests[0][0]
        at = self._anatomy(self._outcome().null, first)
        _check_df(at.df)
        targets = [np.ravel(rule.ncp(goal, at.df, alpha=alpha, sides=sides))[0] for rule, sides in tests]

        def excess(now: Anatomy) -> Array:
            ncp, df = np.abs(now.ncp), now.df + 0.0 * now.ncp
            stretch = None if now.stretch is None else now.stretch + 0.0 * ncp
            found = [
                rule.power(
                    ncp[k], df[k], alpha=alpha, sides=sides, stretch=None if stretch is None else stretch[k]
                )
                for k, (rule, sides) in enumerate(tests)
            ]
            return np.asarray(found, dtype=float) - goal

        with np.errstate(all="ignore"):
            fall, rise = (self._reached(np.asarray(targets), first, way, excess)[0] for way in (-1, 1))
        return np.broadcast_to(fall, (len(tests),)), np.broadcast_to(rise, (len(tests),))


_NEAR = 1e-5
_FAR = 1.0 - 1e-6


def _first_crossing(gap: Callable[[Array], Array], guess: Array) -> Array:
    """Smallest share of the way at which ``gap`` turns positive, NaN where it never does.

    The way is walked from half the straight-line guess in steps of a third, so that a rise and fall is seen.
    """
    low, high = np.zeros(guess.shape), np.full(guess.shape, np.nan)
    step = np.minimum(0.5 * guess, 0.5)
    while np.any(np.isnan(high) & (low < _FAR)):
        enough = gap(step) >= 0
        open_ = np.isnan(high)
        high = np.where(open_ & enough, step, high)
        low = np.where(open_ & ~enough, step, low)
        step = np.where(np.isnan(high), np.minimum(step * 4.0 / 3.0, _FAR), step)
    return bracketed_root(gap, low, high)


def _along(outcome: Outcome, way: int, share: Array) -> Array:
    """Effect at a share of the way from none (0) to the bound (1)."""
    bound = np.asarray(outcome.bounds()[0 if way < 0 else 1], float)
    if outcome.null == 0:
        far = np.where(np.isfinite(bound), bound, 0.0)
        return np.where(np.isfinite(bound), far * share, way * share / (1.0 - share))
    if way < 0:
        return 1.0 - share
    far = np.where(np.isfinite(bound), bound, 1.0)
    return np.where(np.isfinite(bound), 1.0 + (far - 1.0) * share, 1.0 + 4.0 * share / (1.0 - share))


def check_share(name: str, value: object) -> float:
    """A share strictly between 0 and 1."""
    return check_number(name, value, above=0, below=1)

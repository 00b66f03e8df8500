"""Effects other than the plain one: in subgroups, in two-by-two factorial trials, and against a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.checks import Number, check_numbers, plural
from wwc_eval.power.conventions import Convention
from wwc_eval.power.kernels import Array
from wwc_eval.power.nested import degrees_of_freedom, units_in_all
from wwc_eval.power.outcomes import Outcome
from wwc_eval.power.results import PowerResult, RequiredResult
from wwc_eval.power.solving import Anatomy, Solvable

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["Factorial", "Moderation", "NonInferiority"]


class _OnTrial(Solvable):
    """A test that a trial allows."""

    trial: Trial

    def _outcome(self) -> Outcome:
        return self.trial.outcome

    def required(
        self,
        level: str,
        effect: Number,
        power: Number = 0.8,
        *,
        alpha: Number = 0.05,
        sides: int = 2,
        convention: str | Convention = "exact",
    ) -> RequiredResult:
        """Smallest number of units of a level that reaches a power; see :meth:`wwc_eval.power.Trial.required`."""
        from wwc_eval.power.sizing import required_units

        self.trial.level(level)
        return required_units(
            self.trial, level, effect, power, alpha=alpha, sides=sides, convention=convention, test=self._on
        )

    def _on(self, trial: Trial) -> Solvable:
        """The same test of another trial, unchecked."""
        from wwc_eval.power.sizing import unchecked

        return unchecked(self, trial=trial)

    def _warnings(self, effect: Number) -> tuple[str, ...]:
        return self.trial._warnings(effect)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moderation(_OnTrial):
    """How the effect differs between subgroups, or with a continuous moderator: ``trial.moderator(...)``.

    The effect is the difference between the effects in the two subgroups, or for one SD of the moderator.

    Parameters
    ----------
    trial : Trial
        The trial.
    level : str
        Level that the moderator belongs to.
    share : float or array, optional
        Share of the level's units in one subgroup; left out for a continuous moderator.
    heterogeneity : float or array
        For moderators below the assigned level: variance of the moderated effect between assigned units / variance of
        the outcome between them.
    heterogeneity_r2 : float or array
        Share of that variance that covariates explain.

    Notes
    -----
    At or above the assigned level: variance of the plain effect / (q (1 - q)), df two fewer (one at the block level).
    Below it: rho omega (1 - R2) / (P (1 - P) N) at the assigned level plus the parts up to the moderator's level
    over q (1 - q); df N_m - N_m+1 - 2 without heterogeneity, else that of the assigned units. A binary outcome takes
    its variance from the control risk. PowerUp's form at the assigned level has N - 5 for N and for df.
    Source: Dong, Kelcey and Spybrook 2018 (doi:10.1080/00220973.2017.1315714).

    Examples
    --------
    >>> from wwc_eval.power import Level, Trial
    >>> trial = Trial(levels=[Level("child", 20), Level("team", 40, icc=0.2)], assigned="team")
    >>> round(float(trial.moderator("child", share=0.3).mdes()), 4)
    0.3871
    """

    trial: Trial
    level: str
    share: Number | None = None
    heterogeneity: Number = 0.0
    heterogeneity_r2: Number = 0.0

    def __post_init__(self) -> None:
        """Check the moderator."""
        self.trial.level(self.level)
        if self.share is not None:
            self._set("share", check_numbers("share", self.share, above=0, below=1))
        self._set("heterogeneity", check_numbers("heterogeneity", self.heterogeneity, at_least=0))
        self._set(
            "heterogeneity_r2", check_numbers("heterogeneity_r2", self.heterogeneity_r2, at_least=0, below=1)
        )
        if self.trial.outcome.null != 0:
            raise DesignError("a moderated effect needs an outcome whose effect is a difference")
        if self.trial.groups is not None:
            raise DesignError(
                "a moderated effect with groups in one arm only has no formula here", fix="simulate it"
            )
        if np.any(np.asarray(self.heterogeneity) > 0) and self.at >= self.trial.at:
            raise DesignError(
                f"heterogeneity is for moderators below level '{self.trial.assigned}'",
                fix="effect_heterogeneity of the levels above it holds the rest",
            )

    @property
    def at(self) -> int:
        """Position of the moderator's level, 0 the lowest."""
        return [each.name for each in self.trial.levels].index(self.level)

    def _uniform(self) -> float | None:
        return self.trial._uniform() if self.trial.outcome.linear else float(self.trial.kept_effect)

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        trial = self.trial
        spread = np.asarray(1.0) if self.share is None else np.asarray(self.share) * (1.0 - np.asarray(self.share))
        plain = trial._anatomy(trial.outcome.null, convention)
        distance = np.asarray(effect, float) * trial.kept_effect
        if self.at < trial.at:
            return self._below(distance, spread)
        variance = plain.se**2 / spread
        df = plain.df - (1.0 if self.at > trial.at and trial.block_effects == "random" else 2.0)
        if convention.name == "powerup" and self.at == trial.at == len(trial.levels) - 1:
            units = np.asarray(trial.levels[trial.at].kept, float)
            variance, df = variance * units / (units - 5.0), units - 5.0
        return Anatomy(distance=distance, se=np.sqrt(variance), df=df)

    def _below(self, distance: Array, spread: Array) -> Anatomy:
        trial, at = self.trial, self.at
        components = trial._components(trial.outcome.null)
        share = np.asarray(trial.allocation, float)
        cells = share * (1.0 - share)
        variance = np.asarray(0.0)
        for level in range(at + 1):
            part = components[level][1] * (1.0 - np.asarray(trial.levels[level].r2))
            part = part / np.asarray(trial.levels[level].reliability)
            variance = variance + part / (cells * spread * units_in_all(trial, level))
        units = units_in_all(trial, trial.at)
        loose = np.asarray(self.heterogeneity) * (1.0 - np.asarray(self.heterogeneity_r2))
        variance = variance + components[trial.at][1] * loose / (cells * units)
        steady = units_in_all(trial, at) - units_in_all(trial, at + 1) - 2.0
        df = np.where(loose > 0, degrees_of_freedom(trial), steady - np.asarray(trial.levels[at].covariates))
        return Anatomy(distance=distance, se=np.sqrt(variance), df=df)

    def describe(self) -> str:
        """The design in one line."""
        kind = "continuous moderator" if self.share is None else "subgroups"
        return f"{kind} of {plural(self.level)}; {self.trial.describe()}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorial(_OnTrial):
    """A two-by-two factorial trial: ``trial.factorial(...)``; its main effects, and ``.interaction``.

    Parameters
    ----------
    trial : Trial
        The trial of the first factor.
    second : float
        Share of the assigned units that get the second factor.
    effect : {"main", "interaction"}
        The first factor's effect over both levels of the second, or how much it differs between them.

    Notes
    -----
    Main effect: the variance of a two-arm trial of all units, two df fewer. Interaction, a difference of differences:
    that variance / (Q (1 - Q)).

    Examples
    --------
    >>> from wwc_eval.power import Level, Trial
    >>> design = Trial(levels=[Level("family", 1800)], assigned="family").factorial()
    >>> round(float(design.mdes(convention="normal")), 4), round(float(design.interaction.mdes(convention="normal")), 4)
    (0.1321, 0.2641)
    """

    trial: Trial
    second: float = 0.5
    effect: Literal["main", "interaction"] = "main"

    def __post_init__(self) -> None:
        """Check the share."""
        self._set("second", check_number("second", self.second, above=0, below=1))
        check_choice("effect", self.effect, ("main", "interaction"))
        if self.trial.outcome.null != 0:
            raise DesignError("a factorial trial needs an outcome whose effect is a difference")

    @property
    def interaction(self) -> Factorial:
        """The test of the interaction."""
        return self.replace(effect="interaction")

    def _uniform(self) -> float | None:
        return self.trial._uniform()

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        plain = self.trial._anatomy(effect, convention)
        lost = np.asarray(2.0)
        if self.trial.at < len(self.trial.levels) - 1:
            blocks = units_in_all(self.trial, self.trial.at + 1)
            lost = {"random": np.asarray(0.0), "fixed": 2.0 * blocks, "constant": lost}[self.trial.block_effects]
        factor = 1.0 if self.effect == "main" else float(self.second * (1.0 - self.second))
        return Anatomy(distance=plain.distance, se=plain.se / np.sqrt(factor), df=plain.df - lost)

    def describe(self) -> str:
        """The design in one line."""
        return f"2 x 2 factorial, {self.effect} effect; {self.trial.describe()}"


@dataclass(frozen=True, kw_only=True, eq=False)
class NonInferiority(_OnTrial):
    """Whether a programme is not worse than usual practice by a margin: ``trial.non_inferiority(...)``.

    Parameters
    ----------
    trial : Trial
        The trial.
    margin : float or array
        The effect, signed and in the outcome's units, beyond which the programme is worse: -0.05 where more is better
        and a loss of five points is too much.

    Notes
    -----
    A one-sided t test of effect = margin; the default level is 0.025, that of a 95% interval's end.
    Source: Piaggio, Elbourne, Pocock, Evans and Altman 2012 (doi:10.1001/jama.2012.87802).

    Examples
    --------
    >>> from wwc_eval.power import Binary, Level, Trial
    >>> trial = Trial(levels=[Level("family", 1200)], assigned="family", outcome=Binary(control=0.3))
    >>> round(float(trial.non_inferiority(margin=0.08).power()), 3)
    0.856
    """

    trial: Trial
    margin: Number

    def __post_init__(self) -> None:
        """Check the margin."""
        self._set("margin", self.trial.outcome.check_effect(self.margin))
        if np.any(np.asarray(self.margin) == self.trial.outcome.null):
            raise DesignError(
                f"margin == {self.trial.outcome.null:g} is no effect", fix="that is a superiority trial"
            )

    @property
    def way(self) -> Array:
        """1 where larger is better, -1 where smaller is."""
        return np.where(np.asarray(self.margin) < self.trial.outcome.null, 1.0, -1.0)

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        outcome, trial = self.trial.outcome, self.trial
        treated, control = outcome.diluted(self.margin, dilution=trial.dilution, crossover=trial.crossover)
        at = trial._anatomy(effect, convention)
        return Anatomy(
            distance=np.asarray(self.way * (at.distance - outcome.distance(treated, control))),
            se=at.se,
            df=at.df,
            critical_se=at.critical_se,
        )

    def power(  # type: ignore[override]
        self, effect: Number | None = None, *, alpha: Number = 0.025, convention: str | Convention = "exact"
    ) -> PowerResult:
        """Power to show that the effect is not beyond the margin; ``effect`` is the true one, none by default."""
        value = self.trial.outcome.null if effect is None else self.trial.outcome.check_effect(effect)
        with np.errstate(all="ignore"):
            beyond = self._anatomy(value, _exact()).distance <= 0
        if np.any(beyond):
            raise DesignError("the effect is at or beyond the margin: the programme would truly be inferior")
        return super().power(value, alpha=alpha, sides=1, convention=convention)

    def required(  # type: ignore[override]
        self,
        level: str,
        effect: Number | None = None,
        power: Number = 0.8,
        *,
        alpha: Number = 0.025,
        convention: str | Convention = "exact",
    ) -> RequiredResult:
        """Smallest number of units of a level that shows non-inferiority with a power."""
        self.power(effect, alpha=alpha)
        value = self.trial.outcome.null if effect is None else effect
        return super().required(level, value, power, alpha=alpha, sides=1, convention=convention)

    def mdes(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Not defined: ask for the power of the margin instead."""
        del args, kwargs
        raise DesignError("non-inferiority has a margin, not an MDES", fix=".power() for margins as an array")

    def describe(self) -> str:
        """The design in one line."""
        return f"non-inferiority, margin {np.asarray(self.margin)}; {self.trial.describe()}"


def _exact() -> Convention:
    from wwc_eval.power.conventions import CONVENTIONS

    return CONVENTIONS["exact"]

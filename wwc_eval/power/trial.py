"""One design for every nested trial: one to four levels, treatment at any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean, shown
from wwc_eval.power.cautions import cautions
from wwc_eval.power.checks import Number, check_numbers, plural
from wwc_eval.power.conventions import Convention
from wwc_eval.power.kernels import Array
from wwc_eval.power.level import Level
from wwc_eval.power.nested import SIZE_METHODS, degrees_of_freedom, effect_variance
from wwc_eval.power.outcomes import Components, Continuous, Outcome
from wwc_eval.power.parts import Baseline, TreatedGroups
from wwc_eval.power.results import RequiredResult
from wwc_eval.power.solving import Anatomy, Solvable

if TYPE_CHECKING:
    from wwc_eval.power.arms import MultiArm
    from wwc_eval.power.assurance import Assurance
    from wwc_eval.power.beliefs import Belief
    from wwc_eval.power.contrasts import Factorial, Moderation, NonInferiority
    from wwc_eval.power.grids import PowerContour, PowerCurve
    from wwc_eval.power.stages import Stages
    from wwc_eval.table import Table

if TYPE_CHECKING:
    from wwc_eval.power.simulation.result import Simulation

__all__ = ["Trial"]

MOST_LEVELS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial(Solvable):
    """A trial of two arms whose units are nested: children in teams in local authorities, say.

    Parameters
    ----------
    levels : sequence of Level
        From the lowest to the top, one to four.
    assigned : str
        Name of the level whose units are randomised. Levels above it are blocks.
    allocation : float or array
        Share of the assigned units in the treated arm (within each block).
    block_effects : {"random", "fixed", "constant"}
        Whether the effect differs between blocks as in a population of them (``random``, with
        ``effect_heterogeneity``), in these blocks only (``fixed``: blocks and block-by-arm terms), or not at all
        (``constant``: block terms).
    outcome : Continuous, Binary, Rate or TimeToEvent
        What is measured.
    baseline : Baseline, optional
        A baseline measure of the outcome.
    groups : TreatedGroups, optional
        Groups in the treated arm only.
    dilution, crossover : float or array
        Share of the treated arm that does not get the programme, and of the control arm that does. Effects are those
        of getting it; the test is of intention to treat.
    size_method : {"taylor", "eldridge", "unweighted", "ignored"}
        How ``size_cv`` of the levels counts: by the analysis that weights best (mixed models), by size, or not at all
        (plain means of units' means).
    df : float, array or "two_arm", optional
        Degrees of freedom of the test, where they are not those of the design; infinity for a z test. ``two_arm``:
        Satterthwaite over the arms as if a block's children of one arm were one of P x blocks units (PowerUp's partially
        nested designs in blocks).

    Raises
    ------
    DesignError
        If the parts do not fit; the error names the limit.

    Notes
    -----
    With equal sizes var(effect) = sum over random blocks of rho omega (1 - R2T) / N + sum over the levels at or below
    the assigned one of rho (1 - R2) / (P (1 - P) N): rho variance share, omega effect heterogeneity, N units of the
    level in all, P allocation. df: see docs/methods/power.md.
    Sources: Dong and Maynard 2013 (doi:10.1080/19345747.2012.673143); Hedges and Rhoads 2010 (NCSER 2010-3006).

    Examples
    --------
    >>> from wwc_eval.power import Binary
    >>> design = Trial(levels=[Level("child", 60), Level("team", 48, icc=0.05)], assigned="team", outcome=Binary(control=0.22))
    >>> round(float(design.mdes(power=0.80)), 4)
    0.0932
    >>> int(design.required("team", effect=-0.08))
    49
    """

    levels: Sequence[Level]
    assigned: str
    allocation: Number = 0.5
    block_effects: Literal["random", "fixed", "constant"] = "random"
    outcome: Outcome = field(default_factory=Continuous)
    baseline: Baseline | None = None
    groups: TreatedGroups | None = None
    dilution: Number = 0.0
    crossover: Number = 0.0
    size_method: Literal["taylor", "eldridge", "unweighted", "ignored"] = "taylor"
    df: Number | Literal["two_arm"] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit."""
        self._check_levels()
        self._set("allocation", check_numbers("allocation", self.allocation, above=0, below=1))
        check_choice("block_effects", self.block_effects, ("random", "fixed", "constant"))
        check_choice("size_method", self.size_method, SIZE_METHODS)
        if not isinstance(self.outcome, Outcome):
            raise DesignError(
                f"outcome == {shown(self.outcome)}, must be an outcome",
                fix="Continuous(), Binary(control=0.22), ...",
            )
        self._set("dilution", check_numbers("dilution", self.dilution, at_least=0, below=1))
        self._set("crossover", check_numbers("crossover", self.crossover, at_least=0, below=1))
        if np.any(np.asarray(self.kept_effect) <= 0):
            raise DesignError(
                "dilution and crossover sum to 1 or more, must be < 1", fix="no effect would be left"
            )
        if self.df is not None and not (isinstance(self.df, str) and self.df == "two_arm"):
            infinite = not isinstance(self.df, str) and np.all(np.asarray(self.df, float) == np.inf)
            self._set("df", float("inf") if infinite else check_numbers("df", self.df, above=0))
        if self.baseline is not None:
            self.baseline.check(self.levels)
        if self.groups is not None and self.outcome.null != 0:
            raise DesignError("groups in the treated arm only need an outcome whose effect is a difference")
        with np.errstate(all="ignore"):
            self._checked_anatomy()

    def _check_levels(self) -> None:
        levels = (self.levels,) if isinstance(self.levels, Level) else tuple(self.levels)
        if not levels or not all(isinstance(each, Level) for each in levels):
            raise DesignError("levels must be a list of Level, lowest first", fix="levels=[Level('child', 200)]")
        if len(levels) > MOST_LEVELS:
            raise DesignError(
                f"{len(levels)} levels, at most {MOST_LEVELS} have formulas", fix="leave out a level, or simulate"
            )
        names = [each.name for each in levels]
        if len(set(names)) < len(names):
            raise DesignError(f"levels {names} share a name", fix="name each level once")
        if self.assigned not in names:
            raise DesignError(
                f"assigned == {shown(self.assigned)} is no level", fix=did_you_mean(str(self.assigned), names)
            )
        if np.any(np.asarray(levels[0].icc) > 0) or levels[0].k is not None:
            raise DesignError(
                f"level '{names[0]}' is the lowest and has icc or k",
                fix="give icc to the levels above; the lowest has the rest",
            )
        total = sum((np.asarray(each.icc, float) for each in levels), np.asarray(0.0))
        if np.any(total > 1):
            raise DesignError(f"the ICCs of the levels sum to {float(np.max(total)):g}, must be <= 1")
        for each in levels[1:]:
            if np.any(np.asarray(each.reliability) < 1):
                raise DesignError(f"reliability of level '{each.name}', only the lowest level has one")
        self._set("levels", levels)

    def _checked_anatomy(self) -> None:
        """The test at no effect can be computed, with a degree of freedom and a unit in each arm."""
        level = self.levels[self.at]
        df = np.asarray(degrees_of_freedom(self, self._components(self.outcome.null)))
        if np.any(~(df >= 1)):
            lowest = float(np.nanmin(np.where(np.isnan(df), -np.inf, df)))
            where = level.name if self.at == len(self.levels) - 1 else self.levels[-1].name
            raise DesignError(
                f"{max(lowest, -1e9):g} degrees of freedom, must be >= 1: too few units of level '{where}' for the test",
                fix=f"add {plural(where)}, drop covariates, or take block_effects='fixed' or 'constant'",
            )
        share = np.asarray(self.allocation, float)
        smaller = np.min(np.minimum(share, 1.0 - share) * np.asarray(level.kept, float))
        if not smaller > 0:
            raise DesignError(f"an arm has {smaller:g} units of level '{level.name}', must be > 0")

    @cached_property
    def at(self) -> int:
        """Position of the assigned level, 0 the lowest."""
        return [each.name for each in self.levels].index(self.assigned)

    @property
    def kept_effect(self) -> Array:
        """Share of the effect that intention to treat keeps: 1 - dilution - crossover."""
        return np.asarray(1.0 - np.asarray(self.dilution, float) - np.asarray(self.crossover, float))

    def level(self, name: str) -> Level:
        """The level of a name."""
        names = [each.name for each in self.levels]
        if name not in names:
            raise DesignError(f"no level '{name}'", fix=did_you_mean(name, names))
        return self.levels[names.index(name)]

    def with_level(self, name: str, **changes: Any) -> Self:
        """Copy in which one level has changes.

        Examples
        --------
        >>> Trial(levels=[Level("family", 400)], assigned="family").with_level("family", n=300).level("family").n
        300.0
        """
        changed = self.level(name).replace(**changes)
        return self.replace(levels=[changed if each.name == name else each for each in self.levels])

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
        """Smallest number of units of a level that reaches a power, with arms that can be allocated.

        Parameters
        ----------
        level : str
            Level whose ``n`` is sought (its units for each unit of the next level up; of the top level, in all).
        effect : float or array
            Effect, in the outcome's units.
        power : float or array
            Power wanted.
        alpha, sides, convention
            As in :meth:`power`.

        Returns
        -------
        RequiredResult
            ``int()`` gives it. Arms are whole units within one of the stated share; with one unit fewer the power falls
            short. In conventions that round to nearest, what their programs print.

        Raises
        ------
        DesignError
            If no number of units of that level reaches the power; the error names the power that it tends to.
        """
        from wwc_eval.power.sizing import required_units

        self.level(level)
        return required_units(self, level, effect, power, alpha=alpha, sides=sides, convention=convention)

    def moderator(
        self,
        level: str,
        *,
        share: Number | None = None,
        heterogeneity: Number = 0.0,
        heterogeneity_r2: Number = 0.0,
    ) -> Moderation:
        """How the effect differs between subgroups; see :class:`~wwc_eval.power.contrasts.Moderation`."""
        from wwc_eval.power.contrasts import Moderation

        return Moderation(
            trial=self, level=level, share=share, heterogeneity=heterogeneity, heterogeneity_r2=heterogeneity_r2
        )

    def factorial(self, second: float = 0.5) -> Factorial:
        """A second factor crossed with this one; see :class:`~wwc_eval.power.contrasts.Factorial`."""
        from wwc_eval.power.contrasts import Factorial

        return Factorial(trial=self, second=second)

    def non_inferiority(self, margin: Number) -> NonInferiority:
        """The test against a margin; see :class:`~wwc_eval.power.contrasts.NonInferiority`."""
        from wwc_eval.power.contrasts import NonInferiority

        return NonInferiority(trial=self, margin=margin)

    def arms(self, shares: Sequence[float], *, names: Sequence[str] | None = None) -> MultiArm:
        """Several arms, the control first; see :class:`~wwc_eval.power.arms.MultiArm`."""
        from wwc_eval.power.arms import MultiArm

        return MultiArm(trial=self, shares=tuple(shares), names=tuple(names) if names is not None else ())

    def assurance(self, effect: float | Belief, uncertain: Mapping[str, Belief], **options: Any) -> Assurance:
        """Power averaged over beliefs; see :func:`~wwc_eval.power.assurance.assurance`."""
        from wwc_eval.power.assurance import assurance

        return assurance(self, effect, uncertain, **options)

    def mdes_table(self, vary: Mapping[str, Sequence[float]], **options: Any) -> Table:
        """Detectable effects over combinations of values; see :func:`~wwc_eval.power.grids.mdes_table`."""
        from wwc_eval.power.grids import mdes_table

        return mdes_table(self, vary, **options)

    def curve(self, over: str, values: Sequence[float], **options: Any) -> PowerCurve:
        """Power along one number; see :func:`~wwc_eval.power.grids.power_curve`."""
        from wwc_eval.power.grids import power_curve

        return power_curve(self, over, values, **options)

    def contour(
        self, x: tuple[str, Sequence[float]], y: tuple[str, Sequence[float]], **options: Any
    ) -> PowerContour:
        """Power or detectable effect over a plane; see :func:`~wwc_eval.power.grids.power_contour`."""
        from wwc_eval.power.grids import power_contour

        return power_contour(self, x, y, **options)

    def stages(self, **options: Any) -> Stages:
        """What can be detected at protocol, randomisation, analysis; see :func:`~wwc_eval.power.stages.power_stages`."""
        from wwc_eval.power.stages import power_stages

        return power_stages(self, **options)

    def simulate(
        self,
        effect: float,
        reps: int = 10_000,
        *,
        rng: Any,
        analysis: str | Sequence[str] | None = None,
        drift_sd: float = 0.0,
        alpha: float = 0.05,
        n_jobs: int | None = 1,
        progress: bool = False,
        directory: Any = None,
        null: bool = False,
    ) -> Simulation:
        """Simulate the trial with the analyses that will be made of it.

        Parameters
        ----------
        effect : float
            True effect in the outcome's units; without an effect ``.power`` is the type I error.
        reps : int
            Replicates.
        rng : int, Generator or SeedSequence
            Source of randomness.
        analysis : str or sequence of str, optional
            Continuous: ``mixed_model`` (Satterthwaite; the default), ``kenward_roger``, ``regression``,
            ``regression_cr2``, ``regression_cr3``, ``cluster_summaries``, ``randomisation_test``. Binary and rate:
            ``cluster_summaries`` (the default), ``regression``, ``regression_cr2``, ``regression_cr3``,
            ``mixed_model`` (Laplace, Wald), ``randomisation_test``. Time to an event: ``cox_cr1`` (cluster-robust; the
            default), ``cox``, ``cluster_summaries`` (log rates).
        drift_sd : float
            For designs with periods; a trial has one, so it must be 0.
        alpha : float
            Two-sided level.
        n_jobs, progress, directory
            Workers (joblib), progress bar, and a directory in which finished chunks are kept.
        null : bool
            Whether to simulate the trial without an effect as well, for ``.type_one``.

        Returns
        -------
        Simulation
            ``.power, .power_mc_se, .bias, .coverage, .type_m, .to_frame()``; other analyses by name.

        Raises
        ------
        DesignError
            If the analysis is unknown, or a part of the design is not simulated.
        """
        from wwc_eval.power.simulation.simulate import simulate_trial

        how: dict[str, Any] = {"alpha": alpha, "n_jobs": n_jobs, "progress": progress, "directory": directory}
        return simulate_trial(self, effect, analysis, drift_sd, reps=reps, rng=rng, null=null, **how)

    def _outcome(self) -> Outcome:
        return self.outcome

    def _components(self, effect: Number) -> Components:
        treated, control = self.outcome.diluted(effect, dilution=self.dilution, crossover=self.crossover)
        return self._parts(treated, control)[0]

    def _parts(self, treated: Array, control: Array) -> tuple[Components, Components | None]:
        upper = self.levels[1:]
        given = {"icc": [each.icc for each in upper], "k": [each.k for each in upper], "share": self.allocation}
        return (
            self.outcome.components(treated, control, **given),  # type: ignore[arg-type]
            self.outcome.critical_components(treated, control, **given),  # type: ignore[arg-type]
        )

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        treated, control = self.outcome.diluted(effect, dilution=self.dilution, crossover=self.crossover)
        components, critical = self._parts(treated, control)
        fewer = convention.extra_clusters
        variance = effect_variance(self, components, fewer=fewer)
        return Anatomy(
            distance=self.outcome.distance(treated, control),
            se=np.sqrt(variance),
            df=degrees_of_freedom(self, components),
            critical_se=None if critical is None else np.sqrt(effect_variance(self, critical, fewer=fewer)),
        )

    def _uniform(self) -> float | None:
        if not self.outcome.linear:
            return None
        kept = self.kept_effect
        return float(kept) if kept.ndim == 0 else None

    def _warnings(self, effect: Number) -> tuple[str, ...]:
        return cautions(self, effect)

    def describe(self) -> str:
        """The design in one line."""
        sizes = [_size(level) for level in self.levels]
        nest = " in ".join(f"{size} {plural(level.name)}" for size, level in zip(sizes, self.levels, strict=True))
        share = np.asarray(self.allocation)
        arms = f"{100 * float(share):.3g}% treated" if share.ndim == 0 else "several allocations"
        blocks = f", {self.block_effects} block effects" if self.at < len(self.levels) - 1 else ""
        return f"{nest}; {plural(self.assigned)} assigned, {arms}{blocks}; {self.outcome.describe()}"


def _size(level: Level) -> str:
    n = np.asarray(level.n)
    return f"{float(n):,g}" if n.ndim == 0 else f"{n.min():,g} to {n.max():,g}"

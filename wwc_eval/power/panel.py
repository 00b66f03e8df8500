"""Power of difference-in-differences on a panel of local authorities, with serial correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.checks import Number, check_numbers
from wwc_eval.power.conventions import CONVENTIONS, Convention
from wwc_eval.power.events import Rate
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Binary, Continuous, Outcome
from wwc_eval.power.solving import Anatomy, Solvable

if TYPE_CHECKING:
    from wwc_eval.power.results import RequiredResult
    from wwc_eval.power.simulation.result import Simulation

__all__ = ["PanelDiD", "placebo_power"]

FEW_TREATED = 5
MOST_ERROR = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class PanelDiD(Solvable):
    """A panel of local authorities (LAs), some treated from some period on, analysed with effects of LAs and periods.

    Parameters
    ----------
    treatment : (LAs, periods) array
        1 in treated periods, 0 otherwise; cohorts may start at different times.
    noise_sd : float or array
        SD of the deviations of an LA's true mean (risk, rate) in a period from the effects of LAs and periods, in the
        outcome's units.
    rho : float or array
        Correlation of an LA's deviations in adjacent periods (AR(1)).
    population : float or array, optional
        Children (exposure for a rate) behind each mean: one number, (LAs, 1) or (LAs, periods). Adds their sampling
        variance; none is added where nothing is said.
    outcome : Continuous, Binary or Rate
        Its variances are those without treatment. Rates are compared by their difference; the effect is a ratio.
    estimator : {"ols", "gls"}
        Ordinary least squares (two-way fixed effects) or generalised least squares with the covariance planned.
    df : {"clusters", "z"} or float
        LAs - 2, normal, or a number.

    Raises
    ------
    DesignError
        If a number is outside its range or the effect cannot be told apart from LAs and periods.

    Notes
    -----
    Formula: ``b = h'y / h't`` with h the treatment less its fit on the effects of LAs and periods, ``var(b) = h'V h / (h't)^2``,
    V block diagonal with ``noise_sd^2 rho^|s - t|`` and the sampling variances. With staggered cohorts b is the effect only
    if it is the same in all cohorts and periods.
    Sources: Bertrand, Duflo and Mullainathan 2004 (doi:10.1162/003355304772839588); Burlig, Preonas and Woerman 2020
    (doi:10.1016/j.jdeveco.2020.102458).

    Examples
    --------
    >>> design = PanelDiD.standard(treated=6, control=60, pre=5, post=3, noise_sd=4.0, rho=0.6, outcome=Continuous(sd=1))
    >>> round(float(design.mdes(power=0.8)), 2)
    4.47
    """

    treatment: Any
    noise_sd: Number
    rho: Number = 0.0
    population: Any = None
    outcome: Outcome = field(default_factory=Continuous)
    estimator: str = "ols"
    df: str | float = "clusters"

    def __post_init__(self) -> None:
        """Check everything."""
        found = np.array(self.treatment, dtype=float)
        if found.ndim != 2 or not np.isin(found, (0.0, 1.0)).all():
            raise DesignError("treatment must be an array (LAs, periods) of 0 and 1")
        found.flags.writeable = False
        self._set("treatment", found)
        self._set("noise_sd", check_numbers("noise_sd", self.noise_sd, at_least=0))
        self._set("rho", check_numbers("rho", self.rho, above=-1, below=1))
        check_choice("estimator", self.estimator, ("ols", "gls"))
        if not isinstance(self.outcome, (Continuous, Binary, Rate)):
            raise DesignError("outcome must be Continuous, Binary or Rate")
        if self.population is not None:
            given = np.asarray(check_numbers("population", self.population, above=0))
            try:
                np.broadcast_to(given, found.shape)
            except ValueError:
                raise DesignError(f"population has shape {given.shape}, must fit {found.shape}") from None
            self._set("population", given)
        if isinstance(self.df, str):
            check_choice("df", self.df, ("clusters", "z"))
        else:
            self._set("df", check_number("df", self.df, above=0))
        if len(found) < 3:
            raise DesignError(f"{len(found)} LAs, a panel needs at least 3")
        h = self._residual
        if not (h**2).sum() > 1e-9:
            raise DesignError(
                "the effect cannot be told apart from LAs and periods",
                rule="there must be untreated LAs, or cohorts that start at different times, and a period before treatment",
            )

    @classmethod
    def standard(cls, *, treated: int, control: int, pre: int, post: int, **rest: Any) -> PanelDiD:
        """Treated LAs that all start after ``pre`` periods, and LAs that never do."""
        names = {"treated": treated, "control": control, "pre": pre, "post": post}
        sizes = {name: int(check_number(name, value, at_least=1)) for name, value in names.items()}
        arm = np.arange(sizes["treated"] + sizes["control"]) < sizes["treated"]
        after = np.arange(sizes["pre"] + sizes["post"]) >= sizes["pre"]
        return cls(treatment=(arm[:, None] & after).astype(float), **rest)

    @classmethod
    def staggered(cls, *, starts: Sequence[int], control: int, periods: int, **rest: Any) -> PanelDiD:
        """One LA for each start (first treated period, counted from 0), and LAs that never start."""
        first = np.r_[
            np.asarray(starts, dtype=float), np.full(int(check_number("control", control, at_least=0)), np.inf)
        ]
        return cls(treatment=(np.arange(int(periods)) >= first[:, None]).astype(float), **rest)

    # --- the formula

    @property
    def _residual(self) -> Array:
        """Treatment less its fit on LAs and periods."""
        T = self.treatment
        return np.asarray(T - T.mean(axis=1, keepdims=True) - T.mean(axis=0) + T.mean())

    def covariance(self) -> Array:
        """Covariance (..., LAs, periods, periods) of the means of each LA."""
        periods = np.arange(self.treatment.shape[1])
        gap = np.abs(periods[:, None] - periods)
        sd, rho = (np.asarray(x, float)[..., None, None, None] for x in (self.noise_sd, self.rho))
        V = sd**2 * rho**gap * np.ones((len(self.treatment), 1, 1))
        if self.population is not None:
            own = self._own_variance / np.broadcast_to(self.population, self.treatment.shape)
            V = V + own[:, :, None] * np.eye(len(periods))
        return np.asarray(V)

    @property
    def _own_variance(self) -> float:
        outcome: Any = self.outcome
        if isinstance(outcome, Continuous):
            return float(np.ravel(outcome.sd)[0]) ** 2
        control = float(np.ravel(outcome.control)[0])
        return (
            control * (1.0 - control)
            if isinstance(outcome, Binary)
            else control * float(np.ravel(outcome.dispersion)[0])
        )

    def _outcome(self) -> Outcome:
        return self.outcome

    def distance(self, effect: Number) -> Array:
        """The effect as a difference in means, risks or rates."""
        treated, control = self.outcome.means(effect)
        return np.asarray(treated - control)

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        del convention
        V = self.covariance()
        if self.estimator == "ols":
            h = self._residual
            spread = np.einsum("kp,...kpq,kq->...", h, V, h)
            se = np.sqrt(spread) / (h**2).sum()
        else:
            se = np.sqrt(self._gls_variance(V))
        named = {"z": math.inf, "clusters": len(self.treatment) - 2.0}
        df = named[self.df] if isinstance(self.df, str) else self.df
        distance = self.distance(effect)
        return Anatomy(distance=distance, se=se + 0.0 * distance, df=np.asarray(df, float))

    def _gls_variance(self, V: Array) -> Array:
        """Variance by generalised least squares, effects of LAs eliminated one by one."""
        T, (count, periods) = self.treatment, self.treatment.shape
        X = np.concatenate(
            [T[:, :, None], np.broadcast_to(np.eye(periods)[:, 1:], (count, periods, periods - 1))], axis=2
        )
        one = np.ones((count, periods, 1))
        both = np.concatenate([X, one], axis=2)
        solved = np.linalg.solve(V, np.broadcast_to(both, (*V.shape[:-2], *both.shape[1:])))
        inner = np.swapaxes(both, 1, 2) @ solved
        shared = inner[..., :-1, -1:]
        information = (inner[..., :-1, :-1] - shared @ np.swapaxes(shared, -1, -2) / inner[..., -1:, -1:]).sum(
            axis=-3
        )
        return np.asarray(np.linalg.inv(information)[..., 0, 0])

    def _warnings(self, effect: Number) -> tuple[str, ...]:
        from wwc_eval.power.kernels import t_power

        notes = []
        treated = int((self.treatment.max(axis=1) > 0).sum())
        if treated <= FEW_TREATED:
            notes.append(
                f"With {treated} treated LAs clustered standard errors reject a true null far too often; plan a permutation "
                "test, and simulate."
            )
        if self.df == "z":
            ncp = np.abs(self._anatomy(effect, CONVENTIONS["exact"]).ncp)
            most = float(np.max(t_power(ncp, np.inf) - t_power(ncp, len(self.treatment) - 2.0)))
            if most > MOST_ERROR:
                notes.append(
                    f"The normal distribution with {len(self.treatment)} LAs overstates power by {100 * most:.0f} points; take "
                    "df='clusters'."
                )
        return tuple(notes)

    def required(
        self,
        level: Literal["treated", "control"],
        effect: float,
        power: float = 0.8,
        *,
        alpha: float = 0.05,
        sides: int = 2,
        convention: str | Convention = "exact",
    ) -> RequiredResult:
        """Smallest number of LAs of one kind that reaches a power, the others as they are.

        Parameters
        ----------
        level : {"treated", "control"}
            ``treated`` repeats the design's cohorts whole; ``control`` adds LAs that are never treated.
        effect : float
            Effect to detect, in the outcome's units.
        power, alpha, sides, convention
            As in :meth:`mdes`.

        Returns
        -------
        RequiredResult
            ``int()`` gives it; ``.arms`` holds treated and control LAs, ``.short`` the power of one step fewer.

        Raises
        ------
        DesignError
            If no number reaches the power, or populations are given LA by LA.

        Examples
        --------
        >>> design = PanelDiD.standard(treated=6, control=60, pre=5, post=3, noise_sd=4.0, rho=0.6)
        >>> int(design.required("treated", 3.5))
        11
        """
        from wwc_eval.power.panel_solve import required_las

        return required_las(self, level, effect, power=power, alpha=alpha, sides=sides, convention=convention)

    def describe(self) -> str:
        """The design in one line."""
        treated = int((self.treatment.max(axis=1) > 0).sum())
        starts = len(np.unique(self.treatment[self.treatment.max(axis=1) > 0], axis=0))
        cohorts = f" in {starts} cohorts" if starts > 1 else ""
        return (
            f"{treated} treated{cohorts} and {len(self.treatment) - treated} other LAs over {self.treatment.shape[1]} periods, "
            f"{self.outcome.describe()}; noise SD {np.max(self.noise_sd):g}, AR(1) {np.max(self.rho):g}; df {self.df}"
        )

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
        """Simulate the panel with the analyses that will be made of it.

        Parameters
        ----------
        effect : float
            True effect in the outcome's units.
        reps, rng, alpha, n_jobs, progress, directory, null
            As in :meth:`wwc_eval.power.SteppedWedge.simulate`.
        analysis : str or sequence of str, optional
            ``permutation`` (treatment paths over LAs; the default), ``regression_cr1`` (the usual clustered errors),
            ``regression_cr2``, ``regression_cr3``, all of two-way fixed effects.
        drift_sd : float
            SD of independent deviations added to every LA and period.
        """
        from wwc_eval.power.simulation.panels import PANEL, PanelSimulator
        from wwc_eval.power.simulation.simulate import chosen, simulate

        drift = check_number("drift_sd", drift_sd, at_least=0)
        size = float(np.ravel(self.outcome.check_effect(effect))[0])
        names = chosen(analysis, PANEL, "permutation")
        simulator = PanelSimulator(design=self, effect=size, drift_sd=drift, analyses=names)
        how: dict[str, Any] = {"alpha": alpha, "n_jobs": n_jobs, "progress": progress, "directory": directory}
        return simulate(simulator, self, drift_sd=drift, reps=reps, rng=rng, null=null, **how)


def placebo_power(
    panel: Any,
    *,
    unit: str,
    time: str,
    outcome: str,
    treated: int,
    pre: int,
    post: int,
    effect: float = 0.0,
    scale: str = "difference",
    reps: int = 10_000,
    rng: Any,
    analysis: str | Sequence[str] | None = None,
    alpha: float = 0.05,
    n_jobs: int | None = 1,
    progress: bool = False,
    directory: Any = None,
    null: bool = False,
) -> Simulation:
    """Power of difference-in-differences on a real panel: placebo treatments of random LAs at random times.

    Parameters
    ----------
    panel : DataFrame
        One row an LA and period, complete.
    unit, time, outcome : str
        Columns of LA, period and outcome.
    treated, pre, post : int
        LAs treated, and periods before and after in each placebo study.
    effect : float
        Effect added to the treated: a difference, or a ratio where ``scale`` is ``"ratio"`` (none is 1).
    scale : {"difference", "ratio"}
        How the effect changes the outcome.
    reps, rng, alpha, n_jobs, progress, directory, null
        As in :meth:`PanelDiD.simulate`.
    analysis : str or sequence of str, optional
        ``permutation`` (the default), ``regression_cr1``, ``regression_cr2``.

    Raises
    ------
    DataError
        If the panel is not complete.
    DesignError
        If it is too short or has too few LAs.

    Notes
    -----
    Nothing is assumed of the noise: it is that of the panel. Replicates share its LAs and years, so Monte Carlo errors say
    how well its own rate is known, not how another period would do. Source: Bertrand, Duflo and Mullainathan 2004
    (doi:10.1162/003355304772839588).
    """
    from wwc_eval.power.simulation.panels import PLACEBO, PlaceboSimulator, placebo_matrix
    from wwc_eval.power.simulation.simulate import chosen, simulate

    check_choice("scale", scale, ("difference", "ratio"))
    low = 0.0 if scale == "ratio" else None
    simulator = PlaceboSimulator(
        values=placebo_matrix(panel, unit, time, outcome),
        treated=int(check_number("treated", treated, at_least=1)),
        pre=int(check_number("pre", pre, at_least=1)),
        post=int(check_number("post", post, at_least=1)),
        effect=check_number("effect", effect, above=low),
        scale=scale,
        analyses=chosen(analysis, PLACEBO, "permutation"),
    )
    how: dict[str, Any] = {"alpha": alpha, "n_jobs": n_jobs, "progress": progress, "directory": directory}
    return simulate(simulator, simulator, reps=reps, rng=rng, null=null, **how)

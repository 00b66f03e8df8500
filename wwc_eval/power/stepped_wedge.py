"""Stepped wedges and cluster crossovers: power, detectable effects, sizes, and what their allocation permits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_number
from wwc_eval.power.checks import Number
from wwc_eval.power.conventions import Convention
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Continuous, Outcome
from wwc_eval.power.results import RequiredResult
from wwc_eval.power.solving import Anatomy, Solvable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.power.simulation.result import Simulation
    from wwc_eval.power.stepped_wedge_randomisation import RandomisationPower

__all__ = ["SteppedWedge"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SteppedWedge(Solvable):
    """A trial whose clusters are measured over periods and change treatment between them.

    Parameters
    ----------
    treatment : (clusters, periods) array
        1 with treatment, 0 without, between them for a period of partial exposure, NaN where there is no cell: a period
        not observed, or one of transition that is left out.
    cell_size : float or array
        Children in each cell: one number, one a period (periods,), or (clusters, periods). Periods of unequal length
        are cells of unequal size.
    outcome : Outcome
        Continuous, Binary or Rate.
    icc : float or array
        (variance of clusters + variance of cluster-periods) / total variance.
    cac : float or array
        Cluster autocorrelation: variance of clusters / (clusters + cluster-periods). 1 is Hussey and Hughes's model.
    iac : float or array
        Individual autocorrelation in a cohort: variance of children / (children + residual). 0: new children each period.
    decay : float or array, optional
        Correlation of a cluster's effects in adjacent periods, whose power it is at longer gaps (takes the place of cac).
    time : {"categorical", "linear", "none"}
        Effects of the periods in the model.
    df : {"z", "between_within", "clusters", "satterthwaite"} or float
        Degrees of freedom: normal; clusters - columns of the model; clusters - 2; Satterthwaite's at the planning
        values; or a number.
    effect_over_time : {"constant", "average"}
        One effect, or one for each period of exposure, of which the average is tested.
    effect_sd : float or array
        SD of the effect between clusters, on the scale of the test.
    effect_correlation : float
        Correlation of a cluster's effect with its level.
    churn : float
        Share of a cohort that is new in another period (open cohort).
    control_by_period : (periods,) array, optional
        Risk or rate without treatment in each period, where it changes; the outcome's ``control`` where nothing is said.
    strata : sequence, optional
        Stratum of each cluster within which sequences are randomised.

    Raises
    ------
    DesignError
        If a number is outside its range, or the effect cannot be told apart from the periods.

    Notes
    -----
    Binary and rate outcomes use working variances on the scale that the outcome tests (risk difference; log risk or log odds
    ratio; difference or log of rates), correlation structure as above.
    Sources: Hussey and Hughes 2007 (doi:10.1016/j.cct.2006.05.007); Hooper et al. 2016 (doi:10.1002/sim.7028);
    Kasza et al. 2019 (doi:10.1177/0962280217734981) for decay; Kasza, Taljaard and Forbes 2020
    (doi:10.1002/sim.8519) for open cohorts; Kenny et al. 2022 (doi:10.1002/sim.9511) for exposure time.

    Examples
    --------
    >>> from wwc_eval.power import Binary
    >>> design = SteppedWedge.standard(clusters=5, steps=5, cell_size=600, outcome=Binary(control=0.07, variance="null"),
    ...                                icc=0.00268)
    >>> round(100 * float(design.mdes(power=0.8)), 2)
    1.85
    >>> design.n_permitted, round(design.smallest_p, 4)
    (120, 0.0083)
    """

    treatment: Any
    cell_size: Any
    icc: Number
    outcome: Outcome = field(default_factory=Continuous)
    cac: Number = 1.0
    iac: Number = 0.0
    decay: Number | None = None
    time: Literal["categorical", "linear", "none"] = "categorical"
    df: str | float = "z"
    effect_over_time: Literal["constant", "average"] = "constant"
    effect_sd: Number = 0.0
    effect_correlation: float = 0.0
    churn: float = 0.0
    control_by_period: Any = None
    strata: Sequence[object] | None = None

    def __post_init__(self) -> None:
        """Check everything, and that the effect can be estimated."""
        from wwc_eval.power.stepped_wedge_checks import check_wedge

        check_wedge(self)

    # --- constructors

    @classmethod
    def standard(
        cls,
        *,
        clusters: int,
        steps: int,
        baseline: int = 1,
        periods_per_step: int = 1,
        transition: int = 0,
        **rest: Any,
    ) -> SteppedWedge:
        """A stepped wedge in which all clusters start without treatment and cross over in turn.

        Parameters
        ----------
        clusters, steps : int
            Clusters in all, and steps at which some cross over; as evenly as can be, early steps taking what is over.
        baseline, periods_per_step : int
            Periods before the first step and from each step on.
        transition : int
            Periods after its crossover that a cluster is not counted in.
        rest
            Everything else of :class:`SteppedWedge`.
        """
        from wwc_eval.power.stepped_wedge_checks import standard_treatment

        treatment = standard_treatment(clusters, steps, baseline, periods_per_step, transition)
        return cls(treatment=treatment, **rest)

    @classmethod
    def crossover(cls, *, clusters: int, periods: int = 2, **rest: Any) -> SteppedWedge:
        """A cluster crossover: half of the clusters start with treatment, and all change every period.

        With an odd number of clusters the sequence that starts without treatment has one more.
        """
        count = int(check_number("clusters", clusters, at_least=2))
        width = int(check_number("periods", periods, at_least=2))
        first = (np.arange(count) < count // 2).astype(float)
        return cls(treatment=(first[:, None] + np.arange(width)) % 2, **rest)

    @classmethod
    def parallel(cls, *, clusters: int, periods: int = 1, baseline: int = 0, **rest: Any) -> SteppedWedge:
        """Two arms over periods, both without treatment in those of the baseline; the treated arm is the smaller half."""
        count = int(check_number("clusters", clusters, at_least=2))
        before = int(check_number("baseline", baseline, at_least=0))
        after = int(check_number("periods", periods, at_least=1))
        treated = (np.arange(count) < count // 2).astype(float)
        return cls(treatment=treated[:, None] * (np.arange(before + after) >= before), **rest)

    @classmethod
    def from_variances(
        cls,
        *,
        residual_sd: float,
        cluster_sd: float = 0.0,
        cluster_period_sd: float = 0.0,
        individual_sd: float = 0.0,
        **rest: Any,
    ) -> SteppedWedge:
        """A continuous outcome given by its SDs, as swCRTdesign and SteppedPower have it (sigma, tau, gamma, psi).

        Their ``sigma`` is the residual SD, not the total. With ``decay`` (their ``AR``) cluster_sd is that of cluster-periods.
        """
        sds = {"residual_sd": residual_sd, "cluster_sd": cluster_sd}
        sds |= {"cluster_period_sd": cluster_period_sd, "individual_sd": individual_sd}
        e, c, cp, i = (check_number(name, value, at_least=0) ** 2 for name, value in sds.items())
        total = e + c + cp + i
        if e + i <= 0:
            raise DesignError("residual_sd == 0, must be > 0")
        return cls(
            outcome=Continuous(sd=math.sqrt(total)),
            icc=(c + cp) / total,
            cac=c / (c + cp) if c + cp > 0 else 1.0,
            iac=i / (i + e),
            **rest,
        )

    # --- facts

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.treatment.shape[0])

    @property
    def periods(self) -> int:
        """Number of periods."""
        return int(self.treatment.shape[1])

    @property
    def sizes(self) -> Array:
        """Children in each cell (clusters, periods); 0 where there is none."""
        return np.where(np.isfinite(self.treatment), np.broadcast_to(self.cell_size, self.treatment.shape), 0.0)

    @property
    def n_permitted(self) -> int:
        """Allocations of the sequences to the clusters that are permitted (within strata)."""
        from wwc_eval.power.stepped_wedge_allocations import n_permitted

        return n_permitted(self)

    @property
    def smallest_p(self) -> float:
        """Smallest two-sided p-value that a randomisation test over the permitted allocations can give."""
        from wwc_eval.power.stepped_wedge_allocations import smallest_p

        return smallest_p(self)

    def exposure_time(self) -> Array:
        """Periods since each cluster's first with treatment, that one counted as 1; 0 before it."""
        first = (np.nan_to_num(self.treatment) > 0).cumsum(axis=1) > 0
        return np.asarray(first.cumsum(axis=1), dtype=float)

    def describe(self) -> str:
        """The design in one line."""
        kind = f"{self.clusters} clusters over {self.periods} periods, {self.outcome.describe()}"
        shares = [f"ICC {_text(self.icc)}"]
        shares += [f"decay {_text(self.decay)}"] if self.decay is not None else [f"CAC {_text(self.cac)}"]
        if np.any(np.asarray(self.iac) > 0):
            shares.append(f"IAC {_text(self.iac)}")
        return f"{kind}; {', '.join(shares)}; time {self.time}; df {self.df}"

    # --- verbs

    def _outcome(self) -> Outcome:
        return self.outcome

    def _anatomy(self, effect: Number, convention: Convention) -> Anatomy:
        from wwc_eval.power.stepped_wedge_variance import anatomy

        del convention
        return anatomy(self, effect)

    def _uniform(self) -> float | None:
        return 1.0 if self.outcome.linear else None

    def _warnings(self, effect: Number) -> tuple[str, ...]:
        from wwc_eval.power.stepped_wedge_checks import warnings_of

        return warnings_of(self, effect)

    def required(
        self,
        level: Literal["clusters", "cell_size"],
        effect: float,
        power: float = 0.8,
        *,
        alpha: float = 0.05,
        sides: int = 2,
        convention: str | Convention = "exact",
    ) -> RequiredResult:
        """Smallest size that reaches a power.

        Parameters
        ----------
        level : {"clusters", "cell_size"}
            ``clusters`` repeats the design's sequences whole; ``cell_size`` is the mean size of a cell, sizes keeping their
            proportions.
        effect : float
            Effect to detect.
        power, alpha, sides, convention
            As in :meth:`mdes`.

        Raises
        ------
        DesignError
            If no size reaches the power.
        """
        from wwc_eval.power.stepped_wedge_solve import solve_required

        return solve_required(self, level, effect, power=power, alpha=alpha, sides=sides, convention=convention)

    def randomisation_power(
        self, effect: float, *, alpha: float = 0.05, draws: int = 20_000, rng: Any
    ) -> RandomisationPower:
        """Power of the randomisation test over the permitted allocations, for few clusters.

        Parameters
        ----------
        effect : float
            Effect, in the outcome's units.
        alpha : float
            Two-sided level.
        draws : int
            Draws of the means of the cells.
        rng : int, Generator or SeedSequence
            Source of randomness.

        Returns
        -------
        RandomisationPower
            ``float()`` gives it; 0 where the smallest p-value is above ``alpha``.

        Notes
        -----
        The statistic is the coefficient of treatment beside effects of clusters and periods, in absolute value, and linear in
        the means of the cells. They are normal with the design's covariance: exact for continuous outcomes, the working
        variances for others. Clusters that differ in size take the allocations in turn. Source: Ji, Fink, Robyn and Small
        2017 (doi:10.1214/17-AOAS1065).

        Raises
        ------
        DesignError
            If the design has absent cells.

        Examples
        --------
        >>> design = SteppedWedge.standard(clusters=6, steps=3, cell_size=50, icc=0.02)
        >>> 0.4 < float(design.randomisation_power(0.4, rng=1)) < 0.9
        True
        """
        from wwc_eval.power.stepped_wedge_randomisation import randomisation_power

        return randomisation_power(self, effect, alpha=alpha, draws=draws, rng=rng)

    def randomisation_mdes(
        self,
        power: float = 0.8,
        *,
        direction: Literal["fall", "rise"],
        alpha: float = 0.05,
        draws: int = 20_000,
        rng: Any,
    ) -> float:
        """Effect, signed or as a ratio, that the randomisation test detects with a power; see :meth:`randomisation_power`."""
        from wwc_eval.power.stepped_wedge_randomisation import randomisation_mdes

        return randomisation_mdes(self, power, direction=direction, alpha=alpha, draws=draws, rng=rng)

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
            Continuous: ``mixed_model`` (Satterthwaite; the default), ``mixed_model_z``, ``hussey_hughes``,
            ``nested_exchangeable``, ``regression_cr2``, ``regression_cr3``, ``randomisation_test``. Binary and rate:
            ``regression_cr2`` (the default), ``regression_cr3``, ``regression``, ``mixed_model`` (Laplace, Wald),
            ``randomisation_test``. All have effects of periods; regressions and the randomisation test have effects of
            clusters too.
        drift_sd : float
            SD of what is added to every cluster and period on the scale of the link: outcome units, log odds, log rate.
        alpha : float
            Two-sided level.
        n_jobs, progress, directory
            Workers (joblib), progress bar, and a directory in which finished chunks are kept. The numbers do not depend on
            the workers.
        null : bool
            Whether to simulate the trial without an effect as well, for ``.type_one``.

        Returns
        -------
        Simulation
            ``.power, .power_mc_se, .bias, .coverage, .type_m, .to_frame()``; other analyses by name.

        Raises
        ------
        DesignError
            If the analysis is unknown or does not fit the design.
        """
        from wwc_eval.power.simulation.simulate import simulate_wedge

        how: dict[str, Any] = {"alpha": alpha, "n_jobs": n_jobs, "progress": progress, "directory": directory}
        return simulate_wedge(self, effect, analysis, drift_sd, reps=reps, rng=rng, null=null, **how)

    def plot(
        self, ax: Axes | None = None, *, dates: Sequence[Any] | None = None, labels: Sequence[str] | None = None
    ) -> Axes:
        """Diagram of clusters and periods.

        Parameters
        ----------
        ax : Axes, optional
            Axes to draw on.
        dates : sequence of dates, optional
            Starts of the periods, and the end of the last: periods + 1 dates, drawn to scale.
        labels : sequence of str, optional
            Names of the clusters.
        """
        from wwc_eval.power.stepped_wedge_plot import plot_wedge

        return plot_wedge(self, ax, dates=dates, labels=labels)


def _text(value: object) -> str:
    array = np.asarray(value, float)
    return f"{float(array):g}" if array.ndim == 0 else f"{array.min():g} to {array.max():g}"

"""Progression criteria with three tiers, written before the data: shares, rates of events, and means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from wwc_eval.errors import DataError, DesignError, check_number, shown
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.criterion import HEADINGS, Criterion
from wwc_eval.pilot.decision import Decision
from wwc_eval.pilot.exact import SampleSize, binomial_size, clustered_size, poisson_size
from wwc_eval.pilot.rates import by_cluster, clustered_rate, effective_size, rate_interval
from wwc_eval.table import format_number, format_percent

if TYPE_CHECKING:
    from wwc_eval.pilot.operating import OperatingCharacteristics

__all__ = ["HEADINGS", "MeanCriterion", "ProgressionCriterion", "RateCriterion"]


@dataclass(frozen=True, repr=False)
class ProgressionCriterion(Criterion):
    """A share of participants with its limits of red and green.

    Parameters
    ----------
    name : str
        What is counted, such as "consent".
    red : float
        Upper limit of red (lower limit where lower is better): shares up to and including it stop the trial.
    green : float
        Lower limit of green: shares from there on need no amendment.
    heading : {"feasibility", "evidence_of_promise", "readiness_for_trial"}
        Heading that it is judged under.
    essential : bool
        Whether a red here stops the trial by itself (:func:`wwc_eval.pilot.judge`).
    rule : {"estimate", "test", "posterior"}
        Which figure decides the tier: the estimate; the estimate, green only where a one-sided test at ``alpha`` rejects
        red as well; or posterior probabilities of at least ``confidence``.
    icc : float
        Intraclass correlation planned for, where participants sit in clusters.
    cluster_size : int
        Participants a cluster; 1 for independent ones.
    prior : pair of float
        Shapes of the beta prior; Jeffreys' by default.

    Raises
    ------
    DesignError
        If a limit is not a share, both are equal, or clusters make no sense.

    Examples
    --------
    >>> consent = ProgressionCriterion("consent", red=0.2, green=0.35)
    >>> int(consent.sample_size(power=0.9, alpha=0.05))
    83
    >>> decision = consent.decide(22, 78)
    >>> decision.tier, round(decision.p_amber, 3), round(decision.exact_p_value, 4)
    ('amber', 0.858, 0.0517)
    """

    icc: float = 0.0
    cluster_size: int = 1
    prior: tuple[float, float] = (0.5, 0.5)

    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        """Check limits, clusters and prior."""
        super().__post_init__()
        check_number("icc", self.icc, at_least=0, below=1)
        size = check_number("cluster_size", self.cluster_size, at_least=1)
        if size != int(size):
            raise DesignError(f"cluster_size == {size:g}, must be a whole number")
        object.__setattr__(self, "cluster_size", int(size))
        if self.icc > 0 and size == 1:
            raise DesignError(
                "icc > 0 and cluster_size == 1: one participant is like none", fix="give cluster_size"
            )
        shapes = self.prior if isinstance(self.prior, Sequence) and not isinstance(self.prior, str) else ()
        if len(shapes) != 2:
            raise DesignError(
                f"'{self.name}': prior == {shown(self.prior)}, must be a pair of numbers",
                fix="give both shapes of the beta prior, such as (0.5, 0.5)",
            )
        for shape in shapes:
            check_number("prior", shape, above=0)

    def show(self, value: float) -> str:
        """A share in percent."""
        return format_percent(value, 1 if round(100 * value, 6) % 1 else 0)

    def counted(self, found: Estimate, rounded: Callable[[int], int] = int) -> str:
        """Successes of participants."""
        return f"{rounded(round(found.estimate * found.n)):,} of {rounded(found.n):,}"

    def sample_size(self, power: float = 0.9, alpha: float | None = None) -> SampleSize:
        """Smallest pilot whose exact test against red has the power at green, for that size and every larger one.

        Parameters
        ----------
        power : float
            Power where the true share is at the limit of green.
        alpha : float, optional
            One-sided type I error at the limit of red; the criterion's own where it is not given.

        Returns
        -------
        SampleSize
            ``int()`` gives it; with ``first_crossing`` and ``normal_approximation``. With ``icc`` it is a number of whole
            clusters, outcomes being beta-binomial.

        Notes
        -----
        Formula: c(n) is the smallest c with P(X >= c | red) <= alpha, power(n) = P(X >= c(n) | green).

        Examples
        --------
        >>> found = ProgressionCriterion("consent", red=0.2, green=0.35).sample_size()
        >>> found.n, found.first_crossing, found.normal_approximation
        (83, 77, 78)
        """
        target = check_number("power", power, above=0.5, below=1)
        error = self.alpha if alpha is None else check_number("alpha", alpha, above=0, below=0.5)
        # where lower is better, failures play the part of successes
        red, green = (self.red, self.green) if self.higher_is_better else (1.0 - self.red, 1.0 - self.green)
        clustered = self.cluster_size > 1
        if clustered:
            found = clustered_size(red, green, target, error, icc=self.icc, cluster_size=self.cluster_size)
        else:
            found = binomial_size(red, green, target, error)
        critical = found.critical if self.higher_is_better else found.n - found.critical
        word = "at least" if self.higher_is_better else "at most"
        rule = (
            f"Red is rejected with {word} {critical:,} of {found.n:,} (exact size {format_percent(found.size, 2)})"
        )
        if clustered:
            rule += f", clusters of {self.cluster_size:,} with ICC {self.icc:g}"
        return replace(found, critical=critical, rule=f"{rule}.")

    def decide(
        self,
        successes: ArrayLike,
        n: ArrayLike,
        cluster: Sequence[Any] | None = None,
        *,
        level: float = 0.95,
    ) -> Decision:
        """Tier of what was observed, its posterior probability, and the exact test against red.

        Parameters
        ----------
        successes, n : int, or array_like of int, shape (rows,)
            How many of how many; with ``cluster`` one pair a row.
        cluster : sequence, shape (rows,), optional
            Cluster of each row, such as the local authority.
        level : float
            Coverage of the interval.

        Returns
        -------
        Decision

        Raises
        ------
        DesignError
            If there are several rows and no cluster, or fewer than two clusters.

        Notes
        -----
        Formula: posterior Beta(a + x, b + n - x); p-value P(X >= x | red). With clusters x and n are scaled to the effective
        sample size of Korn and Graubard (1998, Survey Methodology 24(2):193-201), both figures being continuous in them; the
        interval is then :func:`wwc_eval.pilot.clustered_rate`'s.

        Examples
        --------
        >>> criterion = ProgressionCriterion("retention", red=0.65, green=0.85)
        >>> criterion.decide([8, 17, 13], [12, 20, 15], cluster=["A", "B", "C"]).tier
        'amber'
        """
        notes: tuple[str, ...] = ()
        if cluster is None:
            _refuse_rows("successes and n", successes, n, of="participants")
            x, size = (
                each.item() if isinstance(each, np.generic | np.ndarray) else each for each in (successes, n)
            )
            found = rate_interval(x, size, level=level, term=self.name)  # type: ignore[arg-type]
            x, size = float(found.details["successes"]), float(found.n)
        else:
            counts, sizes = by_cluster(successes, n, cluster)
            found = clustered_rate(counts, sizes, level=level, term=self.name)
            planned = self.icc if self.cluster_size > 1 else None
            size, how = effective_size(counts, sizes, icc=planned, level=level)
            x = found.estimate * size
            told = f"{found.n:,} participants in {found.n_clusters:,} clusters tell as much as {size:.{int(size < 10)}f} independent ones"
            notes = (f"{told} (judged by {how}).", *found.warnings)
        a, b = self.prior[0] + x, self.prior[1] + size - x
        below = float(special.betainc(a, b, self.red)), float(special.betainc(a, b, self.green))
        return self._decision(found, below, self._p_value(x, size), size, *notes)

    def judged(self, x: float, n: float) -> tuple[str, float]:
        """Tier and one-sided p-value of x of n independent participants; both may be fractions (effective sizes)."""
        a, b = self.prior[0] + x, self.prior[1] + n - x
        under = [float(special.betainc(a, b, limit)) for limit in (self.red, self.green)]
        if not self.higher_is_better:
            under = [1.0 - each for each in under]
        p_value = self._p_value(x, n)
        return self._tier(x / n, p_value, (under[0], under[1] - under[0], 1.0 - under[1])), p_value

    def _p_value(self, x: float, n: float) -> float:
        """P(X >= x) at the limit of red; P(X <= x) where lower is better."""
        if not self.higher_is_better:
            x, red = n - x, 1.0 - self.red
        else:
            red = self.red
        return 1.0 if x <= 0 else float(special.betainc(x, n - x + 1.0, red))

    def operating_characteristics(self, n: int, rates: Sequence[float] | None = None) -> OperatingCharacteristics:
        """Chance of each tier at true shares, for a pilot of ``n``; see :class:`OperatingCharacteristics`."""
        from wwc_eval.pilot.operating import operating_characteristics

        return operating_characteristics(self, n, rates)


@dataclass(frozen=True, repr=False)
class RateCriterion(Criterion):
    """Events for each unit of exposure, such as families recruited a site-month, with limits of red and green.

    Examples
    --------
    >>> recruited = RateCriterion("recruitment", red=4, green=6, unit="site-month")
    >>> recruited.decide(37, 6).tier
    'green'
    """

    unit: str = "unit"

    lowest: ClassVar[float] = 0.0

    def show(self, value: float) -> str:
        """Events a unit."""
        return f"{format_number(value, 2)} a {self.unit}"

    def counted(self, found: Estimate, rounded: Callable[[int], int] = int) -> str:
        """Events in the exposure."""
        return f"{rounded(found.n):,} in {found.details['exposure']:g}"

    def sample_size(self, power: float = 0.9, alpha: float | None = None) -> SampleSize:
        """Smallest whole exposure from which the exact Poisson test has the power, for every larger one."""
        target = check_number("power", power, above=0.5, below=1)
        error = self.alpha if alpha is None else check_number("alpha", alpha, above=0, below=0.5)
        if not self.higher_is_better:
            raise DesignError(
                f"'{self.name}': sizes of rates are for criteria where higher is better",
                fix="turn the criterion about",
            )
        found = poisson_size(self.red, self.green, target, error)
        rule = f"Red is rejected with at least {found.critical:,} in {found.n:,} (exact size {format_percent(found.size, 2)})."
        return replace(found, unit=f"{self.unit}s", rule=rule)

    def decide(
        self,
        events: ArrayLike,
        exposure: ArrayLike,
        cluster: Sequence[Any] | None = None,
        *,
        level: float = 0.95,
    ) -> Decision:
        """Tier of events in an exposure, by the Poisson distribution (Jeffreys prior).

        Parameters
        ----------
        events, exposure : float, or array_like, shape (rows,)
            How many in how much; with ``cluster`` one pair a row.
        cluster : sequence, shape (rows,), optional
            Cluster of each row, such as the site.
        level : float
            Coverage of the interval.

        Raises
        ------
        DesignError
            If there are several rows and no cluster, or fewer than two clusters.

        Notes
        -----
        Formula: posterior Gamma(x + 1/2, exposure); p-value P(X >= x | red exposure). With clusters both are scaled to the
        exposure that a Poisson process would need for the same information (:func:`wwc_eval.pilot.clustered_count`).

        Examples
        --------
        >>> recruited = RateCriterion("recruitment", red=4, green=6, unit="site-month")
        >>> decision = recruited.decide([21, 9, 7], [2, 2, 2], cluster=["A", "B", "C"])
        >>> round(decision.exact_p_value, 2), round(recruited.decide(37, 6).exact_p_value, 3)
        (0.4, 0.008)
        """
        from wwc_eval.pilot.recruitment import clustered_count, recruitment_rate

        notes: tuple[str, ...] = ()
        if cluster is None:
            _refuse_rows("events and exposure", events, exposure, of="events")
            found = recruitment_rate(events, exposure, level=level, term=self.name, unit=self.unit)  # type: ignore[arg-type]
            time = float(found.details["exposure"])
        else:
            found = clustered_count(events, exposure, cluster, level=level, term=self.name, unit=self.unit)
            time = float(found.details["effective_exposure"])
            total = found.details["exposure"]
            notes = (
                f"{total:g} {self.unit}s in {found.n_clusters:,} clusters tell as much as {time:.3g}.",
                *found.warnings,
            )
        x = found.estimate * time
        below = (
            float(special.gammainc(x + 0.5, self.red * time)),
            float(special.gammainc(x + 0.5, self.green * time)),
        )
        mean = self.red * time
        if self.higher_is_better:
            p_value = 1.0 if x == 0 else float(special.gammainc(x, mean))
        else:
            p_value = float(special.gammaincc(x + 1.0, mean))
        return self._decision(found, below, p_value, time, *notes)


@dataclass(frozen=True, repr=False)
class MeanCriterion(Criterion):
    """The mean of a scale, such as acceptability from 1 to 5, or of a cost, with limits of red and green.

    Examples
    --------
    >>> accepted = MeanCriterion("acceptability", red=3.0, green=3.8)
    >>> accepted.decide([4, 5, 3, 4, 4, 5, 4, 3]).tier
    'green'
    """

    digits: int = 2

    def show(self, value: float) -> str:
        """A mean."""
        return format_number(value, self.digits)

    def decide(self, values: ArrayLike, cluster: Sequence[Any] | None = None, *, level: float = 0.95) -> Decision:
        """Tier of a mean, by the t distribution; clusters make it one of their totals.

        Formula: t with n - 1 (clusters - 1) degrees of freedom about the mean, which with a flat prior is the posterior too.

        Raises
        ------
        DataError
            If values are no numbers, missing or fewer than two, or say nothing of their own variation.
        DesignError
            If there is one cluster.
        """
        import pandas as pd

        try:
            y = np.asarray(values, dtype=float)
        except (TypeError, ValueError):
            raise DataError(
                f"'{self.name}': the values are not numbers", fix="declare the column as a number when it is read"
            ) from None
        if y.ndim != 1 or len(y) < 2 or not np.isfinite(y).all():
            raise DataError(
                f"'{self.name}': needs at least 2 values, none missing", fix="leave missing answers out"
            )
        names = np.arange(len(y)) if cluster is None else np.asarray(cluster, dtype=object)
        if names.shape != y.shape:
            raise DataError(f"cluster has shape {names.shape} and values have {y.shape}")
        if pd.isna(names).any():
            raise DataError("a cluster is missing", fix="name the cluster of each row, or leave the row out")
        if np.ptp(y) == 0.0:
            raise DataError(
                f"'{self.name}': all values are {float(y[0]):g}", fix="report the value; there is nothing to test"
            )
        _, codes = np.unique(names.astype(str), return_inverse=True)
        groups = int(codes.max()) + 1
        if groups < 2:
            raise DesignError(
                "one cluster, needs at least 2", fix="leave out cluster, and say that it could not be judged"
            )
        mean = float(y.mean())
        parts = np.bincount(codes, weights=y - mean)
        se = math.sqrt(groups / (groups - 1.0) * float(parts @ parts)) / len(y)
        if se <= 1e-12 * float(np.ptp(y)):
            raise DataError(
                f"'{self.name}': all clusters have the mean {mean:g}, so that their variation cannot be judged",
                fix="leave out cluster, and say that it could not be judged",
            )
        df = groups - 1.0
        found = Estimate.from_normal(
            term=self.name,
            estimate=mean,
            se=se,
            df=df,
            level=level,
            scale="mean",
            method="Mean with t interval" if cluster is None else "Mean with cluster-robust t interval",
            n=len(y),
            n_clusters=None if cluster is None else groups,
        )
        red, green = (float(special.stdtr(df, (limit - mean) / se)) for limit in (self.red, self.green))
        p_value = red if self.higher_is_better else float(special.stdtr(df, (mean - self.red) / se))
        variance = float(y.var(ddof=1))
        return self._decision(found, (red, green), p_value, min(variance / se**2, float(len(y))))


def _refuse_rows(names: str, *given: ArrayLike, of: str) -> None:
    """Refuse several rows whose clusters are not said."""
    if any(np.ndim(each) for each in given):
        raise DesignError(
            f"{names} are lists, and whether their rows are clusters is not said",
            fix=f"name cluster=, or give their sums if {of} are independent",
        )

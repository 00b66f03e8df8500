"""What a pilot tells the main trial: SD, ICC or k, base rate with intervals, and power averaged over their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from wwc_eval.errors import DataError, DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.intervals import icc_interval, plain_figure, sd_interval
from wwc_eval.pilot.rates import clustered_rate, rate_interval
from wwc_eval.pilot.recruitment import recruitment_rate
from wwc_eval.pilot.variation import Counts, rate_variation, variation_belief
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from wwc_eval.power import Belief, Trial
    from wwc_eval.power.assurance import Assurance

__all__ = ["MainTrial", "main_trial"]

HIGHEST = {"icc": 0.999, "k": 20.0}
"""Limits beyond these are taken as these."""


# --- from the pilot's data


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MainTrial(Rendered):
    """Figures of a pilot's outcome that the main trial is planned with.

    Parameters
    ----------
    outcome : str
        Name of the outcome.
    kind : {"continuous", "binary", "rate"}
        What it is.
    figures : tuple of Estimate
        Mean, risk or rate; SD; ICC or k; each with its interval.
    clusters, size : int, float
        Clusters, and the mean size that the ICC's interval is for.
    notes : tuple of str
        What a reader must know of the figures.
    counts : Counts, optional
        Events and exposures of the clusters of a rate.
    """

    outcome: str
    kind: str
    figures: tuple[Estimate, ...]
    clusters: int
    size: float
    notes: tuple[str, ...] = ()
    counts: Counts | None = None

    def __getitem__(self, term: str) -> Estimate:
        for found in self.figures:
            if found.term == term:
                return found
        raise DataError(
            f"there is no figure '{term}'", fix=f"one of {', '.join(each.term for each in self.figures)}"
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a figure."""
        names = ("term", "estimate", "se", "ci_low", "ci_high", "n")
        return [{name: getattr(each, name) for name in names} for each in self.figures]

    @property
    def table(self) -> Table:
        """The figures with their intervals."""
        columns = [
            Column(name="term", label="what"),
            Column(name="estimate", kind="number"),
            Column(name="ci_low", label=f"{100 * self.figures[0].level:g}% low", kind="number"),
            Column(name="ci_high", label="high", kind="number"),
            Column(name="n", kind="count"),
        ]
        rows = [{column.name: row[column.name] for column in columns} for row in self.to_dicts()]
        return Table(rows, columns, title=self._title(), notes=self.notes)

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return f"{self.outcome}: figures for the main trial"

    def _notes(self) -> tuple[str, ...]:
        return self.notes

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)

    def icc_belief(self) -> Belief:
        """What the pilot says of the ICC, for :meth:`wwc_eval.Trial.assurance`."""
        from wwc_eval.power import Belief

        return Belief.pilot_icc(self["ICC"].estimate, clusters=self.clusters, size=self.size)

    def k_belief(self) -> Belief:
        """What the pilot says of k between clusters, for :meth:`wwc_eval.Trial.assurance`."""
        if self.counts is None:
            raise DesignError(
                f"k of {self.outcome} is not one between clusters",
                fix="give main_trial counts with kind='rate' and their cluster",
            )
        return variation_belief(self.counts.events, self.counts.exposure)

    def assurance(
        self,
        design: Trial,
        effect: float | Belief,
        *,
        rng: int | np.random.Generator | np.random.SeedSequence,
        uncertain: Mapping[str, Belief] | None = None,
        level: str | None = None,
        target: float = 0.8,
    ) -> Assurance:
        """Power of the main trial averaged over what the pilot leaves uncertain.

        Parameters
        ----------
        design : Trial
            The main trial.
        effect : float or Belief
            Its effect.
        rng : int, Generator or SeedSequence
            Randomness of the points.
        uncertain : mapping of str to Belief, optional
            More that is uncertain, such as ``{"child.attrition": Belief.beta(0.1, 0.03)}``.
        level : str, optional
            Level of the design whose ICC (k of rates) the pilot estimated; the second lowest where missing.
        target : float
            Power that the design should have.

        Returns
        -------
        Assurance
            With the chance that the power is under the target.
        """
        from wwc_eval.power.assurance import assurance

        name = _level_of(design, level)
        beliefs = dict(uncertain or {})
        given = name is None or f"{name}.icc" in beliefs or f"{name}.k" in beliefs
        if not given and self.kind == "rate":
            beliefs[f"{name}.k"] = self.k_belief()
        elif not given:
            beliefs[f"{name}.icc"] = self.icc_belief()
        return assurance(design, effect, beliefs, rng=rng, target=target)

    def required(self, design: Trial, effect: float, *, level: str | None = None, target: float = 0.8) -> Table:
        """Units that the main trial needs if the ICC (k of rates) is at the pilot's lower limit, its estimate, its upper limit.

        Parameters
        ----------
        design : Trial
            The main trial; units of the randomised level are sought.
        effect : float
            Its effect.
        level : str, optional
            Level of the design whose ICC (k) the pilot estimated; the second lowest where missing.
        target : float
            Power that the design should have.

        Returns
        -------
        Table
            ``where, value, required, power``: the ICC or k, the number (None where no number reaches the power, or the pilot
            has no such limit), and the power of the design as it is.

        Raises
        ------
        DesignError
            If the design has one level, or the pilot had no clusters.
        """
        from wwc_eval.power.assurance import changed
        from wwc_eval.power.checks import plural

        name = _level_of(design, level)
        if name is None:
            raise DesignError("the design has one level, which no ICC belongs to", fix="use design.required()")
        term, part = ("k", "k") if self.kind == "rate" else ("ICC", "icc")
        if term not in [each.term for each in self.figures]:
            raise DesignError(
                f"the pilot shows no {term}: it had one cluster, or none was named", fix="use design.required()"
            )
        figure = self[term]
        rows: list[dict[str, Any]] = []
        for where, value in (
            ("lower limit", figure.ci_low),
            ("estimate", figure.estimate),
            ("upper limit", figure.ci_high),
        ):
            row: dict[str, Any] = {
                "where": f"{term} at its {where}",
                "value": value,
                "required": None,
                "power": None,
            }
            if math.isfinite(value):
                held = changed(design, {f"{name}.{part}": np.asarray(min(max(value, 0.0), HIGHEST[part]))})
                row["power"] = float(held.power(effect))
                with suppress(DesignError):  # no number reaches the power
                    row["required"] = int(held.required(held.assigned, effect, target))
            rows.append(row)
        above = [each.name for each in design.levels[design.at + 1 :]]
        units = f"{plural(design.assigned)}{f' in each {above[0]}' if above else ''}"
        columns = [
            Column(name="where", label=""),
            Column(name="value", label=term, kind="number"),
            Column(name="required", label=f"{units} for {100 * target:g}% power", kind="count"),
            Column(name="power", label="power of the design as it is", kind="percent", digits=0),
        ]
        notes = ("An ICC below 0 is taken as 0.",) if any(row["value"] < 0 for row in rows) else ()
        return Table(rows, columns, title=f"{self.outcome}: what the pilot leaves open", notes=notes)


def _level_of(design: Trial, level: str | None) -> str | None:
    """Level whose ICC or k the pilot estimated.

    Raises
    ------
    DesignError
        If it is the lowest level, whose units have no others in them that could be alike.
    """
    if level is None:
        return design.levels[1].name if len(design.levels) > 1 else None
    if level == design.levels[0].name:
        raise DesignError(
            f"level == {level!r}, which is the lowest: nothing in it could be alike",
            fix=f"one of {', '.join(each.name for each in design.levels[1:])}" if len(design.levels) > 1 else "",
        )
    return level


def main_trial(
    outcome: ArrayLike,
    cluster: Sequence[Any] | ArrayLike | None = None,
    *,
    kind: Literal["continuous", "binary", "rate"] = "continuous",
    exposure: ArrayLike | None = None,
    name: str = "outcome",
    level: float = 0.95,
) -> MainTrial:
    """Mean or base rate, SD and ICC (k for rates) of a pilot's outcome with intervals.

    Parameters
    ----------
    outcome : array_like, shape (n,)
        Outcomes; counts with ``kind="rate"``.
    cluster : array_like, shape (n,), optional
        Cluster of each.
    kind : {"continuous", "binary", "rate"}
        What the outcome is.
    exposure : array_like, shape (n,), optional
        Exposure of counts.
    name : str
        Name of the outcome.
    level : float
        Coverage.

    Returns
    -------
    MainTrial

    Raises
    ------
    DataError
        If values are missing or shapes differ.

    Notes
    -----
    The ICC is the one-way analysis of variance's, at the mean size (n - sum n_j^2 / n) / (k - 1), with Searle's interval at
    that size: exact where sizes are equal and the outcome is normal, approximate for shares. k of rates is the moment
    estimate of the variation of clusters' rates beyond Poisson, with the interval of :func:`rate_variation`; without clusters it
    is that between rows.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> team = np.repeat(np.arange(9), 12)
    >>> found = main_trial(rng.normal(size=9)[team] * 0.3 + rng.normal(size=108), team, name="wellbeing")
    >>> [figure.term for figure in found.figures]
    ['mean', 'SD', 'ICC']
    """
    y = np.asarray(outcome, dtype=float)
    if y.ndim != 1 or len(y) < 3 or not np.isfinite(y).all():
        raise DataError(f"{name}: needs at least 3 values, none missing", fix="leave out rows without the outcome")
    codes = np.arange(len(y)) if cluster is None else _codes(cluster, len(y))
    groups = int(codes.max()) + 1
    if kind == "rate":
        return _of_rates(y, codes, exposure, name, level, clustered=cluster is not None)
    if exposure is not None:
        raise DesignError("exposure goes with kind='rate'", fix="remove exposure")
    size = np.bincount(codes)
    if kind == "binary":
        if not np.isin(y, (0.0, 1.0)).all():
            raise DataError(f"{name}: a binary outcome is 0 or 1")
        if cluster is None or groups < 2:
            first = rate_interval(int(y.sum()), len(y), level=level, term="risk")
        else:
            first = clustered_rate(np.bincount(codes, weights=y), size, level=level, term="risk")
        figures = [first]
    else:
        figures = [_mean(y, codes, level, clustered=cluster is not None and groups > 1)]
        figures.append(sd_interval(float(y.std(ddof=1)), len(y) - 1.0, level=level))
    if cluster is None or groups < 2:
        return MainTrial(outcome=name, kind=kind, figures=tuple(figures), clusters=groups, size=float(len(y)))
    middle = (len(y) - float(size @ size) / len(y)) / (groups - 1.0)
    icc = _anova_icc(y, codes, size, middle)
    figures.append(icc_interval(icc, clusters=groups, size=middle, level=level).replace(n=len(y)))
    notes = () if np.ptp(size) == 0 and kind == "continuous" else ("The interval of the ICC is approximate.",)
    return MainTrial(outcome=name, kind=kind, figures=tuple(figures), clusters=groups, size=middle, notes=notes)


def _codes(cluster: Sequence[Any] | ArrayLike, n: int) -> np.ndarray:
    names = np.asarray(cluster, dtype=object)
    if names.shape != (n,):
        raise DataError(f"cluster has shape {names.shape}, outcome ({n},)")
    return np.unique(names.astype(str), return_inverse=True)[1]


def _mean(y: np.ndarray, codes: np.ndarray, level: float, *, clustered: bool) -> Estimate:
    mean = float(y.mean())
    parts = np.bincount(codes, weights=y - mean) if clustered else y - mean
    k = len(parts)
    se = math.sqrt(k / (k - 1.0) * float(parts @ parts)) / len(y)
    method = "Mean with cluster-robust t interval" if clustered else "Mean with t interval"
    return Estimate.from_normal(
        term="mean",
        estimate=mean,
        se=se,
        df=k - 1.0,
        level=level,
        scale="mean",
        method=method,
        n=len(y),
        n_clusters=k if clustered else None,
    )


def _anova_icc(y: np.ndarray, codes: np.ndarray, size: np.ndarray, middle: float) -> float:
    means = np.bincount(codes, weights=y) / size
    k, n = len(size), len(y)
    if n == k:
        raise DataError("each cluster has one row, so an ICC cannot be had", fix="leave out cluster")
    between = float(size @ (means - y.mean()) ** 2) / (k - 1.0)
    within = float(((y - means[codes]) ** 2).sum()) / (n - k)
    if within == 0.0:
        raise DataError("outcomes do not vary within clusters, so an ICC cannot be had")
    return (between - within) / (between + (middle - 1.0) * within)


def _of_rates(
    y: np.ndarray, codes: np.ndarray, exposure: ArrayLike | None, name: str, level: float, *, clustered: bool
) -> MainTrial:
    time = np.ones(len(y)) if exposure is None else np.asarray(exposure, dtype=float)
    if time.shape != y.shape or not (time > 0).all() or (y < 0).any():
        raise DataError(f"{name}: counts must be >= 0 and exposures > 0, one of each a row")
    if (y != np.floor(y)).any():
        raise DataError(f"{name}: counts must be whole numbers", fix="give events, and their exposure apart")
    counts = Counts.of(np.bincount(codes, weights=y), np.bincount(codes, weights=time))
    many = len(counts.events)
    first = _rate(counts, level).replace(n=len(y), n_clusters=many if clustered else None)
    second = rate_variation(counts.events, counts.exposure, level=level)
    second = second.replace(n=len(y), n_clusters=many if clustered else None)
    notes = (*first.warnings, *second.warnings)
    return MainTrial(
        outcome=name,
        kind="rate",
        figures=(first, second),
        clusters=many,
        size=len(y) / many,
        notes=notes,
        counts=counts if clustered else None,
    )


def _rate(counts: Counts, level: float) -> Estimate:
    """Events over exposure; Poisson where no spread between clusters is seen that an error could be taken from."""
    many, total, time = len(counts.events), float(counts.events.sum()), float(counts.exposure.sum())
    if many == 1 or total == 0:
        why = "there are no events" if total == 0 else "there is one cluster"
        words = f"The interval of the rate is Poisson's, as {why}: it takes clusters as alike."
        exact = recruitment_rate(total, time, level=level, term="rate", unit="unit of exposure")
        return exact.replace(warnings=(words,))
    parts = counts.events - total / time * counts.exposure
    rate, se = total / time, math.sqrt(many / (many - 1.0) * float(parts @ parts)) / time
    # formed for the logarithm, as a rate is above 0 and skewed
    reach = math.exp(min(float(special.stdtrit(many - 1.0, 0.5 + 0.5 * level)) * se / rate, 700.0))
    method = "Rate with cluster-robust t interval of its logarithm"
    figure = plain_figure("rate", rate, (rate / reach, rate * reach), level, method, n=int(total), scale="rate")
    return figure.replace(se=se, df=many - 1.0)

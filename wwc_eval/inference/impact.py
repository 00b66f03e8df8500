"""Effects as numbers a year, and relative to what would have happened without the programme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.averages import Average, check_average, compared
from wwc_eval.inference.families import Floats
from wwc_eval.inference.resampling import Resampling, inference_words, resampled, resampling, with_interval
from wwc_eval.table import Column, Grid, Rendered, Table

__all__ = ["Impact", "impact"]

CITATION = "Altman 1998, doi:10.1136/bmj.317.7168.1309"
WITHOUT, WITH, DIFFERENCE, RELATIVE, NEEDED = "without", "with", "difference", "relative", "number_needed"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Impact(Rendered):
    """What a programme does to so many participants a year. Made by ``fit.impact(variable, per_year=...)``.

    Parameters
    ----------
    term : str
        The contrast.
    per_year : float
        Participants (exposure, for rates) a year.
    unit, event : str
        Words for a participant and for what is counted.
    without, with_programme : Estimate
        Expected numbers a year without and with the programme.
    difference : Estimate
        Their difference a year.
    relative : Estimate
        Ratio of the two; 1 is no change. Shown as percent change.
    number_needed : Estimate or None
        Participants for one event more or fewer; None where the interval of the difference includes none.
    notes : tuple of str
        What was averaged, and why a figure is missing.
    """

    term: str
    per_year: float
    unit: str
    event: str
    without: Estimate
    with_programme: Estimate
    difference: Estimate
    relative: Estimate
    number_needed: Estimate | None
    notes: tuple[str, ...]

    @property
    def percent_change(self) -> tuple[float, float, float]:
        """Change relative to the counterfactual with its limits, as proportions: -0.2 is a fall by a fifth."""
        return self.relative.estimate - 1.0, self.relative.ci_low - 1.0, self.relative.ci_high - 1.0

    @property
    def estimates(self) -> Estimates:
        """Difference a year and ratio to the counterfactual."""
        return Estimates([self.difference, self.relative], title=self._title(), notes=self.notes)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a figure: ``figure, estimate, ci_low, ci_high, p_value``; relative change as a proportion."""
        shown = {
            WITHOUT: self.without,
            WITH: self.with_programme,
            DIFFERENCE: self.difference,
            RELATIVE: self.relative,
            NEEDED: self.number_needed,
        }
        rows = []
        for name, each in shown.items():
            if each is None:
                continue
            values = (each.estimate, each.ci_low, each.ci_high)
            estimate, low, high = self.percent_change if name == RELATIVE else values
            tested = name in (DIFFERENCE, RELATIVE)
            rows.append(
                {
                    "figure": name,
                    "estimate": estimate,
                    "ci_low": low,
                    "ci_high": high,
                    "p_value": each.p_value if tested else math.nan,
                }
            )
        return rows

    def _grid(self) -> Grid:
        words = {
            WITHOUT: f"{self.event} a year without",
            WITH: f"{self.event} a year with",
            DIFFERENCE: f"difference, {self.event} a year",
            RELATIVE: "change relative to without (%)",
            NEEDED: f"{self.unit} for one more or fewer",
        }
        columns = [
            Column(name="figure", label=f"{self.per_year:,.0f} {self.unit} a year"),
            Column(name="estimate", kind="number", digits=1),
            Column(name="ci_low", label=f"{100 * self.difference.level:g}% low", kind="number", digits=1),
            Column(name="ci_high", label="high", kind="number", digits=1),
            Column(name="p_value", label="p", kind="p_value"),
        ]
        rows = []
        for row in self.to_dicts():
            factor = 100.0 if row["figure"] == RELATIVE else 1.0
            moved = {name: factor * row[name] for name in ("estimate", "ci_low", "ci_high")}
            rows.append({**row, **moved, "figure": words[row["figure"]]})
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"Impact of {self.term}: {self.difference.method}"

    def _notes(self) -> tuple[str, ...]:
        return self.notes

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)


def impact(
    fit: Any,
    variable: str,
    *,
    per_year: float,
    unit: str = "children",
    event: str = "events",
    level: float | None = None,
    average: str = "participants",
    cluster: str | None = None,
    interval: str = "delta",
    reps: int = 999,
    rng: Any = None,
    draw: str | None = None,
    strata: str | None = None,
    progress: bool = True,
) -> Impact | list[Impact]:
    """Number of participants a year whom a programme makes a difference to, and percent change.

    Parameters
    ----------
    fit : fit
        A regression or a multilevel model; its marginal (population-averaged) risks, rates or means are used.
    variable : str
        Factor or 0/1 column of the formula: the programme. The reference level is the counterfactual.
    per_year : float
        Participants a year to whom the programme would be offered; for a rate, units of exposure a year.
    unit, event : str
        Words for them and for what is counted.
    level : float, optional
        Coverage; that of the fit.
    average, cluster, interval, reps, rng, draw, strata, progress
        As in ``fit.marginal_effect``.

    Returns
    -------
    Impact, or a list of them where the variable has more than two levels.

    Raises
    ------
    DesignError
        If the variable is numeric or not in the formula, ``per_year`` is not above 0, or a mean that a percentage is
        taken of is not above 0.

    Notes
    -----
    Formula: with A(1) and A(0) the average outcome with and without, ``per_year (A(1) - A(0))`` and
    ``A(1) / A(0) - 1``, the interval of the second formed on the log scale. Participants for one event more or fewer:
    ``1 / |A(1) - A(0)|`` with the limits inverted, for risks only and only where the interval of the difference excludes
    no effect; elsewhere its interval would run through infinity. Sources: Lane and Nelder 1982, doi:10.2307/2530043;
    Altman 1998, doi:10.1136/bmj.317.7168.1309.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1, 0, 1] * 20, "arm": (["usual"] * 4 + ["offer"] * 4) * 20})
    >>> fit = we.regression("y ~ arm", data, family="binomial", levels={"arm": ["usual", "offer"]})
    >>> year = fit.impact("arm", per_year=600)
    >>> round(year.difference.estimate, 6), round(year.percent_change[0], 6), round(year.number_needed.estimate, 6)
    (150.0, 0.5, 4.0)
    """
    size = check_number("per_year", per_year, above=0)
    how = resampling(
        interval, fit, reps=reps, rng=rng, draw=draw, cluster=cluster, strata=strata, progress=progress
    )
    check_average(average, None if how else cluster)
    whom = {"average": average, "cluster": cluster if average == "clusters" else None}
    base, *others = fit.averages_of(variable, **whom)
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    asked = _Asked(size=size, unit=unit, event=event, level=coverage, whom=whom)
    found = [_one(fit, asked, base, other) for other in others]
    if how is not None:
        found = _bootstrapped(fit, asked, variable, found, how)
    return found[0] if len(found) == 1 else found


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Participants a year, words, coverage, and whom averages are over."""

    size: float
    unit: str
    event: str
    level: float
    whom: dict[str, Any]


def _one(fit: Any, asked: _Asked, base: Average, other: Average) -> Impact:
    """Figures of one level against the reference, by the delta method."""
    size, unit, event, level = asked.size, asked.unit, asked.event, asked.level
    details = {"per_year": size, "average": asked.whom["average"], "reference": base.value, "level": other.value}

    def numbers(value: float, gradient: Any, words: str) -> Estimate:
        made: Estimate = fit.estimate_of(
            other.term,
            size * value,
            size * gradient,
            scale="per_year",
            level=level,
            method=f", {words} a year for {size:,.0f} {unit} (delta method)",
            details=details,
        )
        return made.replace(units=f"{event} a year")

    gap, by_gap = compared("mean_difference", base, other)
    ratio, by_ratio = compared("ratio", base, other)
    if not math.isfinite(ratio) and math.isfinite(gap):
        raise DesignError(
            f"the average outcome is {base.mean:g} without and {other.mean:g} with '{other.term}'",
            rule="a change in percent needs averages above 0",
            fix="report fit.marginal_effect, a difference",
        )
    relative = fit.estimate_of(
        other.term,
        ratio,
        by_ratio,
        scale="rate_ratio",
        level=level,
        method=", ratio to the counterfactual (delta method)",
        details=details,
    ).replace(units="ratio to the counterfactual")
    found = Impact(
        term=other.term,
        per_year=size,
        unit=unit,
        event=event,
        without=_untested(numbers(base.mean, base.gradient, f"{event} without the programme")),
        with_programme=_untested(numbers(other.mean, other.gradient, f"{event} with the programme")),
        difference=numbers(gap, by_gap, f"difference in {event}"),
        relative=relative,
        number_needed=None,
        notes=(),
    )
    return _completed(found, fit)


def _untested(row: Estimate) -> Estimate:
    """A number a year has no null hypothesis worth testing."""
    return row.replace(statistic=math.nan, p_value=math.nan)


def _completed(found: Impact, fit: Any) -> Impact:
    """With the number needed where it makes sense, and notes."""
    gap = found.difference
    whose = gap.details["average"]
    over = f"Expected outcomes are averaged over {whose}; the counterfactual is {gap.details['reference']}."
    sample = f"n = {fit.n:,}" + (f" in {fit.n_clusters:,} clusters." if fit.n_clusters else ".")
    notes = [over, sample, *gap.warnings]
    needed = None
    if not _risks(fit):
        pass
    elif gap.ci_low * gap.ci_high > 0:
        ends = sorted(found.per_year / abs(end) for end in (gap.ci_low, gap.ci_high))
        needed = gap.replace(
            estimate=found.per_year / abs(gap.estimate),
            se=math.nan,
            statistic=math.nan,
            p_value=math.nan,
            ci_low=ends[0],
            ci_high=ends[1],
            scale="number_needed",
            units=found.unit,
            citation=CITATION,
        )
    else:
        notes.append(
            f"No number of {found.unit} for one more or fewer is given: the interval of the difference includes none."
        )
    return replace(found, number_needed=needed, notes=tuple(dict.fromkeys(notes)))


def _risks(fit: Any) -> bool:
    """Whether the averages are risks."""
    if fit.family == "binomial":
        return True
    fitted = getattr(fit, "fitted", None)
    if fitted is not None:
        return bool(fitted.binary and fitted.exposure is None)
    y = fit.data.design.y
    return bool(fit.family == "gaussian" and ((y == 0) | (y == 1)).all())


def _bootstrapped(fit: Any, asked: _Asked, variable: str, found: list[Impact], how: Resampling) -> list[Impact]:
    """The same figures with intervals from replicates."""
    names = [each.term for each in found]
    size = asked.size

    def statistic(refit: Any) -> Sequence[float]:
        base, *others = refit.averages_of(variable, **asked.whom)
        means = {other.term: other.mean for other in others}
        figures = []
        for name in names:
            other = means.get(name, math.nan)
            ratio = other / base.mean if base.mean > 0 else math.nan
            figures += [size * base.mean, size * other, size * (other - base.mean), ratio]
        return figures

    values = resampled(fit, statistic, how)
    done = []
    for k, each in enumerate(found):
        own = values[:, 4 * k : 4 * k + 4]

        def moved(row: Estimate, place: int, *, tested: bool, own: Floats = own) -> Estimate:
            return with_interval(row, own[:, place], how, asked.level, tested=tested, own=inference_words(fit))

        again = replace(
            each,
            without=moved(each.without, 0, tested=False),
            with_programme=moved(each.with_programme, 1, tested=False),
            difference=moved(each.difference, 2, tested=True),
            relative=moved(each.relative, 3, tested=True),
        )
        done.append(_completed(again, fit))
    return done

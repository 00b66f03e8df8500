"""Who is seen: the effect of treatment on the children behind repeated cross-sections, covariate by covariate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.callaway import CallawaySantAnna, callaway_santanna
from wwc_eval.did.composition_permutation import Lottery, Reassigned
from wwc_eval.did.composition_result import Composition, JointTest
from wwc_eval.did.cs_averages import averages
from wwc_eval.did.cs_design import covariate_names, known_columns, levels_of
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_counts import FEW, joiners, treated_clusters
from wwc_eval.did.guard import judged, seed_of
from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults
from wwc_eval.errors import DesignError, check_number, shown
from wwc_eval.estimate import Estimate
from wwc_eval.inference.inversion import linear_interval, p_value

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["composition"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
CITATION = "Sant'Anna and Xu 2023, doi:10.48550/arXiv.2304.13925"
MISSING_LEVEL = "(missing)"
ROUNDING = 1e-12


def composition(
    panel: Panel,
    covariates: str | Sequence[str],
    *,
    control: Literal["never", "not_yet"] = "never",
    anticipation: int = 0,
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    level: float = 0.95,
) -> Composition:
    """The effect of treatment on who is seen: on covariates of children seen once, and on their number.

    Parameters
    ----------
    panel : Panel
        Repeated cross-sections.
    covariates : str or sequence of str
        Columns that treatment should not change: numbers as they are, each level of text as a share. Columns with
        missing values have a row for the share that is missing.
    control, anticipation
        As in :func:`callaway_santanna`, of the effect that is in question.
    draws : int
        Permutations where there are too many to list.
    rng : int, Generator or SeedSequence, optional
        Of these draws; they are seeded by the data where nothing is said, as the guard's are.
    allocation : Allocation, optional
        The lottery that decided the roll-out: permutations are then those that it permitted.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Composition
        ``.estimates`` by covariate; ``.joint``; ``.volume``; ``.plot()``.

    Raises
    ------
    DesignError
        If the panel has units seen again, no covariate is named, nothing is treated, or the lottery is another's.
    DataError
        If a column is not there.

    Notes
    -----
    Difference-in-differences of children seen once takes who is seen to be the same before and after (stationary
    composition): otherwise a change of the children passes for an effect on them. Formula: the overall effect of
    Callaway and Sant'Anna with the covariate as outcome, ``mean over treated cohorts and periods of (mean x after - mean
    x before) - (the same of the comparison)``; standardised by the SD of x over rows that are not treated. All effects
    are of the rows with every covariate. The number of rows is that of each area and period, in logarithms, all areas
    alike, as a ratio. Permutations exchange who was treated when among the clusters and take the same effect again; the
    joint p and the adjusted ones compare each effect, over the spread of its own permutations, with the largest (Westfall
    and Young), and so can be had with few treated areas and with more covariates than treated areas, where a Wald test
    cannot. They are exact where any area might have been treated, or by the lottery that decided. With fewer than five treated clusters intervals are
    those of the permutation too, for an effect on the covariate that is the same everywhere.

    What it cannot show: a change in what is not measured; a change of kinds of children within a level; one that treated
    and comparison share, which leaves no effect here and still breaks stationarity (look at ``["age"].panel.trends()``);
    and that no evidence of a change is evidence of none: read the intervals. Sant'Anna and Xu give an estimator that
    allows composition to change, and a test that compares it with one that does not; this is neither. Where covariates
    change for other reasons than treatment, ``area_means`` adjusts for what the children of each period are; where
    treatment changes who is seen, no covariate repairs it. Sources: Sant'Anna and Xu (2023),
    doi:10.48550/arXiv.2304.13925; Westfall and Young (1993), Resampling-Based Multiple Testing.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(3)
    >>> area, t = rng.integers(0, 40, 8_000), rng.integers(0, 4, 8_000)
    >>> age = rng.integers(0, 18, 8_000) - 2 * ((area < 8) & (t > 1))
    >>> children = pd.DataFrame({"area": area, "year": 2020 + t, "start": 2022 * (area < 8), "age": age, "y": rng.normal(size=8_000)})
    >>> once = we.Panel(children, unit=None, period="year", outcome="y", cohort="start", cluster="area")
    >>> found = composition(once, "age")
    >>> round(found.estimates[0].estimate, 1), found.joint.p_value < 0.01
    (-2.2, True)
    """
    names = _checked(panel, covariates, draws, level)
    columns, complete = _columns(panel, names)
    from wwc_eval.data.samples.draws import generator

    asked: dict[str, Any] = {"control": control, "anticipation": anticipation, "level": level}
    results = [
        callaway_santanna(_panel_of(panel, one, np.ones_like(complete) if one.missing else complete), **asked)
        for one in columns
    ]
    seed = int((seed_of(panel) if rng is None else generator(rng)).integers(2**63 - 1))
    lottery = {"draws": int(draws), "seed": seed, "allocation": allocation}
    items: dict[int, Estimate] = {}
    joint = None
    for missing in (False, True):
        # columns of the same rows are permuted together
        chosen = [k for k, one in enumerate(columns) if one.missing == missing]
        found = _reassigned([results[k] for k in chosen], lottery) if chosen else None
        described = [_described(results[k], columns[k], found, place) for place, k in enumerate(chosen)]
        if not missing and found is not None:
            described, joint = _joined(described, found)
        items |= dict(zip(chosen, described, strict=True))
    volume, empty = _volume(panel, asked, lottery)
    return Composition(
        estimates=EffectEstimates(
            [items[k] for k in range(len(columns))],
            [{"covariate": one.name, "level": one.level} for one in columns],
        ),
        joint=joint,
        volume=volume,
        results=tuple(results),
        panel=panel,
        notes=_notes(panel, complete, joint, empty),
    )


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A covariate of numbers, one level of text, or whether it is missing, by row of the panel's cells."""

    name: str
    level: str
    numbers: Floats

    @property
    def missing(self) -> bool:
        """Whether it is the share that is missing."""
        return self.level == MISSING_LEVEL

    @property
    def term(self) -> str:
        """Its name as an outcome."""
        if self.missing:
            return f"{self.name} {MISSING_LEVEL}"
        return f"{self.name}[{self.level}]" if self.level else self.name


def _checked(panel: Panel, covariates: str | Sequence[str], draws: int, level: float) -> tuple[str, ...]:
    """Names of the covariates."""
    if not isinstance(panel, Panel) or not panel.cross_sections:
        raise DesignError(
            f"composition needs a Panel of children seen once, got {shown(panel)[:40]}",
            fix="make one: we.Panel(data, unit=None, ...); units that are seen again do not change",
        )
    names = covariate_names(covariates)
    if not names:
        raise DesignError("no covariate is named", fix='write covariates=["age", "need"]')
    known_columns(panel, names)
    own = [name for name in names if name in panel.columns.values()]
    if own:
        raise DesignError(
            f"'{own[0]}' is a column of the panel itself, whose effect says nothing of who is seen",
            fix="name columns that treatment should not change",
        )
    check_number("level", level, above=0, below=1)
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 19:
        raise DesignError(f"draws == {shown(draws)}, must be a whole number of at least 19", fix="use 9,999")
    return names


def _columns(panel: Panel, names: tuple[str, ...]) -> tuple[list[_Column], Flags]:
    """Columns in order, and which rows have every covariate."""
    from pandas.api import types

    source, faults = panel.cells.rows.source, Faults()
    found: list[_Column] = []
    complete = np.ones(len(source), dtype=bool)
    for name in names:
        if types.is_numeric_dtype(panel.source[name]):
            values = numbers_of(panel.source, name, faults, what="covariate")[source]
            there = np.isfinite(values)
            found.append(_Column(name=name, level="", numbers=values))
        else:
            levels, codes = levels_of(panel, name)
            own = codes[source]
            there = own >= 0
            found += [_Column(name=name, level=text, numbers=(own == k) * 1.0) for k, text in enumerate(levels)]
        if not there.all():
            found.append(_Column(name=name, level=MISSING_LEVEL, numbers=(~there) * 1.0))
        complete &= there
    faults.raise_if_any()
    if not complete.any():
        raise DesignError("no row has every covariate", fix="leave out what is never there together")
    return found, complete


def _panel_of(panel: Panel, column: _Column, used: Flags) -> Panel:
    """The same children with a covariate as outcome."""
    import pandas as pd

    rows = panel.cells.rows
    unit, period = np.divmod(rows.place[used], panel.n_periods)
    labels: list[Any] = [None if k == panel.n_periods else panel.period_label(int(k)) for k in panel.adopted]
    of = panel.columns
    period_name, cohort_name, weight_name = str(of["period"]), of["cohort"] or "(cohort)", of["weights"]
    frame = {
        period_name: panel.periods[period],
        cohort_name: pd.Series(labels, dtype=object).to_numpy()[unit],
        column.term: column.numbers[used],
    }
    if of["cluster"] is not None:
        frame[of["cluster"]] = panel.cluster_labels[panel.clusters[unit]]
    if weight_name is not None:
        frame[weight_name] = rows.weights[used]
    return Panel(
        pd.DataFrame(frame),
        unit=None,
        period=period_name,
        outcome=column.term,
        cohort=cohort_name,
        weights=weight_name,
        cluster=of["cluster"],
    )


def _spread(panel: Panel) -> float:
    """SD of the outcome over rows that are not treated."""
    rows = panel.cells.rows
    free = ~panel.treated.reshape(-1)[rows.place]
    w, x = rows.weights[free], rows.outcomes[free]
    if not free.any():
        return math.nan
    centred = x - w @ x / w.sum()
    return math.sqrt(float(w @ centred**2 / w.sum()))


def _reassigned(results: Sequence[CallawaySantAnna], asked: Mapping[str, Any]) -> Reassigned | None:
    """Effects of panels of the same cells had other clusters been treated; None where that cannot be."""
    first = results[0].panel
    lottery = Lottery.of(first, results[0].group_times, **asked)
    if lottery is None:
        return None
    weights = first.cells.weights if first.cross_sections else first.observed.astype(np.float64)
    return lottery.reassign(np.stack([one.panel.outcomes for one in results]), weights)


def _effect(result: CallawaySantAnna, found: Reassigned | None, place: int) -> Estimate:
    """The overall effect with the p of its permutation; with few treated its inference is the permutation's alone."""
    panel = result.panel
    simple = averages(result.group_times, result.values, result.totals, kind="simple")
    by_row = panel.cross_sections and not panel.clustered
    one = Estimate.from_normal(
        term=panel.measure,
        estimate=float(simple.values[0]),  # noqa: PD011
        se=math.sqrt(max(float(result.functions.variance(simple.contrasts)[0]), 0.0)),
        level=result.level,
        scale="mean_difference",
        units=panel.measure,
        method=result.method,
        n=int(panel.cells.n.sum() if panel.cross_sections else panel.observed.sum()),
        n_clusters=None if by_row else panel.n_clusters,
        citation=CITATION,
        details={"average": simple.words, "permutation_p": math.nan, "adjusted_p": math.nan},
    )
    few = not by_row and panel.clusters_of(joiners(panel)) < FEW
    blank = dict.fromkeys(("se", "df", "statistic"), math.nan)
    if found is None:
        return one.replace(**blank, p_value=math.nan, ci_low=math.nan, ci_high=math.nan) if few else one
    values, observed = found.effects[:, place], float(found.observed[place])
    p = p_value(values, observed, found.reference, 0)[0]
    one = one.replace(details={**one.details, "permutation_p": p})
    if not few:
        return one
    low, high = linear_interval(values, found.moves, observed, found.reference, 1.0 - one.level)
    words = f"{one.method.split(';')[0]}; inference by {found.reference.words}"
    return one.replace(**blank, p_value=p, ci_low=low, ci_high=high, method=words)


def _described(result: CallawaySantAnna, column: _Column, found: Reassigned | None, place: int) -> Estimate:
    """An effect under the covariate's name."""
    one, sd = _effect(result, found, place), _spread(result.panel)
    return one.replace(
        term=column.term,
        units=f"share of {column.name}" if column.level else column.name,
        details={**one.details, "sd": sd, "standardised": one.estimate / sd if sd > 0 else math.nan},
    )


def _joined(items: list[Estimate], found: Reassigned) -> tuple[list[Estimate], JointTest | None]:
    """The effects with p-values adjusted for each other, and the test of all of them."""
    spreads = found.effects.std(axis=0)
    kept = [k for k, item in enumerate(items) if spreads[k] > ROUNDING * max(1.0, item.details["sd"])]
    if not kept:
        return items, None
    reference = found.reference
    largest = (np.abs(found.effects[:, kept]) / spreads[kept]).max(axis=1)
    over = dict(zip(kept, (np.abs(found.observed[kept]) / spreads[kept]).tolist(), strict=True))
    adjusted = {k: p_value(largest, size, reference, 1)[0] for k, size in over.items()}
    top = max(kept, key=lambda k: over[k])
    joint = JointTest(
        statistic=over[top],
        p_value=adjusted[top],
        largest=items[top].term,
        tested=len(kept),
        reassignments=len(reference.codes),
        exact=reference.exact,
        words=reference.words,
    )
    more = [{**item.details, "adjusted_p": adjusted.get(k, math.nan)} for k, item in enumerate(items)]
    return [item.replace(details=own) for item, own in zip(items, more, strict=True)], joint


def _volume(panel: Panel, asked: Mapping[str, Any], lottery: Mapping[str, Any]) -> tuple[Estimate | None, int]:
    """The effect on the logarithm of the number of rows by area and period, as a ratio; and cells that have none."""
    areas, n = judged(panel), panel.cells.n
    if areas.cross_sections:
        return None, 0
    with np.errstate(divide="ignore"):
        counted = areas.with_outcomes(np.where(n > 0, np.log(n), np.nan))
    counted = counted._changed(columns=MappingProxyType({**panel.columns, "outcome": "number of rows (log)"}))
    result = callaway_santanna(counted, **asked)
    one = _effect(result, _reassigned([result], lottery), 0)
    ratio = one.replace(
        term="number of rows",
        estimate=math.exp(one.estimate),
        ci_low=math.exp(one.ci_low),
        ci_high=math.exp(one.ci_high),
        scale="rate_ratio",
        units="ratio",
    )
    return ratio, int((n == 0).sum())


def _notes(panel: Panel, complete: Flags, joint: JointTest | None, empty: int) -> tuple[str, ...]:
    """What was left out, and what a reader must know."""
    gone = int((~complete).sum())
    notes = [f"{gone:,} rows without a covariate are in no effect but that on being missing."] if gone else []
    if empty:
        many = (
            "1 area and period has no row, and is"
            if empty == 1
            else f"{empty:,} areas and periods have no row, and are"
        )
        notes.append(f"{many} in no effect on the number of rows.")
    if joint is None:
        why = (
            "treatment cannot be permuted over clusters" if panel.clustered else "that needs areas: give cluster="
        )
        notes.append(f"Nothing is tested together: {why}.")
    treated = panel.clusters_of(joiners(panel))
    if panel.clustered and treated < FEW:
        instead = "none are given" if joint is None else "intervals and p are those of the permutation"
        notes.append(f"{treated_clusters(treated)}: errors are far too small with so few, and {instead}.")
    return tuple(notes)
